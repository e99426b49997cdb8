"""Metrics against quantstats, vectorbt, scipy and numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evaluation import make_market

from tradinghf import CostModel, backtest
from tradinghf.evaluation import _metrics as m

YEAR = 252.0


def sample(seed: int, bars: int = 1000) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(4, bars) * 0.01 + 0.0004


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_quantstats_where_definitions_agree(seed: int) -> None:
    import quantstats.stats as qs

    returns = sample(seed)
    series = pd.Series(returns, index=pd.bdate_range("2010-01-04", periods=len(returns)))
    ours = m.return_metrics(returns, YEAR)
    theirs = {
        "sharpe_annual": qs.sharpe(series),
        "sortino_annual": qs.sortino(series),
        "calmar": qs.calmar(series),
        "omega": qs.omega(series),
        "cagr_pct": 100 * qs.cagr(series),
        "volatility_annual_pct": 100 * qs.volatility(series),
        "max_drawdown_pct": -100 * qs.max_drawdown(series),
        "tail_ratio": qs.tail_ratio(series),
        "total_return_pct": 100 * qs.comp(series),
        "best_bar_pct": 100 * qs.best(series),
        "worst_bar_pct": 100 * qs.worst(series),
    }
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_vectorbt_where_definitions_agree(seed: int) -> None:
    report = backtest("sma_cross", make_market(600, assets=2, seed=seed), fast=5, slow=30)
    ours, theirs = report.metrics, report.portfolio
    expected = {
        "total_return_pct": 100 * theirs.total_return(),
        "sharpe_annual": theirs.sharpe_ratio(),
        "sortino_annual": theirs.sortino_ratio(),
        "calmar": theirs.calmar_ratio(),
        "omega": theirs.omega_ratio(),
        "max_drawdown_pct": -100 * theirs.max_drawdown(),
        "cagr_pct": 100 * theirs.annualized_return(),
        "volatility_annual_pct": 100 * theirs.annualized_volatility(),
        "tail_ratio": theirs.returns_acc.tail_ratio(),
        "trades": len(theirs.positions.closed.records),
        "hit_rate_pct": 100 * theirs.positions.closed.win_rate(),
        "profit_factor": theirs.positions.closed.profit_factor(),
        "average_holding_bars": theirs.positions.closed.duration.mean(),
        "fees": theirs.orders.records["fees"].sum(),
    }
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, rel=1e-6), name
    np.testing.assert_allclose(report.returns, theirs.returns(), atol=1e-12)
    np.testing.assert_allclose(-report.drawdown, theirs.drawdown(), atol=1e-12)


def test_moments_and_tails_equal_scipy_and_numpy() -> None:
    returns = sample(11)
    assert m.skewness(returns) == pytest.approx(scipy.stats.skew(returns))
    assert m.kurtosis(returns) == pytest.approx(scipy.stats.kurtosis(returns, fisher=False))
    assert m.value_at_risk(returns) == pytest.approx(-np.sort(returns)[49:51].mean(), rel=1e-2)
    worst = np.sort(returns)[:50]
    assert m.expected_shortfall(returns) == pytest.approx(-worst.mean(), rel=1e-9)


def test_by_hand() -> None:
    returns = np.array([0.10, -0.50, 0.20, 1.0, -0.10])
    # Values 1.1, .55, .66, 1.32, 1.188: under water at bars 1, 2 and 4.
    assert m.max_drawdown(returns) == pytest.approx(0.5)
    assert m.longest_drawdown(returns) == 2
    np.testing.assert_allclose(m.drawdowns(returns), [0, 0.5, 0.4, 0, 0.1])
    assert m.total_return(returns) == pytest.approx(0.188)
    assert m.omega(returns) == pytest.approx(1.3 / 0.6)
    assert m.cagr(returns, 10.0) == pytest.approx(1.188**2 - 1)
    assert m.sortino(returns) == pytest.approx(0.14 / np.sqrt((0.25 + 0.01) / 5))
    assert m.sharpe(returns, 4.0) == pytest.approx(2 * 0.14 / np.std(returns, ddof=1))


def test_a_first_loss_is_a_drawdown_from_the_start() -> None:
    assert m.max_drawdown(np.array([-0.3, 0.1])) == pytest.approx(0.3)
    report = backtest("buy_and_hold", make_market(10), costs=CostModel(fee_bps=100), fill="close")
    assert report.returns.iloc[0] == pytest.approx(-0.0100, abs=2e-4)
    assert report.drawdown.iloc[0] == pytest.approx(-report.returns.iloc[0])


@pytest.mark.parametrize(
    "returns",
    [
        np.zeros(0),
        np.zeros(1),
        np.zeros(50),
        np.full(50, 0.001),
        np.full(50, -0.001),
        np.array([0.1]),
        np.array([-1.0, 0.0, 0.0]),
        np.array([0.0, 5.0, -0.999999]),
        np.array([50.0, 50.0]),
        np.array([1e-300, -1e-300, 1e-300]),
    ],
)
def test_never_inf_or_nan(returns: np.ndarray) -> None:
    for bars_per_year in (1.0, 252.0, 365 * 24 * 60.0):
        for name, value in m.return_metrics(returns, bars_per_year).items():
            assert value is None or np.isfinite(value), f"{name} is {value}"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1.0, 3.0), min_size=0, max_size=40))
def test_any_returns_give_finite_numbers_or_none(values: list[float]) -> None:
    found = m.return_metrics(np.array(values), YEAR)
    assert all(v is None or np.isfinite(v) for v in found.values())
    assert 0 <= found["max_drawdown_pct"] <= 100  # type: ignore[operator]


def test_undefined_is_none() -> None:
    flat, rising = m.return_metrics(np.zeros(20), YEAR), m.return_metrics(np.full(20, 0.01), YEAR)
    for name in ("sharpe_annual", "sortino_annual", "calmar", "omega", "tail_ratio", "skewness"):
        assert flat[name] is None, name
    for name in ("sharpe_annual", "sortino_annual", "calmar", "omega", "kurtosis"):
        assert rising[name] is None, name
    assert m.cagr(np.full(3, 50.0), 365 * 24 * 60) is None


def test_scale_and_time_properties() -> None:
    returns = sample(3)
    half = m.return_metrics(returns / 2, YEAR)
    whole = m.return_metrics(returns, YEAR)
    for name in ("sharpe_annual", "sortino_annual", "omega", "tail_ratio", "skewness", "kurtosis"):
        assert half[name] == pytest.approx(whole[name]), name
    backwards = m.return_metrics(returns[::-1], YEAR)
    for name in ("total_return_pct", "sharpe_annual", "value_at_risk_95_pct"):
        assert backwards[name] == pytest.approx(whole[name]), name


def test_exposure_and_costs() -> None:
    market = make_market(100)
    weights = pd.DataFrame(np.nan, index=market.index, columns=["A0"])
    weights.iloc[9], weights.iloc[59] = -0.5, 0.0
    costs = CostModel(fee_bps=10, fixed_fee=2, slippage_bps=20)
    report = backtest(weights, market, costs=costs)
    found = report.metrics
    assert found["exposure_pct"] == pytest.approx(50.0)
    assert found["net_exposure_pct"] == pytest.approx(-25, abs=2)
    assert found["gross_exposure_pct"] == pytest.approx(-found["net_exposure_pct"])
    notional = report.orders["size"] * report.orders["price"]
    assert found["fees"] == pytest.approx(notional.sum() * 0.001 + 4)
    # Both fills were 20 bps worse than the open.
    reference = market.open[[10, 60], 0]
    lost = (report.orders["size"].to_numpy() * reference * 0.002).sum()
    assert found["slippage"] == pytest.approx(lost)


@pytest.mark.filterwarnings("ignore")  # theirs, of a steady rise and of pandas
def test_the_page_shows_what_peers_make_of_a_year() -> None:
    """Growth a year by bars, by steps and by the calendar, as docs/metrics.md says."""
    stats = pytest.importorskip("backtesting._stats")
    close = 100 * 1.006 ** np.arange(27)
    weeks = pd.date_range("2024-01-05", periods=27, freq="W-FRI")
    returns = np.append(0.0, np.diff(close) / close[:-1])
    ours = 100 * m.cagr(returns, 52.0)  # type: ignore[operator]
    steps = 100 * ((close[-1] / close[0]) ** (52 / 26) - 1)
    columns = dict.fromkeys(("Open", "High", "Low", "Close"), close)
    frame = pd.DataFrame(columns, weeks)
    theirs = stats.compute_stats([], close, frame, None)["CAGR [%]"]
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text().replace("\n", " ")
    for text in (
        f"({100 * (close[-1] / close[0] - 1):.1f} % in all",
        f"are {ours:.1f} % a year by T = 27",
        f"{steps:.1f} % by T - 1 = 26 steps",
        f"{theirs:.1f} % by the calendar",
    ):
        assert text in page
