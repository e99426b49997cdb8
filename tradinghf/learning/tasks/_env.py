"""Fixed-horizon Gymnasium tasks as PPO's environments, and random behaviour to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf.errors import ConfigError, MissingExtraError
from tradinghf.learning.ppo import GymnasiumEnv, Rollout

_LIMIT = 10.0
_HOLDS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Horizon:
    """What PPO reads: every rollout is one whole episode per environment.

    Attributes:
        horizon: steps of an episode L.

    """

    horizon: int


class TaskEnv(GymnasiumEnv):
    """N copies of a task whose episodes all have the same length.

    An episode that can end early tells the reward model what its steps do not: a learned reward
    then pays for the ending. Such tasks are refused, at the latest when an episode terminates.

    Args:
        name: as for `gymnasium.make`.
        num_envs: N.
        options: for `gymnasium.make`, such as terminate_when_unhealthy=False.

    Attributes:
        config: the horizon.

    Raises:
        ConfigError: no time limit, or unusable spaces.
        MissingExtraError: a MuJoCo task without MuJoCo.

    """

    def __init__(self, name: str, num_envs: int, **options: Any) -> None:
        self.name = name
        self._shift, self._scale, self._limit = torch.zeros(1), torch.ones(1), torch.inf
        try:
            super().__init__(name, num_envs, **options)
        except gym.error.DependencyNotInstalled as error:
            raise MissingExtraError("mujoco", "mujoco", name) from error
        spec = gym.spec(name)
        horizon = options.get("max_episode_steps", spec.max_episode_steps)
        if not horizon:
            raise ConfigError(
                f"{name} has no time limit; expected a fixed horizon. "
                "Pass max_episode_steps=..., or register the task with one."
            )
        self.config = Horizon(int(horizon))

    @property
    def action_size(self) -> int:
        """Columns A of `encode`."""
        space = self.single_action_space
        if isinstance(space, spaces.Discrete):
            return int(space.n)
        return int(torch.Size(space.shape or ()).numel())

    def standardise(self, obs: Tensor) -> None:
        """Show observations from now on in units of the spread [D] of `obs` [.., D].

        Frozen after exploration, so that a state looks the same to policy and reward for good.
        """
        rows = obs.flatten(0, -2)
        self._shift, self._scale = rows.mean(0), rows.std(0).clamp(min=1e-3)
        self._limit = _LIMIT

    def standard(self, obs: Tensor) -> Tensor:
        """Observations [.., D] as the policy sees them."""
        return ((obs - self._shift) / self._scale).clamp(-self._limit, self._limit)

    def encode(self, actions: Tensor) -> Tensor:
        """Actions as features [.., A]: one-hot if discrete, else as they are in [-1, 1]."""
        if isinstance(self.single_action_space, spaces.Discrete):
            return torch.nn.functional.one_hot(actions.long(), self.action_size).float()
        return actions

    def _tensor(self, obs: Any) -> Tensor:
        return self.standard(super()._tensor(obs))

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """As `GymnasiumEnv.step`.

        Raises:
            ConfigError: an episode ended before the horizon.

        """
        found = super().step(actions)
        if bool(found[2].any()):
            raise ConfigError(
                f"An episode of {self.name} ended before its horizon of {self.config.horizon} "
                "steps; expected episodes of one length, since an early end tells the reward "
                "model what the steps do not. Pass terminate_when_unhealthy=False or the like."
            )
        return found


@dataclass(frozen=True, eq=False)
class Experience:
    """Whole episodes.

    Attributes:
        obs: [L, N, D] as the policy saw them.
        actions: [L, N, A] encoded actions.
        rewards: [L, N] the task's own reward; only teachers may look.

    """

    obs: Tensor
    actions: Tensor
    rewards: Tensor

    @classmethod
    def of(cls, rollout: Rollout, env: TaskEnv) -> Experience:
        """A copy of a rollout of whole episodes."""
        discrete = isinstance(env.single_action_space, spaces.Discrete)
        actions = rollout.actions if discrete else rollout.actions.tanh()
        return cls(rollout.obs.clone(), env.encode(actions), rollout.rewards.clone())

    @classmethod
    def joined(cls, parts: Sequence[Experience]) -> Experience:
        """All episodes, side by side."""
        names = ("obs", "actions", "rewards")
        return cls(*(torch.cat([getattr(part, name) for part in parts], 1) for name in names))

    @property
    def features(self) -> Tensor:
        """[L, N, D + A] what the reward model sees."""
        return torch.cat([self.obs, self.actions], -1)


def explore(env: TaskEnv, seed: int) -> Experience:
    """One episode per environment of uniform random actions, each held for 1 to 16 steps.

    Holding makes some of them swing far; white noise alone hardly moves heavy bodies. Freezes the
    environment's units.
    """
    generator = torch.Generator().manual_seed(seed)
    obs, _ = env.reset(seed=seed)
    hold = torch.tensor(_HOLDS).repeat(-(-env.num_envs // len(_HOLDS)))[: env.num_envs]
    discrete = isinstance(env.single_action_space, spaces.Discrete)
    seen, acted, paid = [], [], []
    actions = torch.zeros(env.num_envs)
    for step in range(env.config.horizon):
        if discrete:
            fresh = torch.randint(env.action_size, (env.num_envs,), generator=generator)
            actions = torch.where(step % hold == 0, fresh, actions.long())
        else:
            fresh = torch.rand(env.num_envs, env.action_size, generator=generator) * 2 - 1
            actions = (
                fresh if step == 0 else torch.where((step % hold == 0)[:, None], fresh, actions)
            )
        seen.append(obs)
        acted.append(env.encode(actions))
        obs, reward, *_ = env.step(actions)
        paid.append(reward)
    raw = torch.stack(seen)
    env.standardise(raw)
    return Experience(env.standard(raw), torch.stack(acted), torch.stack(paid))
