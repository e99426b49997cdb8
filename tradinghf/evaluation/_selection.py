"""Tests whether the best of many strategies beats a benchmark, given how many were tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tradinghf.errors import ConfigError
from tradinghf.evaluation._block_length import block_length
from tradinghf.market import Floats


@dataclass(frozen=True)
class Selection:
    """Outcome of the three tests at one level.

    Attributes:
        spa_p: consistent p-value of "no strategy beats the benchmark" (Hansen 2005).
        superior: columns that beat the benchmark, family-wise error controlled (StepM, Romano and
            Wolf 2005).
        confidence_set: columns among which the best one is, with probability 1 - level (MCS,
            Hansen, Lunde and Nason 2011).

    """

    spa_p: float
    superior: tuple[int, ...]
    confidence_set: tuple[int, ...]


def select(
    returns: Floats, benchmark: Floats, *, level: float = 0.05, draws: int = 1000, seed: int = 0
) -> Selection:
    """Compare N strategies with a benchmark and with each other.

    Args:
        returns: [T, N] of every strategy that was tried, not only of the best.
        benchmark: [T] returns of the benchmark over the same bars (zeros: cash).
        level: size of the tests.
        draws: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        ConfigError: shapes do not fit, or fewer than 20 bars.

    Strategies identical to the benchmark are never superior and are left out of the tests.

    """
    if returns.ndim != 2 or len(returns) != len(benchmark) or len(benchmark) < 20:
        raise ConfigError(
            f"select: returns {returns.shape} and benchmark {benchmark.shape}; expected [T, N] "
            "and [T] with at least 20 bars."
        )
    excess = returns - benchmark[:, None]
    moving = np.flatnonzero(np.ptp(excess, axis=0) > 1e-15)
    if not len(moving):
        return Selection(1.0, (), tuple(range(returns.shape[1])))
    from arch.bootstrap import SPA, StepM

    best = moving[np.argmax(excess[:, moving].mean(axis=0))]
    # arch compares losses.
    settings: dict[str, Any] = {
        "block_size": block_length(excess[:, best]),
        "reps": draws,
        "bootstrap": "stationary",
        "seed": seed,
    }
    losses = -returns[:, moving]
    spa = SPA(-benchmark, losses, **settings)
    spa.compute()
    step = StepM(-benchmark, losses, size=level, **settings)
    step.compute()
    return Selection(
        spa_p=float(spa.pvalues["consistent"]),
        superior=tuple(sorted(int(moving[int(str(i))]) for i in step.superior_models)),
        confidence_set=_confidence_set(returns, level, settings),
    )


def _confidence_set(returns: Floats, level: float, settings: dict[str, Any]) -> tuple[int, ...]:
    """MCS over the distinct columns; a copy is in where its first is."""
    from arch.bootstrap import MCS

    _, first, copy_of = np.unique(returns, axis=1, return_index=True, return_inverse=True)
    copy_of = np.asarray(copy_of).reshape(-1)
    if len(first) == 1:
        return tuple(range(returns.shape[1]))
    test = MCS(-returns[:, first], size=level, **settings)
    test.compute()
    kept = {int(str(i)) for i in test.included}
    return tuple(i for i in range(returns.shape[1]) if int(copy_of[i]) in kept)
