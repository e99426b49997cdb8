"""Benchmarks of one's choice: a strategy, or the prices of something else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market

from tradinghf import backtest
from tradinghf.errors import ConfigError, StrategyError
from tradinghf.evaluation import compare_page, excess_growth, grouped, judge, write_json
from tradinghf.evaluation._page import interval_text

MARKET = make_market(300, 1, 4)


def test_a_strategy_is_traded_as_the_backtest_is() -> None:
    alone = backtest("momentum", MARKET, record=False)
    report = backtest("sma_cross", MARKET, benchmark="momentum", record=False)
    np.testing.assert_array_equal(report.benchmark().account.equity, alone.account.equity)
    verdict = judge(report, report.benchmark())
    assert any("than momentum" in reason for reason in verdict.reasons)
    assert backtest("sma_cross", MARKET, record=False).benchmark().name == "buy and hold"


def test_prices_of_something_else_are_bought_once(tmp_path: Path) -> None:
    days = MARKET.index.tz_localize(None)
    index = pd.Series(np.linspace(50.0, 75.0, 300), days, name="INDEX").drop(days[100])
    report = backtest("sma_cross", MARKET, benchmark=index, record=False)
    equity = report.benchmark().account.equity
    assert equity[[0, -1]].tolist() == [100_000.0, 150_000.0]
    assert equity[100] == equity[99]
    page = report.save(tmp_path / "page.html").read_text()
    assert "INDEX" in page
    assert "buy and hold" not in page.lower()


def test_prices_that_begin_later_are_refused() -> None:
    late = pd.Series(1.0, MARKET.index[5:])
    with pytest.raises(StrategyError, match="no price above 0 at the first bar"):
        backtest("sma_cross", MARKET, benchmark=late, record=False)
    with pytest.raises(StrategyError, match="has 2 assets; expected one"):
        backtest("sma_cross", MARKET, benchmark=make_market(300, 2, 4), record=False)


def test_ratios_count_above_what_cash_would_earn() -> None:
    market = make_market(300)
    plain = backtest("sma_cross", market, fast=3, slow=20)
    rates = pd.Series([0.02, 0.05], [market.index[0], market.index[150]])
    above = backtest("sma_cross", market, fast=3, slow=20, risk_free=rates)
    yearly = np.where(np.arange(300) < 150, 0.02, 0.05)
    excess = plain.returns - ((1 + yearly) ** (1 / market.bars_per_year) - 1)
    expected = excess.mean() / excess.std(ddof=1) * market.bars_per_year**0.5
    assert above.metrics["sharpe_annual"] == pytest.approx(expected, rel=1e-12)
    assert above.metrics["cagr_pct"] == plain.metrics["cagr_pct"]
    assert judge(above, above.benchmark()).sharpe.value == pytest.approx(expected, rel=1e-12)
    assert above.buy_and_hold().riskless is above.riskless
    number = backtest("sma_cross", market, fast=3, slow=20, risk_free=0.02)
    assert (
        expected
        < float(number.metrics["sharpe_annual"] or 0)
        < float(plain.metrics["sharpe_annual"] or 0)
    )
    for wrong in (3.0 * 100, rates[1:], "none.csv"):
        with pytest.raises(StrategyError, match="risk_free"):
            backtest("sma_cross", market, risk_free=wrong)


def test_metrics_of_ones_own_stand_in_the_table_the_page_and_the_json(tmp_path: Path) -> None:
    market = make_market(120)
    (tmp_path / "own.py").write_text(
        "def ulcer(report):\n    return (report.drawdown**2).mean() ** 0.5\n"
    )
    report = backtest(
        "sma_cross",
        market,
        fast=3,
        slow=20,
        benchmark="rsi_reversion",
        metrics=[f"{tmp_path}/own.py:ulcer"],
    )
    assert report.metrics["ulcer"] == pytest.approx((report.drawdown**2).mean() ** 0.5)
    assert report.benchmark().metrics["ulcer"] != report.metrics["ulcer"]
    assert ("Your own", "ulcer", report.metrics["ulcer"]) in grouped(report.metrics)
    assert "ulcer" in report.save(tmp_path / "r.html").read_text()
    verdict = judge(report, report.benchmark())
    found = json.loads(write_json(report, verdict, tmp_path / "r.json").read_text())
    assert found["metrics"]["ulcer"] == pytest.approx(report.metrics["ulcer"])
    for wrong, said in (
        ({"bars": len}, "one of ours"),
        ({"odd": lambda r: r.nothing}, "failed on sma_cross"),
        ({"odd": 3}, "expected a function"),
    ):
        with pytest.raises(StrategyError, match=said):
            _ = backtest("sma_cross", market, metrics=wrong).metrics


def test_two_reports_are_compared_with_the_interval_of_their_difference(tmp_path: Path) -> None:
    market = make_market(400)
    one = backtest("sma_cross", market, fast=3, slow=20)
    two = backtest("momentum", market, lookback=20)
    page = compare_page(tmp_path / "c.html", [one, two]).read_text()
    gap = excess_growth(one.returns.to_numpy(), two.returns.to_numpy(), market.bars_per_year)
    assert gap.low is not None
    assert gap.high is not None
    assert f"95 % interval {interval_text(gap.low, gap.high)}" in page
    assert "sma_cross less momentum" in page
    assert page.count("To reproduce this page") == 2
    with pytest.raises(ConfigError, match="different names"):
        compare_page(tmp_path / "c.html", [one, one])
    shorter = backtest("momentum", market.rows(0, 300))
    with pytest.raises(ConfigError, match="expected the bars"):
        compare_page(tmp_path / "c.html", [one, shorter])
