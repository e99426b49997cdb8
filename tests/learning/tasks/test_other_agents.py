"""Agents and policies of other kinds: parts of TorchRL, and our own with a memory."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from tradinghf import RLHF, EnvConfig, MarketEnv
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.tasks import TaskConfig
from tradinghf.market import synthetic


class Recall(gym.Env[Any, Any]):
    """Shows at the first of five steps which action each of them pays for."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)

    def obs(self) -> Any:
        shown = 2.0 * self.cue - 1.0 if self.t == 0 else 0.0
        return np.array([shown, self.t / 5], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.cue = 0, int(self.np_random.integers(2))
        return self.obs(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.obs(), float(action == self.cue), False, self.t == 5, {}


def test_a_policy_with_a_memory_learns_a_task_of_any_kind() -> None:
    """Paid by the task, beside what is learned: no reward of one step tells the cue."""
    found = {}
    for network in ("gru", "mlp"):
        ppo = PPOConfig(
            hidden=(16,), network=network, minibatches=2, learning_rate=1e-2, bootstrap=True
        )  # type: ignore[arg-type]
        config = TaskConfig(
            questions=2, rounds=1, fragment=5, choices=8, steps=6_000, envs=16,
            env_weight=50.0, ppo=ppo,
        )  # fmt: skip
        loop = RLHF(lambda: gym.wrappers.TimeLimit(Recall(), 5), config=config).train()
        assert (loop.agent.network.memory is None) == (network == "mlp")
        found[network] = loop.evaluate(episodes=64, rankings=0)["mean_return"]
    assert found["gru"] > 4.7
    assert found["mlp"] < 3.9  # one of five steps shows it


class Parts:
    """An actor, a critic and a loss of TorchRL, and what improves them."""

    def __init__(self, inputs: int, actions: int) -> None:
        from tensordict.nn import TensorDictModule
        from torchrl.modules import ProbabilisticActor, ValueOperator
        from torchrl.objectives import ClipPPOLoss
        from torchrl.objectives.value import GAE

        def network(outputs: int) -> nn.Module:
            return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs))

        torch.manual_seed(0)
        self.net = network(actions)
        self.actor = ProbabilisticActor(
            TensorDictModule(self.net, in_keys=["observation"], out_keys=["logits"]),
            in_keys=["logits"],
            distribution_class=torch.distributions.Categorical,
            return_log_prob=True,
        )
        critic = ValueOperator(network(1), in_keys=["observation"])
        self.gae = GAE(gamma=0.9, lmbda=0.95, value_network=critic)
        self.loss = ClipPPOLoss(self.actor, critic)
        self.adam = torch.optim.Adam(self.loss.parameters(), 1e-2)

    def learn(self, data: Any) -> None:
        self.gae(data)
        for _ in range(4):
            lost = self.loss(data.reshape(-1))
            sum(lost[n] for n in ("loss_objective", "loss_critic", "loss_entropy")).backward()
            self.adam.step()
            self.adam.zero_grad()

    def act(self, obs: Any) -> Any:
        return self.net(torch.as_tensor(obs)).argmax(-1).numpy()


def by_torchrl(envs: Any, steps: int, before: Parts | None) -> Parts:
    """Trains in what pays, wrapped as TorchRL wraps any vector environment of Gymnasium."""
    from torchrl.envs import GymWrapper

    env = GymWrapper(envs, categorical_action_encoding=True)
    parts = before or Parts(envs.single_observation_space.shape[0], envs.single_action_space.n)
    for _ in range(max(steps // 64, 1)):
        length = -(-64 // envs.num_envs)
        with torch.no_grad():
            data = env.rollout(length, parts.actor, break_when_any_done=False)
        parts.learn(data)
    return parts


@pytest.mark.extra("torchrl")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_parts_of_torchrl_learn_in_the_environment_that_pays() -> None:
    class Same(Recall):
        """The second action is always the one."""

        def reset(self, **given: Any) -> Any:
            shown = super().reset(**given)
            self.cue = 1
            return shown

    config = TaskConfig(questions=8, rounds=2, fragment=5, choices=12, steps=2_000, envs=4)
    task = lambda: gym.wrappers.TimeLimit(Same(), 5)  # noqa: E731
    loop = RLHF(task, nn.Linear(4, 1), config=config, agent=by_torchrl).train()
    assert loop.evaluate(episodes=16, rankings=4)["mean_return"] > 4.5


@pytest.mark.extra("torchrl")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_parts_of_torchrl_learn_on_a_market() -> None:
    env = MarketEnv(synthetic(0, 300, 2), num_envs=8, config=EnvConfig(horizon=8, lookback=4))
    loop = RLHF(env, agent=by_torchrl, trader="drawdown")
    loop.train(rankings=2, rounds=1, steps=256, windows=4)
    assert loop.agent.market.steps >= 256
