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

from tradinghf.episodes import Episode, EpisodeBatch, Floats
from tradinghf.errors import FeedbackError
from tradinghf.feedback._teachers import (
    TEACHERS,
    SimulatedTeacher,
    answered,
    flat,
    likeness,
    standard,
)
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


_SPOT_CHECKS = 5  # episodes of a batch that are also judged alone


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
    _tries_batches: bool = field(init=False, repr=False, default=True)
    _agreed: set[int] = field(init=False, repr=False, default_factory=set)

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
        if isinstance(episodes, EpisodeBatch):
            if self._batched:
                return np.asarray(self.function(episodes), dtype=np.float64)
            values = self._together(episodes)
            if values is not None:
                return values
            episodes = episodes.episodes()
        return np.array([self._one(episode) for episode in episodes])

    def _together(self, batch: EpisodeBatch) -> Floats | None:
        """[B] utilities in one call, where a function of one episode also takes a batch.

        None where it fails, or says of a batch what it does not say of some of its episodes: then
        it is never asked so again.
        """
        if not self._tries_batches or len(batch) < 2:
            return None
        some = np.unique(np.linspace(0, len(batch) - 1, _SPOT_CHECKS).astype(int))
        try:
            values = np.asarray(self.function(batch), dtype=np.float64)
        except Exception:  # noqa: BLE001 - the users' own function, which may raise anything
            self._one(batch.rows(some[:1]).episodes()[0])  # fails alike, or is for one episode only
            values = np.empty(0)
        if values.shape == (len(batch),) and np.isfinite(values).all():
            bars = batch.position.shape[1]
            if bars in self._agreed:
                return values
            alone = [self._one(episode) for episode in batch.rows(some).episodes()]
            if np.allclose(values[some], alone, rtol=1e-9, atol=1e-12):
                self._agreed.add(bars)
                return values
        self._tries_batches = False
        return None

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
        alike = likeness(episodes) if teacher.confusion else np.zeros((len(ids), len(ids)))
        swap = np.maximum(teacher.swap(self.answered), teacher.confusion * alike)
        ranks = answered(values, teacher, swap, rng)
        self.answered += 1
        comment = self._reason(episodes, values) if teacher.explains else ""
        if teacher.ends:
            ranks = np.where(ranks == ranks.min(), 1, np.where(ranks == ranks.max(), 3, 2))
        ratings = self._rated(episodes) if teacher.rates else ()
        given = tuple(int(r) for r in ranks)
        return Ranking(ranks=given, comment=comment, ratings=ratings, **about)

    def _rated(self, episodes: Sequence[Episode]) -> tuple[int, ...]:
        """5 for an episode that is better than staying out of its window, 1 for one that is not."""
        better = self.utilities(episodes) > self.utilities([flat(e) for e in episodes])
        return tuple(5 if good else 1 for good in better)

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
            final = standard(np.array([float(e.net_return) for e in episodes]))
            values = (1 - teacher.anchor) * standard(values) + teacher.anchor * final
        if teacher.drift and self.answered < teacher.drift:
            share = self.answered / teacher.drift
            values = share * values + (1 - share) * np.array([float(e.net_return) for e in seen])
        return values
