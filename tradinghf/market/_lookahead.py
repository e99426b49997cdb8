"""Checks that a function of the market (feature, observation, strategy) uses no future bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.market._bar_rules import FIELDS, PRICES
from tradinghf.market._data import MarketData

Rows = Callable[[MarketData], NDArray[Any]]


Change = Literal["truncate", "perturb", "mirror"]
_DID = {"truncate": "removed", "perturb": "replaced", "mirror": "turned upside down"}


@dataclass(frozen=True)
class Leak:
    """A row that changed when only its future did.

    Attributes:
        bar: the last bar left alone.
        row: the first row at or before `bar` whose value changed.
        change: "truncate" removed the bars after `bar`; "perturb" replaced them by others;
            "mirror" turned their moves upside down.

    """

    bar: int
    row: int
    change: Change

    def __str__(self) -> str:
        did = _DID[self.change]
        return f"row {self.row} differs after the bars from {self.bar + 1} on were {did}"


def leaks(function: Rows, market: MarketData, *, points: int = 20, seed: int = 0) -> list[Leak]:
    """Where `function` uses the future.

    At chosen bars the future is removed, and separately replaced by other valid bars; every row
    up to that bar must stay exactly equal. The bars are random ones, bars whose own row differs
    from the one before (a strategy orders there), and last bars of weeks, months, quarters and
    years, where rules about periods look ahead.

    Args:
        function: MarketData -> array whose first axis is time, [T, ...]; row t may use bars up
            to t only.
        market: at least 3 bars; longer than the longest memory of `function`.
        points: number of bars of each of the three kinds.
        seed: of their choice and of the replaced bars.

    Returns:
        At most one leak per bar and kind of change; empty for a causal function.

    """
    rng = np.random.default_rng(seed)
    whole = np.asarray(function(market))
    found = []
    for bar, change in _trials(whole, market, points, rng):
        other = (
            market.rows(0, bar + 1) if change == "truncate" else _changed(market, bar, change, rng)
        )
        row = _first_difference(whole[: bar + 1], np.asarray(function(other))[: bar + 1])
        if row is not None:
            found.append(Leak(bar, row, change))
    return found


def _trials(
    whole: NDArray[Any], market: MarketData, points: int, rng: np.random.Generator
) -> list[tuple[int, Change]]:
    """(bar, change) of every trial, in the order of time."""
    inner = np.arange(1, market.bars - 1)

    def some(bars: NDArray[np.int64]) -> list[int]:
        return list(map(int, rng.choice(bars, size=min(points, len(bars)), replace=False)))

    trials: set[tuple[int, Change]] = set()
    for bar in some(inner):
        trials |= {(bar, "truncate"), (bar, "perturb")}
    orders = inner[_differs(whole[1 : market.bars - 1], whole[: market.bars - 2])[: len(inner)]]
    for bar in some(orders):
        trials |= {(bar, "truncate"), (bar, "mirror")}
    for bar in some(np.intersect1d(_period_ends(market), inner)):
        trials |= {(bar, "truncate"), (bar, "mirror")}
    return sorted(trials)


def _period_ends(market: MarketData) -> NDArray[np.int64]:
    """Last bars of weeks, and the bars around the ends of months; of days within the day."""
    index = market.index.tz_localize(None)
    daily = pd.Series(index).diff().median() < pd.Timedelta(hours=20)
    ends = [np.flatnonzero(np.diff(index.to_period(p).asi8) != 0) for p in ("W", "M")]
    if daily:
        ends.append(np.flatnonzero(np.diff(index.to_period("D").asi8) != 0))
    months = np.concatenate([ends[1], ends[1] - 1, ends[1] + 1])
    return np.unique(np.concatenate([*ends, months, months]))


def assert_causal(
    function: Rows, market: MarketData, *, points: int = 20, seed: int = 0, name: str = ""
) -> None:
    """Raise `AssertionError` unless `leaks` finds nothing; arguments as there."""
    found = leaks(function, market, points=points, seed=seed)
    if found:
        who = name or getattr(function, "__name__", repr(function))
        raise AssertionError(
            f"{who} looks ahead in {len(found)} trials: {found[0]}. "
            "Row t may use bars up to and including t only."
        )


def _changed(market: MarketData, bar: int, change: Change, rng: np.random.Generator) -> MarketData:
    return mirror_after(market, bar) if change == "mirror" else perturb_after(market, bar, rng)


def mirror_after(market: MarketData, bar: int) -> MarketData:
    """The same market with every move after `bar` turned upside down, at plausible sizes."""
    arrays = {name: getattr(market, name).copy() for name in FIELDS}
    pivot = market.close[bar] ** 2
    later = slice(bar + 1, None)
    for name, source in (("open", "open"), ("close", "close"), ("high", "low"), ("low", "high")):
        arrays[name][later] = pivot / getattr(market, source)[later]
    arrays["volume"][later] = market.volume[later][::-1] + 1
    return replace(market, **arrays)


def perturb_after(market: MarketData, bar: int, rng: np.random.Generator) -> MarketData:
    """The same market with every bar after `bar` replaced by another valid bar."""
    shape = (market.bars - bar - 1, market.assets)
    level, spread = rng.lognormal(0.0, 0.5, (2, *shape))
    arrays = {name: getattr(market, name).copy() for name in FIELDS}
    for name in PRICES:
        arrays[name][bar + 1 :] *= level
    arrays["high"][bar + 1 :] *= 1 + spread
    arrays["low"][bar + 1 :] /= 1 + spread
    arrays["volume"][bar + 1 :] = (arrays["volume"][bar + 1 :] + 1) * spread
    return replace(market, **arrays)


def _first_difference(a: NDArray[Any], b: NDArray[Any]) -> int | None:
    if a.shape != b.shape:
        return 0
    rows = _differs(a, b)
    return int(np.argmax(rows)) if rows.any() else None


def _differs(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """[T] rows that are not exactly equal; two NaN are."""
    differs = ~((a == b) | ((a != a) & (b != b)))
    found: NDArray[np.bool_] = differs.reshape(len(a), -1).any(axis=1)
    return found
