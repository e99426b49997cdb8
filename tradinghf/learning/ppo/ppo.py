"""Proximal policy optimisation with several reward streams, one critic each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy.networks import ActorCritic
from tradinghf.learning.ppo.distributed import ALONE, Group
from tradinghf.learning.ppo.rollout import TensorVectorEnv, flat_obs
from tradinghf.learning.ppo.trainer import Metrics, Stream, Trainer


@dataclass(eq=False)
class PPO:
    """Trains an actor-critic on a vector environment.

    With `whole_episodes`, every rollout starts afresh from a seed that depends on (seed,
    iteration) only, so an iteration is a function of the network, the optimiser and its number:
    a run continues bit-identically from a checkpoint of these alone.

    Attributes:
        env: vector environment over tensors, autoreset in the same step.
        streams: name -> reward stream; the critic's output s belongs to the s-th.
        network: created from the environment when not given.
        steps: rollout length L; the environment's horizon when it has one.
        seed: of everything random.
        group: processes that train the same policy (`tradinghf.learning.ppo.distributed`).

    """

    env: TensorVectorEnv
    streams: Mapping[str, Stream]
    config: PPOConfig = field(default_factory=PPOConfig)
    network: ActorCritic | None = None
    steps: int | None = None
    seed: int = 0
    group: Group = ALONE

    def __post_init__(self) -> None:
        obs = flat_obs(self.env, self.env.reset(seed=self.seed)[0])
        if self.network is None:
            self.network = network_for(self.env, obs, len(self.streams), self.config, self.seed)
        self.network.to(obs.device)
        self._trainer = Trainer(
            self.env,
            self.streams,
            self.config,
            [self.network],
            [self.seed],
            self.steps,
            obs,
            self.group,
        )
        self.steps = self._trainer.steps

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return self._trainer.iteration

    @property
    def whole_episodes(self) -> bool:
        """Whether every rollout is one whole episode per environment."""
        return self._trainer.whole_episodes

    @property
    def scale(self) -> Tensor:
        """[S] running scale of each stream's returns."""
        return self._trainer.scale[0]

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration in all processes, L·N."""
        return self._trainer.steps * self.env.num_envs * self.group.size

    def weigh(self, stream: str, weight: float) -> None:
        """Change the weight of a reward stream from the next iteration on."""
        self._trainer.weigh(stream, weight)

    def freeze_reference(self) -> None:
        """Make the present policy the one that `reference_kl` refers to."""
        self._trainer.freeze_reference()

    def train(
        self,
        iterations: int,
        *,
        total: int | None = None,
        after: Callable[[PPO, Metrics], None] | None = None,
    ) -> list[Metrics]:
        """Run iterations.

        Args:
            iterations: how many to run now.
            total: length of the whole schedule (learning rate, entropy); default: until the end
                of this call.
            after: called after each iteration with its metrics (progress, logging, checkpoints).

        Returns:
            One dict of metrics per iteration.

        Raises:
            CheckpointError: gradients were not finite in three iterations in a row.

        """
        total = total or self.iteration + iterations
        history = []
        for _ in range(iterations):
            learned = self._trainer.iterate(min(self.iteration / max(total - 1, 1), 1.0))[0]
            metrics = {"step": float(self.iteration * self.steps_per_iteration), **learned}
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


def network_for(
    env: TensorVectorEnv, obs: Tensor, streams: int, config: PPOConfig, seed: int
) -> ActorCritic:
    """A fresh network with the environment's input and action sizes; its weights from a seed.

    Raises:
        ConfigError: actions are neither Discrete nor a Box, or there is no window to attend to.

    """
    space: Any = getattr(env, "single_action_space")  # noqa: B009
    discrete = isinstance(space, spaces.Discrete)
    if not discrete and not isinstance(space, spaces.Box):
        raise ConfigError(
            f"PPO has no policy for actions {space}; expected Discrete or Box. A portfolio needs "
            'EnvConfig(actions="continuous").'
        )
    actions = int(space.n) if discrete else int(torch.Size(space.shape).numel())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ActorCritic(
            int(obs.shape[-1]),
            actions,
            streams,
            config.hidden,
            discrete,
            config.shared,
            config.head,
            _window(env) if config.network == "attention" else None,
        )
    return network.to(obs.device)


def _window(env: TensorVectorEnv) -> tuple[int, int]:
    """(W, F') bars and features of the market part that the environment's observations begin with.

    Raises:
        ConfigError: the environment has no such part.

    """
    observer = getattr(getattr(env, "dynamics", None), "observer", None)
    if observer is None:
        raise ConfigError(
            f"PPOConfig(network='attention') attends to the bars of a market; {type(env).__name__} "
            "shows none. Use network='mlp'."
        )
    return observer.lookback, observer.width


__all__ = ["PPO", "Metrics", "Stream", "network_for"]
