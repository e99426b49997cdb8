"""Fragments of episodes, and a simulated teacher who ranks them by their true return."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.errors import check_setting
from tradinghf.learning.tasks._env import Experience


@dataclass(frozen=True, eq=False)
class Fragments:
    """Pieces of episodes, in a table of any shape.

    Attributes:
        features: [.., l, D + A] observations and actions.
        rewards: [.., l] the task's own reward; only teachers may look.

    """

    features: Tensor
    rewards: Tensor

    def join(self, other: Fragments, dim: int = 0) -> Fragments:
        """Both, one after the other along `dim`."""
        return Fragments(
            torch.cat([self.features, other.features], dim),
            torch.cat([self.rewards, other.rewards], dim),
        )


def cut(
    episodes: Experience, length: int, shape: tuple[int, ...], generator: torch.Generator
) -> Fragments:
    """Draw a table of fragments of `length` steps, uniformly over episodes and starts."""
    horizon, envs = episodes.rewards.shape
    start = torch.randint(horizon - length + 1, (*shape, 1), generator=generator)
    rows = start + torch.arange(length)
    env = torch.randint(envs, (*shape, 1), generator=generator)
    return Fragments(episodes.features[rows, env], episodes.rewards[rows, env])


@dataclass(frozen=True)
class Teacher:
    """B-Pref's simulated teachers, extended from pairs to rankings.

    Attributes:
        rationality: β of Plackett-Luce on returns [1 / reward units]; infinite is the oracle.
        mistake: probability that a whole ranking is reversed (of a pair: flipped).
        tie: neighbours whose returns differ by at most this are ranked equal [reward units].
        myopia: γ; a fragment's last steps count most.
    Source: Lee et al. 2021, B-Pref (arXiv:2111.03026), section 3.

    """

    rationality: float = math.inf
    mistake: float = 0.0
    tie: float = 0.0
    myopia: float = 1.0

    def __post_init__(self) -> None:
        check_setting(self.rationality > 0, "Teacher.rationality", self.rationality, "above 0")
        check_setting(0 <= self.mistake <= 1, "Teacher.mistake", self.mistake, "in [0, 1]")
        check_setting(self.tie >= 0, "Teacher.tie", self.tie, "at least 0")
        check_setting(0 < self.myopia <= 1, "Teacher.myopia", self.myopia, "in (0, 1]")

    def rank(self, rewards: Tensor, generator: torch.Generator) -> Tensor:
        """Rank groups of fragments.

        Args:
            rewards: [B, K, l] true rewards.
            generator: of noise and mistakes.

        Returns:
            [B, K] ranks, 1 = best, equal = tied.

        """
        steps = rewards.shape[-1]
        weight = self.myopia ** torch.arange(steps - 1, -1, -1, dtype=torch.float64)
        worth = (rewards.double() * weight).sum(-1)
        if math.isfinite(self.rationality):
            noise = torch.rand(worth.shape, generator=generator, dtype=torch.float64)
            worth = worth - (-noise.clamp(1e-300).log()).log() / self.rationality
        wrong = torch.rand(len(worth), generator=generator) < self.mistake
        worth = torch.where(wrong[:, None], -worth, worth)
        ordered, order = worth.sort(-1, descending=True)
        apart = (ordered[:, :-1] - ordered[:, 1:] > self.tie).long()
        ranks = torch.nn.functional.pad(apart.cumsum(-1), (1, 0)) + 1
        return torch.empty_like(ranks).scatter_(-1, order, ranks)
