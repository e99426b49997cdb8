"""Rankings as choices: the data that every linear reward head is fitted to.

A ranking of K episodes is a chain of choices "which group is best among what is left"
(Davidson-Luce). With worth linear in features, each choice is a conditional logit whose options
are groups of episodes, with the group's mean features and, for groups larger than one, a tie term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.feedback.likelihoods import subset_bits

RATING_PAIRS = 4


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

    def scaled(self, factor: Tensor) -> Choices:
        """The same choices with the features (not the tie term) times `factor` [C]."""
        features = torch.cat(
            [self.features[..., :-1] * factor[:, None, None], self.features[..., -1:]], dim=-1
        )
        return Choices(features, self.available, self.ranking, self.weight)

    def of(self, columns: Tensor) -> Choices:
        """The same choices with some of the features only."""
        return Choices(self.features[..., columns], self.available, self.ranking, self.weight)

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
    largest = max(int(same.sum(-1).max()), 1) if ranks.numel() else 1
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


def choices_from_ratings(
    totals: Tensor, ratings: Tensor, ranking: Tensor, weight: float
) -> Choices:
    """Ratings as comparisons: an episode rated higher is preferred, in whatever window.

    Each episode is compared with up to RATING_PAIRS others, spread over the rater's whole
    history; together the comparisons count `weight` per rated episode.

    Args:
        totals: [n, P] features of the rated episodes of one rater.
        ratings: [n] integers; only their order is used, so raters may use the scale differently.
        ranking: [n] index of the ranking that each rating came with.
        weight: of ratings against rankings.

    Returns:
        Choices between two options, with P+1 features (the tie term is zero).
    Source: ordinal comparison of ratings, Joachims 2002 (KDD), section 4.

    """
    count = len(ratings)
    strides = {max(1, round(count * k / (RATING_PAIRS + 1))) for k in range(1, RATING_PAIRS + 1)}
    first = torch.arange(count).repeat(len(strides))
    second = (first + torch.tensor(sorted(strides)).repeat_interleave(count)) % count
    higher = ratings[first] > ratings[second]
    lower = ratings[first] < ratings[second]
    better = torch.cat([first[higher], second[lower]])
    worse = torch.cat([second[higher], first[lower]])
    gap = totals[worse] - totals[better]
    options = torch.stack([torch.zeros_like(gap), gap], dim=1)
    share = weight * count / max(len(gap), 1)
    return Choices(
        torch.cat([options, torch.zeros_like(options[..., :1])], dim=-1),
        torch.ones(len(gap), 2, dtype=torch.bool),
        ranking[better],
        torch.full((len(gap),), share, dtype=totals.dtype),
    )


def join(parts: Sequence[Choices]) -> Choices:
    """All choices together; those with fewer options are padded."""
    widest = max(part.features.shape[1] for part in parts)
    features, available = [], []
    for part in parts:
        missing = widest - part.features.shape[1]
        features.append(torch.nn.functional.pad(part.features, (0, 0, 0, missing)))
        available.append(torch.nn.functional.pad(part.available, (0, missing)))
    return Choices(
        torch.cat(features),
        torch.cat(available),
        torch.cat([part.ranking for part in parts]),
        torch.cat([part.weight for part in parts]),
    )


def rater_trust(choices: Choices, owner: Tensor, weights: Tensor, prior: float) -> Tensor:
    """How far each rater's choices follow the common weights.

    Rater u's worth is α_u times the common one: 1 is typical, 0 answers at random, a negative
    value reverses. α_u is the posterior mode under a Gaussian prior around 1.

    Args:
        choices: of all raters.
        owner: [C] rater of each choice, 0..U-1.
        weights: [P+1] common weights.
        prior: standard deviation of the prior.

    Returns:
        [U] α.

    """
    count = int(owner.max()) + 1
    slope = choices.features[..., :-1] @ weights[:-1]  # [C, O]
    tie = choices.features[..., -1] * weights[-1]
    alpha = torch.ones(count, dtype=slope.dtype)
    for _ in range(25):
        logits = (alpha[owner][:, None] * slope + tie).masked_fill(~choices.available, -torch.inf)
        share = logits.softmax(-1)
        mean = (share * slope).sum(-1)
        spread = (share * slope.square()).sum(-1) - mean.square()
        gradient = torch.zeros_like(alpha).index_add_(0, owner, -choices.weight * mean)
        curvature = torch.zeros_like(alpha).index_add_(0, owner, choices.weight * spread)
        step = (gradient - (alpha - 1) / prior**2) / (curvature + 1 / prior**2)
        alpha = alpha + step.clamp(-1, 1)
        if bool(step.abs().max() < 1e-9):
            break
    return alpha
