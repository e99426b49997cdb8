"""SPA, StepM and the model confidence set: skill is found, noise is not, copies are harmless."""

from __future__ import annotations

import numpy as np
import pytest

from tradinghf.errors import ConfigError
from tradinghf.evaluation._selection import select


def noise(seed: int, bars: int = 400, strategies: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (bars, strategies))


def test_a_skilled_strategy_is_found() -> None:
    returns = noise(0)
    returns[:, 7] += 0.004
    found = select(returns, np.zeros(400), draws=500)
    assert found.spa_p < 0.01
    assert found.superior == (7,)
    assert found.confidence_set == (7,)


def test_noise_is_rarely_taken_for_skill_where_a_naive_test_is_fooled() -> None:
    hits = naive = 0
    for seed in range(40):
        returns = noise(100 + seed, bars=250)
        hits += select(returns, np.zeros(250), draws=200, seed=seed).spa_p <= 0.05
        t_values = returns.mean(axis=0) / returns.std(axis=0) * np.sqrt(250)
        naive += t_values.max() > 1.645
    assert hits <= 40 * 0.05 + 2 * np.sqrt(40 * 0.05 * 0.95)
    assert naive > 20


def test_the_benchmark_itself_is_never_superior() -> None:
    benchmark = noise(1, strategies=1)[:, 0]
    copies = np.column_stack([benchmark, benchmark])
    found = select(copies, benchmark)
    assert (found.spa_p, found.superior, found.confidence_set) == (1.0, (), (0, 1))
    better = benchmark + 0.005 + 0.1 * noise(4, strategies=1)[:, 0]
    mixed = np.column_stack([benchmark, better, benchmark, noise(2, strategies=1)])
    assert select(mixed, benchmark, draws=300).superior == (1,)


def test_results_repeat_for_a_seed() -> None:
    returns = noise(3) + 0.001
    first = select(returns, np.zeros(400), draws=300, seed=4)
    assert first == select(returns, np.zeros(400), draws=300, seed=4)


@pytest.mark.parametrize(("shape", "bars"), [((50,), 50), ((50, 2), 49), ((10, 2), 10)])
def test_misfits_are_refused(shape: tuple[int, ...], bars: int) -> None:
    with pytest.raises(ConfigError, match="select"):
        select(np.zeros(shape), np.zeros(bars))
