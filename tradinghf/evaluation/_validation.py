"""How much a track record proves: Sharpe-ratio inference and overfitting.

Sharpe ratios here are per bar unless a name says annual. Formulas: docs/metrics.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, islice

import numpy as np
from scipy.stats import norm

from tradinghf.errors import ConfigError
from tradinghf.evaluation import _metrics as metrics
from tradinghf.market import Floats

_EULER = 0.5772156649015329


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


def sharpe_variance_factor(ratio: float, skew: float = 0.0, kurt: float = 3.0) -> float:
    """T times the variance of the Sharpe ratio estimated from T independent returns.

    Args:
        ratio: per-bar Sharpe ratio.
        skew: skewness of the returns.
        kurt: raw kurtosis (normal = 3).

    Source: Mertens 2002, "Comments on variance of the IID estimator in Lo (2002)".

    """
    return 1 - skew * ratio + (kurt - 1) / 4 * ratio**2


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
