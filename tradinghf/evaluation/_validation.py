"""How much a track record proves: Sharpe-ratio inference, overfitting, bootstrap intervals.

Sharpe ratios here are per bar unless a name says annual. Formulas: docs/metrics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from scipy.stats import norm

from tradinghf.errors import ConfigError
from tradinghf.evaluation import _metrics as metrics
from tradinghf.market import Floats

_EULER = 0.5772156649015329


@dataclass(frozen=True)
class Interval:
    """An estimate with a two-sided 95 % interval, in the units of the metric."""

    value: float | None
    low: float | None
    high: float | None


def _moments(returns: Floats) -> tuple[float, float, float] | None:
    """Per-bar Sharpe ratio, skewness and raw kurtosis; None where undefined."""
    ratio, skew, kurt = (
        metrics.sharpe(returns),
        metrics.skewness(returns),
        metrics.kurtosis(returns),
    )
    if ratio is None or skew is None or kurt is None:
        return None
    return ratio, skew, kurt


def sharpe_variance_factor(
    ratio: float, skew: float = 0.0, kurt: float = 3.0, autocorrelation: float = 0.0
) -> float:
    """T times the variance of an estimated Sharpe ratio.

    Args:
        ratio: per-bar Sharpe ratio.
        skew: skewness of the returns.
        kurt: raw kurtosis (normal = 3).
        autocorrelation: first-order autocorrelation of the returns, in (-1, 1).

    Source: Lopez de Prado, Lipton and Zoonekynd 2025, "How to use the Sharpe ratio"; with no
    autocorrelation it is Mertens 2002.

    """
    rho = autocorrelation
    a = (1 + rho) / (1 - rho)
    b = 1 + rho / (1 - rho) + rho**2 / (1 - rho**2)
    c = 1 + 2 * rho**2 / (1 - rho**2)
    return a - b * skew * ratio + c * (kurt - 1) / 4 * ratio**2


def probabilistic_sharpe(
    ratio: float, bars: int, skew: float = 0.0, kurt: float = 3.0, benchmark: float = 0.0
) -> float | None:
    """Probability that the true per-bar Sharpe ratio exceeds `benchmark`.

    Source: Bailey and Lopez de Prado 2012, "The Sharpe ratio efficient frontier".
    """
    variance = sharpe_variance_factor(ratio, skew, kurt)
    if bars < 2 or variance <= 0:
        return None
    return float(norm.cdf((ratio - benchmark) * math.sqrt((bars - 1) / variance)))


def expected_max_sharpe(trials: float, variance: float) -> float:
    """Sharpe ratio to expect of the best of `trials` strategies without skill.

    Args:
        trials: how many were tried (independent ones; counting all is conservative).
        variance: variance of the trials' per-bar Sharpe ratios.

    Source: Bailey and Lopez de Prado 2014, "The deflated Sharpe ratio", eq. 6.

    """
    if trials < 1 or variance < 0:
        raise ConfigError(f"trials is {trials}, variance {variance}; expected >= 1 and >= 0.")
    if trials == 1:
        return 0.0
    quantiles = norm.ppf([1 - 1 / trials, 1 - 1 / (trials * math.e)])
    return float(math.sqrt(variance) * ((1 - _EULER) * quantiles[0] + _EULER * quantiles[1]))


def deflated_sharpe(returns: Floats, trials: int, variance: float | None = None) -> float | None:
    """Probability that the true Sharpe ratio exceeds what the best of `trials` lucky ones shows.

    Args:
        returns: [T] of the chosen strategy.
        trials: how many strategies or variants were tried, this one included.
        variance: variance of their per-bar Sharpe ratios; by default 1 / (T - 1), which is that
            of strategies without skill.

    """
    moments = _moments(returns)
    if moments is None:
        return None
    spread = 1 / (len(returns) - 1) if variance is None else variance
    threshold = expected_max_sharpe(trials, spread)
    return probabilistic_sharpe(moments[0], len(returns), *moments[1:], threshold)


def effective_trials(returns: Floats) -> float:
    """How many independent strategies N correlated ones are worth, from 1 to N.

    The exponential of the entropy of the correlation matrix's eigenvalues: N where no two are
    correlated, 1 where all are the same. Strategies without variance are left out.

    Args:
        returns: [T, N] of every strategy tried.

    Source: Roy and Vetterli 2007, "The effective rank".

    """
    moving = returns[:, np.ptp(returns, axis=0) > 1e-15]
    if moving.shape[1] < 2:
        return 1.0
    scaled = moving - moving.mean(axis=0)
    scaled /= np.linalg.norm(scaled, axis=0)
    # The singular values' squares are the eigenvalues of the correlation matrix, and add up to N.
    share = np.linalg.svd(scaled, compute_uv=False) ** 2 / moving.shape[1]
    share = share[share > 1e-12]
    return float(np.exp(-(share * np.log(share)).sum()))


def _autocorrelation(returns: Floats) -> float:
    """First-order autocorrelation, kept inside (-1, 1)."""
    centred = returns - returns.mean()
    rho = metrics.ratio(float(centred[1:] @ centred[:-1]), float(centred @ centred))
    return min(max(rho or 0.0, -0.99), 0.99)


def sharpe_interval(returns: Floats, bars_per_year: float, level: float = 0.95) -> Interval:
    """Annual Sharpe ratio with an interval that allows for autocorrelation, skew and fat tails."""
    moments = _moments(returns)
    if moments is None:
        return Interval(None, None, None)
    variance = max(sharpe_variance_factor(*moments, _autocorrelation(returns)), 0.0)
    width = float(norm.ppf(0.5 + level / 2)) * math.sqrt(variance / (len(returns) - 1))
    scale = math.sqrt(bars_per_year)
    return Interval(*(scale * (moments[0] + d) for d in (0.0, -width, width)))


def min_track_record(returns: Floats, benchmark: float = 0.0, level: float = 0.95) -> float | None:
    """Bars needed to be `level` sure that the true Sharpe ratio exceeds `benchmark`.

    None where the observed ratio does not exceed it. Source: Bailey and Lopez de Prado 2012.
    """
    moments = _moments(returns)
    if moments is None or moments[0] <= benchmark:
        return None
    z = float(norm.ppf(level)) / (moments[0] - benchmark)
    return 1 + sharpe_variance_factor(*moments) * z**2


def overfitting_probability(returns: Floats, blocks: int = 16) -> float | None:
    """Probability of backtest overfitting (PBO) of choosing the best of N strategies.

    The bars are cut into `blocks` equal parts; for each choice of half of them the best strategy
    there is ranked by Sharpe ratio on the other half. PBO is the share of choices whose winner
    lands in the worse half. A single PBO scatters widely: on pure noise its mean is 0.5 but
    single draws range from 0.13 to 0.83.

    Args:
        returns: [T, N] of every strategy tried.
        blocks: even number of parts.

    Source: Bailey, Borwein, Lopez de Prado and Zhu 2017, combinatorially symmetric
    cross-validation.

    """
    bars, strategies = returns.shape
    if blocks < 2 or blocks % 2:
        raise ConfigError(f"blocks is {blocks}; expected an even number >= 2.")
    if strategies < 2 or bars < 2 * blocks:
        return None
    size = bars // blocks
    parts = returns[: size * blocks].reshape(blocks, size, strategies)
    total, squares = parts.sum(axis=1), (parts**2).sum(axis=1)
    count = size * blocks // 2
    lost = chosen = 0
    for picks in _chunks(blocks, 512):
        inside = _half_sharpe(picks @ total, picks @ squares, count)
        outside = _half_sharpe((1 - picks) @ total, (1 - picks) @ squares, count)
        winner = np.argmax(inside, axis=1)[:, None]
        theirs = np.take_along_axis(outside, winner, axis=1)
        # Mid-rank, so that identical strategies count as ties.
        rank = (outside < theirs).sum(axis=1) + ((outside == theirs).sum(axis=1) + 1) / 2
        lost += int((rank / (strategies + 1) <= 0.5).sum())
        chosen += len(picks)
    return lost / chosen


def _chunks(blocks: int, size: int) -> Iterator[Floats]:
    """All choices of half of the blocks as rows of 0/1, a few at a time."""
    choices = combinations(range(blocks), blocks // 2)
    while part := list(islice(choices, size)):
        picks = np.zeros((len(part), blocks))
        picks[np.arange(len(part))[:, None], np.array(part)] = 1.0
        yield picks


def _half_sharpe(total: Floats, squares: Floats, count: int) -> Floats:
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    result = np.zeros_like(mean)
    np.divide(mean, np.sqrt(variance), out=result, where=variance > 1e-18)
    return result


def block_length(returns: Floats) -> int:
    """Mean block of the stationary bootstrap [bars].

    The optimal one for the returns or for their squares, whichever is longer: returns alone
    look independent while volatility clusters. Source: Politis and White 2004.
    """
    from arch.bootstrap import optimal_block_length

    if len(returns) < 20 or np.ptp(returns) == 0:
        return 1
    table = optimal_block_length(np.column_stack([returns, returns**2]))
    longest = float(np.nanmax(table["stationary"].to_numpy()))
    return round(min(max(longest, 1.0), len(returns) / 4)) if math.isfinite(longest) else 1


def bootstrap_intervals(
    returns: Floats, bars_per_year: float, *, draws: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Headline metrics with 95 % stationary-bootstrap percentile intervals.

    Returns:
        The names of `interval_metrics`. Undefined draws are left out; an interval needs nine
        draws in ten.

    Source: Politis and Romano 1994; arch.

    """
    from arch.bootstrap import StationaryBootstrap

    point = interval_metrics(returns, bars_per_year)

    def measured(sample: Floats) -> Floats:
        values = interval_metrics(sample, bars_per_year).values()
        return np.array([np.nan if v is None else v for v in values])

    resample = StationaryBootstrap(block_length(returns), returns, seed=seed)
    sampled = resample.apply(measured, draws)
    return {n: _percentile(v, sampled[:, i]) for i, (n, v) in enumerate(point.items())}


def interval_metrics(returns: Floats, bars_per_year: float) -> dict[str, float | None]:
    """The metrics that get bootstrap intervals, named as in a report."""
    growth, fall = metrics.cagr(returns, bars_per_year), metrics.max_drawdown(returns)
    return {
        "sharpe_annual": metrics.sharpe(returns, bars_per_year),
        "sortino_annual": metrics.sortino(returns, bars_per_year),
        "cagr_pct": None if growth is None else 100 * growth,
        "volatility_annual_pct": 100 * metrics.spread(returns) * math.sqrt(bars_per_year),
        "max_drawdown_pct": 100 * fall,
        "calmar": None if growth is None else metrics.ratio(growth, fall),
    }


def _percentile(point: float | None, sampled: Floats) -> Interval:
    defined = sampled[np.isfinite(sampled)]
    if point is None or len(defined) < 0.9 * len(sampled):
        return Interval(point, None, None)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Interval(point, float(low), float(high))


def paired_interval(
    first: Floats,
    second: Floats,
    statistic: Callable[[Floats], float],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """statistic(first) - statistic(second) with a 95 % interval; both share the resampled bars."""
    from arch.bootstrap import StationaryBootstrap

    def gap(pair: Floats) -> Floats:
        return np.array([statistic(pair[:, 0]) - statistic(pair[:, 1])])

    both = np.column_stack([first, second])
    resample = StationaryBootstrap(block_length(first - second), both, seed=seed)
    return _percentile(float(gap(both)[0]), resample.apply(gap, draws)[:, 0])
