"""A bounded ensemble of networks that pays (observation, action), fitted to rankings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import FeedbackError
from tradinghf.feedback.likelihoods import ranking_log_likelihood
from tradinghf.learning.tasks.teacher import Fragments

NEVER_TIED = -20.0
Layers = tuple[tuple[Tensor, Tensor], ...]


@dataclass(frozen=True)
class EnsembleConfig:
    """The learned reward of a task.

    Attributes:
        members: networks M.
        hidden: widths of their hidden layers.
        steps: gradient steps of a fit.
        batch: most questions in one gradient step.
        learning_rate: of AdamW.
        weight_decay: of AdamW, times the learning rate.
        noise: probability that a choice was a slip.
        pessimism: λ of mean - λ·variance over members, per step, in units of the pool's spread.

    """

    members: int = 5
    hidden: tuple[int, ...] = (64, 64)
    steps: int = 200
    batch: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    noise: float = 0.02
    pessimism: float = 0.1


class RewardEnsemble:
    """M networks [D + A -> hidden -> 1], each step worth -1 to 1, evaluated in one batch.

    A fragment's score is the sum over its steps; rankings of K fragments are explained by
    Plackett-Luce, ties by Davidson-Luce. Every member sees the questions with weights of its own
    (Bayesian bootstrap). PPO is paid mean - λ·variance of the standardised members.
    """

    def __init__(self, inputs: int, config: EnsembleConfig | None = None, seed: int = 0) -> None:
        self.config, self.seed = config or EnsembleConfig(), seed
        self._inputs = inputs
        self._layers: Layers = ()
        self._shift = self._scale = torch.zeros(0)

    def fit(self, questions: Fragments, ranks: Tensor, pool: Tensor) -> RewardEnsemble:
        """Fit from the same initial weights as ever; replaces any earlier fit.

        Args:
            questions: features [B, K, l, D + A] of the ranked fragments.
            ranks: [B, K] 1 = best, equal = tied.
            pool: [P, D + A] steps whose spread is the unit of the reward.

        Raises:
            FeedbackError: no question.

        """
        if not len(ranks):
            raise FeedbackError("No rankings to learn from; expected at least one question.")
        config = self.config
        generator = torch.Generator().manual_seed(self.seed)
        layers = _initial(self._inputs, config, generator)
        bags = torch.empty(config.members, len(ranks)).exponential_(generator=generator)
        bags = bags / bags.mean(1, keepdim=True)
        ties = bool((ranks.amax(1) < ranks.shape[1]).any())
        tie = torch.tensor(0.0 if ties else NEVER_TIED, requires_grad=ties)
        flat = [p for pair in layers for p in pair]
        groups: list[dict[str, Any]] = [
            {"params": flat},
            {"params": [tie] if ties else [], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(
            groups, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        for chosen in _batches(len(ranks), config, generator):
            scores = _forward(layers, questions.features[chosen]).sum(-1)
            fit = ranking_log_likelihood(scores, ranks[chosen], tie, noise=config.noise)
            loss = -(bags[:, chosen] * fit).mean(1).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        self._layers = tuple((w.detach(), b.detach()) for w, b in layers)
        values = self.members(pool)
        self._shift = values.mean(1, keepdim=True)
        self._scale = values.std(1, keepdim=True).clamp(min=1e-6)
        return self

    @property
    def fitted(self) -> bool:
        """Whether `fit` has succeeded."""
        return bool(self._layers)

    @torch.no_grad()
    def members(self, features: Tensor) -> Tensor:
        """[M, ..] what each member pays for features [.., D + A], in log-odds of a ranking."""
        if not self.fitted:
            raise FeedbackError("The reward has not been fitted; call fit(...) first.")
        return _forward(self._layers, features)

    def rewards(self, features: Tensor) -> Tensor:
        """[..] cautious reward of steps [.., D + A], in units of the pool's spread."""
        values = self.members(features.flatten(0, -2))
        standard = (values - self._shift) / self._scale
        paid = standard.mean(0) - self.config.pessimism * standard.var(0)
        return paid.view(features.shape[:-1])


def _initial(inputs: int, config: EnsembleConfig, generator: torch.Generator) -> Layers:
    sizes = (inputs, *config.hidden, 1)
    return tuple(
        (
            (torch.randn(config.members, i, o, generator=generator) / i**0.5).requires_grad_(),
            torch.zeros(config.members, 1, o).requires_grad_(),
        )
        for i, o in itertools.pairwise(sizes)
    )


def _forward(layers: Sequence[tuple[Tensor, Tensor]], features: Tensor) -> Tensor:
    """[M, ..] bounded worth of every step."""
    out = features.flatten(0, -2)[None]
    for weight, bias in layers:
        out = torch.tanh(out @ weight + bias)
    return out.view(len(out), *features.shape[:-1])


def _batches(count: int, config: EnsembleConfig, generator: torch.Generator) -> Iterator[Tensor]:
    """`steps` batches of questions, each pass over all of them in a new order."""
    order: list[Tensor] = []
    for _ in range(config.steps):
        if not order:
            order = list(torch.randperm(count, generator=generator).split(config.batch))
        yield order.pop()
