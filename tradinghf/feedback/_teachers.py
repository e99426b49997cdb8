"""How faithfully a synthetic trader answers: mistakes, habits, and what else an answer says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tradinghf.episodes import Episode, Floats
from tradinghf.errors import FeedbackError
from tradinghf.registry import Registry


@dataclass(frozen=True)
class SimulatedTeacher:
    """The mistakes with which a synthetic trader reports its utility; by default none.

    Attributes:
        rationality: inverse temperature of Plackett-Luce choices; infinite = always exact.
        mistake: probability that two neighbours in the ranking are swapped.
        skip: probability of skipping a query.
        tie: utilities closer than this (in standard deviations of the group) are tied.
        myopic: share of the episode, from its end, that the trader looks at.
        drift: number of answers over which taste moves from pure profit to the utility.
        adversary: probability that an answer is reversed.
        confusion: probability that two neighbours in the ranking are swapped whose equity curves
            are the same; it falls as they part.
        first_panel: what the first panel gains on the last by its place alone (in standard
            deviations of the group).
        fatigue: number of answers in which the probability of swapping neighbours grows to a
            quarter; 0 never tires.
        anchor: share of the final profit, as against the utility, in what is compared.
        visible: share of the episode, from its beginning, that the trader looks at.
        explains: whether the trader names what decided each answer, as a tag in its comment:
            profit, or what else a built-in utility values, whichever differs more.
        ends: whether only the best and the worst are named; the others stay tied between them.
        rates: whether each episode is also called good or bad: better or worse than staying out.
    Source: B-Pref, Lee et al. 2021 (arXiv:2111.03026), section 3, extended to rankings.

    """

    rationality: float = float("inf")
    mistake: float = 0.0
    skip: float = 0.0
    tie: float = 0.0
    myopic: float = 1.0
    drift: int = 0
    adversary: float = 0.0
    confusion: float = 0.0
    first_panel: float = 0.0
    fatigue: int = 0
    anchor: float = 0.0
    visible: float = 1.0
    explains: bool = False
    ends: bool = False
    rates: bool = False

    def swap(self, answered: int) -> float:
        """Probability of swapping two neighbours, after so many answers."""
        tired = min(answered / self.fatigue, 1.0) if self.fatigue else 0.0
        return self.mistake + (_TIRED - self.mistake) * tired if tired else self.mistake


_TIRED = 0.25
TEACHERS: Registry[SimulatedTeacher] = Registry("teacher", FeedbackError)
for _name, _teacher in {
    "oracle": SimulatedTeacher(),
    "stochastic": SimulatedTeacher(rationality=3.0),
    "mistakes": SimulatedTeacher(mistake=0.1),
    "skips": SimulatedTeacher(skip=0.2),
    "ties": SimulatedTeacher(tie=0.25),
    "myopic": SimulatedTeacher(myopic=0.5),
    "drifting": SimulatedTeacher(drift=20),
    "adversarial": SimulatedTeacher(adversary=0.2),
    "confused": SimulatedTeacher(confusion=0.5),
    "in_order": SimulatedTeacher(first_panel=0.5),
    "tiring": SimulatedTeacher(fatigue=40),
    "anchored": SimulatedTeacher(anchor=0.3),
    "impatient": SimulatedTeacher(visible=0.8),
    "explaining": SimulatedTeacher(explains=True),
    "brief": SimulatedTeacher(ends=True),
    "rating": SimulatedTeacher(rates=True),
}.items():
    TEACHERS.add(_name, _teacher)


def flat(episode: Episode) -> Episode:
    """The same window without a trade."""
    nothing = np.zeros_like(episode.position)
    return replace(
        episode,
        position=nothing,
        turnover=nothing,
        costs=nothing,
        equity=np.ones_like(episode.equity),
        price=np.full_like(episode.price, np.nan),
    )


def standard(values: Floats) -> Floats:
    """Values in units of their spread around their mean; zeros where they are all the same."""
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def likeness(episodes: Sequence[Episode]) -> Floats:
    """[K, K] how alike the equity curves look: 1 where they are the same, falling to 0."""
    curves = np.stack([episode.equity for episode in episodes])
    apart = np.sqrt(np.square(curves[:, None] - curves[None]).mean(-1))
    usual = apart.sum() / max(len(curves) * (len(curves) - 1), 1)
    return np.exp(-apart / usual) if usual > 0 else np.ones_like(apart)


def answered(
    values: Floats, teacher: SimulatedTeacher, swap: Floats, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Ranks from utilities, 1 = best; utilities are compared in units of their spread.

    Args:
        values: [K] perceived utilities, in panel order.
        teacher: the other weaknesses.
        swap: [K, K] probability that two neighbours in the ranking are swapped.
        rng: of chance.

    """
    scaled = standard(values)
    if teacher.first_panel:
        scaled = scaled + teacher.first_panel * np.linspace(0.5, -0.5, len(values))
    noisy = scaled
    if np.isfinite(teacher.rationality):
        noisy = teacher.rationality * scaled + rng.gumbel(size=len(values))
    order = np.argsort(-noisy, kind="stable")
    for i in range(len(order) - 1):
        if rng.random() < swap[order[i], order[i + 1]]:
            order[i], order[i + 1] = order[i + 1], order[i]
    if rng.random() < teacher.adversary:
        order = order[::-1]
    ranks = np.empty(len(order), dtype=np.int64)
    rank = 1
    for place, index in enumerate(order):
        if place and abs(scaled[order[place - 1]] - scaled[index]) > max(teacher.tie, 1e-12):
            rank += 1
        ranks[index] = rank
    return ranks
