"""`simulate`: an open-loop backtest through the same accounting core as the environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig, Fill, settings_of
from tradinghf.errors import ConfigError
from tradinghf.market import MarketData, MarketLike, as_market
from tradinghf.simulation._bars import Bars, Extras, Floats
from tradinghf.simulation._cost_tables import CostTables, plain_costs
from tradinghf.simulation._costs import check_volumes
from tradinghf.simulation._fast_orders import compiled_covers, run_compiled
from tradinghf.simulation._ledger import Ledger, Tape
from tradinghf.simulation._orders import SizeKind
from tradinghf.simulation._programs import program_covers, run_programs
from tradinghf.simulation._setup import Setup
from tradinghf.simulation._step import trade_at_close, trade_through_bar
from tradinghf.simulation._working_orders import BarOrders

FILL_COLUMNS = ("bar", "asset", "side", "size", "price", "fee", "slippage")


@dataclass(frozen=True, eq=False)
class Simulation:
    """What happened to S accounts; without the leading S where one was simulated.

    Attributes:
        equity: [S, T] at each close [currency].
        cash: [S, T] [currency].
        shares: [S, T, A] after the bar's fills.
        fees: [S, T, A] paid in the bar [currency].
        financing: [S, T] interest, borrow and funding paid less received in the bar [currency].
        owed: [S, T] debt left by liquidations so far [currency].
        fills: one row per bar, asset and account with a fill: bar, asset (indices), side (+1, -1),
            size [shares], price [currency], fee [currency], slippage [currency lost against the
            price before it]; and account when there are several.
        ambiguous: [S] bars and assets in which the path inside the bar, which its four prices do
            not tell, decides what happened; the pessimistic reading was taken.
        optimistic_gain: [S] what the optimistic reading of those bars would add to the last
            equity [currency].

    """

    equity: Floats
    cash: Floats
    shares: Floats
    fees: Floats
    financing: Floats
    owed: Floats
    fills: pd.DataFrame
    ambiguous: NDArray[np.int64]
    optimistic_gain: Floats


def simulate(
    market: MarketLike,
    weights: Any,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    cash: float = 100_000.0,
    dtype: Literal["float32", "float64"] = "float64",
    device: str | torch.device = "cpu",
    config: EnvConfig | None = None,
    kind: SizeKind | Sequence[SizeKind] = "target_percent",
    limit: Any = None,
    stop: Any = None,
    stop_loss: Any = None,
    take_profit: Any = None,
    funding: Any = None,
    split: Any = None,
    dividend: Any = None,
    member: Any = None,
) -> Simulation:
    """Trade orders, by default target weights, through a market.

    Row t is decided at the close of bar t and fills at the open of bar t+1 ("next_open"; the last
    row never fills) or at the close of bar t ("close"). Several assets share the cash; sells run
    before buys.

    Args:
        market: [T, A] bars.
        weights: [T, A] or [S, T, A] orders, by default target weights [signed fraction of
            equity]; NaN is no order. [T] is accepted for one asset.
        costs: what trading and holding costs.
        fill: when orders fill.
        cash: starting cash [currency].
        dtype: accounting precision.
        device: where to compute.
        config: order rules, margin, brackets and ruin level; its other fields are not used.
        kind: what the numbers in `weights` mean, see `order_size`; or one kind for every bar.
        limit: limit prices of the orders, in the shape of `weights`; NaN is none.
        stop: stop prices likewise.
        stop_loss: exits of the positions that the orders open, as prices; NaN is `config`'s.
        take_profit: likewise.
        funding: [T, A] funding rates, see `Extras`; so are the next three.
        split: share splits, for raw prices.
        dividend: dividends per share, for raw prices.
        member: listed or not.

    Raises:
        ConfigError: a shape does not fit the market, or a percentage is asked of waiting orders.

    """
    market = as_market(market)
    config = replace(
        settings_of(EnvConfig, config, "config"), fill=fill, cash=cash, dtype=dtype, portfolio=True
    )
    like = {"dtype": getattr(torch, dtype), "device": torch.device(device)}
    named = {"limit": limit, "stop": stop, "stop_loss": stop_loss, "take_profit": take_profit}
    given = {"size": weights, **{k: v for k, v in named.items() if v is not None}}
    orders = {k: _orders(k, v, market).to(**like) for k, v in given.items()}
    costs = settings_of(CostModel, costs, "costs")
    check_volumes(market, costs.impact, config.rules.participation)
    setup = Setup.of(
        config,
        plain_costs(costs),
        bars_per_year=market.bars_per_year,
        funding=funding is not None,
        waits=limit is not None or stop is not None,
        exits=stop_loss is not None or take_profit is not None,
    )
    kinds: Sequence[SizeKind] = (kind,) * market.bars if isinstance(kind, str) else kind
    if len(kinds) != market.bars:
        raise ConfigError(f"simulate: {len(kinds)} kinds for {market.bars} bars; expected as many.")
    if setup.waits and "percent" in kinds:
        raise ConfigError(
            "simulate: percent orders cannot wait for a limit, a stop or volume; "
            "give their size as value, amount or a target."
        )
    extras = Extras.of(market, funding=funding, split=split, dividend=dividend, member=member)
    if fill == "close" and extras.member is not None:  # what is not listed has no close to fill at
        listed = torch.as_tensor(np.array(extras.member), device=orders["size"].device)
        orders["size"] = orders["size"].masked_fill(~listed, torch.nan)
    several = np.ndim(weights) == 3
    plain = list(given) == ["size"] and dtype == "float64" and like["device"].type == "cpu"
    plain = plain and not costs.varies and len(set(kinds)) == 1
    if plain and compiled_covers(setup, extras, kinds[0]):
        sizes = orders["size"].numpy()
        return _of_arrays(*run_compiled(market, sizes, setup, extras, kinds[0], cash), several)
    precise = dtype == "float64" and like["device"].type == "cpu" and not costs.varies
    if precise and program_covers(setup, extras, kinds):
        return _programs(market, orders, kinds, setup, extras, cash, several)
    bars = Bars.of(market, extras, portfolio=True, **like)
    setup = replace(setup, skips=like["device"].type == "cpu")

    def run(setup: Setup) -> Simulation:
        tables = CostTables.of(setup, costs, market, like) if costs.varies else None
        return _collect(*_run(bars, orders, kinds, setup, cash, tables), several)

    with torch.inference_mode():
        done = run(setup)
        if not done.ambiguous.any():
            return done
        hoped = run(replace(setup, reading="optimistic"))
    return replace(done, optimistic_gain=hoped.equity[..., -1] - done.equity[..., -1])


def _programs(
    market: MarketData,
    orders: dict[str, Tensor],
    kinds: Sequence[SizeKind],
    setup: Setup,
    extras: Extras,
    cash: float,
    several: bool,
) -> Simulation:
    """The results of the compiled way of orders that wait, in both readings where they differ."""
    tables = {name: tensor.numpy() for name, tensor in orders.items()}
    how = (market, tables, kinds)
    found, fills = run_programs(*how, setup, extras, cash)
    gain = np.zeros(len(found["equity"]))
    if found["ambiguous"].any():
        hoped, _ = run_programs(*how, replace(setup, reading="optimistic"), extras, cash)
        gain = hoped["equity"][:, -1] - found["equity"][:, -1]
    return Simulation(
        **{name: array if several else array[0] for name, array in found.items()},
        fills=fills if several else fills.drop(columns="account"),
        optimistic_gain=gain if several else gain[0],
    )


def _orders(name: str, value: Any, market: MarketData) -> Tensor:
    """[S, T, A] tensor of an argument of `simulate`."""
    # A copy: arrays of pandas may be read-only, which torch warns of.
    tensor = torch.as_tensor(np.array(value))
    tensor = tensor[:, None] if tensor.ndim == 1 else tensor
    tensor = tensor if tensor.ndim == 3 else tensor[None]
    if tensor.shape[1:] != (market.bars, market.assets):
        raise ConfigError(
            f"simulate: {name} has shape {tuple(np.shape(value))}; expected "
            f"[T, A] = {(market.bars, market.assets)} or [S, T, A]."
        )
    return tensor


def _run(
    bars: Bars,
    orders: dict[str, Tensor],
    kinds: Sequence[SizeKind],
    setup: Setup,
    cash: float,
    tables: CostTables | None = None,
) -> tuple[list[Ledger], list[Tape]]:
    """Ledger and tape of each of the T bars; `tables` where the costs vary."""
    count, length, _ = orders["size"].shape
    zero = torch.zeros(count, dtype=torch.int64, device=bars.rows.device)
    track = "percent" in kinds

    def asked(t: int) -> BarOrders:
        return BarOrders(kind=kinds[t], **{name: value[:, t] for name, value in orders.items()})

    first = bars.at(zero)
    ledger = setup.open(torch.full_like(first.close[:, :1], cash), first, track_shorts=track)
    ledgers: list[Ledger] = []
    tapes: list[Tape] = []
    traded: list[Tensor] = []
    for t in range(length):
        tape = Tape.blank(ledger.close)
        setup = setup if tables is None else tables.at(t, traded)
        if t:
            now = asked(t - 1) if setup.fill == "next_open" else None
            ledger, tape = trade_through_bar(ledger, tape, bars.at(zero + t), setup, now)
        if setup.fill == "close":
            ledger, tape = trade_at_close(ledger, tape, asked(t), setup)
        ledgers.append(ledger)
        tapes.append(tape)
        traded += [tape.notional.sum(1, keepdim=True)] if tables is not None else []
    return ledgers, tapes


def _of_arrays(found: dict[str, Floats], fills: pd.DataFrame, several: bool) -> Simulation:
    """The results of the compiled way; nothing in them is ambiguous."""
    none = np.zeros(len(found["equity"]), dtype=np.int64)
    return Simulation(
        **{name: array if several else array[0] for name, array in found.items()},
        fills=fills if several else fills.drop(columns="account"),
        ambiguous=none if several else none[0],
        optimistic_gain=none.astype(np.float64) if several else none.astype(np.float64)[0],
    )


def _collect(ledgers: list[Ledger], tapes: list[Tape], several: bool) -> Simulation:
    """Stack the bars' results over time."""

    def stack(values: list[Tensor]) -> Floats:
        array = torch.stack(values, dim=1).double().cpu().numpy()
        return array if several else array[0]

    unsure = torch.stack([x.ambiguous.sum(1) for x in tapes], dim=1).sum(1).cpu().numpy()
    return Simulation(
        ambiguous=unsure if several else unsure[0],
        optimistic_gain=np.zeros_like(unsure if several else unsure[0], dtype=np.float64),
        equity=stack([x.equity[:, 0] for x in ledgers]),
        cash=stack([x.account.cash[:, 0] for x in ledgers]),
        shares=stack([x.account.shares for x in ledgers]),
        fees=stack([x.fees for x in tapes]),
        financing=stack([x.financing[:, 0] for x in tapes]),
        owed=stack([x.owed[:, 0] for x in ledgers]),
        fills=_fill_table(tapes, several),
    )


def _fill_table(tapes: list[Tape], several: bool) -> pd.DataFrame:
    """One row per fill, in the order they happened within each account."""
    rows: list[Floats] = []
    for bar, tape in enumerate(tapes):
        for fill in tape.fills:
            where = fill.size.nonzero()
            if not len(where):
                continue
            reference = fill.price if fill.reference is None else fill.reference
            columns = (fill.size, fill.price, fill.fee, reference)
            values = [v[where[:, 0], where[:, 1]] for v in columns]
            size, price, fees, before = (v.double().cpu().numpy() for v in values)
            account, asset = where.cpu().numpy().T
            at = np.full(len(size), bar)
            lost = abs(size) * abs(price - before)
            done = [account, at, asset, np.sign(size), abs(size), price, fees, lost]
            rows.append(np.stack(done, 1))
    table = np.concatenate(rows) if rows else np.empty((0, 8))
    frame = pd.DataFrame(table, columns=["account", *FILL_COLUMNS])
    frame = frame.astype(dict.fromkeys(("account", "bar", "asset", "side"), np.int64))
    frame = frame.sort_values("account", kind="stable", ignore_index=True)
    return frame if several else frame.drop(columns="account")
