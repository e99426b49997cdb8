"""Training and evaluation on other bars: in the same units, or with a warning, however made."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env

from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import Policy
from tradinghf.learning.ppo import PPO, GymnasiumEnv, Stream, env_reward
from tradinghf.loop import Actor, collect
from tradinghf.market import load_market, synthetic
from tradinghf.simulation import MarketEnv, random_windows, torchrl_env

ID = "tradinghf/Market-v0"
MAKERS: dict[str, Any] = {
    "make": lambda **task: gymnasium.make(ID, **task),
    "make_vec": lambda **task: gymnasium.make_vec(ID, num_envs=2, **task),
    "sync": lambda **task: gymnasium.make_vec(ID, 2, vectorization_mode="sync", **task),
    "Stable-Baselines3": lambda **task: make_vec_env(ID, 2, env_kwargs=task),
    "PPO": lambda **task: GymnasiumEnv(ID, 2, **task),
    "TorchRL": lambda scaler=None, **task: torchrl_env(
        MarketEnv(task["market"], config=EnvConfig(horizon=task["horizon"]), scaler=scaler)
    ),
}
NEEDING = [
    pytest.param(how, marks=pytest.mark.extra("torchrl")) if how == "TorchRL" else how
    for how in MAKERS
]


@pytest.mark.parametrize("how", NEEDING)
def test_bars_of_other_years_take_the_scaler_of_training(how: str) -> None:
    bars = load_market("sp500")
    bars = dataclasses.replace(bars, symbols=(how,))  # nobody else's
    early, late = bars.between("1999", "2005"), bars.between("2006", "2010")
    MAKERS[how](market=early, horizon=17)
    with pytest.warns(UserWarning, match=r"2006-01-03 to 2010-12-31.*1999-01-04 to 2005-12-30"):
        MAKERS[how](market=late, horizon=16)
    scaler = MarketEnv(early).scaler
    MAKERS[how](market=late, horizon=16, scaler=scaler)
    training = gymnasium.make(ID, market=early, scaler=scaler)
    assert training.get_wrapper_attr("scaler") == scaler


def test_our_own_policy_is_judged_in_the_units_that_it_learned_in() -> None:
    market = synthetic(0, 600, 2)
    early, late = market.rows(0, 300), market.rows(300, 600)
    config = EnvConfig(horizon=8, lookback=4)
    env = MarketEnv(early, num_envs=4, config=config)
    agent = PPO(env, {"env": Stream(env_reward)}, PPOConfig(hidden=(8,), minibatches=2), seed=0)
    torch.nn.init.normal_(agent.network.actor[-1].weight, 0, 9.0)  # it trades a lot
    actor = Actor("policy", policy=Policy.trained(agent.network, env, "policy"))
    windows = random_windows(late, config, 6, seed=0)
    told = [
        [row[0].position for row in collect(late, [actor], windows, **how)]
        for how in ({"env": env.like(late, num_envs=6)}, {"config": config})
    ]
    assert np.array_equal(told[0], told[1])
    with pytest.warns(UserWarning, match=r"features scaled by other bars.*\.like\(market"):
        other = collect(late, [actor], windows, env=MarketEnv(late, num_envs=6, config=config))
    assert not np.array_equal(told[0], [row[0].position for row in other])
