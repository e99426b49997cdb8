"""Laplace's approximation of small conditional-logit models with Gaussian priors, many at once."""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.learning.config import AspectConfig
from tradinghf.learning.reward._answers import Choices


def laplace(
    choices: Choices,
    columns: Tensor,
    prior_mean: Tensor,
    precision: Tensor,
    noise: float,
    config: AspectConfig,
) -> tuple[Tensor, Tensor, Tensor]:
    """Newton's method on G models of d weights at once.

    Args:
        choices: what was chosen, and from what.
        columns: [G, d] columns of `Choices.with_blank` that each model uses.
        prior_mean, precision: [G, d] of the Gaussian priors.
        noise: probability that a choice was a slip.
        config: numbers of steps.

    Returns:
        mode [G, d], covariance [G, d, d], log evidence [G].

    """
    design = choices.with_blank[..., columns].permute(2, 0, 1, 3)  # [G, C, O, d]
    blocked = ~choices.available
    mean = prior_mean.clone()
    identity = torch.diag_embed(precision)

    def model(weights: Tensor) -> tuple[Tensor, Tensor]:
        logits = (design @ weights[:, None, :, None]).squeeze(-1)
        logits = logits.masked_fill(blocked, -torch.inf)
        log_z = logits.logsumexp(-1)
        return -log_z, (logits - log_z[..., None]).exp()

    def log_posterior(log_p: Tensor, weights: Tensor) -> Tensor:
        if noise > 0:
            log_p = torch.log((1 - noise) * log_p.exp() + noise / choices.options)
        prior = 0.5 * (precision * (weights - prior_mean).square()).sum(-1)
        return (choices.weight * log_p).sum(-1) - prior

    log_p, share = model(mean)
    value = log_posterior(log_p, mean)
    for _ in range(config.newton_steps):
        gradient, hessian = _derivatives(design, log_p, share, choices, noise)
        gradient = gradient - precision * (mean - prior_mean)
        step = torch.linalg.solve(hessian + identity, gradient)
        improved = torch.zeros_like(value, dtype=torch.bool)
        for _ in range(config.halvings):
            trial = torch.where(improved[:, None], mean, mean + step)
            trial_log_p, trial_share = model(trial)
            better = log_posterior(trial_log_p, trial) >= value - 1e-12
            mean = torch.where((better & ~improved)[:, None], trial, mean)
            improved = improved | better
            if bool(improved.all()):
                break
            step = torch.where(improved[:, None], step, step / 2)
        log_p, share = (trial_log_p, trial_share) if bool(improved.all()) else model(mean)
        previous, value = value, log_posterior(log_p, mean)
        if bool((value - previous).abs().max() < config.tolerance):
            break
    _, hessian = _derivatives(design, log_p, share, choices, noise)
    total = hessian + identity
    evidence = value - 0.5 * torch.logdet(total) + 0.5 * precision.log().sum(-1)
    return mean, torch.linalg.inv(total), evidence


def _genuine(log_p: Tensor, choices: Choices, noise: float) -> Tensor:
    """Weight of each choice times the probability that it was made on purpose."""
    if noise == 0:
        return choices.weight.expand_as(log_p)
    purpose = (1 - noise) * log_p.exp()
    return choices.weight * purpose / (purpose + noise / choices.options)


def _derivatives(
    design: Tensor, log_p: Tensor, share: Tensor, choices: Choices, noise: float
) -> tuple[Tensor, Tensor]:
    """Gradient [G, d] and (expected) negative Hessian [G, d, d] of the log-likelihood."""
    genuine = _genuine(log_p, choices, noise)
    average = (share[..., None, :] @ design).squeeze(-2)  # [G, C, d]
    weighted = average * genuine[..., None]
    flat = design.flatten(1, 2)
    second = flat.mT @ (flat * (genuine[..., None] * share).flatten(1)[..., None])
    return -weighted.sum(1), second - average.mT @ weighted


def score_gain(
    choices: Choices, columns: Tensor, mean: Tensor, covariance: Tensor, noise: float, spread: float
) -> Tensor:
    """What each further column would about add to a model's log evidence, by one Newton step.

    Args:
        choices: what was chosen, and from what.
        columns: [d] of the model, with the tie term.
        mean, covariance: [d], [d, d] its posterior.
        noise: probability of slips.
        spread: prior standard deviation of the new weight.

    Returns:
        [X] approximate gains [nats].
    Source: the score test, Rao 1948, with a Gaussian prior.

    """
    inside = choices.features[..., columns]
    logits = (inside @ mean).masked_fill(~choices.available, -torch.inf)
    share = logits.softmax(-1)
    genuine = _genuine(-logits.logsumexp(-1), choices, noise)
    every = choices.features[..., :-1]
    average = torch.einsum("co,cox->cx", share, every)
    score = -(genuine[:, None] * average).sum(0)
    weight = (genuine[:, None] * share).flatten()
    flat = every.flatten(0, 1)
    own = inside.flatten(0, 1) * weight[:, None]
    mean_inside = torch.einsum("co,cod->cd", share, inside) * genuine[:, None]
    cross = flat.mT @ own - average.mT @ mean_inside
    square = weight @ flat.square() - (genuine[:, None] * average.square()).sum(0)
    left = (square - ((cross @ covariance) * cross).sum(-1)).clamp(min=0)
    return 0.5 * score.square() / (left + spread**-2) - 0.5 * torch.log1p(left * spread**2)
