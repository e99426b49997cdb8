"""Acting with a memory: what a rollout carries from step to step besides observations."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo._network import PackedActorCritic


class MemoryForward:
    """Outputs of an actor-critic with a memory, which goes on from rollout to rollout.

    Args:
        network: with a memory.

    Attributes:
        first: [N, H] the memory before the first observation of the last rollout.

    """

    def __init__(self, network: PackedActorCritic) -> None:
        self._network, self._unit = network, memory_of(network)
        self.first: Tensor = self._unit.blank(0)
        self._memory = self.first

    def begin(self, count: int, *, blank: bool) -> None:
        """A rollout of N environments begins; `blank`: so do their episodes."""
        if blank or len(self._memory) != count:
            self._memory = self._unit.blank(count)
        self.first = self._memory

    def products(self) -> AbstractContextManager[None]:
        """Nothing: see `CompiledForward.products`."""
        return nullcontext()

    def __call__(self, obs: Tensor, copy: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs of the actor [N, O] and the critics [N, C] at `obs` [N, D].

        Args:
            obs: what they see.
            copy: [N, D], written: the same numbers; then they are remembered, else only judged.

        """
        memory = self._unit.step(obs, self._memory)
        if copy is not None:
            copy.copy_(obs)
            self._memory = memory
        return self._network.policy_out(memory), self._network.value_out(memory)

    def draw(self, out: Tensor, noise: Tensor) -> Tensor:
        """See `PackedActorCritic.draw`."""
        return self._network.draw(out, noise)

    def log_prob(self, out: Tensor, raw: Tensor) -> Tensor:
        """See `PackedActorCritic.log_prob`."""
        return self._network.log_prob(out, raw)

    def forget(self, ended: Tensor) -> None:
        """Blank the memory of the episodes that ended [N]."""
        self._memory = self._memory * (~ended)[:, None]


def memory_of(network: PackedActorCritic) -> Any:
    """The memory of a network that has one."""
    unit = network.network.memory
    assert unit is not None
    return unit


def begins_of(ended: Tensor) -> Tensor:
    """[L, N] which observations of a rollout begin an episode, from where episodes ended [L, N].

    Not those of its first step: the memory before it is already blank where they do.
    """
    return torch.cat([torch.zeros_like(ended[:1]), ended[:-1]])


def seen_by(network: ActorCritic, obs: Tensor, ended: Tensor) -> Tensor:
    """What actor and critics see of observations [L, N, D] that begin episodes, or memories.

    Args:
        network: of any kind.
        obs: in order of time.
        ended: [L, N] where episodes ended.

    """
    unit = network.memory
    if unit is None:
        return obs
    return unit.through(obs, unit.blank(obs.shape[1]), begins_of(ended))


def check_reference(network: ActorCritic, config: PPOConfig, *, whole_episodes: bool) -> None:
    """Whether a reference policy can be asked what it would have done.

    Raises:
        ConfigError: it has a memory of its own, which rollouts of parts of episodes do not know.

    """
    if network.memory is not None and config.reference_kl > 0 and not whole_episodes:
        raise ConfigError(
            f"PPOConfig.reference_kl is {config.reference_kl} with network='gru'; expected 0 where "
            "rollouts are no whole episodes: the reference's memory of what came before is unknown."
        )
