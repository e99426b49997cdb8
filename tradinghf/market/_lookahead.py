"""Checks that a function of the market (feature, observation, strategy) uses no future bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tradinghf.market._bar_rules import FIELDS, PRICES
from tradinghf.market._data import MarketData

Rows = Callable[[MarketData], NDArray[Any]]


@dataclass(frozen=True)
class Leak:
    """A row that changed when only its future did.

    Attributes:
        bar: the last bar left alone.
        row: the first row at or before `bar` whose value changed.
        change: "truncate" removed the bars after `bar`; "perturb" replaced them.

    """

    bar: int
    row: int
    change: Literal["truncate", "perturb"]

    def __str__(self) -> str:
        did = "removed" if self.change == "truncate" else "changed"
        return f"row {self.row} differs after the bars from {self.bar + 1} on were {did}"


def leaks(function: Rows, market: MarketData, *, points: int = 20, seed: int = 0) -> list[Leak]:
    """Where `function` uses the future.

    At random bars the future is removed, and separately replaced by other valid bars; every row
    up to that bar must stay exactly equal.

    Args:
        function: MarketData -> array whose first axis is time, [T, ...]; row t may use bars up
            to t only.
        market: at least 3 bars; longer than the longest memory of `function`.
        points: number of random bars.
        seed: of their choice and of the replaced bars.

    Returns:
        At most one leak per point and kind of change; empty for a causal function.

    """
    rng = np.random.default_rng(seed)
    inner = np.arange(1, market.bars - 1)
    bars = np.sort(rng.choice(inner, size=min(points, len(inner)), replace=False)).tolist()
    whole = np.asarray(function(market))
    found = []
    for bar in bars:
        others = (
            ("truncate", market.rows(0, bar + 1)),
            ("perturb", perturb_after(market, bar, rng)),
        )
        for change, other in others:
            row = _first_difference(whole[: bar + 1], np.asarray(function(other))[: bar + 1])
            if row is not None:
                found.append(Leak(bar, row, change))  # type: ignore[arg-type]
    return found


def assert_causal(
    function: Rows, market: MarketData, *, points: int = 20, seed: int = 0, name: str = ""
) -> None:
    """Raise `AssertionError` unless `leaks` finds nothing; arguments as there."""
    found = leaks(function, market, points=points, seed=seed)
    if found:
        who = name or getattr(function, "__name__", repr(function))
        raise AssertionError(
            f"{who} looks ahead in {len(found)} of {2 * points} trials: {found[0]}. "
            "Row t may use bars up to and including t only."
        )


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
    differs = ~((a == b) | ((a != a) & (b != b)))
    rows = differs.reshape(len(a), -1).any(axis=1)
    return int(np.argmax(rows)) if rows.any() else None
