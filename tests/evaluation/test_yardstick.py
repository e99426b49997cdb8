"""Benchmarks of one's choice: a strategy, or the prices of something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market

from tradinghf import backtest
from tradinghf.errors import StrategyError
from tradinghf.evaluation import judge

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
