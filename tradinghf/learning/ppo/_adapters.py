"""Gymnasium environments as the tensor environments that PPO trains on."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import Tensor

from tradinghf.errors import ConfigError


class GymnasiumEnv:
    """N copies of a registered Gymnasium environment, as tensors, autoreset in the same step.

    Observations of bounded spaces are scaled to [-1, 1]; continuous actions come in [-1, 1] and
    are scaled to the environment's bounds.

    Args:
        name: as for `gymnasium.make`.
        num_envs: N.
        options: for `gymnasium.make`.

    Attributes:
        single_action_space, single_observation_space: of one copy.
        returns: undiscounted returns of the episodes that ended, in order; (env steps so far,
            return) each.

    Raises:
        ConfigError: spaces that are not vectors, or neither Discrete nor bounded actions.

    """

    def __init__(self, name: str, num_envs: int, **options: Any) -> None:
        self.num_envs = num_envs
        self._env = gym.make_vec(
            name,
            num_envs,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
            **options,
        )
        self.single_action_space = self._env.single_action_space
        self.single_observation_space = self._env.single_observation_space
        if not isinstance(self.single_observation_space, spaces.Box):
            raise ConfigError(f"{name}: observations are {self.single_observation_space}, not Box.")
        high = self.single_observation_space.high.reshape(-1)
        self._size = np.where(np.isfinite(high) & (high < 1e6), np.maximum(high, 1e-6), 1.0)
        self._low, self._range = self._action_bounds(name)
        self.returns: list[tuple[int, float]] = []
        self._running = np.zeros(num_envs)
        self._steps = 0

    def _action_bounds(self, name: str) -> tuple[Any, Any]:
        space = self.single_action_space
        if isinstance(space, spaces.Discrete):
            return None, None
        if not isinstance(space, spaces.Box) or not np.isfinite([space.low, space.high]).all():
            raise ConfigError(f"{name}: actions are {space}; expected Discrete or a bounded Box.")
        return space.low, space.high - space.low

    def _tensor(self, obs: Any) -> Tensor:
        flat = np.asarray(obs).reshape(self.num_envs, -1) / self._size
        return torch.from_numpy(flat.astype(np.float32))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """First observations [N, D]."""
        # Gymnasium hands seed + i to copy i, which must stay below 2**32.
        small = None if seed is None else seed % 2**31
        obs, _ = self._env.reset(seed=small, options=options)
        self._running[:] = 0
        return self._tensor(obs), {}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Observations, rewards, terminations, truncations [N]; info with `final_obs`."""
        raw = actions.numpy()
        if self._range is not None:
            unit = (raw.reshape(self.num_envs, *self._low.shape) + 1) / 2
            raw = (self._low + unit * self._range).astype(self._low.dtype)
        obs, reward, terminated, truncated, info = self._env.step(raw)
        self._steps += self.num_envs
        self._running += reward
        done = terminated | truncated
        facts: dict[str, Any] = {}
        if done.any():
            self.returns += [(self._steps, float(value)) for value in self._running[done]]
            self._running[done] = 0
            last = np.array(obs)
            for index in np.flatnonzero(done):
                last[index] = info["final_obs"][index]
            facts["final_obs"] = self._tensor(last)
        ended, cut = (torch.from_numpy(np.array(x)) for x in (terminated, truncated))
        return self._tensor(obs), torch.from_numpy(np.float32(reward)), ended, cut, facts

    def close(self) -> None:
        """Free the copies."""
        self._env.close()
