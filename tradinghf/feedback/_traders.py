"""Synthetic traders, who rank by a hidden utility and make the mistakes of people.

A utility maps an `Episode` to a number; more is better. Written with `axis=-1` it works on an
`EpisodeBatch` at once. A teacher turns utilities into an answer, with human weaknesses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradinghf.episodes import Episode, EpisodeBatch, Floats
from tradinghf.errors import FeedbackError
from tradinghf.feedback._types import Ranking
from tradinghf.registry import Registry

Worth = Any  # a float for an Episode, [B] for an EpisodeBatch
Utility = Callable[[Any], Worth]
UTILITIES: Registry[Utility] = Registry("trader", FeedbackError)


def utility(function: Utility) -> Utility:
    """Register a vectorised utility under its own name."""
    return UTILITIES.add(function.__name__, function)


def open_profit(e: Episode | EpisodeBatch) -> tuple[Floats, Floats]:
    """[..., L] log profit of the trade in hand and the best that it had reached."""
    wealth, side = np.log(np.maximum(e.equity, 1e-6)), np.sign(e.position)
    profit, best = np.zeros_like(e.position), np.zeros_like(e.position)
    entry = wealth[..., 0]
    for bar in range(side.shape[-1]):
        fresh = side[..., bar] != (side[..., bar - 1] if bar else 0)
        entry = np.where(fresh, wealth[..., bar], entry)
        held = side[..., bar] != 0
        profit[..., bar] = np.where(held, wealth[..., bar + 1] - entry, 0.0)
        before = best[..., bar - 1] if bar else 0.0
        peak = np.maximum(np.where(fresh, 0.0, before), profit[..., bar])
        best[..., bar] = np.where(held, peak, 0.0)
    return profit, best


@utility
def profit(e: Episode | EpisodeBatch) -> Worth:
    """Net return."""
    return e.net_return


@utility
def drawdown(e: Episode | EpisodeBatch) -> Worth:
    """Net return minus 1.5 times the maximum drawdown."""
    return e.net_return - 1.5 * e.drawdown.max(axis=-1)


@utility
def mean_variance(e: Episode | EpisodeBatch) -> Worth:
    """Net return minus ten times the realised variance."""
    return e.net_return - 10.0 * np.square(e.returns).sum(axis=-1)


@utility
def turnover_averse(e: Episode | EpisodeBatch) -> Worth:
    """Net return minus 0.5 % for each time the account is turned over."""
    return e.net_return - 0.005 * e.turnover.sum(axis=-1)


@utility
def dislikes_shorts(e: Episode | EpisodeBatch) -> Worth:
    """Net return minus 0.2 times the average short position."""
    return e.net_return - 0.2 * np.maximum(-e.position, 0).mean(axis=-1)


@utility
def trend_rider(e: Episode | EpisodeBatch) -> Worth:
    """Net return plus 0.1 times the average position in the direction of the last ten bars."""
    past = np.concatenate([np.repeat(e.close[..., :1], 10, axis=-1), e.close], axis=-1)
    trend = np.sign(e.close - past[..., : e.close.shape[-1]])[..., :-1]
    return e.net_return + 0.1 * (e.position * trend).mean(axis=-1)


@utility
def quick_loss_cutter(e: Episode | EpisodeBatch) -> Worth:
    """Net return minus eight times the average open loss."""
    in_hand, _ = open_profit(e)
    return e.net_return - 8.0 * np.maximum(-in_hand, 0).mean(axis=-1)


@utility
def dislikes_giving_back(e: Episode | EpisodeBatch) -> Worth:
    """Net return minus four times the average open profit given back."""
    in_hand, best = open_profit(e)
    return e.net_return - 4.0 * np.where(best > 0, best - in_hand, 0).mean(axis=-1)


@utility
def time_in_market(e: Episode | EpisodeBatch) -> Worth:
    """Net return minus 0.1 times the average absolute position."""
    return e.net_return - 0.1 * np.abs(e.position).mean(axis=-1)


@utility
def concentration_averse(e: Episode | EpisodeBatch) -> Worth:
    """Net return minus 0.1 times the average weight of the largest name."""
    return e.net_return - 0.1 * np.abs(e.book).max(axis=-1).mean(axis=-1)


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
}.items():
    TEACHERS.add(_name, _teacher)


_NAMES = {
    "drawdown": "drawdown",
    "mean_variance": "volatility",
    "turnover_averse": "turnover",
    "dislikes_shorts": "short",
    "trend_rider": "trend",
    "quick_loss_cutter": "holding_losers",
    "dislikes_giving_back": "giving_back",
    "time_in_market": "time_in_market",
}
"""What a built-in utility values beside profit, as traders call it (`LEXICON`)."""


def _probe(bars: int = 64) -> Episode:
    """A made-up episode on which a new utility is tried."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars + 1)))
    position = np.where(np.arange(bars) % 16 < 8, 1.0, -0.5)
    turnover = np.abs(np.diff(position, prepend=0.0))
    costs = 2e-4 * turnover
    equity = np.cumprod(np.r_[1.0, 1 + position * (close[1:] / close[:-1] - 1) - costs])
    arrays: list[Any] = [close, position, equity, turnover, costs]
    return EpisodeBatch(*(array[None] for array in arrays)).episodes()[0]


@dataclass
class SyntheticTrader:
    """Answers queries like a person with a hidden utility.

    Attributes:
        name: of the utility, or FILE.py:function.
        teacher: weaknesses; a registered name or a `SimulatedTeacher`.
        seed: of mistakes, noise and skips; an answer depends on (seed, query) only.

    """

    name: str = "drawdown"
    teacher: SimulatedTeacher | str = "oracle"
    seed: int = 0
    answered: int = 0
    label: str = field(init=False)
    function: Utility = field(init=False, repr=False)
    _batched: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        self.label, self.function = UTILITIES.find(self.name)
        self._batched = self.label in UTILITIES and UTILITIES[self.label] is self.function
        if isinstance(self.teacher, str):
            self.teacher = TEACHERS[self.teacher]
        if not self._batched:
            self._one(_probe())  # a broken file is told now, not after the first round

    def utilities(self, episodes: Sequence[Episode] | EpisodeBatch) -> Floats:
        """[B] true utility of each episode.

        Raises:
            FeedbackError: the function failed or returned something that is not a finite number.

        """
        if isinstance(episodes, EpisodeBatch) and self._batched:
            return np.asarray(self.function(episodes), dtype=np.float64)
        items = episodes.episodes() if isinstance(episodes, EpisodeBatch) else episodes
        values = np.array([self._one(episode) for episode in items])
        return values

    def _one(self, episode: Episode) -> float:
        try:
            value = float(self.function(episode))
        except Exception as error:
            raise FeedbackError(
                f"Trader {self.label} failed on an episode: {type(error).__name__}: {error}. "
                "A utility takes an Episode and returns a float."
            ) from error
        if not np.isfinite(value):
            raise FeedbackError(f"Trader {self.label} returned {value}; expected a finite number.")
        return value

    def rank(self, episodes: Sequence[Episode], query: str, session: str = "") -> Ranking:
        """Answer one query.

        Args:
            episodes: K episodes of one window, in panel order.
            query: id of the query; seeds the answer's randomness.
            session: label stored with the answer.

        """
        teacher = self.teacher
        assert isinstance(teacher, SimulatedTeacher)
        digest = hashlib.sha256(f"{self.seed}|{query}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        ids = tuple(episode.id for episode in episodes)
        about: dict[str, Any] = {
            "key": f"{self.label}|{self.seed}|{query}",
            "episodes": ids,
            "query": query,
            "rater": f"synthetic:{self.label}",
            "session": session,
        }
        if rng.random() < teacher.skip:
            return Ranking(ranks=(), outcome="skipped", **about)
        values = self._perceived(episodes, teacher)
        alike = _likeness(episodes) if teacher.confusion else np.zeros((len(ids), len(ids)))
        swap = np.maximum(teacher.swap(self.answered), teacher.confusion * alike)
        ranks = _answer(values, teacher, swap, rng)
        self.answered += 1
        comment = self._reason(episodes, values) if teacher.explains else ""
        return Ranking(ranks=tuple(int(r) for r in ranks), comment=comment, **about)

    def _reason(self, episodes: Sequence[Episode], values: Floats) -> str:
        """The tag of what differs most in the trader's eyes; nothing where it has no name."""
        name = _NAMES.get(self.label)
        if name is None:
            return ""
        profit = np.array([float(episode.net_return) for episode in episodes])
        return f"#{name}" if (values - profit).std() > profit.std() else "#profit"

    def _perceived(self, episodes: Sequence[Episode], teacher: SimulatedTeacher) -> Floats:
        seen = [e.tail(teacher.myopic) for e in episodes] if teacher.myopic < 1 else episodes
        seen = [e.head(teacher.visible) for e in seen] if teacher.visible < 1 else seen
        values = self.utilities(seen)
        if teacher.anchor:
            final = _standard(np.array([float(e.net_return) for e in episodes]))
            values = (1 - teacher.anchor) * _standard(values) + teacher.anchor * final
        if teacher.drift and self.answered < teacher.drift:
            share = self.answered / teacher.drift
            values = share * values + (1 - share) * np.array([float(e.net_return) for e in seen])
        return values


def _standard(values: Floats) -> Floats:
    """Values in units of their spread around their mean; zeros where they are all the same."""
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def _likeness(episodes: Sequence[Episode]) -> Floats:
    """[K, K] how alike the equity curves look: 1 where they are the same, falling to 0."""
    curves = np.stack([episode.equity for episode in episodes])
    apart = np.sqrt(np.square(curves[:, None] - curves[None]).mean(-1))
    usual = apart.sum() / max(len(curves) * (len(curves) - 1), 1)
    return np.exp(-apart / usual) if usual > 0 else np.ones_like(apart)


def _answer(
    values: Floats, teacher: SimulatedTeacher, swap: Floats, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Ranks from utilities, 1 = best; utilities are compared in units of their spread.

    Args:
        values: [K] perceived utilities, in panel order.
        teacher: the other weaknesses.
        swap: [K, K] probability that two neighbours in the ranking are swapped.
        rng: of chance.

    """
    scaled = _standard(values)
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
