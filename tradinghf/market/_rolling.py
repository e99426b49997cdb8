"""Sums, maxima and minima over past bars, which later bars do not change by a single bit.

Sums run over the window in a fixed order, one shifted array at a time: each result depends on its
own window only, bit for bit, which a running sum over the series would not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tradinghf.market._bar_rules import Floats
from tradinghf.market._data import MarketData


def lagged(values: Floats, bars: int) -> Floats:
    """[T, A] values of `bars` bars ago; NaN where there is none."""
    out = np.full_like(values, np.nan)
    if bars < len(values):
        out[bars:] = values[: len(values) - bars]
    return out


def _rolling(combine: Callable[[Floats, Floats], Floats], values: Floats, window: int) -> Floats:
    out = values
    for k in range(1, min(window, len(values) + 1)):
        out = combine(out, lagged(values, k))
    return out if window <= len(values) else np.full_like(values, np.nan)


def rolling_sum(values: Floats, window: int) -> Floats:
    """[T, A] sum over the last `window` bars; NaN until there are as many."""
    return _rolling(np.add, values, window)


def rolling_max(values: Floats, window: int) -> Floats:
    """[T, A] maximum over the last `window` bars; NaN until there are as many."""
    return _rolling(np.maximum, values, window)


def rolling_min(values: Floats, window: int) -> Floats:
    """[T, A] minimum over the last `window` bars; NaN until there are as many."""
    return _rolling(np.minimum, values, window)


def log_returns(market: MarketData) -> Floats:
    """[T, A] log return of each bar, close to close; NaN in row 0."""
    log = np.log(market.close)
    return log - lagged(log, 1)


def realised_volatility(market: MarketData, window: int = 20) -> Floats:
    """[T, A] root mean square of the last `window` log returns; NaN where it is 0 or unknown."""
    returns = log_returns(market)
    value = np.sqrt(rolling_sum(returns * returns, window) / window)
    return np.where(value > 1e-12, value, np.nan)
