"""What one may hand over by mistake, by other libraries' habits: each is told what to change."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from tradinghf import RLHF, EnvConfig, MarketEnv, RewardModel
from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Stream, env_reward
from tradinghf.learning.tasks import NetworkReward, TaskConfig, TaskRLHF
from tradinghf.market import synthetic

MARKET = synthetic(0, 120, 1)
STREAMS = {"env": Stream(env_reward)}
SHORT = TaskConfig(questions=2, rounds=1, fragment=4, choices=6, steps=200, envs=2)


def env(**task: Any) -> MarketEnv:
    return MarketEnv(MARKET, num_envs=4, config=EnvConfig(horizon=8, lookback=4, **task))


def stepped(action: Any, **task: Any) -> None:
    made = env(**task)
    made.reset(seed=0)
    made.step(action)


def one(action: Any) -> None:
    made = gymnasium.make("tradinghf/MarketContinuous-v0", market=MARKET, horizon=8, lookback=4)
    made.reset(seed=0)
    made.step(np.array([0.5], np.float32))
    made.step(action)


NAN = float("nan")
PRICED: dict[str, Any] = {"actions": "continuous", "orders": ("market", "limit1")}


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: stepped([0.1, NAN, 0, 0], actions="continuous"), r"NaN in 1 of 4 .*step_weights"),
        (lambda: stepped(np.full((4, 2), NAN), **PRICED), "NaN in 8 of 8"),
        (lambda: one(np.array([np.nan], np.float32)), "NaN in 1 of 1"),
        (lambda: RLHF(env(), trader="drawdown", stor="x"), "'stor'. Did you mean 'store'"),
        (lambda: RLHF(env(), rankings=5), r"config=RLHFConfig\(rankings=\.\.\.\)"),
        (lambda: PPO(env(), STREAMS, sed=1), "'sed'. Did you mean 'seed'"),
        (lambda: TaskRLHF("CartPole-v1", SHORT, techer=None), "'techer'. Did you mean 'teacher'"),
        (
            lambda: RLHF(env(), RewardModel, trader="drawdown"),
            r"class RewardModel.*RewardModel\(\)",
        ),
        (
            lambda: RLHF("CartPole-v1", NetworkReward, config=SHORT),
            r"class NetworkReward; expected",
        ),
        (
            lambda: RLHF("CartPole-v1", trader=lambda f: None, config=SHORT).train(),
            "ranks are None",
        ),
    ],
)
def test_it_says_what_was_expected(mistake: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        mistake()


def test_numpys_false_ends_a_training_and_a_number_does_not() -> None:
    config = PPOConfig(hidden=(4,), minibatches=1, epochs=1)
    for answer, rows in ((np.bool_(False), 1), (False, 1), (0, 3), (None, 3), (np.bool_(True), 3)):
        agent = PPO(env(), STREAMS, config, callbacks=lambda agent, row, told=answer: told)
        assert len(agent.train(3)) == rows
