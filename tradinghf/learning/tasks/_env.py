"""Gymnasium tasks in the units that policy and reward see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatten
from torch import Tensor

from tradinghf.learning.ppo import GymnasiumEnv

_LIMIT = 10.0


@dataclass(frozen=True)
class Horizon:
    """What PPO reads: a rollout of so many steps is one whole episode per environment.

    Attributes:
        horizon: steps of an episode L; None where no time limit is known.

    """

    horizon: int | None


class TaskEnv(GymnasiumEnv):
    """N copies of a task, whose observations get units of their own after exploration.

    Args:
        env: an id of `gymnasium.make`, an environment, its class, a function that makes one, or a
            vector environment.
        num_envs: N.
        options: for `gymnasium.make`, such as terminate_when_unhealthy=False.

    Attributes:
        config: the time limit.

    Raises:
        ConfigError: no environment, or unusable spaces.
        MissingExtraError: a MuJoCo task without MuJoCo.

    """

    def __init__(self, env: Any, num_envs: int, **options: Any) -> None:
        self._shift, self._scale, self._limit = torch.zeros(1), torch.ones(1), torch.inf
        super().__init__(env, num_envs, **options)
        self.config = Horizon(_time_limit(self.vector))

    def standardise(self, obs: Tensor) -> None:
        """Show observations from now on in units of the spread [D] of `obs` [.., D].

        Frozen after exploration, so that a state looks the same to policy and reward for good.
        """
        rows = obs.flatten(0, -2)
        self._shift, self._scale = rows.mean(0), rows.std(0).clamp(min=1e-3)
        self._limit = _LIMIT

    def use_units(self, other: TaskEnv) -> None:
        """Show observations in the units of another environment."""
        self._shift, self._scale, self._limit = other._shift, other._scale, other._limit

    def standard(self, obs: Tensor) -> Tensor:
        """Observations [.., D] as the policy sees them."""
        return ((obs - self._shift) / self._scale).clamp(-self._limit, self._limit)

    def encode(self, actions: Tensor) -> Tensor:
        """Actions as features [.., A]: one-hot if discrete, else as they are in [-1, 1]."""
        if isinstance(self.single_action_space, spaces.Discrete):
            return torch.nn.functional.one_hot(actions.long(), self.action_size).float()
        if (choices := self.choices) is not None:
            parts = zip(actions.long().unbind(-1), choices.tolist(), strict=True)
            return torch.cat([torch.nn.functional.one_hot(a, n) for a, n in parts], -1).float()
        return actions

    def tensor(self, obs: Any) -> Tensor:
        """[N, D] observations of `vector` as the policy sees them."""
        return self.standard(super().tensor(obs))

    def features_of(self, obs: Any, actions: Any) -> Tensor:
        """[S, D + A] features of S observations and actions of the task."""
        acted = self.encode(self.unit_actions(actions))
        space = self.single_observation_space
        if not isinstance(space, spaces.Box):
            rows = np.asarray(obs).reshape(len(obs))
            obs = np.stack([np.asarray(flatten(space, row)) for row in rows])
        return torch.cat([self.standard(self.flat(obs)), acted], -1)

    def _row(self, flat: Tensor) -> Tensor:
        return self.standard(flat)


def _time_limit(vector: Any) -> int | None:
    """Steps after which every episode is cut off; None where nothing says so."""
    copies = getattr(vector, "envs", ())
    for holder in (*copies[:1], vector):
        spec = getattr(holder, "spec", None)
        found = getattr(spec, "max_episode_steps", None)
        while not found and holder is not None:  # a TimeLimit of one's own
            found = getattr(holder, "_max_episode_steps", None)
            holder = getattr(holder, "env", None)
        if found:
            return int(found)
    return None
