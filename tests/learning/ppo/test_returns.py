"""Critics judge every bar of an episode in units of its own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Rollout, Stream
from tradinghf.learning.ppo._returns import ReturnUnits
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=600, assets=2)


def ones(rollout: Rollout) -> Tensor:
    return torch.ones_like(rollout.rewards)


def agent_of(gamma: float, *, bootstrap: bool = False, **options: int) -> PPO:
    env = MarketEnv(MARKET, num_envs=16, config=EnvConfig(horizon=16))
    config = PPOConfig(
        hidden=(16,),
        gamma=gamma,
        bootstrap=bootstrap,
        learning_rate=1e-2,
        final_learning_rate=1e-2,
        minibatches=4,
    )
    return PPO(env, {"one": Stream(ones)}, config=config, **options)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("steps", [16, 24])
def test_the_last_bar_of_an_episode_is_worth_its_own_reward(gamma: float, steps: int) -> None:
    agent = agent_of(gamma, steps=steps)
    agent.train(60)
    obs, _ = agent.env.reset(seed=3)
    for bar in range(16):
        true = sum(gamma**k for k in range(16 - bar))
        assert agent.values(obs, bar).mean() == pytest.approx(true, rel=0.02), bar
        obs, *_ = agent.env.step([2] * 16)


def test_a_window_cut_out_of_ongoing_trading_is_worth_the_same_at_every_bar() -> None:
    agent = agent_of(0.5, bootstrap=True)
    agent.train(60)
    obs, _ = agent.env.reset(seed=3)
    assert agent.values(obs, 0).mean() == pytest.approx(2.0, rel=0.05)
    assert torch.equal(agent.values(obs, 15), agent.values(obs, 0))


def test_values_and_targets_are_inverse_and_survive_a_checkpoint() -> None:
    units = ReturnUnits(4, 2, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        units.learn(torch.randn(6, 8, 2, generator=generator), first=3)
    out = torch.randn(6, 8, 2, generator=generator)
    torch.testing.assert_close(units.target(units.value(out, 2), 2), out)
    other = ReturnUnits(4, 2, torch.device("cpu"))
    other.restore(copy.deepcopy(units.state()))
    more = torch.randn(6, 8, 2, generator=generator)
    for each in (units, other):
        each.learn(more, first=1)
    assert torch.equal(units.value(out, 0), other.value(out, 0))


def test_returns_that_are_not_finite_spoil_no_later_iteration() -> None:
    units = ReturnUnits(4, 1, torch.device("cpu"))
    good = torch.randn(4, 8, 1, generator=torch.Generator().manual_seed(0))
    units.learn(good, first=0)
    before = units.value(good, 0)
    units.learn(good * torch.nan, first=0)
    assert torch.equal(units.value(good, 0), before)
