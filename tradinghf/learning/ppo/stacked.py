"""Many trainings at once: S seeds, reward weights or traders in one batched run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy.policy import ActorCritic
from tradinghf.learning.ppo.ppo import network_for
from tradinghf.learning.ppo.rollout import RewardStream, Rollout, TensorVectorEnv, flat_obs
from tradinghf.learning.ppo.trainer import Metrics, Stream, Trainer


class StackedPPO:
    """PPO for S learners side by side, each as if it trained alone.

    Learner s acts in environments [s*N, (s+1)*N) and equals `PPO(seed=seeds[s])` on N environments
    up to rounding: sums run in another order.

    Args:
        env: S*N environments, autoreset in the same step.
        streams: name -> reward stream; a stream's weight may be one number per learner, and
            `each_its_own` pays every learner by a reward of its own.
        seeds: S seeds.
        config: settings of all.
        networks: S networks; made from the seeds when not given.
        steps: rollout length L; the environment's horizon when it has one.

    Raises:
        ConfigError: the environments cannot be shared out evenly.

    """

    def __init__(
        self,
        env: TensorVectorEnv,
        streams: Mapping[str, Stream],
        seeds: Sequence[int],
        *,
        config: PPOConfig | None = None,
        networks: Sequence[ActorCritic] | None = None,
        steps: int | None = None,
    ) -> None:
        count = len(seeds)
        if count < 1 or env.num_envs % count:
            raise ConfigError(
                f"{env.num_envs} environments cannot be shared out to {count} learners; expected "
                "a multiple."
            )
        config = config or PPOConfig()
        obs = flat_obs(env, env.reset(seed=seeds[0])[0])
        made = networks or [network_for(env, obs, len(streams), config, seed) for seed in seeds]
        self.networks = [network.to(obs.device) for network in made]
        self._trainer = Trainer(env, streams, config, self.networks, seeds, steps, obs)

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return self._trainer.iteration

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration of all learners together, L·S·N."""
        return self._trainer.steps * self._trainer.env.num_envs

    def train(
        self,
        iterations: int,
        *,
        total: int | None = None,
        after: Callable[[StackedPPO, list[Metrics]], None] | None = None,
    ) -> list[list[Metrics]]:
        """Run iterations; arguments as for `PPO.train`.

        Returns:
            Per iteration, one dict of metrics per learner.

        """
        total = total or self.iteration + iterations
        history = []
        for _ in range(iterations):
            metrics = self._trainer.iterate(min(self.iteration / max(total - 1, 1), 1.0))
            history.append(metrics)
            if after is not None:
                after(self, metrics)
        return history

    def state(self) -> dict[str, Any]:
        """Everything that a continuation needs."""
        return self._trainer.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self._trainer.restore(state)


def each_its_own(rewards: Sequence[RewardStream]) -> RewardStream:
    """A reward stream in which learner s of S is paid by rewards[s]: another trader, say."""

    def reward(rollout: Rollout) -> Tensor:
        size = rollout.rewards.shape[1] // len(rewards)
        parts = [
            own(rollout.of_envs(index * size, (index + 1) * size))
            for index, own in enumerate(rewards)
        ]
        return torch.cat(parts, 1)

    return reward
