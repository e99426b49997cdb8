"""A vector environment that pays what was learned: where agents of other libraries train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tradinghf.learning.tasks._env import TaskEnv
from tradinghf.learning.tasks._experience import Experience
from tradinghf.learning.tasks._fragments import Fragments
from tradinghf.learning.tasks._paying import PayingEnv


class StepReward(Protocol):
    """What the loop asks of a learned reward of steps: `TaskReward`, `NetworkReward`."""

    @property
    def ready(self) -> bool:
        """Whether there is something to pay by."""

    def guess(self, pool: Tensor, steps: int) -> Any:
        """Before any answer, for steps [P, D + A] in fragments of `steps`."""

    def fit(self, questions: Fragments, ranks: Tensor, pool: Tensor) -> Any:
        """Learn from rankings [B, K] of fragments; `pool` [P, D + A] gives the unit."""

    def scores(self, fragments: Fragments) -> Tensor:
        """[M, ..] worth of fragments to each member, in log-odds."""

    def rewards(self, features: Tensor, ended: Tensor) -> Tensor:
        """[S] reward of steps [S, D + A], which `ended` [S] divides into episodes."""


@dataclass(frozen=True)
class Pay:
    """What steps are paid: the learned reward, and the task's own.

    The same for every agent: our PPO gives each part a critic of its own, others get their sum.

    Attributes:
        learned: the learned reward, of weight 1.
        env_weight: weight of the task's own reward.
        env_scale: size of the task's own reward in exploration.

    """

    learned: StepReward
    env_weight: float = 0.0
    env_scale: float = 1.0

    def parts(self, features: Tensor, ended: Tensor, own: Tensor) -> Mapping[str, Tensor]:
        """[S] of each part, before weights."""
        parts = {"learned": self.learned.rewards(features, ended)}
        return parts | ({"env": own / self.env_scale} if self.env_weight else {})

    def total(self, features: Tensor, ended: Tensor, own: Tensor) -> Tensor:
        """[S] weighed sum of the parts."""
        parts = self.parts(features, ended, own)
        return parts["learned"] + self.env_weight * parts.get("env", torch.zeros_like(own))


class PaidEnv(PayingEnv):
    """The task with another reward: observations and actions are its own, in NumPy.

    Args:
        env: the task.
        pay: what steps are paid.
        seed: of the first reset that names none.

    """

    def __init__(self, env: TaskEnv, pay: Pay, seed: int = 0) -> None:
        super().__init__(env.vector)
        self.task, self.name, self._pay = env, env.name, pay
        self._first: int | None = seed
        self._shown = torch.zeros(0)
        self._rows: list[tuple[Tensor, ...]] = []
        self._windows: list[Tensor] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes."""
        self._cut()
        if seed is None:
            seed, self._first = self._first, None
        obs, info = self.task.vector.reset(seed=seed, options=options)
        self._shown = self.task.tensor(obs)
        self._windows = [torch.zeros(0) for _ in range(self.num_envs)]
        self._begin_count()
        return obs, info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step, paid by what was learned."""
        obs, own, terminated, truncated, info = self.task.vector.step(actions)
        acted = self.task.encode(self.task.unit_actions(actions))
        done = np.asarray(terminated) | np.asarray(truncated)
        flags = (torch.from_numpy(np.array(x)) for x in (terminated, truncated))
        reward = torch.from_numpy(np.float32(own))
        self._rows.append((self._shown, acted, reward, *flags))
        paid = self._paid(torch.cat([self._shown, acted], -1), reward, torch.from_numpy(done))
        self._shown = self.task.tensor(obs)
        return obs, paid, terminated, truncated, self._told(info, own, done)

    def _paid(self, features: Tensor, own: Tensor, done: Tensor) -> Any:
        """[N] what a step is paid; networks that look back see the episode's last steps."""
        memory = getattr(self._pay.learned, "memory", 0)
        if not memory:
            total = self._pay.total(features, torch.ones_like(done), own)
        else:
            rows = zip(self._windows, features, strict=True)
            windows = [torch.cat([w.view(-1, len(f)), f[None]])[-memory:] for w, f in rows]
            learned: Any = self._pay.learned
            total = learned.latest(windows) + self._pay.env_weight * own / self._pay.env_scale
            ends = zip(windows, done.tolist(), strict=True)
            self._windows = [w[:0] if ended else w for w, ended in ends]
        return total.double().numpy()

    def _cut(self) -> None:
        """Whatever ran is over: nothing recorded goes on in the next step."""
        if self._rows:
            last = self._rows[-1]
            self._rows[-1] = (*last[:4], torch.ones_like(last[4]))

    def taken(self) -> Experience | None:
        """What was done since the last call; None if nothing."""
        if not self._rows:
            return None
        columns = (torch.stack(column) for column in zip(*self._rows, strict=True))
        self._rows = []
        return Experience.of_rows(*columns)

    @property
    def repays(self) -> bool:
        """Whether a step by itself says what it is paid: `pay` can be called."""
        return not getattr(self._pay.learned, "memory", 0) and not self._pay.env_weight

    def pay(self, obs: Any, actions: Any) -> Any:
        """[S] what earlier steps would be paid now; for learners that remember them.

        Args:
            obs: [S, ..] observations of the task.
            actions: [S, ..] actions of the task.

        """
        features = self.task.features_of(obs, actions)
        ends = torch.ones(len(features), dtype=torch.bool)
        return self._pay.total(features, ends, torch.zeros(len(features))).numpy()

    def render(self) -> Any:
        """Pictures of the copies, where they were made to draw."""
        return self.task.vector.render()

    def close_extras(self, **_: Any) -> None:
        """Free the copies."""
        self.task.close()
