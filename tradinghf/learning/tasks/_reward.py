"""What pays for (observation, action): a sparse Bayesian regression on rankings of fragments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.errors import FeedbackError, NamedOptions, check_setting
from tradinghf.learning.config import AspectConfig
from tradinghf.learning.reward import Choices, laplace
from tradinghf.learning.tasks._fragments import Fragments

NEWTON = AspectConfig()
GUESS = 3.0  # spread of a fragment's worth before any answer [log-odds]


@dataclass(frozen=True)
class TaskRewardConfig(NamedOptions):
    """The learned reward of a task.

    Attributes:
        squares, products, waves: prior standard deviation of a weight on a squared feature, on a
            product of two, and on one of the random waves, where a plain feature has 1.
        count: random waves; they reach what no polynomial of degree two does.
        scales: prior spreads of a fragment's worth to choose from by evidence [log-odds].
        passes: of relevance determination; 0 keeps the prior above.
        doubt: ν of the prior on a weight's variance; the smaller, the fewer weights remain.
        noise: probability that a choice was a slip.
        samples: rewards drawn from the posterior M.
        pessimism: λ of mean - λ·variance over the samples, per step, in units of the pool's
            spread.

    """

    squares: float = 1.0
    products: float = 0.3
    waves: float = 0.1
    count: int = 128
    scales: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0, 30.0)
    passes: int = 20
    doubt: float = 0.02
    noise: float = 0.02
    samples: int = 16
    pessimism: float = 0.1

    def __post_init__(self) -> None:
        check_setting(bool(self.scales), "scales", self.scales, "at least one scale")
        check_setting(self.doubt > 0, "doubt", self.doubt, "above 0")
        check_setting(0 <= self.noise < 1, "noise", self.noise, "in [0, 1)")
        check_setting(self.samples >= 2, "samples", self.samples, "at least 2")


class TaskReward:
    """Worth of a step, linear in features, squares, products and random waves of (obs, action).

    A fragment's worth is the sum over its steps; rankings of K fragments are explained by
    Plackett-Luce, ties by Davidson-Luce. Where fragments end early, a step is also worth something
    by being lived through. Most weights are not needed: each has a prior variance of
    its own, found by maximising the evidence (automatic relevance determination), which is what
    lets a few rankings settle dozens of features. Draws from the posterior say where the
    reward is unsure: questions go there, and PPO is paid mean - λ·variance.

    Source: MacKay 1992 (Neural Computation 4); Tipping 2001 (JMLR 1); random waves: Rahimi &
    Recht 2007.
    """

    def __init__(self, inputs: int, config: TaskRewardConfig | None = None, seed: int = 0) -> None:
        self.config = config or TaskRewardConfig()
        self._generator = torch.Generator().manual_seed(seed)
        self._first, self._second = torch.triu_indices(inputs, inputs)
        count = self.config.count
        self._frequency = 1.5 * torch.randn(inputs, count, generator=self._generator)
        self._frequency /= math.sqrt(inputs)
        self._phase = 2 * math.pi * torch.rand(count, generator=self._generator)
        self._prior = torch.cat([
            torch.ones(inputs),
            torch.where(self._first == self._second, self.config.squares, self.config.products),
            torch.full((count,), self.config.waves),
        ]).double()  # fmt: skip
        self._prior /= self._prior.norm()
        self._centre = self._draws = torch.zeros(0)
        self._mean = torch.zeros(0)
        self._alive = torch.zeros(0)  # [M + 1] worth of a step as such, of the mean and each draw
        self._unit = 1.0
        self._usual = 0.0  # variance over the draws of a usual step

    def basis(self, features: Tensor) -> Tensor:
        """[.., F] features [.., D + A], their squares and products, and waves."""
        products = features[..., self._first] * features[..., self._second]
        waves = torch.cos(features @ self._frequency + self._phase)
        return torch.cat([features, products, waves], -1)

    def fit(self, questions: Fragments, ranks: Tensor, pool: Tensor) -> TaskReward:
        """Fit; replaces any earlier fit.

        Args:
            questions: features [B, K, l, D + A] of the ranked fragments.
            ranks: [B, K] 1 = best, equal = tied.
            pool: [P, D + A] steps whose spread is the unit of features and of the reward.

        Raises:
            FeedbackError: no question.

        """
        if not len(ranks):
            raise FeedbackError("No rankings to learn from; expected at least one question.")
        steps = questions.mask.shape[-1]
        seen, unit = self._units(pool, steps)
        lived = questions.mask[..., None]
        totals = ((self.basis(questions.features).double() - self._centre) * lived).sum(2) * unit
        base, uneven = self._prior, not bool(questions.mask.all())
        if uneven:
            length = questions.lengths.double()[..., None] / math.sqrt(steps)
            totals = torch.cat([totals, length], -1)
            unit, base = _with(unit, 1 / math.sqrt(steps)), _with(base, float(base.max()))
        prior, posterior = self._relevant(totals - totals.mean(1, keepdim=True), ranks, base)
        mean = unit * prior * posterior.mean
        draws = unit * prior * posterior.draw(self.config.samples, self._generator)
        weights = torch.cat([mean[None], draws])
        size = len(self._prior)
        self._mean, self._draws = weights[0, :size], weights[1:, :size]
        self._alive = weights[:, size] if uneven else torch.zeros(len(weights)).double()
        paid = seen @ self._mean + self._alive[0]
        # Steps that are all worth the same have no spread, but a size.
        size_of = paid.square().mean().sqrt() if uneven else paid.std()
        self._unit = float(size_of.clamp(min=1e-9))
        self._usual = 0.0
        if uneven:  # doubt is not to make every step that is lived through a cost
            self._usual = float(self._doubt(seen.float()).mean())
        return self

    def guess(self, pool: Tensor, steps: int) -> TaskReward:
        """Before any answer: draws from the prior, for fragments of `steps` steps.

        Args:
            pool: [P, D + A] steps whose spread is the unit of features.
            steps: of a fragment.

        """
        _, unit = self._units(pool, steps)
        shape = (self.config.samples, len(unit))
        free = torch.randn(shape, generator=self._generator, dtype=unit.dtype)
        self._draws = unit * self._prior * GUESS * free
        self._mean = torch.zeros_like(unit)
        self._alive = torch.zeros(len(self._draws) + 1).double()
        return self

    def _units(self, pool: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Centred basis [P, F] of the pool, and what brings a fragment's total to spread one."""
        seen = self.basis(pool).double()
        self._centre = seen.mean(0)
        seen = seen - self._centre
        return seen, 1 / (seen.std(0).clamp(min=1e-6) * math.sqrt(steps))

    def _relevant(self, totals: Tensor, ranks: Tensor, prior: Tensor) -> tuple[Tensor, Posterior]:
        """Prior standard deviations [F] that the evidence asks for, and the posterior."""
        config = self.config
        scales = torch.tensor(config.scales, dtype=torch.double)
        prior = prior * float(scales[_evidence(totals, ranks, prior, scales, config)])
        posterior = Posterior.of(totals, ranks, prior, config.noise)
        for _ in range(config.passes):
            second = posterior.mean.square() + posterior.variance
            prior = prior * ((second + config.doubt) / (1 + config.doubt)).sqrt()
            posterior = Posterior.of(totals, ranks, prior, config.noise)
        return prior, posterior

    @property
    def ready(self) -> bool:
        """Whether there is something to pay by: `fit` or `guess` was called."""
        return bool(len(self._draws))

    def members(self, features: Tensor) -> Tensor:
        """[M, ..] what each draw pays for features [.., D + A], in log-odds of a ranking."""
        return (self._centred(features) @ self._draws.float().T + self._each).movedim(-1, 0)

    @property
    def _each(self) -> Tensor:
        """[M] worth of a step as such."""
        return self._alive[1:].float()

    def scores(self, fragments: Fragments) -> Tensor:
        """[M, ..] worth of fragments to each draw, in log-odds of a ranking."""
        return (self.members(fragments.features) * fragments.mask).sum(-1)

    def _doubt(self, basis: Tensor) -> Tensor:
        """[..] variance of what the draws pay for a centred basis [.., F]."""
        paid = (basis @ self._draws.float().mT + self._each) / self._unit
        return paid.var(-1)

    def _centred(self, features: Tensor) -> Tensor:
        """[.., F] basis as far as it differs from the pool's mean."""
        if not self.ready:
            raise FeedbackError("The reward has not been fitted; call fit(...) first.")
        return self.basis(features) - self._centre.float()

    def rewards(self, features: Tensor, ended: Tensor | None = None) -> Tensor:
        """[..] cautious reward of steps [.., D + A], in units of the pool's spread."""
        basis = self._centred(features)
        mean = (basis @ self._mean.float() + float(self._alive[0])) / self._unit
        return mean - self.config.pessimism * (self._doubt(basis) - self._usual)


def _with(weights: Tensor, last: float) -> Tensor:
    """[F + 1] weights with one more."""
    return torch.cat([weights, weights.new_tensor([last])])


@dataclass(frozen=True, eq=False)
class Posterior:
    """Gaussian posterior over F weights in units of their prior, in the span of the data.

    Attributes:
        mean: [F].
        span: [F, r] orthonormal; outside of it the posterior is the prior.
        covariance: [r, r] inside of it.

    """

    mean: Tensor
    span: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, totals: Tensor, ranks: Tensor, prior: Tensor, noise: float) -> Posterior:
        """Laplace's approximation, for totals [B, K, F] and prior standard deviations [F]."""
        data, span = _reduced(totals, ranks, prior)
        size = data.tie + 1
        mean, covariance, _ = laplace(
            data,
            torch.arange(size)[None],
            torch.zeros(1, size, dtype=totals.dtype),
            torch.ones(1, size, dtype=totals.dtype),
            noise,
            NEWTON,
        )
        return cls(span @ mean[0, :-1], span, covariance[0, :-1, :-1])

    @property
    def variance(self) -> Tensor:
        """[F] of each weight."""
        settled = self.span.square() - self.span @ self.covariance * self.span
        return 1 - settled.sum(dim=-1)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """[count, F] weights."""
        rows, rank = self.span.shape
        free = torch.randn(count, rows, generator=generator, dtype=self.mean.dtype)
        tied = torch.randn(count, rank, generator=generator, dtype=self.mean.dtype)
        inside = tied @ torch.linalg.cholesky(self.covariance).mT - free @ self.span
        drawn: Tensor = self.mean + free + inside @ self.span.mT
        return drawn


def _reduced(totals: Tensor, ranks: Tensor, prior: Tensor) -> tuple[Choices, Tensor]:
    """Choices between fragments in coordinates of their span [F, r]: no other weight can move."""
    scaled = totals * prior
    span, _ = torch.linalg.qr(scaled.flatten(0, 1).mT)
    everyone = torch.ones_like(ranks, dtype=torch.bool)
    return Choices.from_rankings(scaled @ span, ranks, everyone), span


def _evidence(
    totals: Tensor, ranks: Tensor, prior: Tensor, scales: Tensor, config: TaskRewardConfig
) -> int:
    """Index of the scale [G] of the prior [F] under which the answers are likeliest."""
    data, _ = _reduced(totals, ranks, prior)
    size = data.tie + 1
    precision = (scales**-2)[:, None].repeat(1, size)
    precision[:, -1] = 1.0
    columns = torch.arange(size).expand(len(scales), -1)
    start = torch.zeros_like(precision)
    evidence = laplace(data, columns, start, precision, config.noise, NEWTON)[2]
    return int(evidence.argmax())
