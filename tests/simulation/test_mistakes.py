"""What one may hand over by mistake: each gets an error that says what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tradinghf import CostModel, EnvConfig, MarketEnv, backtest, load_market
from tradinghf.config import Margin
from tradinghf.errors import ConfigError, MarketDataError, UnexpectedOptionError
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.market import MarketData, as_market, synthetic
from tradinghf.simulation import simulate

MARKET = synthetic(0, 300, 2)
SHORT = EnvConfig(horizon=8)


def env_with(**options: Any) -> MarketEnv:
    env = MarketEnv(MARKET, num_envs=3, config=SHORT, **options)
    env.reset(seed=0)
    return env


def test_a_dataframe_is_a_market() -> None:
    frame = MARKET.to_frame()
    for given in (frame, {s: frame[s] for s in MARKET.symbols}):
        found = as_market(given)
        np.testing.assert_array_equal(found.close, MARKET.close)
    env, same = MarketEnv(frame, num_envs=2), MarketEnv(MARKET, num_envs=2)
    assert torch.equal(env.reset(seed=3)[0], same.reset(seed=3)[0])
    single = MARKET.select([MARKET.symbols[0]])
    report = backtest("sma_cross", single.to_frame())
    assert report.equity.iloc[-1] == backtest("sma_cross", single).equity.iloc[-1]
    assert as_market("synthetic:seed=1,bars=50").bars == 50
    result = simulate(single.to_frame(), np.ones((300, 1)))
    assert np.isfinite(result.equity).all()


@pytest.mark.parametrize("given", [3, None, [1.0, 2.0], {"A": 3}, np.ones((5, 4))])
def test_what_is_no_market_is_refused(given: Any) -> None:
    with pytest.raises(MarketDataError, match=r"The market is a .*expected a MarketData, a DataF"):
        MarketEnv(given)
    with pytest.raises(MarketDataError, match="The market is a"):
        backtest("sma_cross", given)


@pytest.mark.parametrize("given", [lambda fill: 0.0, 3.0, "cheap", (1, 2)])
def test_what_are_no_costs_or_settings_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"costs is .*expected CostModel\(...\), a dict"):
        MarketEnv(MARKET, costs=given)
    with pytest.raises(ConfigError, match=r"costs is .*expected CostModel"):
        backtest("sma_cross", MARKET, costs=given)
    with pytest.raises(ConfigError, match=r"config is .*expected EnvConfig\(...\), a dict"):
        MarketEnv(MARKET, config=given)


def test_dicts_are_settings() -> None:
    env = MarketEnv(MARKET, config={"horizon": 9}, costs={"fee_bps": 4.0})  # type: ignore[arg-type]
    assert (env.config.horizon, env.costs.fee_bps) == (9, 4.0)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: EnvConfig(horizn=3), "EnvConfig 'horizn'. Did you mean 'horizon'"),  # type: ignore[call-arg]
        (lambda: CostModel(fee_bp=3), "CostModel 'fee_bp'. Did you mean 'fee_bps'"),  # type: ignore[call-arg]
        (lambda: Margin(levrage=2), "Margin 'levrage'. Did you mean 'leverage'"),  # type: ignore[call-arg]
        (lambda: PPOConfig(learning_rat=1), "Did you mean 'learning_rate'"),  # type: ignore[call-arg]
        (lambda: MarketEnv(MARKET, horizon=3), "'horizon' is an option of EnvConfig"),  # type: ignore[call-arg]
        (lambda: MarketEnv(MARKET, fee_bps=3), "'fee_bps' is an option of CostModel"),  # type: ignore[call-arg]
        (lambda: MarketEnv(MARKET, num_env=3), "Did you mean 'num_envs'"),  # type: ignore[call-arg]
        (lambda: EnvConfig(margin={"levrage": 2}), "Did you mean 'leverage'"),  # type: ignore[arg-type]
    ],
)
def test_a_misspelt_setting_is_named_with_the_right_one(make: Any, hint: str) -> None:
    with pytest.raises(UnexpectedOptionError, match=hint):
        make()


@pytest.mark.parametrize("seed", [-1, 2**70, 1.5, "7", True], ids=str)
def test_a_seed_that_does_not_fit_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"seed is .*; expected a whole number"):
        RLHFConfig(seed=seed)


@pytest.mark.parametrize("actions", [[0.5, 1, 2], [np.nan, 0, 1]])
def test_fractional_discrete_actions_are_refused(actions: Any) -> None:
    for given in (actions, np.array(actions), torch.tensor(actions)):
        with pytest.raises(ConfigError, match=r"the action .*expected whole numbers"):
            env_with().step(given)


def test_whole_numbers_of_any_kind_are_discrete_actions() -> None:
    for given in ([0, 2, 4], np.array([0.0, 2, 4]), np.array([0, 2, 4], np.int8)):
        *_, info = env_with().step(given)
        assert info["position"].sign().tolist() == [-1, 0, 1]


@pytest.mark.parametrize("given", [None, "long", [[1], [2, 3]], {"a": 1}])
def test_what_are_no_actions_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"MarketEnv.step got .* actions"):
        env_with().step(given)


@pytest.mark.parametrize(
    ("reward", "found"),
    [
        (lambda t: 1.0, "a float"),
        (lambda t: None, "a NoneType"),
        (lambda t: t.equity.numpy(), "a ndarray"),
        (lambda t: t.equity[:, None], r"float32 \[3, 1\]"),
        (lambda t: t.equity.sum(), r"float32 \[\]"),
        (lambda t: t.equity > 1, r"bool \[3\]"),
        (lambda t: t.equity * torch.nan, "nan for environment 0"),
        (lambda t: t.costs.log(), "-inf for environment 1"),
    ],
)
@pytest.mark.parametrize("engine", ["tensor", "fused"])
def test_rewards_that_no_agent_can_use_are_refused_in_the_first_step(
    reward: Any, found: str, engine: Any
) -> None:
    env = env_with(reward=reward, engine=engine)
    with pytest.raises(ConfigError, match=f"paid {found}.* in the first step"):
        env.step([4, 2, 4])


@pytest.mark.parametrize("given", [3, ["pnl"], object()])
def test_what_is_no_reward_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"reward is .*expected a registered name or a function"):
        env_with(reward=given)


def test_a_frame_without_prices_says_which_column_is_missing() -> None:
    with pytest.raises(MarketDataError, match="close"):
        MarketEnv(pd.DataFrame({"price": [1.0, 2.0]}, index=pd.date_range("2020", periods=2)))


def test_a_market_is_read_by_every_name() -> None:
    assert isinstance(as_market(load_market("synthetic:bars=50")), MarketData)
