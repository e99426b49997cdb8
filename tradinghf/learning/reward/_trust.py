"""How far each rater's answers follow the weights that all raters share."""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.learning.reward._answers import Choices

_STEPS, _TOLERANCE = 25, 1e-9


def rater_trust(choices: Choices, owner: Tensor, weights: Tensor, prior: float) -> Tensor:
    """Factor by which each rater's worth of an episode differs from the common one.

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
    for _ in range(_STEPS):
        logits = (alpha[owner][:, None] * slope + tie).masked_fill(~choices.available, -torch.inf)
        share = logits.softmax(-1)
        mean = (share * slope).sum(-1)
        spread = (share * slope.square()).sum(-1) - mean.square()
        gradient = torch.zeros_like(alpha).index_add_(0, owner, -choices.weight * mean)
        curvature = torch.zeros_like(alpha).index_add_(0, owner, choices.weight * spread)
        step = (gradient - (alpha - 1) / prior**2) / (curvature + 1 / prior**2)
        alpha = alpha + step.clamp(-1, 1)
        if bool(step.abs().max() < _TOLERANCE):
            break
    return alpha
