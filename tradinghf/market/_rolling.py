"""Sums, maxima and minima over past bars, which later bars do not change by a single bit.

Sums run over the window in a fixed order, one shifted array at a time: each result depends on its
own window only, bit for bit, which a running sum over the series would not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

from tradinghf.market._bar_rules import Floats
from tradinghf.market._data import MarketData

_DAYS_IN_A_YEAR = 366
_HALF_AN_HOUR = 30 * 60 * 10**9  # nanoseconds


def lagged(values: Floats, bars: int) -> Floats:
    """[T, A] values of `bars` bars ago; NaN where there is none."""
    out = np.full_like(values, np.nan)
    if bars < len(values):
        out[bars:] = values[: len(values) - bars]
    return out


def _rolling(combine: np.ufunc, values: Floats, window: int) -> Floats:
    if window > len(values):
        return np.full_like(values, np.nan)
    out = values.copy()
    for k in range(1, window):
        combine(out[k:], values[:-k], out=out[k:])
    out[: window - 1] = np.nan
    return out


def rolling_sum(values: Floats, window: int) -> Floats:
    """[T, A] sum over the last `window` bars; NaN until there are as many."""
    return _rolling(np.add, values, window)


def rolling_max(values: Floats, window: int) -> Floats:
    """[T, A] maximum over the last `window` bars; NaN until there are as many."""
    return _rolling(np.maximum, values, window)


def rolling_min(values: Floats, window: int) -> Floats:
    """[T, A] minimum over the last `window` bars; NaN until there are as many."""
    return _rolling(np.minimum, values, window)


def session_starts(market: MarketData) -> NDArray[np.bool_]:
    """[T] whether an intraday bar is the first one after a closed market; never of daily bars.

    The market was closed where more than half an hour, and more than three bars of the shortest
    spacing until then, lie between two bars.
    """
    starts = np.zeros(market.bars, dtype=np.bool_)
    if market.bars_per_year > _DAYS_IN_A_YEAR and market.bars > 1:
        spacing = np.diff(market.timestamps).astype("timedelta64[ns]").astype(np.int64)
        shortest = np.minimum.accumulate(spacing)
        starts[1:] = spacing > np.maximum(3 * shortest, _HALF_AN_HOUR)
    return starts


def night_moves(market: MarketData) -> Floats:
    """[T, A] log(open / previous close) where an intraday session starts, else 0."""
    moves = np.zeros_like(market.close)
    starts = np.flatnonzero(session_starts(market))
    moves[starts] = np.log(market.open[starts] / market.close[starts - 1])
    return moves


def log_returns(market: MarketData) -> Floats:
    """[T, A] log return of each bar, close to close; NaN in row 0.

    The first bar of an intraday session counts from its own open: what happened overnight is not
    the move of one minute (the feature "gap" shows it).
    """
    log = np.log(market.close)
    moves = log - lagged(log, 1)
    moves -= night_moves(market)
    return moves


_known: ContextVar[dict[tuple[int, int], Floats] | None] = ContextVar("known", default=None)


@contextmanager
def volatilities_once() -> Iterator[None]:
    """Within the block the volatility of a market and window is worked out once."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def realised_volatility(market: MarketData, window: int = 20) -> Floats:
    """[T, A] root mean square of the last `window` log returns; NaN where it is 0 or unknown."""
    known = _known.get()
    if known is not None and (id(market), window) in known:
        return known[id(market), window]
    value = log_returns(market)
    np.multiply(value, value, out=value)
    value = rolling_sum(value, window)
    value /= window
    np.sqrt(value, out=value)
    value[~(value > 1e-12)] = np.nan
    if known is not None:
        value.flags.writeable = False  # several features read it
        known[id(market), window] = value
    return value
