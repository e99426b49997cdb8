"""What a strategy may ask for beside target weights: orders with prices, and entry signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.config import Fill
from tradinghf.errors import StrategyError
from tradinghf.evaluation._contingent import OTHER, lapsed
from tradinghf.market import Floats, MarketData, session_times
from tradinghf.strategies import held_targets

PRICES = ("limit", "stop", "stop_loss", "take_profit")


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders decided at the close of each bar; arrays [T, A] or [T], or DataFrames.

    A new order for an asset replaces the one that waits. docs/simulation.md has the kinds of size
    and what fills where.

    Attributes:
        size: how much, as `kind` means it; NaN is no order, 0 cancels.
        kind: "target_percent", "target_value", "target_amount", "value", "amount", "percent"; or
            one of them for every bar.
        limit: worst acceptable prices [currency]; NaN is a market order.
        stop: prices that activate the order; with a limit, a stop-limit order.
        stop_loss, take_profit: exits of the position that the order opens [currency].
        good_for: bars in which an order may fill, a number or [T, A]; what is left then lapses.
            None or NaN: until the next order.
        other: Orders of the same kind ("amount" or "value"): where both have one, the first that
            is reached cancels the other.

    """

    size: Any
    kind: str | Sequence[str] = "target_percent"
    limit: Any = None
    stop: Any = None
    stop_loss: Any = None
    take_profit: Any = None
    good_for: Any = None
    other: Orders | None = None


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
        limit, stop, stop_loss, take_profit, good_for: as in `Orders`; of entries only.

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
    good_for: Any = None

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
        only: dict[str, Any] = {
            k: None if v is None else np.where(entry, aligned(v, market, k), np.nan)
            for k, v in prices.items()
        }
        return Orders(asked, "signal", good_for=self.good_for, **only)


def _held(side: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """[T, A] the last side that was entered before each bar; 0 before the first."""
    rows = np.arange(len(side))[:, None]
    last = np.maximum.accumulate(np.where(side != 0, rows, -1), axis=0)
    held = np.where(last < 0, 0, np.take_along_axis(side, np.maximum(last, 0), axis=0))
    return np.vstack([np.zeros_like(held[:1]), held[:-1]])


@dataclass(frozen=True, eq=False)
class OrderTables:
    """Whatever was decided, as one kind of table that every engine trades.

    Attributes:
        size: [T, A] as `kind` means it; NaN is no order.
        kind: of all bars, or of every bar.
        prices: [T, A] limit, stop, stop_loss, take_profit, as far as they are used; and of pairs
            "other_size", "other_limit" and so on.

    """

    size: Floats
    kind: str | tuple[str, ...] = "target_percent"
    prices: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def are_weights(self) -> bool:
        """Target weights alone."""
        return self.kind == "target_percent" and not self.prices

    @property
    def targets_a_position(self) -> bool:
        """Sizes say what to hold, not what to trade."""
        kinds = {self.kind} if isinstance(self.kind, str) else set(self.kind)
        return all(kind == "signal" or kind.startswith("target_") for kind in kinds)

    def rows(self, first: int, last: int) -> OrderTables:
        """Bars first <= t < last."""
        kind = self.kind if isinstance(self.kind, str) else self.kind[first:last]
        cut = {name: table[first:last] for name, table in self.prices.items()}
        return OrderTables(self.size[first:last], kind, cut)

    def stacked(self) -> Floats:
        """[T, A * tables] every number of the orders, for comparisons row by row."""
        return np.hstack([self.size, *(self.prices[name] for name in sorted(self.prices))])


def as_tables(decided: Floats | OrderTables) -> OrderTables:
    """Target weights [T, A] as orders; orders as they are."""
    return decided if isinstance(decided, OrderTables) else OrderTables(decided)


def order_tables(orders: Orders, market: MarketData) -> OrderTables:
    """Orders in the market's rows and columns.

    Raises:
        StrategyError: a shape or a label does not fit, or a price is not positive.

    """
    kind = orders.kind if isinstance(orders.kind, str) else tuple(orders.kind)
    if not isinstance(kind, str) and len(kind) != market.bars:
        raise StrategyError(
            f"Orders.kind names {len(kind)} kinds for {market.bars} bars; expected one, or as many."
        )
    size, tables = aligned(orders.size, market, "size"), _prices(orders, market)
    if orders.other is not None:
        tables |= _second_legs(orders, orders.other, size, market)
    if orders.good_for is not None:
        tables = lapsed(size, tables, _bars(orders.good_for, size, market))
        size = tables.pop("size")
    return OrderTables(size, kind, tables)


def _prices(orders: Orders, market: MarketData) -> dict[str, Floats]:
    tables = {}
    for name in PRICES:
        value = getattr(orders, name)
        if value is not None:
            tables[name] = aligned(value, market, name)
            if (tables[name] <= 0).any():
                raise StrategyError(f"Orders.{name} has a price of 0 or less; NaN is none.")
    return tables


def _bars(given: Any, size: Floats, market: MarketData) -> Floats:
    """[T, A] bars in which orders may fill."""
    found = (
        aligned(given, market, "good_for") if np.ndim(given) else np.full(size.shape, float(given))
    )
    wrong = ~(np.isnan(found) | ((found >= 1) & (found == np.floor(found))))
    if wrong.any():
        raise StrategyError(
            f"Orders.good_for is {found[wrong][0]:g}; expected a whole number of bars, 1 or more."
        )
    return found


def _second_legs(
    orders: Orders, other: Orders, size: Floats, market: MarketData
) -> dict[str, Floats]:
    if other.other is not None or other.good_for is not None:
        raise StrategyError(
            "Orders.other has an `other` or a `good_for` of its own; expected them of the first."
        )
    if orders.kind not in ("amount", "value") or other.kind != orders.kind:
        raise StrategyError(
            f"Orders.other: a pair of kinds {orders.kind!r} and {other.kind!r}; expected 'amount' "
            "or 'value' for both, which say whether an order buys or sells before it is reached."
        )
    second = {"size": aligned(other.size, market, "size"), **_prices(other, market)}
    alone = np.isfinite(second["size"]) & np.isnan(size)
    if alone.any():
        row, asset = (int(x) for x in np.argwhere(alone)[0])
        raise StrategyError(
            f"Orders.other has an order for {market.symbols[asset]} at {market.index[row]}, where "
            "there is no first one; expected one in both. Give single orders as the first."
        )
    return {OTHER + name: table for name, table in second.items()}


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


def scaled_targets(
    weights: Floats, leverage: float = 1.0, *, shorts_pay: bool = True, keeps: bool = True
) -> tuple[Floats, str]:
    """Target weights that an account can hold, and a sentence where some had to be scaled.

    A cash account holds at most its equity, net of what shorts brought in; one with leverage L at
    most L times its equity, longs and shorts together. Rows that ask for more are scaled as a
    whole (a cash account: their longs), so that no asset goes short of its share for its place.
    Assets that a row leaves alone keep their last target, and only the others are scaled.

    Args:
        weights: [T, A] target weights; NaN is no order.
        leverage: of the account.
        shorts_pay: the proceeds of shorts buy longs.
        keeps: positions end by orders alone; False: what a row leaves alone is not counted.

    """
    ordered = np.isfinite(weights)
    asks = ordered.any(1)
    held = held_targets(weights) if keeps else np.where(ordered, weights, 0.0)
    excess, factor = _excess(held, ordered, leverage, shorts_pay)
    if not (excess[asks] > 0).any():
        return weights, ""
    if keeps and not ordered[asks].all():  # what a row keeps depends on how earlier ones were cut
        current = np.zeros(weights.shape[1])
        for row in np.flatnonzero(asks):
            current = np.where(ordered[row], weights[row], current)
            one = _excess(current[None], ordered[row][None], leverage, shorts_pay)
            excess[row], factor[row] = one[0][0], one[1][0]
            cut = ordered[row] & ((current > 0) | (leverage > 1))
            current = np.where(cut, current * factor[row], current)
    over = asks & (excess > 0)
    scales = over[:, None] & ((weights > 0) | (leverage > 1))
    scaled = np.where(scales, weights * factor[:, None], weights)
    holder = "a cash account" if leverage == 1 else "the margin"
    return scaled, (
        f"{int(over.sum())} of {int(asks.sum())} orders asked for up to "
        f"{float(excess[over].max(initial=0.0)) + leverage:.2f} times the equity, more than "
        f"{holder} holds; they were scaled down as a whole. Margin(leverage=...) trades them as "
        "asked."
    )


def _excess(
    held: Floats, ordered: np.ndarray[Any, Any], leverage: float, shorts_pay: bool
) -> tuple[Floats, Floats]:
    """[T] by how much rows of weights exceed the account, 0 where they fit, and what fits."""
    longs, shorts = np.clip(held, 0, None), np.clip(-held, 0, None)
    size = longs + shorts if leverage > 1 else longs
    most = leverage if leverage > 1 else 1.0 + shorts.sum(1) * shorts_pay
    total, asked = size.sum(1), np.where(ordered, size, 0.0).sum(1)
    excess = np.where((total > most * (1 + 1e-9)) & (asked > 0), total - most, 0.0)
    room = np.clip(most - (total - asked), 0.0, None)
    return excess, np.where(excess > 0, room / np.where(asked > 0, asked, 1.0), 1.0)


_SHORTFALL = 0.01  # of the equity: less is what fees and rounding take


def short_of_cash(orders: OrderTables, account: Any, market: MarketData, fill: Fill) -> str:
    """A sentence where target weights found less cash than they ask for; else nothing.

    What is held drifts with its price, so a row of orders for some of the assets may find less
    cash than it counted on; the purchases then go by rising size until the cash is spent.
    """
    if not orders.are_weights:
        return ""
    rows = np.flatnonzero((np.nan_to_num(orders.size) > 0).any(1))
    at = rows if fill == "close" else rows + 1
    rows, at = rows[at < market.bars], at[at < market.bars]
    price = (market.close if fill == "close" else market.open)[at]
    before = account.cash[at] + (account.shares[at] * price).sum(1)  # what fills cost aside
    wanted = np.nan_to_num(orders.size[rows])
    held = account.shares[at] * price / np.maximum(before, 1e-12)[:, None]
    lacking = np.where(wanted > 0, wanted - held, 0.0)
    spent = account.cash[at] < _SHORTFALL * np.maximum(before, 1e-12)
    cut = (lacking.max(axis=1, initial=0.0) > _SHORTFALL) & spent & (account.equity[at] > 0)
    if not cut.any():
        return ""
    first, times = int(at[np.argmax(cut)]), int(cut.sum())
    return (
        f"At {times} bar{'' if times == 1 else 's'}, first {market.index[first].date()}, "
        "purchases found less cash than their weights ask for, because what was held had grown "
        "beyond its target; they were cut to the cash, the smallest first. Order all assets in "
        "such rows."
    )
