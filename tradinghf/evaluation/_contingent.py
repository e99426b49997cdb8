"""Orders that end by themselves: after some bars, or because another one was reached first.

Every engine knows one waiting order per asset, which waits until the next one. Both kinds are said
in that language: an order that has lapsed is replaced by one that no price reaches, and of a pair
the leg stands that the bars reach first. Prices do not depend on the account, so that is known
without trading; it is looked up only while trading, never where orders are decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tradinghf.config import Fill
from tradinghf.market import Floats, MarketData

OTHER = "other_"
"""Before the names of the second leg's tables."""
NEVER = 1e30
"""A price that no market reaches: as limit and stop of one order it fills on neither side."""


def lapsed(size: Floats, prices: Mapping[str, Floats], good_for: Floats) -> dict[str, Floats]:
    """Tables in which each order is taken back after `good_for` bars.

    Args:
        size: [T, A] orders; NaN is none.
        prices: [T, A] limit, stop and so on, as far as they are used.
        good_for: [T, A] bars in which an order may fill; NaN is until the next order.

    Returns:
        "size", "limit", "stop" and the other prices, [T, A].

    """
    ordered = np.isfinite(size)
    rows = np.arange(len(size))[:, None]
    last = np.maximum.accumulate(np.where(ordered, rows, -1), axis=0)
    end = rows + good_for
    lapses = ~ordered & (last >= 0) & (np.take_along_axis(end, np.maximum(last, 0), 0) == rows)
    none = np.full(size.shape, np.nan)
    found = {name: prices.get(name, none).copy() for name in sorted({"limit", "stop", *prices})}
    for name, table in found.items():
        table[lapses] = NEVER if name in ("limit", "stop") else np.nan
    return {"size": np.where(lapses, 0.0, size), **found}


@dataclass(frozen=True)
class _Leg:
    """One order of a pair: signed size, prices (NaN is none), and whether its stop was met."""

    size: float
    limit: float
    stop: float
    met: bool = False

    def split(self, ratio: float, values: bool) -> _Leg:
        """What it is after a split."""
        size = self.size if values else self.size * ratio
        return _Leg(size, self.limit / ratio, self.stop / ratio, self.met)

    def at(self, price: float) -> tuple[bool, _Leg]:
        """Whether it fills at an open or a close, and what it is after that."""
        side = 1.0 if self.size > 0 else -1.0
        met = self.met or np.isnan(self.stop) or side * (price - self.stop) >= 0
        fits = np.isnan(self.limit) or side * (self.limit - price) >= 0
        return met and fits, _Leg(self.size, self.limit, self.stop, met)

    def inside(self, high: float, low: float, close: float) -> tuple[float, _Leg]:
        """Where a bar's range surely fills it, else NaN, and what it is after that."""
        side = 1.0 if self.size > 0 else -1.0
        best, worst = (low, high) if side > 0 else (high, low)
        if self.met or np.isnan(self.stop):
            reached = not np.isnan(self.limit) and side * (self.limit - best) >= 0
            return (self.limit if reached else np.nan), self
        if side * (worst - self.stop) < 0:
            return np.nan, self
        after = _Leg(self.size, self.limit, self.stop, True)
        if np.isnan(self.limit) or side * (self.limit - self.stop) > 0:
            return self.stop, after
        return (self.limit if side * (self.limit - close) >= 0 else np.nan), after


def reached_first(
    size: Floats,
    prices: Mapping[str, Floats],
    market: MarketData,
    fill: Fill,
    *,
    flipped: bool,
    values: bool,
    split: Floats | None = None,
) -> tuple[Floats, dict[str, Floats], int, float]:
    """Orders of which each pair is the leg that is reached first.

    A bar that reaches both inside leaves open which came first: the leg that is worth less at its
    close is taken, and counted. A pair of which none is reached waits as its first leg does.

    Args:
        size: [T, A] first legs.
        prices: [T, A] of both legs, those of the second under names that begin with `OTHER`.
        market: the bars that are traded.
        fill: when orders fill.
        flipped: a positive size sells (`side="short"`).
        values: sizes are currency, not units.
        split: [T, A] new shares per old one at each open, which prices of orders follow.

    Returns:
        size, prices, how many bars left the order of the legs open, and what the other leg was
        worth more at the closes of those bars [currency].

    """
    second = prices[OTHER + "size"]
    names = sorted({name.removeprefix(OTHER) for name in prices} - {"size"})
    none = np.full(size.shape, np.nan)
    legs = [
        {"size": size, **{n: prices.get(n, none) for n in names}},
        {"size": second, **{n: prices.get(OTHER + n, none) for n in names}},
    ]
    takes = np.zeros(size.shape, dtype=bool)
    ordered = np.isfinite(size)
    open_, better = 0, 0.0
    for row, asset in np.argwhere(np.isfinite(second)):
        after = np.flatnonzero(ordered[row + 1 :, asset])
        end = row + 1 + after[0] if len(after) else market.bars - 1
        pair = [_leg(each, row, asset, -1.0 if flipped else 1.0) for each in legs]
        ratio = None if split is None else split[:, asset]
        where = (int(row), int(end), int(asset))
        takes[row, asset], gap = _race(pair, market, where, fill, values, ratio)
        open_ += gap is not None
        better += gap or 0.0
    chosen = {name: np.where(takes, legs[1][name], legs[0][name]) for name in ("size", *names)}
    return chosen.pop("size"), chosen, open_, better


def _leg(tables: Mapping[str, Floats], row: int, asset: int, sign: float) -> _Leg:
    limit, stop = (
        float(tables[name][row, asset]) if name in tables else np.nan for name in ("limit", "stop")
    )
    return _Leg(sign * float(tables["size"][row, asset]), limit, stop)


def _race(
    pair: list[_Leg],
    market: MarketData,
    where: tuple[int, int, int],
    fill: Fill,
    values: bool,
    split: Floats | None,
) -> tuple[bool, float | None]:
    """Whether the second leg is reached before the first, and the gap where a bar has both.

    `where`: the bar of the order, the last one it waits in, and the asset.
    """
    row, end, asset = where
    bars: Any = [getattr(market, name)[:, asset] for name in ("open", "high", "low", "close")]
    opens, highs, lows, closes = bars
    first, second = pair
    if fill == "close":
        (one, first), (two, second) = first.at(closes[row]), second.at(closes[row])
        if one or two:
            return not one, None
    for bar in range(row + 1, end + 1):
        if split is not None and split[bar] > 0:
            first, second = first.split(split[bar], values), second.split(split[bar], values)
        (one, first), (two, second) = first.at(opens[bar]), second.at(opens[bar])
        if one or two:
            return not one, None
        a, first = first.inside(highs[bar], lows[bar], closes[bar])
        b, second = second.inside(highs[bar], lows[bar], closes[bar])
        if not np.isnan(a) and not np.isnan(b):
            worth = [
                leg.size * (closes[bar] - price) / (price if values else 1.0)
                for leg, price in ((first, a), (second, b))
            ]
            return bool(worth[1] < worth[0]), float(abs(worth[0] - worth[1]))
        if not np.isnan(a) or not np.isnan(b):
            return bool(np.isnan(a)), None
    return False, None
