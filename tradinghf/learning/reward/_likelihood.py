"""How likely is an answer, given how much each episode is worth to the trader? With ties.

Davidson-Luce: the best group is chosen among all groups S of what is left, with probability
proportional to tie^(|S|-1) · exp(mean of the scores in S); then the next group, and so on. Without
ties (tie -> 0) this is Plackett-Luce; for two episodes it is Davidson's model with ν = tie.

Source: Turner, van Etten, Firth & Kosmidis 2020 (Comput. Stat.), section 2.2; Davidson 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from tradinghf.errors import FeedbackError
from tradinghf.feedback import MAX_PANELS


@lru_cache(maxsize=64)
def _subsets(size: int, largest: int) -> tuple[tuple[int, ...], ...]:
    rows = (tuple(code >> i & 1 for i in range(size)) for code in range(1, 2**size))
    return tuple(row for row in rows if sum(row) <= largest)


def tied_groups(size: int, largest: int) -> Tensor:
    """[S, K] 0 or 1: the groups of at most `largest` among K episodes that may be called best.

    Raises:
        FeedbackError: more than MAX_PANELS episodes, whose groups would fill the memory.

    """
    if size > MAX_PANELS:
        raise FeedbackError(f"A ranking of {size} episodes; at most {MAX_PANELS} are supported.")
    return torch.tensor(_subsets(size, largest), dtype=torch.float64)


def largest_tie(ranks: Tensor, mask: Tensor) -> int:
    """Size of the largest tied group of rankings [B, K]."""
    same = (ranks[:, :, None] == ranks[:, None, :]) & mask[:, :, None] & mask[:, None, :]
    return max(int(same.sum(-1).max()), 1) if ranks.numel() else 1


@dataclass(frozen=True, eq=False)
class Stage:
    """One choice out of each of B rankings: which of S groups is the best of what is left.

    Attributes:
        available: [B, S] groups that could be chosen.
        picked: [B, S] the one that was.
        open: [B] whether there was more than one episode left to choose from.

    """

    available: Tensor
    picked: Tensor
    open: Tensor


def stages(ranks: Tensor, mask: Tensor, groups: Tensor) -> Iterator[Stage]:
    """The chain of choices that rankings [B, K] consist of, the best group first.

    Args:
        ranks: [B, K] integers, 1 = best, equal = tied; any gaps are fine.
        mask: [B, K] False where a ranking has fewer than K episodes.
        groups: [S, K] as from `tied_groups`.

    """
    sizes, left = groups.sum(-1), mask
    for _ in range(ranks.shape[1]):
        best = ranks.masked_fill(~left, torch.iinfo(ranks.dtype).max).amin(-1, keepdim=True)
        chosen = left & (ranks == best)
        exact = chosen.to(groups)
        picked = (exact @ groups.T == sizes) & (exact.sum(-1, keepdim=True) == sizes)
        available = (~left).to(groups) @ groups.T == 0
        yield Stage(available, picked, left.sum(-1) > 1)
        left = left & ~chosen


class RankingLikelihood:
    """Log-likelihood of given rankings as a function of scores; takes them apart once.

    Args:
        ranks: [B, K] integers, 1 = best, equal = tied; any gaps are fine.
        mask: [B, K] False where a ranking has fewer than K episodes.
        ties: largest group that the model allows; by default the largest seen, at least 2 so
            that ties keep some probability.

    Raises:
        FeedbackError: more than MAX_PANELS episodes in a ranking.

    """

    def __init__(self, ranks: Tensor, mask: Tensor | None = None, ties: int | None = None) -> None:
        mask = torch.ones_like(ranks, dtype=torch.bool) if mask is None else mask
        largest = ties or max(largest_tie(ranks, mask), 2)
        self._groups = tied_groups(ranks.shape[-1], largest).to(ranks.device)
        found = list(stages(ranks, mask, self._groups))
        self._available = torch.stack([stage.available for stage in found])  # [stages, B, S]
        self._picked = torch.stack([stage.picked for stage in found])
        self._open = torch.stack([stage.open for stage in found])  # [stages, B]

    def __call__(self, scores: Tensor, log_tie: Tensor, noise: float = 0.0) -> Tensor:
        """Log-likelihood of each ranking; minus it is convex in (scores, log_tie) without noise.

        Args:
            scores: [..., B, K] worth of each episode.
            log_tie: [...] or scalar log of the tie parameter.
            noise: probability in [0, 1) that a choice was made at random among the available
                groups.

        Returns:
            [..., B] log-likelihoods, differentiable in scores and log_tie.

        """
        groups = self._groups.to(scores)
        sizes = groups.sum(-1)
        worth = scores @ (groups / sizes[:, None]).T + log_tie[..., None, None] * (sizes - 1)
        worth = worth[..., None, :, :]  # [..., stages, B, S]
        log_z = worth.masked_fill(~self._available, -torch.inf).logsumexp(-1)
        log_p = (worth * self._picked).sum(-1) - torch.where(self._open, log_z, 0.0)
        if noise > 0:
            options = self._available.sum(-1).clamp(min=1).to(groups)
            log_p = torch.log((1 - noise) * log_p.exp() + noise / options)
        return torch.where(self._open, log_p, 0.0).sum(-2)


def pair_probabilities(difference: Tensor, log_tie: Tensor) -> Tensor:
    """Davidson: probabilities that the first wins, ties, loses.

    Args:
        difference: [...] s_first - s_second.
        log_tie: scalar log ν.

    Returns:
        [..., 3], summing to 1.
    Source: Davidson 1970 (J. Amer. Statist. Assoc. 65).

    """
    logits = torch.stack([difference / 2, log_tie.expand_as(difference), -difference / 2], dim=-1)
    return logits.softmax(-1)
