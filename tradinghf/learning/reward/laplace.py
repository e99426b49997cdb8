"""Small conditional-logit models with Gaussian priors, many at once: mode, covariance, evidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.learning.config import AspectConfig
from tradinghf.learning.reward.choices import Choices


@dataclass(frozen=True, eq=False)
class Design:
    """Choices prepared for many small models.

    Attributes:
        features: [C, O, X+2] of the options, less those of the chosen one; the last two columns
            are the tie term and zeros (which pad smaller models).
        available: [C, O] options that could have been chosen.
        options: [C] their number.
        weight: [C] how much each choice counts.
        unit: [C·O, X] features of each column scaled to length one, for comparing columns.

    """

    features: Tensor
    available: Tensor
    options: Tensor
    weight: Tensor
    unit: Tensor

    @classmethod
    def of(cls, choices: Choices) -> Design:
        """From choices whose last feature is the tie term."""
        features = choices.features
        blank = torch.zeros_like(features[..., :1])
        plain = (features[..., :-1] * choices.available[..., None]).flatten(0, 1)
        unit = plain / plain.norm(dim=0).clamp(min=1e-12)
        return cls(
            torch.cat([features, blank], dim=-1),
            choices.available,
            choices.available.sum(-1),
            choices.weight,
            unit,
        )

    @property
    def tie(self) -> int:
        """Column of the tie term."""
        return self.features.shape[-1] - 2

    @property
    def blank(self) -> int:
        """Column of zeros."""
        return self.features.shape[-1] - 1

    def chance(self) -> float:
        """By how much the choices would be explained by chance alone, negated [nats]."""
        return float((self.weight * self.options.to(self.weight).log()).sum())

    def likeness(self, column: int, others: list[int]) -> Tensor:
        """[len(others)] absolute correlation of a column with others."""
        return (self.unit[:, others].mT @ self.unit[:, column]).abs()


def laplace(
    data: Design,
    columns: Tensor,
    prior_mean: Tensor,
    precision: Tensor,
    noise: float,
    config: AspectConfig,
) -> tuple[Tensor, Tensor, Tensor]:
    """Newton's method on G models of d weights at once.

    Args:
        data: the choices.
        columns: [G, d] features that each model uses.
        prior_mean, precision: [G, d] of the Gaussian priors.
        noise: probability that a choice was a slip.
        config: numbers of steps.

    Returns:
        mode [G, d], covariance [G, d, d], log evidence [G].

    """
    design = data.features[..., columns].permute(2, 0, 1, 3)  # [G, C, O, d]
    blocked = ~data.available
    mean = prior_mean.clone()
    identity = torch.diag_embed(precision)

    def model(weights: Tensor) -> tuple[Tensor, Tensor]:
        logits = (design @ weights[:, None, :, None]).squeeze(-1)
        logits = logits.masked_fill(blocked, -torch.inf)
        log_z = logits.logsumexp(-1)
        return -log_z, (logits - log_z[..., None]).exp()

    def log_posterior(log_p: Tensor, weights: Tensor) -> Tensor:
        if noise > 0:
            log_p = torch.log((1 - noise) * log_p.exp() + noise / data.options)
        prior = 0.5 * (precision * (weights - prior_mean).square()).sum(-1)
        return (data.weight * log_p).sum(-1) - prior

    log_p, share = model(mean)
    value = log_posterior(log_p, mean)
    for _ in range(config.newton_steps):
        gradient, hessian = _derivatives(design, log_p, share, data, noise)
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
    _, hessian = _derivatives(design, log_p, share, data, noise)
    total = hessian + identity
    evidence = value - 0.5 * torch.logdet(total) + 0.5 * precision.log().sum(-1)
    return mean, torch.linalg.inv(total), evidence


def _genuine(log_p: Tensor, data: Design, noise: float) -> Tensor:
    """Weight of each choice times the probability that it was made on purpose."""
    if noise == 0:
        return data.weight.expand_as(log_p)
    purpose = (1 - noise) * log_p.exp()
    return data.weight * purpose / (purpose + noise / data.options)


def _derivatives(
    design: Tensor, log_p: Tensor, share: Tensor, data: Design, noise: float
) -> tuple[Tensor, Tensor]:
    """Gradient [G, d] and (expected) negative Hessian [G, d, d] of the log-likelihood."""
    genuine = _genuine(log_p, data, noise)
    average = (share[..., None, :] @ design).squeeze(-2)  # [G, C, d]
    weighted = average * genuine[..., None]
    flat = design.flatten(1, 2)
    second = flat.mT @ (flat * (genuine[..., None] * share).flatten(1)[..., None])
    return -weighted.sum(1), second - average.mT @ weighted


def score_gain(
    data: Design, columns: Tensor, mean: Tensor, covariance: Tensor, noise: float, spread: float
) -> Tensor:
    """What each further column would about add to a model's log evidence, by one Newton step.

    Args:
        data: the choices.
        columns: [d] of the model, with the tie term.
        mean, covariance: [d], [d, d] its posterior.
        noise: probability of slips.
        spread: prior standard deviation of the new weight.

    Returns:
        [X] approximate gains [nats].
    Source: the score test, Rao 1948, with a Gaussian prior.

    """
    inside = data.features[..., columns]
    logits = (inside @ mean).masked_fill(~data.available, -torch.inf)
    share = logits.softmax(-1)
    genuine = _genuine(-logits.logsumexp(-1), data, noise)
    every = data.features[..., :-2]
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
