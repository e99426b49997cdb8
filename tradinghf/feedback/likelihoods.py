"""How likely is an answer, given how much each episode is worth to the trader?

Scores s are [B, K] tensors (K episodes of one query, padded where `mask` is False); every function
returns a log-likelihood per answer [B] and is differentiable in the scores and parameters.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from tradinghf.errors import FeedbackError

MAX_RANKED = 10


@lru_cache(maxsize=64)
def subset_bits(size: int, largest: int) -> tuple[tuple[int, ...], ...]:
    """Non-empty subsets of range(size) with at most `largest` members, as 0/1 rows."""
    rows = (tuple(code >> i & 1 for i in range(size)) for code in range(1, 2**size))
    return tuple(row for row in rows if sum(row) <= largest)


def ranking_log_likelihood(
    scores: Tensor,
    ranks: Tensor,
    log_tie: Tensor,
    *,
    mask: Tensor | None = None,
    noise: float = 0.0,
    largest_tie: int | None = None,
) -> Tensor:
    """Davidson-Luce: the Plackett-Luce likelihood of a ranking, with ties of any size.

    The best group is chosen among all subsets S of what is left, with probability proportional
    to tie^(|S|-1) · exp(mean of the scores in S); then the next group, and so on. Without ties
    (tie -> 0) this is Plackett-Luce; for K = 2 it is Davidson's model with ν = tie. The negative
    log-likelihood is convex in (scores, log_tie) when `noise` is 0.

    Args:
        scores: [..., B, K] worth of each episode.
        ranks: [B, K] integers, 1 = best, equal = tied; any gaps are fine.
        log_tie: [...] or scalar log of the tie parameter.
        mask: [B, K] False where a ranking has fewer than K episodes.
        noise: probability in [0, 1) that a choice was made at random among the available groups.
        largest_tie: largest group size that the model allows; by default the largest seen.

    Returns:
        [..., B] log-likelihoods.

    Raises:
        FeedbackError: more than MAX_RANKED episodes in a ranking.
    Source: Turner, van Etten, Firth & Kosmidis 2020 (Comput. Stat.), section 2.2; Davidson 1970.

    """
    count = scores.shape[-1]
    if count > MAX_RANKED:
        raise FeedbackError(f"A ranking of {count} episodes; at most {MAX_RANKED} are supported.")
    mask = torch.ones_like(ranks, dtype=torch.bool) if mask is None else mask
    if largest_tie is None:
        largest_tie = _largest_tie(ranks, mask)
    bits = torch.tensor(subset_bits(count, largest_tie), dtype=scores.dtype, device=scores.device)
    sizes = bits.sum(-1)
    worth = scores @ (bits / sizes[:, None]).T + log_tie[..., None, None] * (sizes - 1)

    total = torch.zeros(scores.shape[:-1], dtype=scores.dtype, device=scores.device)
    left = mask
    for _ in range(count):
        best = ranks.masked_fill(~left, torch.iinfo(ranks.dtype).max).amin(-1, keepdim=True)
        chosen = left & (ranks == best)
        rest = left & ~chosen
        # A stage is a choice only while something else could have been chosen.
        is_choice = left.sum(-1) > 1
        available = bits @ (~left).to(bits).T == 0  # [S, B]
        log_z = worth.masked_fill(~available.T, -torch.inf).logsumexp(-1)
        picked = (bits @ chosen.to(bits).T == sizes[:, None]) & (
            sizes[:, None] == chosen.sum(-1).to(bits)
        )
        log_p = (worth * picked.T).sum(-1) - torch.where(left.any(-1), log_z, 0.0)
        if noise > 0:
            options = available.sum(0).clamp(min=1).to(bits)
            log_p = torch.log((1 - noise) * log_p.exp() + noise / options)
        total = total + torch.where(is_choice, log_p, 0.0)
        left = rest
    return total


def _largest_tie(ranks: Tensor, mask: Tensor) -> int:
    """Size of the largest tied group, at least 2 so that ties keep some probability."""
    same = (ranks[:, :, None] == ranks[:, None, :]) & mask[:, :, None] & mask[:, None, :]
    return max(2, int(same.sum(-1).max())) if ranks.numel() else 2


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


def rating_log_likelihood(scores: Tensor, ratings: Tensor, cuts: Tensor) -> Tensor:
    """Ordinal logit: P(rating <= c) = sigmoid(cut_c - score).

    Args:
        scores: [B] worth of each episode on the rater's scale.
        ratings: [B] integers 1..C.
        cuts: [C-1] increasing thresholds.

    Returns:
        [B] log-likelihoods.
    Source: McCullagh 1980 (J. R. Statist. Soc. B 42).

    """
    edges = torch.cat([cuts.new_full((1,), -torch.inf), cuts, cuts.new_full((1,), torch.inf)])
    upper = torch.sigmoid(edges[ratings] - scores)
    lower = torch.sigmoid(edges[ratings - 1] - scores)
    return (upper - lower).clamp(min=1e-12).log()
