"""Splits and dividends of raw prices in what a report says: by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, MarketData, backtest, strategy
from tradinghf.evaluation import sweep

FREE = CostModel(fee_bps=0, slippage_bps=0)
CLOSES = [100.0, 100.0, 50.0, 50.0, 60.0, 60.0]  # two for one at bar 2; sold at bar 4
SPLIT = np.array([1, 1, 2, 1, 1, 1.0])[:, None]
DIVIDEND = np.array([0, 0, 0, 1, 0, 0.0])[:, None]


def market() -> MarketData:
    frame = pd.DataFrame({name: CLOSES for name in ("open", "high", "low", "close")})
    frame.index = pd.bdate_range("2024-01-01", periods=6)
    return MarketData.from_frame(frame, symbol="A")


def first_and_fourth(one: float, four: float) -> pd.DataFrame:
    table = pd.DataFrame({"A": [np.nan] * 6}, market().index)
    table.iloc[0, 0], table.iloc[3, 0] = one, four
    return table


@pytest.mark.parametrize(
    ("targets", "trips"),
    [
        ((1.0, 0.0), [("long", 20_000, 20, False)]),
        ((-1.0, 0.0), [("short", -20_000, -20, False)]),
        ((0.5, np.nan), [("long", 10_000, 20, True)]),
        ((1.0, -1.0), [("long", 20_000, 20, False), ("short", 0, 0, True)]),
    ],
)
def test_a_round_trip_goes_through_a_split(
    targets: tuple[float, float], trips: list[tuple[str, float, float, bool]]
) -> None:
    report = backtest(first_and_fourth(*targets), market(), costs=FREE, split=SPLIT, record=False)
    found = report.trades[["side", "pnl", "return_pct", "open"]].values.tolist()
    assert [row[0] for row in found] == [side for side, *_ in trips]
    for row, (_, pnl, share, still_open) in zip(found, trips, strict=True):
        assert row[1:] == [pytest.approx(pnl), pytest.approx(share), still_open]
    assert report.equity.iloc[-1] - 100_000 == pytest.approx(sum(pnl for _, pnl, *_ in trips))
    assert report.contributions.to_numpy().sum() == pytest.approx(report.equity.iloc[-1] - 100_000)


def test_dividends_belong_to_the_trade_and_the_asset() -> None:
    report = backtest(
        first_and_fourth(1.0, 0.0),
        market(),
        costs=FREE,
        split=SPLIT,
        dividend=DIVIDEND,
        record=False,
    )
    assert report.equity.iloc[-1] == pytest.approx(122_000)
    assert report.trades["pnl"].tolist() == pytest.approx([22_000])
    assert report.metrics["hit_rate_pct"] == 100
    assert report.contributions["A"].tolist() == pytest.approx([0, 0, 0, 2_000, 20_000, 0])


def test_turnover_counts_what_was_held_before_in_new_shares() -> None:
    """Everything bought and everything sold, once each: 2, in a backtest as in a sweep."""
    report = backtest(first_and_fourth(1.0, 0.0), market(), costs=FREE, split=SPLIT, record=False)
    assert report.turnover.sum() == pytest.approx(2)

    @strategy
    def rule(market: MarketData, *, size: float = 1.0) -> np.ndarray:
        """Hold for three closes.

        Args:
            size: weight.
        """
        return np.array([size] * 3 + [0.0] * (market.bars - 3))

    swept = sweep(rule, market(), {"size": [1.0]}, costs=FREE, split=SPLIT, record=False)
    years = 6 / market().bars_per_year
    assert swept.table["turnover_per_year"][0] == pytest.approx(2 / years)
