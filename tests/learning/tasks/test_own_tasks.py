"""Tasks as people write them: spaces, rewards, older interfaces, networks of every kind."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from tradinghf import RLHF
from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.tasks import Fragments, NetworkReward, TaskConfig, TaskRLHF
from tradinghf.learning.tasks._env import TaskEnv

SMALL = TaskConfig(
    questions=4,
    rounds=2,
    fragment=8,
    choices=12,
    steps=700,
    envs=2,
    ppo=PPOConfig(hidden=(8,), minibatches=2, gamma=0.9, bootstrap=True),
)


class Twenty(gym.Env[Any, Any]):
    """Twenty steps of random observations; checks what it is handed."""

    observation_space: Any = spaces.Box(-1, 1, (2,))
    action_space: Any = spaces.Discrete(3)

    def obs(self) -> Any:
        return self.observation_space.sample()

    def pay(self, action: Any) -> Any:
        return 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.obs(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), (action, self.action_space)
        self.t += 1
        info = {"x": 1} if self.t % 2 else {"y": "text", "z": None, "d": {"q": np.zeros(2)}}
        return self.obs(), self.pay(action), False, self.t >= 20, info


def task(**parts: Any) -> Any:
    """A class with other parts."""
    return type("Other", (Twenty,), parts)


@pytest.mark.parametrize(
    "parts",
    [
        {"observation_space": spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(3)})},
        {"observation_space": spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.Discrete(3)))},
        {"observation_space": spaces.MultiDiscrete([3, 4])},
        {"observation_space": spaces.Box(0, 255, (4, 4, 1), np.uint8)},
        {"obs": lambda self: self.observation_space.sample().astype(np.float64)},
        {"action_space": spaces.Box(-2, 3, (2, 2)), "pay": lambda self, a: float(a.sum())},
        {"action_space": spaces.Discrete(3, start=-1)},
        {"pay": lambda self, a: np.float32(a)},
        {"pay": lambda self, a: bool(a)},
        {"pay": lambda self, a: torch.tensor(1.0)},
    ],
    ids=lambda parts: next(iter(parts)) + str(next(iter(parts.values())))[:12],
)
def test_spaces_and_numbers_of_every_kind(parts: dict[str, Any]) -> None:
    loop = RLHF(task(**parts), config=SMALL).train()
    assert len(loop.ranks) == 4
    assert np.isfinite(loop.evaluate(episodes=2, rankings=2)["mean_return"])


class Old(Twenty):
    """Four things from a step, as before Gymnasium 0.26."""

    def step(self, action: Any) -> Any:
        return super().step(action)[:4]


class Older(Twenty):
    """An observation alone from a reset."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0]


class Seedless(Twenty):
    """A reset that takes nothing."""

    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Old, r"Old\.step\(\) returned a tuple of 4; expected \(observation, reward, terminated"),
        (Older, r"Older\.reset\(\) returned a ndarray; expected \(observation, info\)"),
        (Seedless, r"Seedless\.reset\(\) takes no seed; expected reset\(self, \*, seed=None"),
        (Old(), r"Old\.step\(\) returned a tuple of 4"),
        (task(pay=lambda self, a: np.array([1.0])), r"reward of shape \(1,\); expected one number"),
        (task(pay=lambda self, a: None), r"reward that is not finite at step 0"),
        (task(obs=lambda self: np.array([np.nan, 0], np.float32)), "observation that is not fini"),
        (task(action_space=spaces.Dict({"a": spaces.Discrete(2)})), r"TransformAction"),
        (task(action_space=spaces.Box(-np.inf, np.inf, (2,))), r"RescaleAction"),
        (task(action_space=spaces.MultiBinary(3)), r"several choices at once.*stable_baselines3"),
    ],
)
def test_what_is_no_such_task_is_told_what_to_change(given: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RLHF(given, config=SMALL)


@pytest.mark.parametrize(
    ("space", "columns"),
    [
        (spaces.MultiDiscrete([3, 4]), 7),
        (spaces.MultiDiscrete([2, 3], start=[1, -1]), 5),
        (spaces.MultiBinary(3), 6),
    ],
)
def test_several_choices_at_once_are_learned_by_agents_that_make_them(
    space: Any, columns: int
) -> None:
    from stable_baselines3 import PPO

    kind = task(action_space=space, pay=lambda self, a: float(a[0]))
    env = TaskEnv(kind, 2)
    drawn = torch.stack([torch.from_numpy(space.sample()).reshape(-1) for _ in range(2)])
    unit = env.unit_actions(drawn.numpy())
    shown = env.encode(unit)
    assert shown.shape == (2, columns)
    assert shown.sum(-1).tolist() == [len(env.choices)] * 2
    np.testing.assert_array_equal(env.raw_actions(unit), drawn.numpy())
    if np.any(getattr(space, "start", 0)):
        return  # Stable-Baselines3 has no such space
    agent = PPO("MlpPolicy", kind(), n_steps=32, batch_size=32, n_epochs=1, device="cpu", seed=0)
    loop = TaskRLHF(kind, SMALL, reward=nn.Linear(2 + columns, 1), agent=agent).train()
    assert len(loop.ranks) == 4
    assert 0 <= loop.evaluate(episodes=2, rankings=2)["mean_return"] <= 40


class Recurrent(nn.Module):
    """A reward of each step that looks at all before."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRU(5, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.cell(x)[0])


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(5, 1).double(),
        nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 1)),
        nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(1)),
        Recurrent(),
    ],
    ids=["double", "norm", "lazy", "gru"],
)
def test_networks_of_every_precision_and_kind(network: nn.Module) -> None:
    assert len(TaskRLHF(Twenty, SMALL, reward=network).train().ranks) == 4


def test_dropout_is_for_training_and_drawn_from_the_seed() -> None:
    network = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.5), nn.Linear(16, 1))
    draws = torch.Generator().manual_seed(0)
    features = torch.rand(6, 2, 8, 5, generator=draws)
    shown = Fragments(features, features[..., 0], torch.ones(6, 2, 8, dtype=torch.bool))
    ranks = 1 + (features[..., 0].sum(-1) < features[..., 0].sum(-1).flip(1)).long()
    steps, ended = features[:, 0].flatten(0, 1), torch.ones(48, dtype=torch.bool)
    paid = []
    for noise in (0, 1):
        torch.manual_seed(noise)
        reward = NetworkReward(network, 5).fit(shown, ranks, steps)
        paid += [reward.rewards(steps, ended) for _ in range(2)]
    for other in paid[1:]:
        assert torch.equal(paid[0], other)
