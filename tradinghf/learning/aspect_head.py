"""What a trader values: a posterior over sparse weights of the aspects.

People value a few things, and it is not known beforehand which. So every small set of aspects is
a model of its own (spike and slab): each is fitted exactly, weighed by its Laplace evidence, and
all are averaged. Profit is in every model, with a prior that more of it is better: what the
rankings do not settle, profit decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.learning.choices import Choices
from tradinghf.learning.config import AspectConfig


@dataclass(frozen=True, eq=False)
class AspectPosterior:
    """A mixture of Gaussians over standardised weights, one component per set of aspects.

    Attributes:
        names: P aspects; the first is profit.
        log_weight: [G] normalised log posterior probability of each component.
        mean: [G, P+1] MAP weights; the last column is the tie parameter.
        scale: [G, P+1, P+1] Cholesky factors of the posterior covariances (zero where unused).
        evidence: log of how much better than chance the rankings are explained [nats]; negative
            when chance explains them better.

    """

    names: tuple[str, ...]
    log_weight: Tensor
    mean: Tensor
    scale: Tensor
    evidence: float

    def expected(self) -> Tensor:
        """[P+1] posterior mean weights."""
        return self.log_weight.exp() @ self.mean

    def inclusion(self) -> Tensor:
        """[P] probability that the trader values each aspect at all."""
        return self.log_weight.exp() @ (self.mean[:, :-1] != 0).to(self.mean)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """[count, P+1] draws of the weights."""
        pick = torch.multinomial(self.log_weight.exp(), count, True, generator=generator)
        noise = torch.randn(count, self.mean.shape[1], generator=generator, dtype=self.mean.dtype)
        return self.mean[pick] + (self.scale[pick] @ noise[..., None]).squeeze(-1)


def fit_aspect_posterior(
    choices: Choices, names: Sequence[str], config: AspectConfig, mentioned: Collection[str] = ()
) -> AspectPosterior:
    """Fit all sparse models to the choices.

    Args:
        choices: with P+1 standardised features (the last one the tie term).
        names: P aspects, profit first.
        config: prior scales, sparsity, label noise.
        mentioned: aspects that raters wrote about: likelier to matter, in either direction.

    Returns:
        The posterior; `log_weight` sums to one.
    Source: Laplace evidence, MacKay 1992 (Neural Comput. 4); averaging, Hoeting et al. 1999.

    """
    aspects = len(names)
    sets = [
        (0, *extra)
        for size in range(min(config.max_terms, aspects - 1) + 1)
        for extra in itertools.combinations(range(1, aspects), size)
    ]
    width = 2 + config.max_terms
    blank = aspects + 1  # a column of zeros pads the smaller sets
    columns = torch.tensor(
        [[*s, aspects] + [blank] * (width - len(s) - 1) for s in sets for _ in config.prior_scales]
    )
    scales = torch.tensor(config.prior_scales, dtype=choices.features.dtype).repeat(len(sets))
    log_prior = _log_prior(sets, names, mentioned, config).repeat_interleave(
        len(config.prior_scales)
    )

    prior_mean = torch.zeros(len(columns), width, dtype=scales.dtype)
    prior_mean[:, 0] = config.profit_prior * scales
    precision = scales[:, None].pow(-2).expand(-1, width).clone()
    precision[columns == aspects] = config.tie_prior_scale**-2

    mean: list[Tensor] = []
    covariance: list[Tensor] = []
    evidence: list[Tensor] = []
    for part in torch.arange(len(columns)).split(config.models_per_batch):
        fitted = _laplace(choices, columns[part], prior_mean[part], precision[part], config)
        for store, value in zip((mean, covariance, evidence), fitted, strict=True):
            store.append(value)
    log_joint = torch.cat(evidence) + log_prior
    options = choices.available.sum(-1).to(choices.weight)
    better = float(log_joint.logsumexp(0) - log_prior.logsumexp(0))
    better += float((choices.weight * options.log()).sum())
    log_weight = log_joint.log_softmax(0)

    # Components that cannot matter are dropped: sampling and averaging stay cheap.
    keep = log_weight > log_weight.max() - config.drop_below
    columns, log_weight = columns[keep], log_weight[keep].log_softmax(0)
    full_mean = torch.zeros(len(columns), blank + 1, dtype=scales.dtype)
    full_mean.scatter_(1, columns, torch.cat(mean)[keep])
    factor = torch.linalg.cholesky(torch.cat(covariance)[keep])
    full_scale = torch.zeros(len(columns), blank + 1, blank + 1, dtype=scales.dtype)
    rows = columns[:, :, None].expand(-1, -1, width)
    full_scale[torch.arange(len(columns))[:, None, None], rows, columns[:, None, :]] = factor
    full_mean[:, blank] = 0
    full_scale[:, blank] = 0
    return AspectPosterior(
        tuple(names), log_weight, full_mean[:, :blank], full_scale[:, :blank, :blank], better
    )


def _log_prior(
    sets: Sequence[tuple[int, ...]],
    names: Sequence[str],
    mentioned: Collection[str],
    config: AspectConfig,
) -> Tensor:
    """[sets] log prior probability of each set of aspects; profit is in all of them."""
    chance = torch.tensor(
        [config.mentioned if name in mentioned else config.inclusion for name in names],
        dtype=torch.float64,
    )
    member = torch.zeros(len(sets), len(names), dtype=torch.bool)
    for row, columns in enumerate(sets):
        member[row, list(columns)] = True
    return torch.where(member, chance.log(), torch.log1p(-chance))[:, 1:].sum(-1)


def _laplace(
    choices: Choices, columns: Tensor, prior_mean: Tensor, precision: Tensor, config: AspectConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Newton's method on G small models at once; returns mean, covariance, log evidence."""
    padded = torch.cat([choices.features, torch.zeros_like(choices.features[..., :1])], dim=-1)
    design = padded[..., columns].permute(2, 0, 1, 3)  # [G, C, O, d]
    blocked = ~choices.available
    options = choices.available.sum(-1)
    mean = prior_mean.clone()
    identity = torch.diag_embed(precision)

    def model(weights: Tensor) -> tuple[Tensor, Tensor]:
        logits = (design @ weights[:, None, :, None]).squeeze(-1)
        logits = logits.masked_fill(blocked, -torch.inf)
        log_z = logits.logsumexp(-1)
        return -log_z, (logits - log_z[..., None]).exp()

    def log_posterior(log_p: Tensor, weights: Tensor) -> Tensor:
        if config.noise > 0:
            log_p = torch.log((1 - config.noise) * log_p.exp() + config.noise / options)
        prior = 0.5 * (precision * (weights - prior_mean).square()).sum(-1)
        return (choices.weight * log_p).sum(-1) - prior

    log_p, share = model(mean)
    value = log_posterior(log_p, mean)
    for _ in range(config.newton_steps):
        gradient, hessian = _derivatives(design, log_p, share, options, choices.weight, config)
        gradient = gradient - precision * (mean - prior_mean)
        step = torch.linalg.solve(hessian + identity, gradient)
        improved = torch.zeros_like(value, dtype=torch.bool)
        for _ in range(config.halvings):
            trial = torch.where(improved[:, None], mean, mean + step)
            trial_log_p, _ = model(trial)
            better = log_posterior(trial_log_p, trial) >= value - 1e-12
            mean = torch.where((better & ~improved)[:, None], trial, mean)
            improved = improved | better
            if bool(improved.all()):
                break
            step = torch.where(improved[:, None], step, step / 2)
        log_p, share = model(mean)
        previous, value = value, log_posterior(log_p, mean)
        if bool((value - previous).abs().max() < 1e-8):
            break
    _, hessian = _derivatives(design, log_p, share, options, choices.weight, config)
    total = hessian + identity
    evidence = value - 0.5 * torch.logdet(total) + 0.5 * precision.log().sum(-1)
    return mean, torch.linalg.inv(total), evidence


def _derivatives(
    design: Tensor,
    log_p: Tensor,
    share: Tensor,
    options: Tensor,
    weight: Tensor,
    config: AspectConfig,
) -> tuple[Tensor, Tensor]:
    """Gradient [G, d] and (expected) negative Hessian [G, d, d] of the log-likelihood."""
    genuine = torch.ones_like(log_p)
    if config.noise > 0:
        # Expectation step: how likely was this choice made on purpose?
        purpose = (1 - config.noise) * log_p.exp()
        genuine = purpose / (purpose + config.noise / options)
    genuine = genuine * weight
    average = (share[..., None, :] @ design).squeeze(-2)  # [G, C, d]
    weighted = average * genuine[..., None]
    flat = design.flatten(1, 2)
    second = flat.mT @ (flat * (genuine[..., None] * share).flatten(1)[..., None])
    return -weighted.sum(1), second - average.mT @ weighted
