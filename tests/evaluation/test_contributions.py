"""What each asset of a portfolio contributed: it sums to the profit, and stands on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, backtest
from tradinghf.evaluation._sections import contribution_section
from tradinghf.evaluation._tearsheet import tear_sheet
from tradinghf.market import synthetic


@pytest.mark.parametrize("engine", ["vectorbt", "simulator"])
@pytest.mark.parametrize("fill", ["next_open", "close"])
def test_contributions_sum_to_the_profit(engine: str, fill: str) -> None:
    market = synthetic(2, 120, 5)
    rng = np.random.default_rng(0)
    drawn = np.where(rng.random((120, 5)) < 0.2, rng.uniform(-0.2, 0.2, (120, 5)), np.nan)
    weights = pd.DataFrame(drawn, index=market.index, columns=list(market.symbols))
    costs = CostModel(fee_bps=7, slippage_bps=3)
    report = backtest(weights, market, costs=costs, engine=engine, fill=fill)  # type: ignore[arg-type]
    earned = report.contributions
    assert list(earned.columns) == list(market.symbols)
    total = np.concatenate([[report.cash], report.equity.to_numpy()])
    np.testing.assert_allclose(earned.sum(axis=1), np.diff(total), atol=1e-6)


def test_the_page_lists_the_assets_from_the_best_to_the_worst() -> None:
    market = synthetic(2, 120, 45)
    report = backtest("buy_and_hold", market)
    page = contribution_section(report)
    ordered = report.contributions.sum(axis=0).sort_values(ascending=False).index
    places = [page.find(f">{name}<") for name in ordered]
    shown = [place for place in places if place >= 0]
    assert len(shown) == 40
    assert shown == sorted(shown)
    assert "5 in between" in page
    alone = backtest("buy_and_hold", market.select(market.symbols[:1]))
    assert contribution_section(alone) == ""
    assert "Contributions by asset" not in tear_sheet(alone)
