"""Many target-weight tables at once: the compiled account over columns, a few hundred a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.config import CostModel, Fill
from tradinghf.episodes import EpisodeBatch
from tradinghf.evaluation._engines import (
    BacktestAccount,
    order_rows,
    run_together,
    vectorbt_expresses,
)
from tradinghf.evaluation._order_tables import OrderTables, as_tables
from tradinghf.evaluation._taste import Taste
from tradinghf.evaluation._terms import Terms
from tradinghf.market import Floats, MarketData

_RECORD = [(n, "i8") for n in ("idx", "col", "side")] + [
    (n, "f8") for n in ("size", "price", "fees")
]
_NUMBERS_AT_ONCE = 1_500_000
"""Bars, assets and accounts stepped together, multiplied: about half a gigabyte."""
COLUMNS_AT_ONCE = 128
"""Columns simulated together: large enough for numba, small enough for the cache."""
_HELD_AT_ONCE = 8_000_000
"""Bars, assets and columns, multiplied, whose shares are held together: 64 MiB for each table."""


@dataclass(frozen=True, eq=False)
class ColumnResults:
    """N backtests over the same bars.

    Attributes:
        returns: [T, N] simple return of each bar, after costs; the first against the cash.
        turnover: [N] traded notional / equity just before the trade, summed over the bars.
        fills: [N] filled orders.
        fees: [N] paid [currency].
        tastes: [W, N] what every window of each is worth to a trader; None where nobody asked.

    """

    returns: Floats
    turnover: Floats
    fills: NDArray[np.int64]
    fees: Floats
    tastes: Floats | None = None


def run_columns(
    market: MarketData,
    orders: Iterable[Floats | OrderTables],
    *,
    costs: CostModel,
    fill: Fill,
    cash: float,
    taste: Taste | None = None,
    terms: Terms | None = None,
    progress: Callable[[int], None] | None = None,
) -> ColumnResults:
    """Backtest each of `orders` ([T, A] target weights, NaN = no order) with its own cash.

    The results equal `backtest` on each table; a ruined account stays at a return of -1 and 0
    afterwards.

    Args:
        market: the bars.
        orders: N tables, or orders with prices; consumed lazily.
        costs: what trading and holding costs.
        fill: when orders fill.
        cash: starting equity of each [currency].
        taste: also score every window of each by it.
        terms: rules, margin, exits and events.
        progress: called with the number of tables done so far.

    """
    terms = Terms() if terms is None else terms
    source = iter(as_tables(each) for each in orders)
    parts: list[ColumnResults] = []
    done = 0
    at_once = min(max(_HELD_AT_ONCE // (market.bars * market.assets), 1), COLUMNS_AT_ONCE)
    while chunk := list(islice(source, at_once)):
        plain = terms.plain and market.listed is None and vectorbt_expresses(costs)
        if plain and all(each.are_weights for each in chunk):
            sizes = [each.size for each in chunk]
            parts.append(_simulate(market, sizes, costs, fill, cash, taste))
        else:
            accounts = _accounts(market, chunk, costs, fill, cash, terms)
            split, _ = terms.share_counts(market)
            parts.append(_of_accounts(market, accounts, fill, cash, taste, split))
        done += len(chunk)
        if progress is not None:
            progress(done)
    if not parts:
        nothing = np.zeros(0)
        return ColumnResults(np.zeros((market.bars, 0)), nothing, nothing.astype(np.int64), nothing)
    return ColumnResults(
        returns=np.concatenate([p.returns for p in parts], axis=1),
        turnover=np.concatenate([p.turnover for p in parts]),
        fills=np.concatenate([p.fills for p in parts]),
        fees=np.concatenate([p.fees for p in parts]),
        tastes=None
        if taste is None
        else np.concatenate([p.tastes for p in parts if p.tastes is not None], axis=1),
    )


def _order_records(
    market: MarketData, orders: Floats, costs: CostModel, fill: Fill, cash: float
) -> NDArray[np.void]:
    """Fills alone: idx (bar), col (asset), size, price, fees, side (0 bought, 1 sold).

    Nobody is ruined here: that is judged at every close, by who asked for the fills.
    """
    from tradinghf.simulation import trade_weights

    size, price = order_rows(market, orders, fill)
    # Target weights see the prices of the bar that they fill in, so bars without an order change
    # nothing; most strategies order in few bars.
    bars = np.flatnonzero(np.isfinite(size).any(axis=1))
    size, price = size[bars], price[bars]
    done = trade_weights(
        size, price, price, costs=costs, cash=cash, at_close=True, ruined_at=-np.inf
    )
    records = np.zeros(len(done.fills), dtype=_RECORD)
    row, records["col"], signed, records["price"], records["fees"], _ = done.fills.T
    records["idx"] = bars[row.astype(np.int64)]
    records["size"], records["side"] = np.abs(signed), signed < 0
    return records


def _simulate(
    market: MarketData,
    chunk: Sequence[Floats],
    costs: CostModel,
    fill: Fill,
    cash: float,
    taste: Taste | None,
) -> ColumnResults:
    count, assets = len(chunk), market.assets
    parts = [_order_records(market, orders, costs, fill, cash) for orders in chunk]
    records = np.concatenate(parts)
    group = np.repeat(np.arange(count), [len(part) for part in parts])
    bar, column = records["idx"], group * assets + records["col"]
    price = market.close if fill == "close" else market.open
    side = np.where(records["side"] == 0, 1.0, -1.0)
    notional = records["size"] * records["price"]
    shares = np.zeros((market.bars, count * assets))
    shares[bar, column] = side * records["size"]  # at most one fill per bar and column
    np.cumsum(shares, axis=0, out=shares)
    spent = np.zeros((market.bars, count))
    np.add.at(spent, (bar, group), side * notional + records["fees"])
    left = cash - np.cumsum(spent, axis=0)
    equity = left + _worth(shares, market.close)
    # Ruin is final, as in the simulator.
    equity[np.logical_or.accumulate(equity <= 0, axis=0)] = 0.0
    slipped = np.abs(records["price"] - price[bar, records["col"]]) * records["size"]
    traded = _Traded(bar, group, notional, records["fees"], slipped)
    return _results(market, equity, left, shares, traded, fill, cash, taste)


def _accounts(
    market: MarketData,
    chunk: Sequence[OrderTables],
    costs: CostModel,
    fill: Fill,
    cash: float,
    terms: Terms,
) -> list[BacktestAccount]:
    """Accounts of orders with prices or of accounts with terms, in the order of the chunk."""
    at_once = max(int(_NUMBERS_AT_ONCE // (market.bars * market.assets)), 1)
    found: list[BacktestAccount] = []
    for _, alike in groupby(chunk, key=lambda each: each.kind):
        same = list(alike)
        for first in range(0, len(same), at_once):
            part = same[first : first + at_once]
            found += run_together(market, part, costs, fill, cash, terms)
    return found


def _of_accounts(
    market: MarketData,
    accounts: Sequence[BacktestAccount],
    fill: Fill,
    cash: float,
    taste: Taste | None,
    split: Floats | None,
) -> ColumnResults:
    """The columns of accounts that were run already."""
    fills = pd.concat([account.fills for account in accounts], ignore_index=True)
    group = np.repeat(np.arange(len(accounts)), [len(account.fills) for account in accounts])
    numbers = {name: fills[name].to_numpy() for name in ("bar", "size", "price", "fee", "slippage")}
    traded = _Traded(
        numbers["bar"].astype(np.int64),
        group,
        numbers["size"] * numbers["price"],
        numbers["fee"],
        numbers["slippage"],
    )
    equity, left = (
        np.stack([getattr(account, name) for account in accounts], axis=1)
        for name in ("equity", "cash")
    )
    shares = np.concatenate([account.shares for account in accounts], axis=1)
    return _results(market, equity, left, shares, traded, fill, cash, taste, split)


@dataclass(frozen=True, eq=False)
class _Traded:
    """Fills of N accounts, one entry each: bar, account, notional, fee, slippage [currency]."""

    bar: NDArray[np.int64]
    group: NDArray[np.int64]
    notional: Floats
    fees: Floats
    slipped: Floats


def _results(
    market: MarketData,
    equity: Floats,
    left: Floats,
    shares: Floats,
    traded: _Traded,
    fill: Fill,
    cash: float,
    taste: Taste | None,
    split: Floats | None = None,
) -> ColumnResults:
    """Columns from accounts: equity and cash [T, N], shares [T, N * A] after each bar."""
    count, bar, group = equity.shape[1], traded.bar, traded.group
    price = market.close if fill == "close" else market.open
    value = np.full_like(left, cash)  # before the bar's fills, at their reference prices
    held = shares[:-1] if split is None else shares[:-1] * np.tile(split, count)[1:]
    value[1:] = left[:-1] + _worth(held, price[1:])
    before = np.vstack([np.full((1, count), cash), equity[:-1]])
    returns = np.zeros_like(equity)
    np.divide(equity, before, out=returns, where=before > 0)
    returns = np.where(before > 0, returns - 1.0, 0.0)

    def per_bar(values: Floats) -> Floats:
        table = np.zeros((market.bars, count))
        np.add.at(table, (bar, group), values)
        return table

    turned = np.zeros(count)
    alive = (before[bar, group] > 0) & (value[bar, group] > 0)
    np.add.at(turned, group[alive], traded.notional[alive] / value[bar, group][alive])
    tastes = None
    if taste is not None:
        notional = per_bar(np.where(alive, traded.notional, 0.0))
        paid = per_bar(traded.fees + traded.slipped)
        holding = shares if fill == "next_open" else _later(shares)
        held = _worth(holding, market.close)
        if fill == "next_open":
            path = _paths(market, held, equity, before, notional, paid)
        else:  # what an order at the close costs is felt in the bar that follows
            at_close = np.where(equity > 0, equity + paid, 0.0)
            path = _paths(market, held, at_close, _later(at_close), _later(notional), _later(paid))
        tastes = taste.of_windows(path)
    return ColumnResults(
        returns,
        turned,
        np.bincount(group, minlength=count).astype(np.int64),
        np.bincount(group, weights=traded.fees, minlength=count).astype(np.float64),
        tastes,
    )


def _worth(shares: Floats, price: Floats) -> Floats:
    """[T, N] value of the shares [T, N * A] of each account at prices [T, A]."""
    bars, assets = price.shape
    worth: Floats = (shares.reshape(bars, -1, assets) * price[:, None]).sum(axis=2)
    return worth


def _later(values: Floats) -> Floats:
    """[T, ...] one bar later; 0 in the first."""
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])


def _paths(
    market: MarketData, held: Floats, equity: Floats, before: Floats, traded: Floats, paid: Floats
) -> EpisodeBatch:
    """[N, T] the accounts' paths as episodes have them; the price is the mean of the assets'.

    Args:
        market: the bars.
        held: [T, N] value of all positions at the end of each bar [currency].
        equity: [T, N] at the close [currency].
        before: [T, N] equity that the bar's trades are measured by [currency].
        traded: [T, N] notional [currency].
        paid: [T, N] fees and slippage [currency].

    """

    def ratio(values: Floats, base: Floats) -> Floats:
        return np.divide(values, base, out=np.zeros_like(values), where=base > 0)

    index = (market.close / market.close[0]).mean(axis=1)
    close = np.broadcast_to(index[:, None], equity.shape)
    arrays = (close, ratio(held, equity), equity, ratio(traded, before), paid)
    return EpisodeBatch(*(a.T for a in arrays))


def column_metrics(columns: ColumnResults, bars_per_year: float) -> dict[str, Floats]:
    """Headline metrics of all N columns at once; NaN where undefined."""
    returns = columns.returns
    bars = len(returns)
    growth = np.cumprod(1.0 + returns, axis=0)
    peak = np.maximum(np.maximum.accumulate(growth, axis=0), 1.0)
    spread = returns.std(axis=0, ddof=1)
    spread = np.where(spread <= 1e-14, np.nan, spread)
    return {
        "total_return_pct": 100 * (growth[-1] - 1),
        "cagr_pct": 100 * (np.maximum(growth[-1], 0.0) ** (bars_per_year / bars) - 1),
        "sharpe_annual": returns.mean(axis=0) / spread * np.sqrt(bars_per_year),
        "volatility_annual_pct": 100 * np.nan_to_num(spread) * np.sqrt(bars_per_year),
        "max_drawdown_pct": 100 * (1.0 - growth / peak).max(axis=0),
        "turnover_per_year": columns.turnover * bars_per_year / bars,
        "fills": columns.fills.astype(np.float64),
        "fees": columns.fees,
    }
