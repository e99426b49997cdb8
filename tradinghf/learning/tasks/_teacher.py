"""Who ranks fragments: simulated teachers, by the task's own reward, and functions of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import ConfigError, check_setting
from tradinghf.learning.tasks._fragments import Fragments


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


Ranker = Teacher | Callable[[Fragments], Any]
"""Who ranks [B, K] fragments: 1 = best, equal = tied."""


def ranks_of(ranker: Any, shown: Fragments, generator: torch.Generator) -> Tensor:
    """[B, K] checked ranks of [B, K] fragments.

    Args:
        ranker: with a method `rank(rewards [B, K, l], generator)`, or a function of the fragments.
        shown: what is ranked.
        generator: of noise and mistakes.

    Raises:
        ConfigError: it gives something else than a whole number of 1 or more for each fragment.

    """
    rank = getattr(ranker, "rank", None)
    found = ranker(shown) if rank is None else rank(shown.rewards, generator)
    wanted = tuple(shown.mask.shape[:-1])
    try:
        ranks = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"The teacher's ranks are {found!r:.80}; expected an array of whole numbers of 1 or "
            f"more, 1 = best, of shape {wanted}."
        ) from error
    whole = ranks.shape == wanted and bool((ranks == ranks.round()).all() & (ranks >= 1).all())
    if not whole:
        raise ConfigError(
            f"The ranks of {wanted[0]} questions are {ranks.tolist()!r:.80}; expected whole "
            f"numbers of 1 or more, 1 = best, of shape {wanted}."
        )
    return ranks.long()
