"""Laplace's approximation of small conditional-logit models with Gaussian priors, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.learning.config import AspectConfig
from tradinghf.learning.reward._answers import Choices

_LIKELY = 500  # columns whose gain is worked out; the columns' scale is one, so by their score
_ENOUGH_CHOICES = 80  # to tell how much a column varies within a choice


@dataclass(frozen=True, eq=False)
class _Models:
    """G models of d weights, and the choices that they are fitted to.

    Attributes:
        design: [G, d, C, O] features of each model; zero where an option was not available.
        prior_mean, precision: [G, d].
        choices: what was chosen, and from what.
        noise: probability that a choice was a slip.

    """

    design: Tensor
    prior_mean: Tensor
    precision: Tensor
    choices: Choices
    noise: float

    def some(self, rows: Tensor) -> _Models:
        """The models of these rows."""
        parts = (self.design[rows], self.prior_mean[rows], self.precision[rows])
        return _Models(*parts, self.choices, self.noise)

    def at(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log posteriors [G] at weights [G, d], log_p [G, C] and share [G, C, O] of each option."""
        logits = (weights[:, None] @ self.design.flatten(2)).view(
            len(weights), *self.design.shape[2:]
        )
        logits = logits.masked_fill(~self.choices.available, -torch.inf)
        log_z = logits.logsumexp(-1)
        log_p, share = -log_z, (logits - log_z[..., None]).exp()
        seen = log_p
        if self.noise > 0:
            seen = torch.log((1 - self.noise) * log_p.exp() + self.noise / self.choices.options)
        prior = 0.5 * (self.precision * (weights - self.prior_mean).square()).sum(-1)
        return (self.choices.weight * seen).sum(-1) - prior, log_p, share

    def derivatives(self, log_p: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient [G, d] and (expected) negative Hessian [G, d, d] of the log-likelihood."""
        genuine = _genuine(log_p, self.choices, self.noise)
        weighed = self.design * share[:, None]
        average = weighed.sum(-1)  # [G, d, C]
        weighed *= genuine[:, None, :, None]
        second = weighed.flatten(2) @ self.design.flatten(2).mT
        counted = average * genuine[:, None]
        return -counted.sum(-1), second - counted @ average.mT

    def newton(self, weights: Tensor, config: AspectConfig) -> Tensor:
        """[G, d] the modes, from a first guess; models that have converged are left out."""
        found, left, models = weights.clone(), torch.arange(len(weights)), self
        value, log_p, share = models.at(weights)
        for _ in range(config.newton_steps):
            gradient, hessian = models.derivatives(log_p, share)
            gradient = gradient - models.precision * (weights - models.prior_mean)
            total = hessian + torch.diag_embed(models.precision)
            step = torch.linalg.solve(total, gradient)
            # So near to the mode the step is right, and gains what it promises.
            going = ~(0.5 * (gradient * step).sum(-1) < config.tolerance)
            found[left] = weights + step
            if not bool(going.any()):
                break
            if bool((~going).any()):
                rows = going.nonzero().squeeze(-1)
                left, models, step = left[rows], models.some(rows), step[rows]
                weights, value = weights[rows], value[rows]
            weights, value, log_p, share = models.search(weights, step, value, config.halvings)
            found[left] = weights
        return found

    def search(
        self, weights: Tensor, step: Tensor, value: Tensor, halvings: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The first of weights + step, step/2, ... that is no worse, and what it gives."""
        trial = weights + step
        new, log_p, share = self.at(trial)
        for halving in range(1, halvings):
            worse = (~(new >= value - 1e-12)).nonzero().squeeze(-1)
            if not len(worse):
                return trial, new, log_p, share
            trial[worse] = weights[worse] + step[worse] / 2**halving
            new[worse], log_p[worse], share[worse] = self.some(worse).at(trial[worse])
        stuck = (~(new >= value - 1e-12)).nonzero().squeeze(-1)
        if len(stuck):
            trial[stuck] = weights[stuck]
            new[stuck], log_p[stuck], share[stuck] = self.some(stuck).at(trial[stuck])
        return trial, new, log_p, share


def laplace(
    choices: Choices,
    columns: Tensor,
    prior_mean: Tensor,
    precision: Tensor,
    noise: float,
    config: AspectConfig,
    start: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Newton's method on G models of d weights at once.

    Args:
        choices: what was chosen, and from what.
        columns: [G, d] rows of `Choices.by_column` that each model uses.
        prior_mean, precision: [G, d] of the Gaussian priors.
        noise: probability that a choice was a slip.
        config: numbers of steps.
        start: [G, d] first guess; None begins at the prior's mean.

    Returns:
        mode [G, d], covariance [G, d, d], log evidence [G].

    """
    options = choices.available.shape
    design = choices.by_column[columns].unflatten(-1, options)
    models = _Models(design, prior_mean, precision, choices, noise)
    mean = models.newton(prior_mean if start is None else start, config)
    value, log_p, share = models.at(mean)
    total = models.derivatives(log_p, share)[1] + torch.diag_embed(precision)
    evidence = value - 0.5 * torch.logdet(total) + 0.5 * precision.log().sum(-1)
    return mean, torch.linalg.inv(total), evidence


def _genuine(log_p: Tensor, choices: Choices, noise: float) -> Tensor:
    """Weight of each choice times the probability that it was made on purpose."""
    if noise == 0:
        return choices.weight.expand_as(log_p)
    purpose = (1 - noise) * log_p.exp()
    return choices.weight * purpose / (purpose + noise / choices.options)


@dataclass(frozen=True, eq=False)
class Mode:
    """Where a model stands that is to be grown.

    Attributes:
        columns: [d] of the model, with the tie term.
        mean, covariance: [d], [d, d] its posterior.
        spread: prior standard deviation of a new weight.

    """

    columns: Tensor
    mean: Tensor
    covariance: Tensor
    spread: float


def score_gains(choices: Choices, modes: Sequence[Mode], noise: float) -> list[Tensor]:
    """What each further column would about add to each model's log evidence, by one Newton step.

    Args:
        choices: what was chosen, and from what.
        modes: the models.
        noise: probability of slips.

    Returns:
        For each model [X] approximate gains [nats], in single precision until the last steps; -inf
        for columns that hardly anything speaks for.
    Source: the score test, Rao 1948, with a Gaussian prior.

    """
    if not modes:
        return []
    looks = [_look(choices, mode, noise) for mode in modes]
    # One product for all of them: reading the columns is most of the time.
    every = choices.rough @ torch.cat([towards for _, _, towards in looks]).T
    parts = every.split([len(towards) for _, _, towards in looks], dim=-1)
    return [
        _gain(choices, mode, share, genuine, part.double())
        for mode, (share, genuine, _), part in zip(modes, looks, parts, strict=True)
    ]


def _look(choices: Choices, mode: Mode, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Share [C, O] of each option, genuineness [C], and [1 + d, C·O] what columns are tried on."""
    inside = choices.by_column[mode.columns].unflatten(-1, choices.available.shape)  # [d, C, O]
    logits = torch.tensordot(mode.mean, inside, 1).masked_fill(~choices.available, -torch.inf)
    share = logits.softmax(-1)
    genuine = _genuine(-logits.logsumexp(-1), choices, noise)
    middle = (inside * share).sum(-1) * genuine  # [d, C]
    along = inside * (genuine[:, None] * share) - middle[..., None] * share
    towards = torch.cat([(genuine[:, None] * share).flatten()[None], along.flatten(1)]).float()
    return share, genuine, towards


def _gain(choices: Choices, mode: Mode, share: Tensor, genuine: Tensor, found: Tensor) -> Tensor:
    """[X] gains of one model, from the score [X, 1] and the cross terms [X, d] of each column."""
    score, cross = found.split([1, len(mode.columns)], dim=-1)
    likely = score[:, 0].abs().topk(min(_LIKELY, len(score))).indices
    score, cross, spread = score[likely, 0], cross[likely], mode.spread
    left = _curvature(choices, likely, share, genuine) - ((cross @ mode.covariance) * cross).sum(-1)
    left = left.clamp(min=0)
    gain = 0.5 * score.square() / (left + spread**-2) - 0.5 * torch.log1p(left * spread**2)
    return torch.full((choices.tie,), -torch.inf).to(gain).index_copy(0, likely, gain)


def _curvature(choices: Choices, columns: Tensor, share: Tensor, genuine: Tensor) -> Tensor:
    """Of the log-likelihood along each column: the variance among options, over the choices.

    Of many choices the least settled are looked at: where one option has all the probability,
    nothing varies. An even sample would miss them, for a good model settles most.
    """
    open_ = genuine * (1 - share.square().sum(-1))
    rows = open_.topk(min(_ENOUGH_CHOICES, len(open_))).indices.sort().values
    scale = float(open_.sum()) / max(float(open_[rows].sum()), 1e-300)
    share, count = share[rows].float(), genuine[rows].float()
    weight = (count[:, None] * share).flatten()
    some = choices.rough.unflatten(-1, choices.available.shape)[columns[:, None], rows]
    average = (some * share).sum(-1)
    found: Tensor = some.flatten(1).square() @ weight - average.square() @ count
    return found.double() * scale
