"""How much of a taste the terms describe, by what they foresee: stacking.

Averaging by evidence trusts one model in the end, even where none is true: the search among
hundreds of terms then finds one that fits by chance. So answers are held out in turns, the whole
search is repeated without them, and the terms alone and the terms beside the learned features are
weighed by how well each foresaw what was held out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tradinghf.learning.reward._answers import Choices
from tradinghf.learning.reward._posterior import TermPosterior

HARDLY = 0.15  # weight below which the learned features are left out
_DRAWS = 64
_GRID = 101
_MANY = 100  # answers, of which a third tells enough


@dataclass(frozen=True, eq=False)
class Foresight:
    """What models that were fitted without them say of R' answers.

    Attributes:
        narrow, wide: [R'] log probability by the terms alone, and with the learned features.
        answers: R, those that were not held out included.

    """

    narrow: Tensor
    wide: Tensor
    answers: int

    def best_share(self, prior: float) -> float:
        """Weight of the wide models that foresees most, from 0 to 1.

        Args:
            prior: weight before any answer; it counts as two answers.

        """
        shares = torch.linspace(0, 1, _GRID, dtype=torch.float64)[1:-1, None]
        mixed = torch.logaddexp(self.wide + shares.log(), self.narrow + (1 - shares).log())
        counted = prior * shares.log() + (1 - prior) * (1 - shares).log()
        return float(shares[(mixed.sum(-1) + 2 * counted[:, 0]).argmax()])

    def log_likelihood(self, share: float) -> float:
        """Of R answers like the held-out ones, by both together."""
        mixed = torch.logaddexp(self.wide + math.log(share), self.narrow + math.log(1 - share))
        return float(mixed.mean()) * self.answers


def turns_of(answers: int, folds: int) -> int:
    """How often some of so many answers are held out."""
    return folds if answers <= _MANY else 1


def foresight(
    fit: Callable[[Choices], TermPosterior],
    choices: Choices,
    learned: frozenset[int],
    folds: int,
    generator: torch.Generator,
) -> Foresight:
    """Hold answers out in turns, and let models fitted to the others foresee them.

    Of many answers only one part is held out: it tells enough.

    Args:
        fit: choices to a posterior.
        choices: of all answers.
        learned: columns of the learned features.
        folds: how many turns.
        generator: of folds and draws.

    """
    answers, of = choices.answer.unique(return_inverse=True)
    fold = torch.randperm(len(answers), generator=generator) % folds
    narrow, wide = (torch.zeros(len(answers), dtype=torch.float64) for _ in range(2))
    turns = turns_of(len(answers), folds)
    for turn in range(turns):
        held = fold[of] == turn
        posterior = fit(choices.some(~held))
        rows = choices.some(held).with_terms(posterior.columns)
        for into, part in zip((narrow, wide), split(posterior, learned), strict=True):
            said = _predictive(part, rows, generator)
            into[of[held].unique()] = said
    held_out = fold < turns
    return Foresight(narrow[held_out], wide[held_out], len(answers))


def learned_share(posterior: TermPosterior, learned: frozenset[int]) -> float:
    """Probability of the components that use learned features."""
    return float(posterior.log_weight[_uses(posterior, learned)].exp().sum())


def _uses(posterior: TermPosterior, learned: frozenset[int]) -> Tensor:
    """[G] which components use learned features."""
    columns = torch.tensor([c in learned for c in posterior.columns.tolist()])
    return (posterior.mean[:, :-1][:, columns] != 0).any(-1)


def split(posterior: TermPosterior, learned: frozenset[int]) -> tuple[TermPosterior, TermPosterior]:
    """The components without and with learned features, each as a posterior of its own."""
    uses = _uses(posterior, learned)
    return (_some(posterior, ~uses), _some(posterior, uses))


def stacked(posterior: TermPosterior, learned: frozenset[int], share: float) -> TermPosterior:
    """The same components, those with learned features weighing `share` together.

    They are left out where they weigh little: that much is the doubt that any answers leave.
    """
    uses = _uses(posterior, learned)
    if share < HARDLY and not bool(uses.all()):
        return _some(posterior, ~uses)
    if not bool(uses.any()) or bool(uses.all()):
        return posterior
    weight = posterior.log_weight.clone()
    for rows, part in ((uses, share), (~uses, 1 - share)):
        weight[rows] = weight[rows].log_softmax(0) + torch.tensor(part).log()
    return replace(posterior, log_weight=weight)


def _some(posterior: TermPosterior, rows: Tensor) -> TermPosterior:
    weight = posterior.log_weight[rows].log_softmax(0)
    mean, scale = posterior.mean[rows], posterior.scale[rows]
    return replace(posterior, log_weight=weight, mean=mean, scale=scale)


def _predictive(posterior: TermPosterior, rows: Choices, generator: torch.Generator) -> Tensor:
    """[R'] log probability of each answer, averaged over the posterior."""
    if not len(posterior.log_weight):
        return torch.full((len(rows.answer.unique()),), -torch.inf, dtype=torch.float64)
    draws = posterior.sample(_DRAWS, generator)
    logits = torch.einsum("cop,mp->mco", rows.features, draws)
    log_p = -logits.masked_fill(~rows.available, -torch.inf).logsumexp(-1)
    slip = posterior.noise
    log_p = torch.log((1 - slip) * log_p.exp() + slip / rows.options) * rows.weight
    answers, of = rows.answer.unique(return_inverse=True)
    each = torch.zeros(_DRAWS, len(answers), dtype=torch.float64).index_add_(1, of, log_p)
    total: Tensor = each.logsumexp(0) - torch.tensor(float(_DRAWS)).log()
    return total
