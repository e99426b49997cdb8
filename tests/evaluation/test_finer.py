"""Bars whose inside is known: the order in which finer bars meet stops and targets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, MarketData, backtest
from tradinghf.config import Brackets
from tradinghf.errors import StrategyError
from tradinghf.evaluation import Orders

FREE = CostModel(fee_bps=0, slippage_bps=0)
NAN = float("nan")


def _hours(*days: list[tuple[float, float, float, float]]) -> MarketData:
    """Hourly bars of some days."""
    parts = [
        pd.DataFrame(day, columns=["open", "high", "low", "close"]).set_index(
            pd.date_range(f"2021-03-0{d + 1} 10:00", periods=len(day), freq="1h")
        )
        for d, day in enumerate(days)
    ]
    return MarketData.from_frame(pd.concat(parts), symbol="X")


def _days(finer: MarketData) -> MarketData:
    frame = finer.to_frame()
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return MarketData.from_frame(frame.resample("1D").agg(how), symbol="X")


CALM = [(100.0, 100.0, 100.0, 100.0)] * 2
UP_FIRST = [(100.0, 112.0, 100.0, 108.0), (108.0, 108.0, 89.0, 95.0)]
DOWN_FIRST = [(100.0, 100.0, 89.0, 95.0), (95.0, 112.0, 95.0, 108.0)]


@pytest.mark.parametrize(
    ("day", "known", "guessed"), [(UP_FIRST, 110_000, 90_000), (DOWN_FIRST, 90_000, 90_000)]
)
def test_finer_bars_decide_between_stop_and_target(day: list, known: float, guessed: float) -> None:
    finer = _hours(CALM, CALM, day, CALM)
    market = _days(finer)
    orders = Orders([1.0, NAN, NAN, NAN])
    how = {"costs": FREE, "brackets": Brackets(0.1, 0.1), "record": False}
    blind = backtest(orders, market, **how)
    seen = backtest(orders, market, intrabar=finer, **how)
    assert blind.account.equity[-1] == pytest.approx(guessed)
    assert blind.account.ambiguous == 1
    assert seen.account.equity[-1] == pytest.approx(known)
    assert seen.account.ambiguous == 0
    assert seen.account.fills["bar"].tolist() == [1, 2]


def test_a_trailing_stop_follows_within_the_bar() -> None:
    day = [(100.0, 120.0, 100.0, 119.0), (119.0, 119.0, 105.0, 110.0)]
    finer = _hours(CALM, CALM, day, CALM)
    how = {"costs": FREE, "brackets": Brackets(trailing_stop=0.1), "record": False}
    blind = backtest(Orders([1.0, NAN, NAN, NAN]), _days(finer), **how)
    seen = backtest(Orders([1.0, NAN, NAN, NAN]), _days(finer), intrabar=finer, **how)
    assert seen.account.equity[-1] == pytest.approx(108_000)  # 120 less a tenth
    assert blind.account.equity[2] == pytest.approx(110_000)  # the day before was the best known


def test_weights_of_one_bar_bars_trade_alike() -> None:
    rng = np.random.default_rng(1)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 12)))
    days = [[(c, c * 1.01, c * 0.99, c * 1.002)] for c in closes[:9]]
    finer = _hours(*days)
    weights = pd.DataFrame({"X": rng.normal(0, 0.5, 9)}, _days(finer).index)
    how = {"costs": CostModel(borrow_rate=0.0), "record": False}
    plain = backtest(weights, _days(finer), **how)
    inside = backtest(weights, _days(finer), intrabar=finer, **how)
    np.testing.assert_array_equal(plain.account.equity, inside.account.equity)
    pd.testing.assert_frame_equal(plain.account.fills, inside.account.fills)


def test_finer_bars_that_do_not_fit_are_refused() -> None:
    finer = _hours(CALM, CALM, UP_FIRST)
    market = _days(finer)
    orders = Orders([1.0, NAN, NAN])
    with pytest.raises(StrategyError, match="has no finer bar"):
        backtest(orders, market, intrabar=finer.rows(0, 4), record=False)
    with pytest.raises(StrategyError, match="high 100, the bar 112"):
        backtest(orders, market, intrabar=_hours(CALM, CALM, CALM), record=False)
    with pytest.raises(StrategyError, match="event-driven"):
        backtest(_Rule, market, intrabar=finer, record=False)


class _Rule:
    def next(self, bar: object, account: object) -> None:
        """Do nothing."""


def test_a_strategy_may_give_the_class_of_its_rule() -> None:
    market = _days(_hours(CALM, CALM, UP_FIRST))

    class Holder:
        def next(self, bar: object, account: object) -> float:
            return 1.0

    report = backtest(lambda _: Holder, market, costs=FREE, record=False)
    assert report.account.shares[-1, 0] == 1000
