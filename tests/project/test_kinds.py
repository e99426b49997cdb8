"""What people hand over by mistake gets a sentence that names it, or is simply taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tradinghf import RLHF, CostModel, EnvConfig, MarketEnv, RewardModel, load_market
from tradinghf.errors import TradingHFError
from tradinghf.feedback.store import Store
from tradinghf.learning.config import PPOConfig, RewardConfig, RLHFConfig
from tradinghf.market import synthetic

MARKET = synthetic(seed=0, bars=200, assets=2)


def _env(**options: Any) -> MarketEnv:
    return MarketEnv(MARKET, num_envs=2, config=EnvConfig(horizon=16), **options)


@pytest.mark.parametrize(
    ("handed", "words"),
    [
        (lambda: EnvConfig(horizon="16"), r"EnvConfig\.horizon is '16', a str; expected a whole"),
        (lambda: EnvConfig(horizon=16.5), r"EnvConfig\.horizon is 16\.5, a float"),
        (lambda: EnvConfig(horizon=True), r"EnvConfig\.horizon is True, a bool"),
        (lambda: EnvConfig(portfolio="yes"), r"portfolio is 'yes', a str; expected True or False"),
        (lambda: EnvConfig(rules=3), r"EnvConfig\.rules is 3, a int; expected TradingRules"),
        (lambda: CostModel(fee_bps="2"), r"CostModel\.fee_bps is '2'"),
        (lambda: CostModel(fee_bps=float("nan")), r"CostModel\.fee_bps is nan"),
        (lambda: PPOConfig(learning_rate=-1), r"PPOConfig\.learning_rate is -1; expected above 0"),
        (
            lambda: PPOConfig(learning_rate="1e-3"),
            r"learning_rate is '1e-3', a str; expected a",
        ),
        (
            lambda: PPOConfig(hidden=64),
            r"PPOConfig\.hidden is 64, a int; expected a tuple",
        ),
        (lambda: PPOConfig(clip=-0.1), r"PPOConfig\.clip"),
        (lambda: RLHFConfig(rankings=2.5), r"RLHFConfig\.rankings is 2\.5, a float"),
        (lambda: RLHFConfig(steps=-5), r"steps is -5; expected at least 1"),
        (lambda: RewardConfig(aspects="profit"), r"RewardConfig\.aspects is 'profit', a str"),
        (lambda: _env(device="gpu"), r"device is 'gpu'"),
        (lambda: _env(device="cuda:77"), r"device is 'cuda:77'"),
        (lambda: _env(scaler="yes"), r"scaler is 'yes'; expected a FeatureScaler"),
        (lambda: MarketEnv(MARKET, num_envs=2.5), r"num_envs is 2\.5"),
        (lambda: MarketEnv(MARKET, num_envs="4"), r"num_envs is '4'"),
        (lambda: load_market(None), r"load_market got None, a NoneType"),
        (lambda: load_market(["a"]), r"load_market got \['a'\], a list"),
        (lambda: RLHF(_env(), trader=3), r"trader is 3; expected a synthetic trader's name"),
        (lambda: RLHF(_env(), validation_market="sp"), r"Unknown market 'sp'"),
        (lambda: RewardModel().fit([{"a": 1}], {}), r"hold \{'a': 1\}, a dict"),
        (lambda: RewardModel().fit(None, {}), r"hold None, a NoneType"),
    ],
)
def test_a_mistake_gets_a_sentence(handed: Callable[[], Any], words: str) -> None:
    with pytest.raises(TradingHFError, match=words):
        handed()


def test_what_is_meant_is_taken(tmp_path: Any) -> None:
    numpys = EnvConfig(horizon=np.int64(16), cash=np.float32(1000.0))
    assert type(numpys.horizon) is int
    assert type(numpys.cash) is float
    assert PPOConfig(hidden=[32, 32]).hidden == (32, 32)
    assert CostModel(fee_bps=2).fee_bps == 2
    bars = synthetic(seed=1, bars=200)
    agent = RLHF(_env(), store=str(tmp_path / "store"), test_market=bars.to_frame())
    assert isinstance(agent.store, Store)
    assert agent.test_market is not None
    assert agent.test_market.close.tolist() == bars.close.tolist()
