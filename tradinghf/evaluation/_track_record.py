"""Intervals of what a track record shows: between blocks of its bars, and of other histories.

What has a true value behind it (Sharpe and Sortino ratio, growth) is judged by leaving out one
block of bars at a time. A deepest fall has none: it belongs to one history. Its interval, and that
of Calmar, say where they would lie in another history of the same kind and length.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from tradinghf._intervals import Interval, jackknife, quantile, time_blocks
from tradinghf.evaluation import _metrics as metrics
from tradinghf.evaluation._block_length import block_length
from tradinghf.market import Floats

_MOST_GROWTH = 50.0  # log growth a year that is still shown


def sharpe_interval(returns: Floats, bars_per_year: float) -> Interval:
    """Annual Sharpe ratio with its 95 % interval."""
    return track_intervals(returns, bars_per_year)["sharpe_annual"]


def track_intervals(
    returns: Floats, bars_per_year: float, excess: Floats | None = None
) -> dict[str, Interval]:
    """Sharpe and Sortino ratio, and CAGR [%], with 95 % intervals.

    Args:
        returns: [T] of the bars.
        bars_per_year: of the market.
        excess: [T] the returns above what cash would earn, for the ratios; None is `returns`.

    """
    above = returns if excess is None else excess
    point = {
        "sharpe_annual": metrics.sharpe(above, bars_per_year),
        "sortino_annual": metrics.sortino(above, bars_per_year),
        "cagr_pct": _growth_pct(returns, bars_per_year),
    }

    def measured(kept: NDArray[np.int64]) -> Floats:
        part = above[kept]
        found = metrics.sharpe(part, bars_per_year), metrics.sortino(part, bars_per_year)
        growth = _log_growth(returns[kept])
        return np.array([*(math.nan if v is None else v for v in found), growth])

    low, high = _between_blocks(measured, len(returns), 3)
    low[2], high[2] = (_annual_pct(ends[2], bars_per_year) for ends in (low, high))
    return {
        name: _interval(value, low[i], high[i]) for i, (name, value) in enumerate(point.items())
    }


def excess_growth(returns: Floats, other: Floats, bars_per_year: float) -> Interval:
    """Growth a year above another history of the same bars, with its interval [% points]."""

    def gap(kept: NDArray[np.int64]) -> Floats:
        own, their = (_log_growth(r[kept]) for r in (returns, other))
        return np.array([_annual_pct(own, bars_per_year) - _annual_pct(their, bars_per_year)])

    low, high = _between_blocks(gap, len(returns), 1)
    return _interval(float(gap(np.arange(len(returns)))[0]), low[0], high[0])


def other_histories(
    returns: Floats, bars_per_year: float, *, draws: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Deepest fall [%] and Calmar ratio, and where 95 % of other histories have theirs.

    The histories are resampled from the bars in blocks; each has a mean and a spread of its own,
    drawn from what the bars leave open about them. Where volatility lasts, resampled histories
    fall less deep than true ones, so the deep end is moved out, and both of Calmar (`_lasting`).

    Args:
        returns: [T] of the bars.
        bars_per_year: of the market.
        draws: histories.
        seed: of the draws.

    Source: stationary bootstrap, Politis and Romano 1994 (J. Am. Stat. Assoc. 89).

    """
    point = {
        "max_drawdown_pct": 100 * metrics.max_drawdown(returns),
        "calmar": metrics.calmar(returns, bars_per_year),
    }
    blocks = time_blocks(np.arange(len(returns)), 1)
    if not blocks.enough or metrics.spread(returns) == 0 or float(returns.min()) <= -1:
        return {name: Interval(value, None, None) for name, value in point.items()}
    known, error = jackknife(
        lambda kept: np.array([returns[kept].mean(), math.log(returns[kept].std() or 1e-12)]),
        blocks,
    )
    rng = np.random.default_rng(seed)
    doubt = error[:, None] * t.rvs(blocks.freedom, size=(2, draws), random_state=rng)
    growth, fall = _histories(returns, known[0], doubt, rng)
    annual = np.expm1(np.minimum(growth * bars_per_year / len(returns), _MOST_GROWTH))
    drawn = {"max_drawdown_pct": 100 * fall, "calmar": annual / np.maximum(fall, 1e-12)}
    ends = {name: np.quantile(values, [0.025, 0.975]) for name, values in drawn.items()}
    middle = {name: float(np.median(values)) for name, values in drawn.items()}
    more, deepest = _lasting(returns, float(error[1])), ends["max_drawdown_pct"]
    if middle["max_drawdown_pct"] > 0:
        deepest[1] *= (deepest[1] / middle["max_drawdown_pct"]) ** more
        deepest[1] = min(deepest[1], 100.0)
    ends["calmar"] += more / 4 * (ends["calmar"] - middle["calmar"])
    return {name: _interval(value, *ends[name]) for name, value in point.items()}


def _lasting(returns: Floats, error: float) -> float:
    """How much further the deep end of the deepest fall lies, as a share, in its logarithm.

    Blocks of bars lose what lasts longer than they do, and with it the worst stretches. It shows
    as a spread that differs more between twelfths of the bars than independent bars would: two
    fifths of that excess make the interval cover (`tradinghf bench coverage`: volatility that
    lasts, or that rises after falls).

    Args:
        returns: [T] of the bars.
        error: standard error of the logarithm of their spread, between blocks.

    """
    away = (returns - returns.mean()) / returns.std()
    alone = math.sqrt(max(float((away**4).mean()) - 1.0, 1e-12) / (4 * len(returns)))
    return 0.4 * max(error / alone - 1.0, 0.0)


def _histories(returns: Floats, mean: float, doubt: Floats, rng: np.random.Generator) -> Floats:
    """[2, draws] log growth and deepest fall of resampled histories.

    Each has its mean, and the logarithm of its spread, moved by its column of `doubt` [2, draws].
    """
    from tradinghf.evaluation._histories_kernel import resample

    scale = np.exp(doubt[1])
    shift = mean + doubt[0] - scale * mean
    seed = rng.integers(2**63, dtype=np.uint64)
    found: Floats = resample(np.array(returns), float(block_length(returns)), scale, shift, seed)
    return found


def _log_growth(returns: Floats) -> float:
    """Mean log return of a bar; a ruined path has none, so it gets the worst that can be bought."""
    return float(np.log1p(np.maximum(returns, -0.999999)).mean()) if len(returns) else math.nan


def _annual_pct(log_growth: float, bars_per_year: float) -> float:
    return 100.0 * math.expm1(min(log_growth * bars_per_year, _MOST_GROWTH))


def _growth_pct(returns: Floats, bars_per_year: float) -> float | None:
    growth = metrics.cagr(returns, bars_per_year)
    return None if growth is None else 100 * growth


def _between_blocks(
    statistic: Callable[[NDArray[np.int64]], Floats], bars: int, size: int
) -> tuple[Floats, Floats]:
    """Ends of the intervals of V statistics of the bars; NaN where there are too few bars."""
    blocks = time_blocks(np.arange(bars), 1)
    if not blocks.enough:
        return np.full(size, np.nan), np.full(size, np.nan)
    value, error = jackknife(statistic, blocks)
    width = quantile(blocks.freedom) * error
    return value - width, value + width


def _interval(value: float | None, low: float, high: float) -> Interval:
    if value is None or not (math.isfinite(low) and math.isfinite(high)):
        return Interval(value, None, None)
    return Interval(value, float(low), float(high))
