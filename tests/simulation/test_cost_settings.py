"""Minimum and maximum fees, rebates, makers, schedules, tiers and assets, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.markets import bars_of

from tradinghf import CostModel, EnvConfig, MarketData, MarketEnv, backtest
from tradinghf.config import TradingRules
from tradinghf.errors import ConfigError, StrategyError
from tradinghf.simulation import simulate

NAN = float("nan")
MARKET = bars_of([(100.0, 100.0, 100.0, 100.0)] * 5)
ONCE = [50.0, NAN, -50.0, NAN, NAN]
FREE: dict[str, Any] = {"fee_bps": 0, "slippage_bps": 0}


@pytest.mark.parametrize(
    ("costs", "size", "fees"),
    [
        ({"per_share_fee": 0.005, "min_fee": 1}, ONCE, [1, 1]),
        ({"per_share_fee": 0.005, "min_fee": 1}, [500, NAN, -500, NAN, NAN], [2.5, 2.5]),
        # The largest fee wins over the least one: 1 % of a trade of 50.
        ({"min_fee": 1, "max_fee_bps": 100}, [0.5, NAN, -0.5, NAN, NAN], [0.5, 0.5]),
        ({"fee_bps": -2.5}, ONCE, [-1.25, -1.25]),
        ({"per_share_fee": -0.002}, ONCE, [-0.1, -0.1]),
        ({"per_share_fee": -1, "fee_bps": -50}, [1, NAN, -2, NAN, NAN], [-1, -2]),  # 1 % at most
        ({"fee_bps": 10, "schedule": {"2024-01-03": {"fee_bps": 0}}}, ONCE, [5]),
        ({"fee_tiers": [(6000, 1), (1000, 5)], "fee_bps": 10}, [20.0] * 5, [2, 1, 1, 0.2]),
        ({"by_asset": {"X": {"fee_bps": 4}}}, ONCE, [2, 2]),
        ({"fee_bps": np.int64(10), "slippage_bps": np.float32(0)}, ONCE, [5, 5]),
    ],
)
def test_fees_by_hand(costs: dict[str, Any], size: list[float], fees: list[float]) -> None:
    done = simulate(MARKET, size, kind="amount", cash=100_000, costs=CostModel(**(FREE | costs)))
    found = done.fills["fee"].tolist()
    assert [fee for fee in found if fee] == pytest.approx(fees)
    assert done.equity[-1] == pytest.approx(100_000 - sum(fees))


def test_resting_limits_pay_the_makers_fee_and_market_orders_the_takers() -> None:
    costs = CostModel(fee_bps=10, maker_fee_bps=-1, slippage_bps=0)
    market = bars_of([(100.0,) * 4, (100, 100, 98, 99), (99, 99, 99, 99)])
    limit = [99, NAN, NAN]
    done = simulate(market, [10, -10, NAN], kind="amount", costs=costs, limit=limit)
    assert done.fills["fee"].tolist() == pytest.approx([-0.0990, 0.99])


@pytest.mark.parametrize(
    ("costs", "spent"),
    [
        ({"min_fee": 5}, 995),
        ({"min_fee": 5, "max_fee_bps": 10}, 1000 / 1.001),
        ({"by_asset": {"X": {"fee_bps": 10}}}, 1000 / 1.001),
    ],
)
def test_all_the_cash_pays_for_the_fee_too(costs: dict[str, Any], spent: float) -> None:
    done = simulate(MARKET, [1.0, *[NAN] * 4], costs=CostModel(**(FREE | costs)), cash=1000)
    assert done.cash[-1] == pytest.approx(0, abs=1e-9)
    assert done.shares[-1, 0] == pytest.approx(spent / 100)


def test_a_tier_forgets_what_was_traded_thirty_days_ago() -> None:
    market = bars_of([(100.0,) * 4] * 60)
    size = np.full(60, NAN)
    size[[0, 1, 58]] = 20
    costs = CostModel(fee_bps=10, slippage_bps=0, fee_tiers=((1000, 5),))
    done = simulate(market, size, kind="amount", costs=costs)
    assert done.fills["fee"].tolist() == pytest.approx([2, 1, 2])


def test_assets_borrow_at_their_own_rates() -> None:
    flat = np.full((4, 2), 100.0)
    market = MarketData(flat, flat, flat, flat, flat, MARKET.timestamps[:4], ("A0", "A1"))
    costs = CostModel(**FREE, by_asset={"A1": {"borrow_rate": 0.252}})
    done = simulate(market, [[-10, -10]] + [[NAN, NAN]] * 3, kind="amount", costs=costs)
    assert done.financing.tolist() == pytest.approx(
        [0, 0.252 * 1000 / market.bars_per_year] + [0.252 * 1000 / market.bars_per_year] * 2
    )


def test_what_varies_is_refused_where_it_cannot_be() -> None:
    short = EnvConfig(lookback=1, horizon=2)
    with pytest.raises(ConfigError, match="one plain CostModel"):
        MarketEnv(MARKET, num_envs=1, config=short, costs=CostModel(fee_tiers=((1, 2),)))
    with pytest.raises(ConfigError, match="Unknown symbol"):
        simulate(MARKET, ONCE, costs=CostModel(by_asset={"Q": {"fee_bps": 1}}))
    with pytest.raises(ConfigError, match="the account's cash"):
        simulate(MARKET, ONCE, costs=CostModel(by_asset={"X": {"cash_rate": 1}}))
    with pytest.raises(ConfigError, match="a day such as"):
        simulate(MARKET, ONCE, costs=CostModel(schedule={"soon": {"fee_bps": 1}}))
    with pytest.raises(StrategyError, match="a rebate, which vectorbt"):
        backtest("sma_cross", MARKET, costs=CostModel(fee_bps=-1), engine="vectorbt", record=False)
    with pytest.raises(ConfigError, match="fee_bps is -101"):
        CostModel(fee_bps=-101)


def test_settings_take_the_numbers_of_numpy() -> None:
    config = EnvConfig(
        horizon=np.int64(8),
        levels=np.linspace(-1, 1, 3),
        rules=TradingRules(lot=np.float32(0.5), allow_partial=np.bool_(False)),
    )
    assert (config.horizon, config.levels) == (8, (-1.0, 0.0, 1.0))
    assert type(config.rules.lot) is float
    assert config.rules.allow_partial is False
