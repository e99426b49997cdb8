"""Action distributions as functions of network outputs; any leading shape, one row per decision."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus


class Head(Protocol):
    """What a policy needs of a distribution; `out` is [.., A], `log_std` broadcasts against it."""

    def noise(self, uniform: Tensor) -> Tensor:
        """Uniform numbers [.., A] in (0, 1) as the noise that `draw` adds."""

    def draw(self, out: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
        """A raw action per row: [..] indices, or [.., A] before squashing."""

    def mode(self, out: Tensor) -> Tensor:
        """The likeliest raw action per row."""

    def to_env(self, raw: Tensor) -> Tensor:
        """Raw actions in the environment's units."""

    def log_prob(self, out: Tensor, raw: Tensor, log_std: Tensor) -> Tensor:
        """[..] log-probability (density of the squashed action) of raw actions."""

    def entropy(self, out: Tensor, log_std: Tensor) -> Tensor:
        """[..] entropy; of a squashed Gaussian, before squashing."""

    def divergence(
        self, out: Tensor, log_std: Tensor, reference: Tensor, reference_log_std: Tensor
    ) -> Tensor:
        """[..] KL(out || reference), exact (squashing cancels)."""


class Categorical:
    """Logits over A actions."""

    def noise(self, uniform: Tensor) -> Tensor:
        """Gumbel noise: the largest noisy logit is a draw, without a host synchronisation."""
        return -torch.log(-torch.log(uniform.clamp(1e-7, 1 - 1e-7)))

    def draw(self, out: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        return (out + noise).argmax(-1)

    def mode(self, out: Tensor) -> Tensor:
        """See `Head`."""
        return out.argmax(-1)

    def to_env(self, raw: Tensor) -> Tensor:
        """See `Head`."""
        return raw

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


class SquashedGaussian:
    """tanh of a Gaussian with mean `out`, per dimension; actions in [-1, 1]."""

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard normal noise."""
        return torch.erfinv((2 * uniform - 1).clamp(-1 + 1e-6, 1 - 1e-6)) * math.sqrt(2)

    def draw(self, out: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        return out + log_std.exp() * noise

    def mode(self, out: Tensor) -> Tensor:
        """See `Head`; of the Gaussian before squashing."""
        return out

    def to_env(self, raw: Tensor) -> Tensor:
        """See `Head`."""
        return raw.tanh()

    def log_prob(self, out: Tensor, raw: Tensor, log_std: Tensor) -> Tensor:
        """See `Head`."""
        scaled = (raw - out) / log_std.exp()
        normal = -0.5 * (scaled.square() + math.log(2 * math.pi)) - log_std
        # log |d tanh(x)/dx|, in its numerically stable form.
        squash = 2 * (math.log(2) - raw - softplus(-2 * raw))
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


CATEGORICAL, GAUSSIAN = Categorical(), SquashedGaussian()


def head_of(discrete: bool) -> Head:
    """The head of a kind of action space."""
    return CATEGORICAL if discrete else GAUSSIAN
