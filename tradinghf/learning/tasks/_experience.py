"""What was done in a task: steps, one episode after another, and random behaviour to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.ppo import Rollout
from tradinghf.learning.tasks._env import TaskEnv

_HOLDS = (1, 2, 4, 8, 16)
LONGEST_LOOK = 256
"""Steps of exploration, and of a rollout, where episodes end early or never."""


@dataclass(frozen=True, eq=False)
class Experience:
    """S steps, of one episode after another.

    Attributes:
        obs: [S, D] as the policy saw them.
        actions: [S, A] encoded actions.
        rewards: [S] the task's own reward; only teachers may look.
        terminated: [S] whether the task ended at this step; not by a time limit.
        ended: [S] whether the next row is of another episode, for whatever reason.

    """

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    ended: Tensor

    @classmethod
    def of_rows(
        cls, obs: Tensor, actions: Tensor, rewards: Tensor, terminated: Tensor, truncated: Tensor
    ) -> Experience:
        """A copy of L steps of N environments: [L, N, D], [L, N, A], three times [L, N]."""
        ended = terminated | truncated
        ended[-1] = True
        columns = (obs, actions, rewards, terminated, ended)
        return cls(*(x.transpose(0, 1).flatten(0, 1).clone() for x in columns))

    @classmethod
    def of(cls, rollout: Rollout, env: TaskEnv) -> Experience:
        """A copy of a rollout of our policy."""
        discrete = isinstance(env.single_action_space, spaces.Discrete)
        acted = env.encode(rollout.actions if discrete else rollout.actions.tanh())
        ends = (rollout.terminated, rollout.truncated)
        return cls.of_rows(rollout.obs, acted, rollout.rewards, *ends)

    @classmethod
    def joined(cls, parts: Sequence[Experience]) -> Experience:
        """All episodes, one after another."""
        names = ("obs", "actions", "rewards", "terminated", "ended")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    @property
    def features(self) -> Tensor:
        """[S, D + A] what the reward model sees."""
        return torch.cat([self.obs, self.actions], -1)

    def by_rows(self, paid: Tensor, envs: int) -> Tensor:
        """[L, N] of [S] numbers, where the steps came from N environments."""
        return paid.view(envs, -1).T

    @property
    def left(self) -> tuple[Tensor, Tensor]:
        """[S] steps until the episode's record ends, this one included, and whether it terminates.

        What is cut off, by a time limit or because nothing more was recorded, does not terminate.
        """
        ends = self.ended.nonzero().squeeze(-1)
        here = torch.arange(len(self.ended))
        last = ends[torch.searchsorted(ends, here)]
        return last - here + 1, self.terminated[last]


def explore(env: TaskEnv, seed: int) -> Experience:
    """Uniform random actions, each held for 1 to 16 steps: an episode of each environment.

    Holding makes some of them swing far; white noise alone hardly moves heavy bodies. Freezes the
    environment's units.

    Raises:
        ConfigError: rewards or observations that are not finite.

    """
    generator = torch.Generator().manual_seed(seed)
    obs, _ = env.reset(seed=seed)
    hold = torch.tensor(_HOLDS).repeat(-(-env.num_envs // len(_HOLDS)))[: env.num_envs]
    rows: list[tuple[Tensor, ...]] = []
    actions, early = torch.zeros(env.num_envs), False
    for step in range(env.config.horizon or LONGEST_LOOK):
        if step >= LONGEST_LOOK and early:
            break
        fresh, again = _random_actions(env, generator), step % hold == 0
        again = again if fresh.ndim == 1 else again[:, None]
        actions = fresh if step == 0 else torch.where(again, fresh, actions)
        seen, acted = obs, env.encode(actions)
        obs, reward, terminated, truncated, _ = env.step(actions)
        early = early or bool(terminated.any())
        rows.append((seen, acted, reward, terminated, truncated))
    raw, acted, paid, ended, cut = (torch.stack(column) for column in zip(*rows, strict=True))
    _check_finite(env.name, observation=raw, reward=paid)
    env.standardise(raw)
    return Experience.of_rows(env.standard(raw), acted, paid, ended, cut)


def _random_actions(env: TaskEnv, generator: torch.Generator) -> Tensor:
    """[N] or [N, A] uniform: one choice, several choices, or numbers in [-1, 1]."""
    if isinstance(env.single_action_space, spaces.Discrete):
        return torch.randint(env.action_size, (env.num_envs,), generator=generator)
    if (choices := env.choices) is not None:
        drawn = torch.rand(env.num_envs, len(choices), generator=generator)
        return (drawn * torch.from_numpy(choices)).long()
    return torch.rand(env.num_envs, env.action_size, generator=generator) * 2 - 1


def _check_finite(name: str, **columns: Tensor) -> None:
    """Raise `ConfigError` for numbers [L, N, ..] of the task that are not finite."""
    for what, found in columns.items():
        if not bool(found.isfinite().all()):
            step, env, *_ = (~found.isfinite()).nonzero()[0].tolist()
            raise ConfigError(
                f"{name} gave a {what} that is not finite at step {step} of environment {env}; "
                "expected finite numbers. Look at its step()."
            )
