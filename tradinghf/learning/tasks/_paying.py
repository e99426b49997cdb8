"""What environments have in common that pay agents something else than their own reward."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from tradinghf.errors import ConfigError


class PayingEnv(VectorEnv[Any, Any, Any]):
    """A vector environment in NumPy that pays what was learned: `PaidEnv`, or one of a market.

    `info["task_reward"]` [N] is the environment's own reward, `info["episode"]` its sum over an
    episode that ended, as of Gymnasium's `RecordEpisodeStatistics`. Ended episodes begin again in
    the same step; `info["final_obs"]` has their last observations.

    Attributes:
        name: of the task.
        steps: environment steps so far.
        remembers: whether `paid_again` will be called; set by an agent that remembers steps.
        late: steps of each environment after which a learner asks for their pay (`paid_again`),
            which until then is 0; 0: every step is paid at once. None: it cannot be otherwise.

    """

    name = "the task"
    remembers = False
    late: int | None = None

    def __init__(self, inner: VectorEnv[Any, Any, Any]) -> None:
        self.num_envs, self.render_mode, self.spec = inner.num_envs, inner.render_mode, inner.spec
        self.single_observation_space = inner.single_observation_space
        self.single_action_space = inner.single_action_space
        self.observation_space, self.action_space = inner.observation_space, inner.action_space
        self.metadata = inner.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.steps = 0
        self._sum, self._length = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=np.int64)

    @property
    def autoreset_mode(self) -> AutoresetMode:
        """How episodes begin again, for libraries that ask the environment itself (TorchRL)."""
        found: AutoresetMode = self.metadata["autoreset_mode"]
        return found

    @property
    def repays(self) -> bool:
        """Whether a step by itself says what it is paid: `pay` can be called."""
        return False

    def pay(self, obs: Any, actions: Any) -> Any:
        """[S] what earlier steps would be paid now, where `repays`."""
        raise RuntimeError(f"A step of {self.name} does not say by itself what it is paid.")

    def paid_again(self, count: int) -> Any:
        """[count, N] what the last `count` steps would be paid now; None: `pay` says, or nobody."""
        return None

    def teach(self, agent: Any, stop: int) -> None:
        """Let an `Agent` learn until `stop` steps were taken here; nothing where they were.

        Raises:
            ConfigError: it takes no steps here.

        """
        before = self.steps
        if stop <= before:
            return
        agent.learn(stop - before)
        if self.steps == before:
            raise ConfigError(
                f"The agent {type(agent).__name__} was to learn for {stop - before:,} steps "
                "and took none in its environment; expected it to step the environment it was "
                "given. Train in `envs`, not in one of your own."
            )

    def _begin_count(self) -> None:
        self._sum[:], self._length[:] = 0, 0

    def _told(self, info: dict[str, Any], own: Any, done: Any) -> dict[str, Any]:
        """`info` with the own reward, and its sums over the episodes that ended."""
        self.steps += self.num_envs
        self._sum, self._length = self._sum + own, self._length + 1
        told = {**info, "task_reward": np.array(own)}
        if done.any():
            told |= {"episode": {"r": self._sum.copy(), "l": self._length.copy()}, "_episode": done}
            self._sum[done], self._length[done] = 0, 0
        return told
