"""The whole loop on a GPU that is not there: what it learns is what a CPU learns."""

from __future__ import annotations

import pytest
import torch
from support.pretended_device import PretendedDevice

from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig, RewardConfig, RLHFConfig
from tradinghf.learning.reward import RewardModel
from tradinghf.loop import RLHF
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=300, assets=3)
SHORT = RLHFConfig(
    rankings=4,
    rounds=2,
    steps=4 * 12 * 8,
    windows=4,
    ppo=PPOConfig(hidden=(8,), minibatches=2, epochs=1),
)


def _agent(task: EnvConfig, **options: object) -> RLHF:
    env = MarketEnv(MARKET, num_envs=8, config=task, **options)
    reward = RewardModel(RewardConfig(learned=0.0))
    return RLHF(env, reward, trader="drawdown", config=SHORT).train()


@pytest.mark.parametrize(
    "task",
    [EnvConfig(horizon=12, lookback=6), EnvConfig(horizon=12, lookback=6, portfolio=True)],
    ids=["one asset", "portfolio of levels"],
)
@pytest.mark.slow
def test_it_asks_learns_and_trains_on_the_device(task: EnvConfig) -> None:
    there = _agent(task, engine="tensor")
    with PretendedDevice() as gpu:
        agent = _agent(task, device="cuda")
        assert all(gpu.holds(p) for p in agent.agent.network.parameters())
        weights = [p.detach().cpu() for p in agent.agent.network.parameters()]
    assert [r.ranks for r in agent.rankings] == [r.ranks for r in there.rankings]
    assert agent.reward_model.explain() == there.reward_model.explain()
    for mine, other in zip(weights, there.agent.network.parameters(), strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=1e-3, atol=1e-5)
