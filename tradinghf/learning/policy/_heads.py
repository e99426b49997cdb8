"""Action distributions as functions of network outputs; any leading shape, one row per decision."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tradinghf.simulation import splitmix64

_LOG_2 = math.log(2)


class Head(Protocol):
    """What a policy needs of a distribution; `out` is [.., O], `log_std` [.., A] broadcasts."""

    closed_form: bool = False  # PPO's compiled passes know the gradients

    def outputs(self, actions: int) -> int:
        """O, numbers that a network puts out for A actions."""
        return actions

    def noise(self, uniform: Tensor) -> Tensor:
        """Uniform numbers [.., A] in (0, 1) as the noise that `draw` uses."""

    def draw(self, out: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
        """A raw action per row: [..] indices, or [.., A] before it is scaled to [-1, 1]."""

    def mode(self, out: Tensor) -> Tensor:
        """The likeliest raw action per row; of a squashed Gaussian, before squashing."""
        return out

    def to_env(self, raw: Tensor) -> Tensor:
        """Raw actions in the environment's units."""
        return raw

    def log_prob(self, out: Tensor, raw: Tensor, log_std: Tensor) -> Tensor:
        """[..] log-probability of raw actions; densities are of the environment's action."""

    def entropy(self, out: Tensor, log_std: Tensor) -> Tensor:
        """[..] entropy of the environment's actions; of a squashed Gaussian, before squashing."""

    def divergence(
        self, out: Tensor, log_std: Tensor, reference: Tensor, reference_log_std: Tensor
    ) -> Tensor:
        """[..] KL(out || reference), exact (squashing cancels)."""


class Categorical(Head):
    """Logits over A actions."""

    closed_form = True

    def noise(self, uniform: Tensor) -> Tensor:
        """Gumbel noise: the largest noisy logit is a draw, without a host synchronisation."""
        return -torch.log(-torch.log(uniform.clamp(1e-7, 1 - 1e-7)))

    def draw(self, out: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        return (out + noise).argmax(-1)

    def mode(self, out: Tensor) -> Tensor:
        """See `Head`."""
        return out.argmax(-1)

    def log_prob(self, out: Tensor, raw: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        return _normalised(out).gather(-1, raw[..., None]).squeeze(-1)

    def entropy(self, out: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        log_p = _normalised(out)
        return -(log_p.exp() * log_p).sum(-1)

    def divergence(
        self, out: Tensor, log_std: Tensor, reference: Tensor, reference_log_std: Tensor
    ) -> Tensor:
        """See `Head`."""
        log_p = _normalised(out)
        return (log_p.exp() * (log_p - _normalised(reference))).sum(-1)


def _normalised(out: Tensor) -> Tensor:
    # Not log_softmax: it walks a short last dimension slowly, and copies a transposed tensor.
    return out - out.logsumexp(-1, keepdim=True)


class SquashedGaussian(Head):
    """tanh of a Gaussian with mean `out`, per dimension; actions in [-1, 1]."""

    closed_form = True

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard normal noise."""
        return torch.erfinv((2 * uniform - 1).clamp(-1 + 1e-6, 1 - 1e-6)) * math.sqrt(2)

    def draw(self, out: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        return out + log_std.exp() * noise

    def to_env(self, raw: Tensor) -> Tensor:
        """See `Head`."""
        return raw.tanh()

    def log_prob(self, out: Tensor, raw: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        scaled = (raw - out) / log_std.exp()
        normal = -0.5 * (scaled.square() + math.log(2 * math.pi)) - log_std
        # log |d tanh(x)/dx|, in its numerically stable form.
        squash = 2 * (_LOG_2 - raw - softplus(-2 * raw))
        return (normal - squash).sum(-1)

    def entropy(self, out: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        each = log_std + 0.5 * math.log(2 * math.pi * math.e)
        return each.expand_as(out).sum(-1)

    def divergence(
        self, out: Tensor, log_std: Tensor, reference: Tensor, reference_log_std: Tensor
    ) -> Tensor:
        """See `Head`."""
        ratio = (2 * (log_std - reference_log_std)).exp()
        shift = ((out - reference) / reference_log_std.exp()).square()
        return 0.5 * (ratio + shift - 1 - ratio.log()).sum(-1)


class ScaledBeta(Head):
    """Beta(a, b) stretched to [-1, 1], per dimension; a and b are 1 + softplus of `out`'s halves.

    With a, b > 1 there is one mode and no mass piles up at the bounds, as it does where a Gaussian
    is squashed or clipped. Raw actions are in (0, 1).

    Source: Chou, Maturana & Scherer 2017, "Improving stochastic policy gradients in continuous
    control with deep reinforcement learning using the Beta distribution", ICML.
    """

    _TRIES = 4  # of the rejection sampler; all fail with a probability below 1e-5
    _EDGE = 1e-6  # raw actions keep away from 0 and 1, where the logarithm ends

    def outputs(self, actions: int) -> int:
        """See `Head`."""
        return 2 * actions

    def noise(self, uniform: Tensor) -> Tensor:
        """[.., A, 2, tries, 2] uniform numbers, hashed from the one per action."""
        key = splitmix64((uniform.double() * 2.0**53).long())[..., None]
        number = torch.arange(4 * self._TRIES, device=uniform.device)
        bits = (splitmix64(key + number) >> 40) & (2**24 - 1)
        several = ((bits + 0.5) * 2.0**-24).to(uniform.dtype)
        return several.view(*uniform.shape, 2, self._TRIES, 2)

    def draw(self, out: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
        """X / (X + Y) of two gamma variates.

        Source: Marsaglia & Tsang 2000, ACM Transactions on Mathematical Software 26(3).
        """
        shape = torch.stack(_shapes(out), -1)[..., None] - 1 / 3
        normal, uniform = GAUSSIAN.noise(noise[..., 0]), noise[..., 1]
        cube = (1 + normal / (9 * shape).sqrt()).clamp(min=self._EDGE) ** 3
        room = 0.5 * normal.square() + shape * (1 - cube + cube.log())
        first = (uniform.log() < room).to(out.dtype).argmax(-1, keepdim=True)
        gamma = (shape * cube.gather(-1, first)).squeeze(-1)
        return (gamma[..., 0] / gamma.sum(-1)).clamp(self._EDGE, 1 - self._EDGE)

    def mode(self, out: Tensor) -> Tensor:
        """See `Head`."""
        a, b = _shapes(out)
        return (a - 1 + self._EDGE) / (a + b - 2 + 2 * self._EDGE)

    def to_env(self, raw: Tensor) -> Tensor:
        """See `Head`."""
        return 2 * raw - 1

    def log_prob(self, out: Tensor, raw: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        a, b = _shapes(out)
        density = (a - 1) * raw.log() + (b - 1) * torch.log1p(-raw) - _log_beta(a, b)
        return (density - _LOG_2).sum(-1)

    def entropy(self, out: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        a, b = _shapes(out)
        spread = (a - 1) * a.digamma() + (b - 1) * b.digamma() - (a + b - 2) * (a + b).digamma()
        return (_log_beta(a, b) - spread + _LOG_2).sum(-1)

    def divergence(
        self, out: Tensor, log_std: Tensor, reference: Tensor, reference_log_std: Tensor
    ) -> Tensor:
        """See `Head`."""
        (a, b), (c, d) = _shapes(out), _shapes(reference)
        mean = (a - c) * a.digamma() + (b - d) * b.digamma() + (c + d - a - b) * (a + b).digamma()
        return (_log_beta(c, d) - _log_beta(a, b) + mean).sum(-1)


def _shapes(out: Tensor) -> tuple[Tensor, Tensor]:
    """[.., A] both parameters of a Beta distribution from a network's outputs [.., 2A]."""
    a, b = (1 + softplus(out)).chunk(2, -1)
    return a, b


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


class OverAssets(Head):
    """A head for each asset of a portfolio; log-probabilities and entropies add up over assets.

    Assets that are not listed take the action 0 and count for nothing. `out` [.., A * (K + 1)] is
    what `AssetActor` puts out: K numbers of each asset for its own head, and whether it is listed.

    Args:
        each: head of one asset.
        size: K, numbers that it wants.
        choices: uniform numbers that it wants of each asset.

    """

    def __init__(self, each: Head, size: int, choices: int = 1) -> None:
        self.each, self.size, self.choices = each, size, choices
        self._discrete = isinstance(each, Categorical)
        self._rest = 0.5 if isinstance(each, ScaledBeta) else 0  # raw action of no position

    def _split(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """[.., A, K] outputs, and [.., A] which assets are listed."""
        rows = out.unflatten(-1, (-1, self.size + 1))
        return rows[..., :-1], rows[..., -1]

    def _rows(self, raw: Tensor) -> Tensor:
        """Actions [.., A] as the head of one asset takes them, a row each."""
        return raw if self._discrete else raw[..., None]

    def _actions(self, rows: Tensor, listed: Tensor) -> Tensor:
        """[.., A] actions of rows that the head of one asset gave; none where not listed."""
        actions = rows if self._discrete else rows.squeeze(-1)
        return actions.masked_fill(listed == 0, self._rest)

    def outputs(self, actions: int) -> int:
        """See `Head`."""
        return actions * (self.size + 1)

    def noise(self, uniform: Tensor) -> Tensor:
        """See `Head`; `uniform` has the numbers of one asset after those of another."""
        return self.each.noise(uniform.unflatten(-1, (-1, self.choices)))

    def draw(self, out: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        rows, listed = self._split(out)
        return self._actions(self.each.draw(rows, noise, log_std), listed)

    def mode(self, out: Tensor) -> Tensor:
        """See `Head`."""
        rows, listed = self._split(out)
        return self._actions(self.each.mode(rows), listed)

    def to_env(self, raw: Tensor) -> Tensor:
        """See `Head`."""
        return self.each.to_env(raw)

    def log_prob(self, out: Tensor, raw: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        rows, listed = self._split(out)
        return (self.each.log_prob(rows, self._rows(raw), log_std) * listed).sum(-1)

    def entropy(self, out: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`; of the mean asset, so that its weight does not grow with their number."""
        rows, listed = self._split(out)
        each = self.each.entropy(rows, log_std) * listed
        return each.sum(-1) / listed.sum(-1).clamp_min(1.0)

    def divergence(
        self, out: Tensor, log_std: Tensor, reference: Tensor, reference_log_std: Tensor
    ) -> Tensor:
        """See `Head`."""
        rows, listed = self._split(out)
        before, _ = self._split(reference)
        return (self.each.divergence(rows, log_std, before, reference_log_std) * listed).sum(-1)


CATEGORICAL, GAUSSIAN, BETA = Categorical(), SquashedGaussian(), ScaledBeta()
_CONTINUOUS: dict[str, Head] = {"gaussian": GAUSSIAN, "beta": BETA}


def head_of(discrete: bool, continuous: str = "gaussian") -> Head:
    """The head of a kind of action space; `continuous` names one of `_CONTINUOUS`."""
    return CATEGORICAL if discrete else _CONTINUOUS[continuous]


def head_over_assets(levels: int, continuous: str = "gaussian") -> OverAssets:
    """The head of a portfolio: of `levels` for each asset, or of numbers in [-1, 1] where 0."""
    if levels:
        return OverAssets(CATEGORICAL, levels, levels)
    each = _CONTINUOUS[continuous]
    return OverAssets(each, each.outputs(1))
