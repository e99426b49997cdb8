"""What a task uses, as the bits of one number: the Triton kernels leave everything else out."""

from __future__ import annotations

from tradinghf.simulation._dynamics import Dynamics
from tradinghf.simulation._tolerance import is_off

SWITCHES = (
    *("long", "short", "at_close", "waits", "exits", "finances", "forces", "moments", "reviews"),
    *("funded", "splits", "dividends", "delists", "locks", "partial", "lots", "exact_lots"),
    *("max_size", "max_position", "least_notional", "leverage", "maintenance", "stops", "takes"),
    *("trails", "fixed", "per_share", "impact", "time_left", "on_change", "own_costs", "own_ends"),
)
BITS = {name: 1 << number for number, name in enumerate(SWITCHES)}


def switches_of(dynamics: Dynamics) -> int:
    """The bits of what a task uses, but for those that depend on the call."""
    setup, observer, columns = dynamics.setup, dynamics.observer, dynamics.bars.columns
    limits, rates, exits = setup.limits, setup.rates, setup.brackets
    used = {
        "long": limits.side == "long",
        "short": limits.side == "short",
        "at_close": setup.fill == "close",
        "waits": setup.waits,
        "exits": setup.exits,
        "finances": setup.financing is not None,
        "forces": dynamics.resets_targets,
        "moments": dynamics.tracks_moments,
        "reviews": observer.review < dynamics.config.horizon,
        "funded": "funding" in columns,
        "splits": "split" in columns,
        "dividends": "dividend" in columns,
        "delists": "member" in columns,
        "locks": limits.lock_cash,
        "partial": limits.allow_partial,
        "lots": not is_off(limits.lot),
        "exact_lots": limits.exact_lots,
        "max_size": not is_off(limits.max_size),
        "max_position": not is_off(limits.max_position),
        "least_notional": not is_off(limits.min_notional),
        "leverage": setup.margin.leverage != 1.0,
        "maintenance": setup.margin.maintenance > 0,
        "stops": exits.stop_loss > 0,
        "takes": exits.take_profit > 0,
        "trails": exits.trailing_stop > 0,
        "fixed": not is_off(rates.fixed),
        "per_share": not is_off(rates.per_share),
        "impact": not is_off(rates.impact),
        "time_left": observer.time_left,
    }
    return sum(BITS[name] for name, wanted in used.items() if wanted)
