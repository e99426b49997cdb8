"""Blocks of time and the intervals over them, against plain second ways and known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta, ttest_1samp

from tradinghf._intervals import (
    _shared_bars,
    bounded_ends,
    clusters,
    jackknife,
    means,
    ratio_ends,
    share_ends,
    time_blocks,
)


def test_windows_of_different_assets_over_the_same_bars_share_a_block() -> None:
    start = np.array([32, 40, 48, 4000, 4010])
    blocks = time_blocks(start, 16)
    assert blocks.independent == 3  # 32 or 40, 48, 4000: no two share a bar
    assert not blocks.enough
    every = time_blocks(np.repeat(np.arange(0, 1600), 20), 16)
    assert every.independent == 100
    assert np.bincount(every.of).min() * 1.2 > np.bincount(every.of).max()
    assert (np.diff(every.of) >= 0).all(), "a block is one stretch of time"


def test_copies_of_windows_add_nothing() -> None:
    rng = np.random.default_rng(0)
    start = np.arange(0, 3000, 3)
    values = rng.normal(size=len(start))
    once = means(values, time_blocks(start, 32)).ends()
    many = means(np.repeat(values, 20), time_blocks(np.repeat(start, 20), 32)).ends()
    assert many == pytest.approx(once)


def test_blocks_apart_give_the_one_sample_t_interval() -> None:
    values = np.random.default_rng(1).normal(1, 2, 30)
    found = means(values, clusters(np.arange(30)))
    known = ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.ends() == pytest.approx((known.low, known.high))


@pytest.mark.parametrize("common", [0.0, 0.36])
def test_overlapping_windows_of_correlated_assets_are_covered(common: float) -> None:
    rng, held = np.random.default_rng(2), 0
    for _ in range(300):
        shock = math.sqrt(common) * rng.normal(size=(1, 600))
        bars = shock + math.sqrt(1 - common) * rng.normal(size=(8, 600))
        paths = np.cumsum(np.pad(bars, ((0, 0), (1, 0))), axis=1)
        start = np.tile(np.arange(0, 584, 2), 8)
        gains = (paths[:, 16:-1:2] - paths[:, :-17:2]).reshape(-1)
        low, high = means(gains, time_blocks(start, 16)).ends() or (0, 0)
        held += low <= 0 <= high
    assert 0.91 <= held / 300 <= 0.985


def test_a_ratio_has_an_interval_only_where_its_denominator_is_clear() -> None:
    rng = np.random.default_rng(3)
    blocks = clusters(np.arange(40))
    below = rng.normal(1, 1, 40)
    above = 0.7 * below + rng.normal(0, 0.1, 40)
    low, high = ratio_ends(above, below, blocks) or (0, 0)
    assert low < 0.7 < high
    # Fieller: at its ends, the difference above - end * below is just significant.
    for end in (low, high):
        assert ttest_1samp(above - end * below, 0.0).pvalue == pytest.approx(0.05)
    assert ratio_ends(above, below - below.mean(), blocks) is None
    assert ratio_ends(above[:4], below[:4], clusters(np.arange(4))) is None


def test_a_share_has_a_width_at_its_ends() -> None:
    blocks = clusters(np.repeat(np.arange(3), 10))
    low, high = share_ends(np.ones(30), blocks)
    assert (low, high) == (pytest.approx(beta.ppf(0.025, 3.5, 0.5)), 1.0)
    assert share_ends(np.zeros(30), blocks) == (0.0, pytest.approx(1 - low))
    inside = share_ends(np.repeat([0.0, 1.0], 50), clusters(np.arange(100)))
    assert inside == pytest.approx((0.4, 0.6), abs=0.01)
    assert bounded_ends(0.5, 0.0, clusters(np.arange(8)))[0] < 0.25


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(4).normal(size=50)
    found, error = jackknife(lambda kept: np.array([values[kept].mean()]), clusters(np.arange(50)))
    assert found[0] == pytest.approx(values.mean())
    assert error[0] == pytest.approx(values.std(ddof=1) / math.sqrt(50))


def test_windows_side_by_side_take_the_short_way_to_the_same_blocks() -> None:
    rng = np.random.default_rng(2)
    for horizon in (1, 5):
        start = np.cumsum(rng.integers(horizon, horizon + 3, 400))
        blocks = time_blocks(start, horizon)
        shared = _shared_bars(start, horizon, blocks.of)
        np.testing.assert_allclose(shared, horizon * np.diag(np.bincount(blocks.of)))
        assert blocks.independent == len(start)
        assert blocks.inflation == pytest.approx(1.0, abs=1e-2)
