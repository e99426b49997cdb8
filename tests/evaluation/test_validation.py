"""Sharpe inference, overfitting, random timing and the verdict: known answers and error rates."""

from __future__ import annotations

import math

import jsharpe
import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import optimal_block_length
from scipy.stats import kstest
from support.evaluation import make_market

from tradinghf import backtest
from tradinghf._intervals import Interval
from tradinghf.errors import ConfigError
from tradinghf.evaluation import _metrics as metrics
from tradinghf.evaluation import _validation as v
from tradinghf.evaluation import excess_growth, judge, other_histories, sweep, track_intervals
from tradinghf.evaluation._block_length import block_length, stationary_block
from tradinghf.evaluation._histories_kernel import resample
from tradinghf.evaluation._timing import (
    _by_correlation,
    _by_products,
    _factors,
    random_timing,
)
from tradinghf.evaluation._track_record import sharpe_interval


def test_deflated_sharpe_known_answers() -> None:
    # Bailey and Lopez de Prado 2014, numerical example: annual 2.5 over 1,250 days, V = 0.5.
    ratio, variance = 2.5 / math.sqrt(250), 0.5 / 250
    hundred, fewer = v.expected_max_sharpe(100, variance), v.expected_max_sharpe(46, variance)
    assert hundred == pytest.approx(0.1132, abs=5e-5)
    assert v.probabilistic_sharpe(ratio, 1250, -3, 10, hundred) == pytest.approx(0.9004, abs=5e-5)
    assert v.probabilistic_sharpe(ratio, 1250, -3, 10, fewer) == pytest.approx(0.9505, abs=5e-5)


@pytest.mark.parametrize(("ratio", "skew", "kurt"), [(0.1, 0, 3), (0.05, -2, 9), (-0.1, 1, 4)])
def test_sharpe_variance_equals_jsharpe(ratio: float, skew: float, kurt: float) -> None:
    theirs = jsharpe.sharpe_ratio_variance(ratio, T=1000, gamma3=skew, gamma4=kurt, rho=0, K=1)
    ours = v.sharpe_variance_factor(ratio, skew, kurt) / 1000
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_expected_maximum_against_simulation() -> None:
    rng = np.random.default_rng(0)
    best = rng.normal(0, 0.1, (4000, 50)).max(axis=1).mean()
    assert v.expected_max_sharpe(50, 0.01) == pytest.approx(best, rel=0.02)
    assert v.expected_max_sharpe(1, 0.01) == 0.0
    with pytest.raises(ConfigError):
        v.expected_max_sharpe(0, 0.01)


def test_interval_covers_the_true_sharpe_under_autocorrelation() -> None:
    rng = np.random.default_rng(1)
    rho, mean, covered, naive = 0.4, 0.05, 0, 0
    for _ in range(300):
        noise = rng.normal(0, math.sqrt(1 - rho**2), 800)
        path = np.zeros(800)
        for t in range(1, 800):
            path[t] = rho * path[t - 1] + noise[t]
        found = sharpe_interval(path + mean, 1.0)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= mean <= found.high
        naive += abs(metrics.sharpe(path + mean) - mean) <= 1.96 / math.sqrt(800)  # type: ignore[operator]
    assert covered / 300 > 0.90
    assert naive / 300 < 0.85  # what ignoring the autocorrelation would have given


def test_min_track_record_is_where_the_probability_reaches_its_level() -> None:
    returns = np.random.default_rng(2).normal(0.001, 0.01, 3000)
    bars = v.min_track_record(returns)
    ratio = metrics.sharpe(returns)
    skew, kurt = metrics.skewness(returns), metrics.kurtosis(returns)
    assert bars is not None
    assert ratio is not None
    assert v.probabilistic_sharpe(ratio, round(bars), skew or 0, kurt or 3) == pytest.approx(
        0.95, abs=2e-4
    )
    assert v.min_track_record(-returns) is None


def test_overfitting_probability_on_skill_and_on_noise() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.01, (400, 20))
    skilled = noise.copy()
    skilled[:, 7] += 0.004
    assert v.overfitting_probability(skilled, blocks=10) == 0.0
    draws = [
        v.overfitting_probability(rng.normal(size=(200, 10)), blocks=8) or 0 for _ in range(60)
    ]
    assert np.mean(draws) == pytest.approx(0.5, abs=0.08)
    assert v.overfitting_probability(noise[:, :1]) is None
    with pytest.raises(ConfigError, match="even"):
        v.overfitting_probability(noise, blocks=7)


def test_overfitting_probability_equals_a_plain_loop() -> None:
    from itertools import combinations

    returns = np.random.default_rng(4).normal(size=(60, 5))
    parts = np.split(returns, 6)
    lost = []
    for inside in combinations(range(6), 3):
        train = np.vstack([parts[i] for i in inside])
        test = np.vstack([parts[i] for i in range(6) if i not in inside])
        ratios = [block.mean(axis=0) / block.std(axis=0) for block in (train, test)]
        rank = 1 + (ratios[1] < ratios[1][ratios[0].argmax()]).sum()
        lost.append(math.log(rank / 6 / (1 - rank / 6)) <= 0)
    assert v.overfitting_probability(returns, blocks=6) == pytest.approx(np.mean(lost))


def test_intervals_of_a_track_record() -> None:
    returns = np.random.default_rng(5).normal(0.0005, 0.01, 750)
    found = track_intervals(returns, 252) | other_histories(returns, 252, draws=300, seed=1)
    assert other_histories(returns, 252, draws=300, seed=1).items() <= found.items()
    assert other_histories(returns, 252, draws=300, seed=2)["calmar"] != found["calmar"]
    for interval in found.values():
        assert interval.low is not None
        assert interval.low < interval.value < interval.high  # type: ignore[operator]
    assert "volatility_annual_pct" not in found, "it does not cover where volatility clusters"
    sharpe = found["sharpe_annual"]
    width = (sharpe.high or 0) - (sharpe.low or 0)
    # Independent returns: the standard error of an annual Sharpe ratio is about sqrt(252 / T).
    assert width == pytest.approx(2 * 2.2 * math.sqrt(252 / 750), rel=0.4)
    assert track_intervals(np.zeros(100), 252)["sharpe_annual"] == Interval(None, None, None)
    assert track_intervals(returns[:10], 252)["cagr_pct"].low is None
    flat = other_histories(np.zeros(100), 252)
    assert flat["max_drawdown_pct"] == Interval(0.0, None, None)


def test_volatility_that_lasts_moves_the_deep_end_of_the_deepest_fall_out() -> None:
    rng = np.random.default_rng(8)
    level = np.repeat(rng.normal(0, 0.5, 20), 50)  # stays for 50 bars
    lasting = 0.01 * np.exp(level) * rng.normal(size=1000)
    mixed = rng.permutation(lasting)
    deep = {}
    for name, returns in (("lasting", lasting), ("mixed", mixed)):
        found = other_histories(returns, 252, draws=400)["max_drawdown_pct"]
        deep[name] = found.high or 0.0
        assert (found.low or 0.0) < deep[name] <= 100.0
    assert deep["lasting"] > 1.15 * deep["mixed"]


def test_block_length_grows_with_dependence() -> None:
    rng = np.random.default_rng(6)
    noise = rng.normal(size=2000)
    slow = pd.Series(noise).ewm(alpha=0.05).mean().to_numpy()
    assert block_length(noise) <= 10 < block_length(slow)
    assert block_length(np.zeros(100)) == 1


def test_excess_growth_is_zero_against_itself_and_sees_a_shift() -> None:
    returns = np.random.default_rng(7).normal(0, 0.01, 500)
    same = excess_growth(returns, returns, 252)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    more = excess_growth(returns + 0.001, returns, 252)
    assert 0 < more.low < more.value < more.high  # type: ignore[operator]


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("name", ["momentum", "vol_target", "rsi_reversion"])
def test_shifts_by_fft_equal_shifts_by_rolling(name: str, fill: str) -> None:
    report = backtest(name, make_market(300, assets=2, seed=8), fill=fill)  # type: ignore[arg-type]
    held, moved = _factors(report)
    shifts = range(15, 286)
    rolled = [metrics.sharpe((np.roll(held, k, 0) * moved).sum(axis=1), 252) for k in shifts]
    timing = random_timing(report)
    np.testing.assert_allclose(timing.shifted, rolled, rtol=1e-8)
    # The unshifted path is the strategy itself, up to products of a bar's night and day returns.
    assert timing.sharpe == pytest.approx(report.metrics["sharpe_annual"], abs=0.01)


def test_skill_passes_its_reverse_fails_and_foresight_is_too_good() -> None:
    market = make_market(800, seed=9)
    sure = np.append(market.close[1:, 0] > market.close[:-1, 0], False)
    up = sure ^ (np.random.default_rng(0).random(len(sure)) < 0.3)
    clever = backtest(lambda m: np.where(up, 1.0, 0.0), market, fill="close")
    foolish = backtest(lambda m: np.where(up, 0.0, 1.0), market, fill="close")
    timing = random_timing(clever)
    assert timing.percentile == 100.0
    assert timing.p_value() == pytest.approx(1 / (1 + len(timing.shifted)))
    assert random_timing(foolish).percentile == 0.0
    held = clever.buy_and_hold()
    verdict = judge(clever, held, draws=100)
    assert verdict.passed is True
    assert verdict.headline.startswith("Better than random timing and than buy and hold")
    assert judge(foolish, held, draws=100).passed is False
    prophet = backtest(lambda m: np.where(sure, 1.0, 0.0), market, fill="close")
    verdict = judge(prophet, held, draws=100)
    assert verdict.passed is False
    assert verdict.headline.startswith("Too good to be true")


def test_more_trials_make_it_harder() -> None:
    market = make_market(1500, seed=10, drift=0.0005)
    report = backtest("sma_cross", market)
    held = report.buy_and_hold()
    few, many = (judge(report, held, trials=n, draws=50) for n in (1, 40))
    assert few.deflated is not None
    assert many.deflated is not None
    assert many.deflated < few.deflated
    assert many.timing_p > few.timing_p  # type: ignore[operator]
    assert "after 40 trials" in many.headline
    with pytest.raises(ConfigError, match="trials"):
        judge(report, held, trials=0)


def test_nothing_to_judge_is_said() -> None:
    market = make_market(200)
    flat = backtest(lambda m: np.zeros(m.bars), market)
    assert judge(flat, flat.buy_and_hold(), draws=20).headline.startswith("Never traded")
    hold = backtest("buy_and_hold", market)
    verdict = judge(hold, hold.buy_and_hold(), draws=20)
    assert verdict.passed is None
    assert "no timing decisions" in verdict.headline
    assert verdict.excess.value == pytest.approx(0.0, abs=1e-9)


def test_verdict_rarely_passes_in_worlds_without_skill() -> None:
    """The best of six variants on 200 random walks: at most 5 % + 2 standard errors pass.

    A naive reader, who takes the winner's Sharpe ratio at face value, is fooled far more often.
    """
    worlds, passed, naive = 200, 0, 0
    grid = {"fast": [3, 8, 15], "slow": [20, 50], "short": [True]}
    for seed in range(worlds):
        found = sweep("sma_cross", make_market(400, seed=1000 + seed), grid)
        ratios = found.table["sharpe_annual"].to_numpy() / math.sqrt(252)
        best = found.best()
        returns = best.returns.to_numpy()
        p_value = random_timing(best).p_value(trials=found.trials)
        deflated = v.deflated_sharpe(returns, found.trials, float(ratios.var(ddof=1)))
        passed += p_value is not None and p_value <= 0.05 and (deflated or 0) >= 0.95
        naive += (v.deflated_sharpe(returns, 1) or 0) >= 0.95
    assert passed / worlds <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / worlds)
    assert naive / worlds > 0.10


def test_effective_trials_count_what_is_different() -> None:
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(20_000, 8))
    assert v.effective_trials(independent) == pytest.approx(8, abs=0.05)
    copies = np.repeat(independent[:, :3], 5, axis=1) * rng.uniform(0.5, 2, 15)
    assert v.effective_trials(copies) == pytest.approx(3, abs=0.05)
    assert v.effective_trials(np.zeros((100, 4))) == 1.0
    # One common factor of correlation 0.5: eigenvalues 4.5 and seven times 0.5, of 8.
    common = rng.normal(size=(200_000, 1)) + rng.normal(size=(200_000, 8))
    shares = np.array([4.5 / 8, *[0.5 / 8] * 7])
    wanted = float(np.exp(-(shares * np.log(shares)).sum()))
    assert v.effective_trials(common) == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("step", [1, 2, 7, 40])
def test_shifts_by_products_equal_those_by_fft(step: int) -> None:
    rng = np.random.default_rng(3)
    held, moved = rng.normal(size=(2, 301, 5))
    every, squares = _by_correlation(held, moved)
    some, their_squares = _by_products(held, moved, step)
    np.testing.assert_allclose(some, every[::step], atol=1e-10)
    np.testing.assert_allclose(their_squares, squares[::step], rtol=1e-10)


def test_evenly_spaced_shifts_place_a_strategy_where_all_shifts_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = backtest("momentum", make_market(2_000, assets=3, seed=8))
    every = random_timing(report)
    monkeypatch.setattr("tradinghf.evaluation._timing._MOST_SECONDS", 1.6e-4)
    some = random_timing(report)
    assert 100 < len(some.shifted) < len(every.shifted) / 5
    assert some.sharpe == pytest.approx(every.sharpe)
    assert set(some.shifted.round(9)) <= set(every.shifted.round(9))
    assert some.percentile == pytest.approx(every.percentile, abs=5)


@pytest.mark.parametrize("remembers", [0.0, -0.5, 0.6, 0.97])
def test_block_length_is_that_of_arch(remembers: float) -> None:
    rng = np.random.default_rng(5)
    for bars in (25, 400, 3_000):
        noise = pd.Series(rng.normal(size=bars))
        x = noise.ewm(alpha=1 - remembers).mean() if remembers > 0 else noise
        x = x + min(remembers, 0) * x.shift(1, fill_value=0)
        theirs = optimal_block_length(x)["stationary"].iloc[0]
        assert stationary_block(x.to_numpy()) == pytest.approx(theirs, rel=1e-9)


def test_long_histories_measure_their_blocks_on_sums_of_bars() -> None:
    noise = np.random.default_rng(6).normal(size=90_000)
    slow = pd.Series(noise).ewm(alpha=0.01).mean().to_numpy()
    whole = max(stationary_block(slow), stationary_block(slow**2))
    assert block_length(slow) == pytest.approx(whole, rel=0.2)
    assert block_length(noise) == 90_000 / 5_000


def test_compiled_histories_agree_with_histories_drawn_bar_by_bar() -> None:
    """Two bootstraps of 3,000 histories: their quantiles agree within Monte Carlo error."""
    rng = np.random.default_rng(8)
    returns = rng.standard_t(4, 1_500) * 0.01 + 0.0003
    draws, length = 3_000, 20
    scale = np.exp(rng.normal(0, 0.1, draws))
    shift = rng.normal(0, 0.0005, draws)
    found = resample(returns, float(length), scale, shift, np.uint64(4))
    drawn = np.array([_history(returns, length, rng) for _ in range(draws)])
    path = np.log1p(np.maximum(drawn * scale[:, None] + shift[:, None], -0.999999))
    log = np.cumsum(path, axis=1)
    fall = -np.expm1((log - np.maximum(np.maximum.accumulate(log, axis=1), 0)).min(axis=1))
    for ours, theirs in ((found[0], log[:, -1]), (found[1], fall)):
        assert kstest(ours, theirs).pvalue > 0.01
        np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=5 * theirs.std() / draws**0.5)


def _history(returns: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """One history of the stationary bootstrap, by its definition."""
    place, bars = int(rng.integers(len(returns))), []
    for _ in range(len(returns)):
        bars.append(returns[place])
        ends = rng.random() < 1 / length
        place = int(rng.integers(len(returns))) if ends else (place + 1) % len(returns)
    return np.array(bars)


def test_longer_blocks_of_long_histories_leave_the_interval_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    returns = np.random.default_rng(9).standard_t(5, 40_000) * 0.001 + 0.00001
    kept = other_histories(returns, 40_000, draws=1_000, seed=1)["max_drawdown_pct"]
    assert block_length(returns) == 8
    monkeypatch.setattr("tradinghf.evaluation._block_length._MOST_BLOCKS", 10**9)
    assert block_length(returns) < 8
    free = other_histories(returns, 40_000, draws=1_000, seed=1)["max_drawdown_pct"]
    assert kept.low == pytest.approx(free.low, rel=0.08)
    assert kept.high == pytest.approx(free.high, rel=0.08)


def test_a_history_that_loses_everything_is_worth_nearly_nothing() -> None:
    found = resample(np.array([0.0, -0.5, 0.1]), 1.0, np.full(9, 3.0), np.zeros(9), np.uint64(1))
    assert np.isfinite(found).all()
    assert found[1].max() > 0.999
