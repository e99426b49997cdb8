"""Prices scaled by an adjusted close, and adjusted closes that cannot be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tradinghf.market._bar_rules import PRICES, Floats

# The newest bars are hardly adjusted: a factor beyond this is another unit.
_MOST = 10.0
_ODD = 0.01  # a factor that leaves its neighbours by more and comes back


@dataclass(frozen=True)
class Doubt:
    """Rows whose adjusted close cannot be used or believed.

    Attributes:
        rows: indices.
        problem: what is wrong in row i.
        fix: the next step.
        always: also where prices are not adjusted, for close and adj_close contradict each other.

    """

    rows: list[int]
    problem: Callable[[int], str]
    fix: str
    always: bool


def adjusted_bars(
    bars: Mapping[str, Floats], adjusted: Floats, assets: Sequence[NDArray[np.intp]]
) -> tuple[dict[str, Floats], int, list[Doubt]]:
    """Bars scaled by adj_close / close.

    Args:
        bars: open, high, low, close, volume: [n].
        adjusted: [n] adjusted closes.
        assets: the rows of each asset, in their order.

    Returns:
        the scaled bars; how many rows were scaled; what speaks against it.

    """
    close = bars["close"]
    with np.errstate(all="ignore"):
        factor = adjusted / close
    usable = np.isfinite(factor) & (factor > 0)
    scaled = usable & (factor != 1.0)
    ratio = np.where(scaled, factor, 1.0)
    out = {f: v * ratio if f in PRICES else v for f, v in bars.items()}
    missing = np.flatnonzero(~usable & np.isfinite(close) & (close > 0)).tolist()
    doubts = [
        Doubt(
            missing,
            lambda i: f"{adjusted[i]:g} is no usable adjusted close",
            "Correct it, or load with adjust=False",
            False,
        )
    ]
    for rows in assets:
        known = rows[usable[rows]]
        if len(known):
            doubts += _contradictions(known, factor, close)
    return out, int(scaled.sum()), [doubt for doubt in doubts if doubt.rows]


def _contradictions(rows: NDArray[np.intp], factor: Floats, close: Floats) -> list[Doubt]:
    newest = int(rows[-1])
    if not 1 / _MOST**4 < factor[newest] < _MOST:
        problem = f"{factor[newest]:.4g} times close in the newest row; expected about 1"
        fix = "Bring both to one unit, or remove the column"
        return [Doubt([newest], lambda _: problem, fix, True)]
    # Dividends and splits move the factor for good; a wrong cell moves it and back.
    before, here, after = (np.log(factor[rows[k : len(rows) - 2 + k]]) for k in (0, 1, 2))
    slack = _ODD + 0.02 / np.maximum(close[rows[1:-1]], 1e-9)  # both rounded to cents
    odd = (np.abs(here - before) > slack) & (np.abs(here - after) > slack)
    odd &= np.abs(after - before) < slack
    odd &= np.abs(here - before) > 2 * np.abs(after - before)
    return [
        Doubt(
            rows[1:-1][odd].tolist(),
            lambda i: f"{factor[i]:.4g} times close, unlike the rows before and after",
            "Correct close or adj_close: one of the two was changed",
            True,
        )
    ]
