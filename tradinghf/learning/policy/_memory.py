"""Networks with a memory: a gated recurrent unit over what was observed since the episode began."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tradinghf.errors import ConfigError


class GatedMemory(nn.Module):
    """A tanh layer, and a GRU over time: what actor and critics see in the place of observations.

    Args:
        inputs: D.
        width: H of both.

    Source: Cho et al. 2014 (arXiv:1406.1078), eq. 5 to 8, in torch's form (reset gate after the
    product).

    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.own = nn.Linear(inputs, width)
        self.seen, self.kept = nn.Linear(width, 3 * width), nn.Linear(width, 3 * width)
        for layer, gain in ((self.own, math.sqrt(2)), (self.seen, 1.0), (self.kept, 1.0)):
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)

    def blank(self, count: int) -> Tensor:
        """[N, H] the memory of who has seen nothing."""
        return self.own.weight.new_zeros(count, self.width)

    def step(self, obs: Tensor, memory: Tensor) -> Tensor:
        """Observations [N, D] and the memory [N, H] before them to the memory after them."""
        return self._after(self.seen(self.own(obs).tanh()), memory)

    def through(self, obs: Tensor, memory: Tensor, begins: Tensor) -> Tensor:
        """[L, N, H] memories after each of L observations [L, N, D].

        Args:
            obs: in order of time.
            memory: [N, H] before the first of them.
            begins: [L, N] an episode begins with this observation: its memory is blank.

        """
        rows, kept = [], (~begins)[..., None].to(memory)
        for seen, keep in zip(self.seen(self.own(obs).tanh()), kept, strict=True):
            memory = self._after(seen, memory * keep)
            rows.append(memory)
        return torch.stack(rows)

    def _after(self, seen: Tensor, memory: Tensor) -> Tensor:
        """What was seen [N, 3H] and the memory [N, H] to the next memory."""
        reset, update, new = seen.chunk(3, -1)
        old_reset, old_update, old_new = self.kept(memory).chunk(3, -1)
        share = (update + old_update).sigmoid()
        fresh = (new + (reset + old_reset).sigmoid() * old_new).tanh()
        after: Tensor = fresh + share * (memory - fresh)
        return after


class Remembering:
    """A network with a memory that acts through one run of N episodes, from their first bar on.

    Args:
        network: an `ActorCritic` with a memory.

    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self._memory: Tensor | None = None

    def fresh(self) -> Remembering:
        """Another run, which has seen nothing yet."""
        return Remembering(self.network)

    def state_dict(self) -> Any:
        """The weights."""
        return self.network.state_dict()

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = True, uniform: Tensor | None = None) -> Tensor:
        """Actions at the next observations [N, D] of the run; see `ActorCritic.act`.

        Raises:
            ConfigError: another number of episodes than before.

        """
        unit: GatedMemory = self.network.memory
        before = unit.blank(len(obs)) if self._memory is None else self._memory
        if len(before) != len(obs):
            raise ConfigError(
                f"A policy with a memory got {len(obs)} observations after {len(before)}; expected "
                "the same episodes, in order. Begin another run with policy.fresh()."
            )
        self._memory = unit.step(obs, before)
        found: Tensor = self.network.chosen(self._memory, deterministic, uniform)
        return found


def begun(acting: Any) -> Any:
    """Whoever acts, at the beginning of a run: policies with a memory have seen nothing."""
    fresh = getattr(acting, "fresh", None)
    return acting if fresh is None else fresh()
