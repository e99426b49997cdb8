"""What a strategy may ask for beside target weights: orders with prices, and entry signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.errors import StrategyError
from tradinghf.market import Floats, MarketData, session_times

PRICES = ("limit", "stop", "stop_loss", "take_profit")


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders decided at the close of each bar; arrays [T, A] or [T], or DataFrames.

    A new order for an asset replaces the one that waits. docs/simulation.md has the kinds of size
    and what fills where.

    Attributes:
        size: how much, as `kind` means it; NaN is no order, 0 cancels.
        kind: "target_percent", "target_value", "target_amount", "value", "amount", "percent".
        limit: worst acceptable prices [currency]; NaN is a market order.
        stop: prices that activate the order; with a limit, a stop-limit order.
        stop_loss, take_profit: exits of the position that the order opens [currency].

    """

    size: Any
    kind: str = "target_percent"
    limit: Any = None
    stop: Any = None
    stop_loss: Any = None
    take_profit: Any = None


@dataclass(frozen=True, eq=False)
class Signals:
    """Entries and exits, True where they are given; arrays [T, A] or [T], or DataFrames.

    An entry while the account already is on that side does nothing, after a stop it enters again;
    an entry of the other side turns the position round. A bar that asks for an entry and its own
    exit, or for both sides, is no order (vectorbt's default).

    Attributes:
        entries, exits: of long positions.
        short_entries, short_exits: of short ones.
        size: of a position [fraction of equity], a number or [T, A].
        limit, stop, stop_loss, take_profit: as in `Orders`; of entries only.

    """

    entries: Any = None
    exits: Any = None
    short_entries: Any = None
    short_exits: Any = None
    size: Any = 1.0
    limit: Any = None
    stop: Any = None
    stop_loss: Any = None
    take_profit: Any = None

    def orders(self, market: MarketData) -> Orders:
        """The signals as orders of kind "signal"."""

        def given(name: str) -> Any:
            value = getattr(self, name)
            if value is None:
                return np.zeros(market.close.shape, dtype=bool)
            return np.nan_to_num(aligned(value, market, name)) != 0

        long, short = given("entries"), given("short_entries")
        leave, cover = given("exits"), given("short_exits")
        clash = (long & short) | (long & leave) | (short & cover)
        long, short = long & ~clash, short & ~clash
        size = self.size if np.ndim(self.size) else np.full(market.close.shape, float(self.size))
        size = aligned(size, market, "size")
        asked = np.where(long, size, np.where(short, -size, np.nan))
        side = np.where(long, 1, np.where(short, -1, 0))
        last = _held(side)  # of the last entry up to the bar before
        closes = ((last > 0) & leave) | ((last < 0) & cover)
        asked = np.where(closes & ~clash & (side == 0), 0.0, asked)
        prices = {name: getattr(self, name) for name in PRICES}
        entry = side != 0
        only = {
            k: None if v is None else np.where(entry, aligned(v, market, k), np.nan)
            for k, v in prices.items()
        }
        return Orders(asked, "signal", **only)


def _held(side: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """[T, A] the last side that was entered before each bar; 0 before the first."""
    rows = np.arange(len(side))[:, None]
    last = np.maximum.accumulate(np.where(side != 0, rows, -1), axis=0)
    held = np.where(last < 0, 0, np.take_along_axis(side, np.maximum(last, 0), axis=0))
    return np.vstack([np.zeros_like(held[:1]), held[:-1]])


def order_tables(orders: Orders, market: MarketData) -> dict[str, Floats]:
    """{"size": [T, A], "limit": ...} of orders, in the market's rows and columns.

    Raises:
        StrategyError: a shape or a label does not fit, or a price is not positive.

    """
    tables = {"size": aligned(orders.size, market, "size")}
    for name in PRICES:
        value = getattr(orders, name)
        if value is not None:
            tables[name] = aligned(value, market, name)
            if (tables[name] <= 0).any():
                raise StrategyError(f"Orders.{name} has a price of 0 or less; NaN is none.")
    return tables


def aligned(values: Any, market: MarketData, what: str = "weights") -> Floats:
    """[T, A] numbers in the market's rows and columns; rows of a table not given are NaN.

    Raises:
        StrategyError: a row, a column or a shape that the market has not, or infinity.

    """
    if isinstance(values, pd.Series):
        values = values.to_frame(market.symbols[0]) if market.assets == 1 else values
    if isinstance(values, pd.DataFrame):
        return _aligned_frame(values, market, what)
    array = np.array(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 and market.assets == 1 else array
    if array.shape != market.close.shape:
        raise StrategyError(
            f"The {what} have shape {np.shape(values)}; expected {market.close.shape}: one row per "
            "bar, one column per asset."
        )
    return _finite(array, what)


def _aligned_frame(values: pd.DataFrame, market: MarketData, what: str) -> Floats:
    unknown = [c for c in values.columns if c not in market.symbols]
    if unknown:
        if values.shape[1] == market.assets and values.columns.equals(pd.RangeIndex(market.assets)):
            values = values.set_axis(list(market.symbols), axis=1)
        else:
            raise StrategyError(
                f"The {what} have a column {unknown[0]!r}; expected {list(market.symbols)}."
            )
    if isinstance(values.index, pd.DatetimeIndex):
        index = session_times(values.index).tz_localize("UTC")
        strangers = ~index.isin(market.index)
        if strangers.any() or index.has_duplicates:
            stranger = index[strangers][0] if strangers.any() else index[index.duplicated()][0]
            problem = "is not a bar of the market" if strangers.any() else "comes twice"
            raise StrategyError(
                f"The row {stranger} of the {what} {problem}; "
                f"the market has {market.bars} bars from {market.index[0]} to {market.index[-1]}."
            )
        values = values.set_axis(index, axis=0).reindex(market.index)
    elif len(values) != market.bars:
        raise StrategyError(
            f"The {what} have {len(values)} rows; expected {market.bars}, or timestamps as index."
        )
    # A copy: pandas hands out read-only views, which torch refuses.
    array = np.array(values.reindex(columns=list(market.symbols)), dtype=np.float64)
    return _finite(array, what)


def _finite(array: Floats, what: str) -> Floats:
    if np.isinf(array).any():
        raise StrategyError(f"The {what} contain infinity; expected finite numbers or NaN.")
    return array


def scaled_targets(weights: Floats, leverage: float = 1.0) -> tuple[Floats, str]:
    """Target weights that an account can hold, and a sentence where some had to be scaled.

    A cash account holds at most its equity, net of what shorts brought in; one with leverage L at
    most L times its equity, longs and shorts together. Rows that ask for more are scaled as a
    whole (a cash account: their longs), so that no asset goes short of its share for its place.

    Args:
        weights: [T, A] target weights; NaN is no order.
        leverage: of the account.

    """
    known = np.nan_to_num(weights)
    longs, shorts = np.clip(known, 0, None).sum(1), np.clip(-known, 0, None).sum(1)
    most = leverage if leverage > 1 else 1.0 + shorts
    asked = longs + shorts if leverage > 1 else longs
    over = asked > most * (1 + 1e-9)
    if not over.any():
        return weights, ""
    factor = np.where(over, most / np.where(over, asked, 1.0), 1.0)[:, None]
    scaled = np.where((weights > 0) | (leverage > 1), weights * factor, weights)
    worst = float((asked - most).max()) + leverage
    holder = "a cash account" if leverage == 1 else "the margin"
    return scaled, (
        f"{int(over.sum())} of {int(np.isfinite(weights).any(1).sum())} orders asked for up to "
        f"{worst:.2f} times the equity, more than {holder} holds; "
        "they were scaled down as a whole. Margin(leverage=...) trades them as asked."
    )
