"""Fragments of episodes: what is ranked, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.tasks._experience import Experience


@dataclass(frozen=True, eq=False)
class Fragments:
    """Pieces of episodes, in a table of any shape.

    Attributes:
        features: [.., l, D + A] observations and actions; 0 after a fragment's end.
        rewards: [.., l] the task's own reward, 0 after the end; only teachers may look.
        mask: [.., l] False after the end of a fragment in which the episode terminated.

    """

    features: Tensor
    rewards: Tensor
    mask: Tensor

    @classmethod
    def at(cls, episodes: Experience, start: Tensor, length: int) -> Fragments:
        """The fragments that begin at rows `start` [..], of `length` steps or until the end."""
        left, _ = episodes.left
        steps = torch.arange(length)
        mask = steps < left[start][..., None]
        rows = (start[..., None] + steps).clamp(max=len(left) - 1)
        rewards = torch.where(mask, episodes.rewards[rows], 0.0)
        features = episodes.features[rows] * mask[..., None]
        return cls(features, rewards, mask)

    def join(self, other: Fragments, dim: int = 0) -> Fragments:
        """Both, one after the other along `dim`."""
        names = ("features", "rewards", "mask")
        return Fragments(*(torch.cat([getattr(x, n) for x in (self, other)], dim) for n in names))

    def __getitem__(self, index: tuple[Tensor, Tensor]) -> Fragments:
        """Some of the table."""
        return Fragments(self.features[index], self.rewards[index], self.mask[index])

    @property
    def lengths(self) -> Tensor:
        """[..] steps of each fragment."""
        return self.mask.sum(-1)


Sampler = Callable[[Experience, int, tuple[int, ...], torch.Generator], Fragments]
"""(episodes, most steps, shape of the table, generator) to fragments."""


def uniform_fragments(
    episodes: Experience, length: int, shape: tuple[int, ...], generator: torch.Generator
) -> Fragments:
    """Draw fragments uniformly over all steps at which one can begin.

    It has `length` steps, or fewer where the task ends within it. None is cut short by a time
    limit or by the end of the record: that would look like an early end.

    Args:
        episodes: S steps.
        length: most steps l.
        shape: of the table.
        generator: of the draws.

    Raises:
        ConfigError: no episode is long enough.

    """
    left, terminates = episodes.left
    begins = ((left >= length) | terminates).nonzero().squeeze(-1)
    if not len(begins):
        raise ConfigError(
            f"Fragments of {length} steps, but the longest episode has {int(left.max())}; expected "
            "fragments that fit into an episode. Set TaskConfig(fragment=...)."
        )
    drawn = torch.randint(len(begins), shape, generator=generator)
    return Fragments.at(episodes, begins[drawn], length)
