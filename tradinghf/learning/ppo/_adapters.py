"""Gymnasium environments as the tensor environments that PPO trains on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from gymnasium.vector.utils import iterate
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.ppo._copies import Given, copies_of, name_of


class GymnasiumEnv:
    """N copies of a Gymnasium environment, as tensors, autoreset in the same step.

    Observations are flattened, those of bounded spaces scaled to [-1, 1]; continuous actions come
    in [-1, 1] and are scaled to the environment's bounds.

    Args:
        env: an id of `gymnasium.make`, an environment, its class, a function that makes one, or a
            vector environment.
        num_envs: N.
        options: for `gymnasium.make`, or for the class.

    Attributes:
        vector: the copies, in NumPy, with their own spaces.
        single_action_space, single_observation_space: of one copy.
        returns: undiscounted returns of the episodes that ended, in order; (env steps so far,
            return) each.

    Raises:
        ConfigError: no environment, or observations that cannot be flattened.

    """

    def __init__(self, env: Given, num_envs: int, **options: Any) -> None:
        self.name = name_of(env)
        self.vector = copies_of(env, num_envs, **options)
        self.num_envs = self.vector.num_envs
        self.single_action_space = self.vector.single_action_space
        self.single_observation_space = self.vector.single_observation_space
        self._size = self._sizes()
        self._low, self._range = self._action_bounds()
        self.returns: list[tuple[int, float]] = []
        self._running = np.zeros(self.num_envs)
        self._steps = 0

    def _sizes(self) -> Any:
        """What observations are divided by; those that are no vectors become one-hot."""
        space = self.single_observation_space
        if isinstance(space, spaces.Box):
            high = space.high.reshape(-1)
            return np.where(np.isfinite(high) & (high < 1e6), np.maximum(high, 1e-6), 1.0)
        try:
            return np.ones(flatdim(space))
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"{self.name}: observations are {space}, which have no fixed length; expected a "
                "Box, or a space that gymnasium.spaces.utils.flatten makes one of."
            ) from error

    def _action_bounds(self) -> tuple[Any, Any]:
        space: Any = self.single_action_space
        bounded = isinstance(space, spaces.Box) and np.isfinite([space.low, space.high]).all()
        return (space.low, space.high - space.low) if bounded else (None, None)

    @property
    def action_size(self) -> int:
        """Columns A of an action as features: one for each choice, or each number.

        Raises:
            ConfigError: actions of another kind.

        """
        space = self.single_action_space
        if isinstance(space, spaces.Discrete):
            return int(space.n)
        if (choices := self.choices) is not None:
            return int(choices.sum())
        if isinstance(space, spaces.Box):
            return int(torch.Size(space.shape or ()).numel())
        raise ConfigError(
            f"{self.name}: actions are {space}; expected Discrete, MultiDiscrete, MultiBinary or a "
            "Box. Wrap it: gymnasium.wrappers.TransformAction."
        )

    @property
    def choices(self) -> Any:
        """[C] sizes of several choices at once (MultiDiscrete, MultiBinary); None of others."""
        space: Any = self.single_action_space
        if isinstance(space, spaces.MultiDiscrete):
            return space.nvec.reshape(-1)
        if isinstance(space, spaces.MultiBinary):
            return np.full(int(np.prod(space.shape)), 2)
        return None

    def tensor(self, obs: Any) -> Tensor:
        """[N, D] observations of `vector` as the policy sees them."""
        space = self.single_observation_space
        if not isinstance(space, spaces.Box):
            rows = iterate(self.vector.observation_space, obs)
            obs = np.stack([np.asarray(flatten(space, row)) for row in rows])
        return self.flat(obs)

    def flat(self, obs: Any) -> Tensor:
        """[S, D] of S observations that are vectors; scaled."""
        rows = np.asarray(obs).reshape(len(obs), -1) / self._size
        return torch.from_numpy(rows.astype(np.float32))

    def raw_actions(self, actions: Tensor) -> Any:
        """Actions [N] or [N, A] of a policy as `vector` takes them.

        Raises:
            ConfigError: actions without bounds, which our policies have no way to reach.

        """
        space, raw = self.single_action_space, actions.numpy()
        if isinstance(space, spaces.Discrete):
            return raw + space.start
        if self.choices is not None:
            shaped = raw.reshape(self.num_envs, *(space.shape or ()))
            return (shaped + getattr(space, "start", 0)).astype(space.dtype)
        if self._range is None:
            raise ConfigError(
                f"{self.name}: actions are {space}; expected Discrete or a bounded Box. Wrap it: "
                "gymnasium.wrappers.RescaleAction, or an agent of your own."
            )
        unit = (raw.reshape(self.num_envs, *self._low.shape) + 1) / 2
        return (self._low + unit * self._range).astype(self._low.dtype)

    def unit_actions(self, raw: Any) -> Tensor:
        """Reverse of `raw_actions`; those without bounds stay as they are."""
        space = self.single_action_space
        if isinstance(space, spaces.Discrete):
            return torch.from_numpy(np.asarray(raw) - space.start).long()
        if self.choices is not None:
            chosen = np.asarray(raw).astype(np.int64) - getattr(space, "start", 0)
            return torch.from_numpy(chosen.reshape(len(chosen), -1))
        found = np.asarray(raw, dtype=np.float32)
        if self._range is not None:
            found = 2 * (found - self._low) / np.maximum(self._range, 1e-12) - 1
        return torch.from_numpy(found.reshape(len(found), -1).astype(np.float32))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """First observations [N, D]."""
        # Gymnasium hands seed + i to copy i, which must stay below 2**32.
        small = None if seed is None else seed % 2**31
        obs, _ = self.vector.reset(seed=small, options=options)
        self._running[:] = 0
        return self.tensor(obs), {}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Observations, rewards, terminations, truncations [N]; info with `final_obs`."""
        obs, reward, terminated, truncated, info = self.vector.step(self.raw_actions(actions))
        self._steps += self.num_envs
        self._running += reward
        done = terminated | truncated
        facts: dict[str, Any] = {}
        shown = self.tensor(obs)
        if done.any():
            self.returns += [(self._steps, float(value)) for value in self._running[done]]
            self._running[done] = 0
            facts["final_obs"] = self.final(shown, info, done)
        ended, cut = (torch.from_numpy(np.array(x)) for x in (terminated, truncated))
        return shown, torch.from_numpy(np.float32(reward)), ended, cut, facts

    def final(self, shown: Tensor, info: dict[str, Any], done: Any) -> Tensor:
        """[N, D] last observations of the episodes that ended; of the others, what is shown."""
        last = shown.clone()
        space = self.single_observation_space
        for row in np.flatnonzero(done):
            raw = flatten(space, info["final_obs"][row])
            last[row] = self._row(torch.from_numpy(np.float32(raw / self._size)))
        return last

    def _row(self, flat: Tensor) -> Tensor:
        """One flattened and scaled observation [D] as the policy sees it."""
        return flat

    def close(self) -> None:
        """Free the copies."""
        self.vector.close()
