"""Rankings as choices: the data that every linear reward head is fitted to.

A ranking of K episodes is a chain of choices "which group is best among what is left"
(Davidson-Luce). With worth linear in features, each choice is a conditional logit whose options
are groups of episodes, with the group's mean features and, for groups larger than one, a tie term.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.feedback.likelihoods import subset_bits


@dataclass(frozen=True, eq=False)
class Choices:
    """C choices among up to O options described by P features.

    Attributes:
        features: [C, O, P] features of each option, minus those of the chosen one.
        available: [C, O] which options could have been chosen.
        ranking: [C] index of the ranking that the choice belongs to.
        weight: [C] how much the choice counts (rater trust, composite weights).

    """

    features: Tensor
    available: Tensor
    ranking: Tensor
    weight: Tensor

    def select(self, rankings: Tensor) -> Choices:
        """Choices of the rankings whose [R] boolean entry is True."""
        keep = rankings[self.ranking]
        return Choices(
            self.features[keep], self.available[keep], self.ranking[keep], self.weight[keep]
        )

    def log_likelihood(self, weights: Tensor, noise: float = 0.0) -> Tensor:
        """[C] log-probability of what was chosen, under weights [P]."""
        logits = (self.features @ weights).masked_fill(~self.available, -torch.inf)
        log_p = -logits.logsumexp(-1)
        if noise == 0:
            return log_p
        options = self.available.sum(-1)
        return torch.log((1 - noise) * log_p.exp() + noise / options)


def choices_from_rankings(totals: Tensor, ranks: Tensor, mask: Tensor, weight: Tensor) -> Choices:
    """Unroll rankings into choices.

    Args:
        totals: [R, K, P] features of each ranked episode.
        ranks: [R, K] integers, 1 = best, equal = tied.
        mask: [R, K] False where a ranking has fewer episodes.
        weight: [R] weight of each ranking.

    Returns:
        Choices with P+1 features; the last is the tie term, zero when no ties were seen.

    """
    count, features = totals.shape[1:]
    same = (ranks[:, :, None] == ranks[:, None, :]) & mask[:, :, None] & mask[:, None, :]
    largest = int(same.sum(-1).max()) if ranks.numel() else 1
    bits = torch.tensor(subset_bits(count, largest), dtype=totals.dtype)
    sizes = bits.sum(-1)
    group = torch.einsum("sk,rkp->rsp", bits / sizes[:, None], totals * mask[..., None])
    tie = (sizes - 1).expand(len(totals), -1)[..., None]
    group = torch.cat([group, tie], dim=-1)  # [R, S, P+1]

    parts: list[Choices] = []
    left = mask.clone()
    for _ in range(count):
        best = ranks.masked_fill(~left, torch.iinfo(ranks.dtype).max).amin(-1, keepdim=True)
        chosen = left & (ranks == best)
        available = (~left).to(bits) @ bits.T == 0
        exact = chosen.to(bits)
        picked = (exact @ bits.T == sizes) & (exact.sum(-1, keepdim=True) == sizes)
        rows = torch.nonzero(left.sum(-1) > 1).squeeze(-1)
        target = picked[rows].to(torch.int8).argmax(-1)
        options = group[rows]
        reference = options.gather(1, target[:, None, None].expand(-1, 1, features + 1))
        parts.append(Choices(options - reference, available[rows], rows, weight[rows]))
        left = left & ~chosen
    return Choices(
        torch.cat([p.features for p in parts]),
        torch.cat([p.available for p in parts]),
        torch.cat([p.ranking for p in parts]),
        torch.cat([p.weight for p in parts]),
    )
