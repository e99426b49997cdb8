"""Orders of coarse bars, traded on finer ones: what happened inside a bar is then known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tradinghf.config import CostModel, Fill
from tradinghf.errors import StrategyError
from tradinghf.evaluation._engines import BacktestAccount, run_orders
from tradinghf.evaluation._order_tables import OrderTables
from tradinghf.evaluation._terms import Terms
from tradinghf.market import MarketData

_SLACK = 1e-6  # of a price: what vendors round


def trade_inside(
    market: MarketData,
    finer: MarketData,
    orders: OrderTables,
    costs: CostModel,
    fill: Fill,
    cash: float,
    terms: Terms,
) -> BacktestAccount:
    """The account of orders of `market`, carried through the bars of `finer`.

    Limits, stops, targets and trailing stops meet the finer bars in their order, so what four
    prices leave open is open only within one of those. Orders are decided, and the account is
    shown, at the closes of `market`.

    Args:
        market: [T, A] bars that the orders are of.
        finer: bars of the same assets that make up each of these.
        orders: [T, A].
        costs, fill, cash, terms: as for `backtest`.

    Raises:
        StrategyError: other symbols, a bar without finer ones, or finer ones with other prices.

    """
    if terms.events or market.listed is not None:
        raise StrategyError("intrabar: funding, splits, dividends and membership need equal bars.")
    last = _last_rows(market, finer)
    size = np.full(finer.close.shape, np.nan)
    size[last] = orders.size
    prices = {}
    for name, table in orders.prices.items():
        prices[name] = np.full(finer.close.shape, np.nan)
        prices[name][last] = table
    kind = orders.kind
    if not isinstance(kind, str):
        spread = np.full(finer.bars, "target_percent", dtype=object)
        spread[last] = kind
        kind = tuple(spread)
    done = run_orders(finer, OrderTables(size, kind, prices), costs, fill, cash, terms)
    bar = np.searchsorted(last, done.fills["bar"].to_numpy())
    first = np.concatenate([[0], last[:-1] + 1])
    paid = None if done.financing is None else np.add.reduceat(done.financing, first)
    return replace(
        done,
        equity=done.equity[last],
        cash=done.cash[last],
        shares=done.shares[last],
        financing=paid,
        fills=done.fills.assign(bar=bar),
    )


def _last_rows(market: MarketData, finer: MarketData) -> NDArray[np.intp]:
    """[T] the finer bar that each bar ends with."""
    if finer.symbols != market.symbols:
        raise StrategyError(
            f"intrabar: the finer bars are of {list(finer.symbols)}; expected "
            f"{list(market.symbols)}, in this order."
        )
    day = np.timedelta64(1, "D")
    dates = bool((market.timestamps.astype("M8[D]") == market.timestamps).all())
    ends = market.timestamps + day if dates else market.timestamps
    # A day's bars come before the next midnight.
    last: NDArray[np.intp] = finer.timestamps.searchsorted(ends, "left" if dates else "right") - 1
    before = np.concatenate([[-1], last[:-1]])
    empty = np.flatnonzero(last <= before)
    if len(empty) or last[-1] != finer.bars - 1:
        where = market.index[empty[0]] if len(empty) else finer.index[-1]
        what = "has no finer bar" if len(empty) else "is a finer bar after the last bar"
        raise StrategyError(
            f"intrabar: {where} {what}; expected finer bars of every bar from {market.index[0]} "
            f"to {market.index[-1]}, and no others. Cut both to the same span."
        )
    first = before + 1
    pairs = {
        "open": finer.open[first],
        "high": np.maximum.reduceat(finer.high, first, axis=0),
        "low": np.minimum.reduceat(finer.low, first, axis=0),
        "close": finer.close[last],
    }
    for name, found in pairs.items():
        own = getattr(market, name)
        wrong = np.argwhere(np.abs(found - own) > _SLACK * own)
        if len(wrong):
            bar, asset = (int(x) for x in wrong[0])
            raise StrategyError(
                f"intrabar: {market.symbols[asset]} at {market.index[bar]}: the finer bars have "
                f"{name} {found[bar, asset]:.10g}, the bar {own[bar, asset]:.10g}; expected equal "
                "prices. Make the bars from the finer ones."
            )
    return last
