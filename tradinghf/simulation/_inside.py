"""What the prices inside a bar do: margin calls, stops, targets and waiting orders, in their order.

A bar tells four prices, not the path between them. What the path must have done is taken as done:
of two prices on the same side of the open the nearer comes first; an order that filled on the way
down has the low after it, one on the way up the high; and every position sees the close. What is
left open is ambiguous: `Setup.reading` decides it ("pessimistic": the stop before anything else,
a target only where it is certain), and `Tape.ambiguous` counts it. docs/simulation.md has a table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tradinghf.simulation._exits import level_reached, move_trailing_stops, stop_level
from tradinghf.simulation._forced_trades import force_close, is_quiet, liquidation_price
from tradinghf.simulation._ledger import Bar, Ledger, Tape
from tradinghf.simulation._setup import Setup
from tradinghf.simulation._working_orders import Reached, fill_reached, reached_inside


@dataclass(frozen=True)
class _Span:
    """The prices that a position sees; each [N, A].

    Attributes:
        first: where it began: a level beyond it fills there.
        low, high: what it may have seen.
        sure_low, sure_high: what it must have seen.
        where: bool, the positions in question; None is all.

    """

    first: Tensor
    low: Tensor
    high: Tensor
    sure_low: Tensor
    sure_high: Tensor
    where: Tensor | None = None

    @classmethod
    def whole(cls, bar: Bar) -> _Span:
        """The bar from its open on."""
        return cls(bar.open, bar.low, bar.high, bar.low, bar.high)

    @classmethod
    def after(cls, entry: Reached, filled: Tensor, bar: Bar) -> _Span:
        """The rest of the bar after a waiting order; all of it where the order was refused."""
        price = entry.price
        low = torch.fmin(price, bar.close).where(~entry.falling, bar.low)
        high = torch.fmax(price, bar.close).where(~entry.rising, bar.high)
        return cls(
            first=price.where(filled, bar.open),
            low=bar.low,
            high=bar.high,
            sure_low=low.where(filled, bar.low),
            sure_high=high.where(filled, bar.high),
            where=~price.isnan(),
        )


def trade_inside_bar(
    ledger: Ledger, tape: Tape, bar: Bar, tried: Tensor, setup: Setup
) -> tuple[Ledger, Tape]:
    """Carry accounts through a bar's range, after its open.

    Args:
        ledger: after the open.
        tape: of the bar so far.
        bar: the bar.
        tried: [N, A] bool, where a waiting order was tried at the open.
        setup: costs, limits and options.

    """
    whole = _Span.whole(bar)
    if ledger.working is None:
        ledger, tape = _leave(ledger, tape, whole, setup)
        return move_trailing_stops(ledger, bar.low, bar.high), tape
    entry = reached_inside(ledger.working, bar, tried, hopeful=setup.reading == "optimistic")
    tape = replace(tape, ambiguous=tape.ambiguous | entry.ambiguous)
    ledger, tape = _leave(ledger, tape, whole, setup, before=entry.price)
    was = ledger.account.shares
    ledger, tape = fill_reached(ledger, tape, entry, bar.liquidity, setup)
    now = ledger.account.shares
    rest = _Span.after(entry, was != now, bar)
    if setup.exits or _calls_margin(ledger, setup):
        ledger, tape = _leave(ledger, tape, rest, setup)
    opened = (was != now) & (was * now <= 0)
    low, high = rest.sure_low.where(opened, bar.low), rest.sure_high.where(opened, bar.high)
    return move_trailing_stops(ledger, low, high), tape


def _leave(
    ledger: Ledger, tape: Tape, span: _Span, setup: Setup, before: Tensor | None = None
) -> tuple[Ledger, Tape]:
    """Close the positions that a span takes to their margin call, stop or target.

    `before` [N, A]: a waiting order's price; only what comes before it happens. NaN is none.
    """
    if _calls_margin(ledger, setup):
        ledger, tape = _margin_call(ledger, tape, span, setup, before)
    exits = ledger.exits
    if exits is None:
        return ledger, tape
    held = ledger.account.shares
    stop = stop_level(ledger, exits, setup.brackets.trailing_stop)
    levels = (stop, exits.target)
    happens = _decide(held, levels, span, before, hopeful=setup.reading == "optimistic")
    otherwise = _decide(held, levels, span, before, hopeful=setup.reading != "optimistic")
    unsure = (happens[0] != otherwise[0]) | (happens[1] != otherwise[1])
    tape = replace(tape, ambiguous=tape.ambiguous | unsure)
    price = torch.where(held > 0, torch.fmin(stop, span.first), torch.fmax(stop, span.first))
    if setup.skips and is_quiet(ledger, happens[0] | happens[1]):
        return ledger, tape
    ledger, tape = force_close(ledger, tape, happens[0], price, setup.rates)
    target = exits.target
    price = torch.where(held > 0, torch.fmax(target, span.first), torch.fmin(target, span.first))
    return force_close(ledger, tape, happens[1], price, setup.passive_rates)


def _decide(
    held: Tensor, levels: tuple[Tensor, Tensor], span: _Span, before: Tensor | None, hopeful: bool
) -> tuple[Tensor, Tensor]:
    """[N, A] bool each: stopped, and target taken, in one reading of the path."""
    stop, target = levels
    long = held > 0
    loss = (span.sure_low, span.sure_high) if hopeful else (span.low, span.high)
    gain = (span.low, span.high) if hopeful else (span.sure_low, span.sure_high)
    stopped = (held != 0) & torch.where(long, loss[0] <= stop, loss[1] >= stop)
    taken = (held != 0) & torch.where(long, gain[1] >= target, gain[0] <= target)
    if span.where is not None:
        stopped, taken = stopped & span.where, taken & span.where
    if before is not None:
        stopped = stopped & ~_order_first(before, stop, span.first, torn=hopeful)
        taken = taken & ~_order_first(before, target, span.first, torn=not hopeful)
    return (stopped & ~taken, taken) if hopeful else (stopped, taken & ~stopped)


def _order_first(order: Tensor, level: Tensor, start: Tensor, *, torn: bool) -> Tensor:
    """[N, A] bool: the order's price comes before the level.

    On the same side of the start the nearer one does; `torn` answers for opposite sides.
    """
    to_order, to_level = order - start, level - start
    nearer = (to_order * to_level > 0) & (to_order.abs() < to_level.abs())
    return nearer | (to_order * to_level < 0) if torn else nearer


def _calls_margin(ledger: Ledger, setup: Setup) -> bool:
    """One position per account: its margin call has a price, so it happens inside the bar."""
    return setup.margin.maintenance > 0 and ledger.close.shape[-1] == 1


def _margin_call(
    ledger: Ledger, tape: Tape, span: _Span, setup: Setup, before: Tensor | None
) -> tuple[Ledger, Tape]:
    """Liquidate a single position whose margin the span exhausts before its stop."""
    level = liquidation_price(ledger, setup.margin.maintenance)
    long = ledger.account.shares > 0
    called, price = level_reached(ledger, level, long, span.first, span.low, span.high)
    if span.where is not None:
        called = called & span.where
    if before is not None:
        called = called & ~_order_first(before, level, span.first, torn=False)
    if ledger.exits is not None:
        stop = stop_level(ledger, ledger.exits, setup.brackets.trailing_stop)
        nearer = torch.where(long, stop >= level, stop <= level)
        called = called & ~nearer
    return force_close(ledger, tape, called, price, setup.penalty_rates)
