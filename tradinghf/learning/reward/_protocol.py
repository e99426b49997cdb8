"""What the loop asks of a learned reward, whatever it learns by, and what such rewards share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from tradinghf.episodes import Episode, EpisodeBatch, Floats
from tradinghf.errors import FeedbackError
from tradinghf.feedback import Ranking
from tradinghf.learning.reward._likelihood import pair_probabilities
from tradinghf.learning.reward._paths import TradePaths, per_episode

NEVER_TIED = -20.0
"""Log tie parameter of raters who never tie."""


class Reward(Protocol):
    """A reward that is learned from rankings.

    `RewardModel` (aspects), `ScoreModel` (a function of one's own) and `PlainReward` (a network)
    are three of them. A class of one's own needs these members, and may take most of them from
    `CalibratedReward`.
    """

    @property
    def fitted(self) -> bool:
        """Whether `fit` has succeeded."""

    @property
    def explained(self) -> float:
        """Share of the answers' surprise that the reward takes away, 0 to 1.

        Profit, as a second reward, fades as this grows; 0 keeps it at full weight.
        """

    def blank(self) -> Self:
        """A reward of the same kind and settings that has learned nothing."""

    def fit(self, rankings: Sequence[Ranking], episodes: Mapping[str, Episode]) -> Self:
        """Learn from answers; replaces any earlier fit.

        Args:
            rankings: answers; skipped ones are ignored.
            episodes: id -> episode, for every ranked id.

        Raises:
            FeedbackError: no usable ranking, or missing episodes.

        """

    def rewards(self, paths: TradePaths) -> Tensor:
        """[B, L] reward of each bar; what is paid in a bar may not depend on later ones."""

    def member_scores(self, episodes: Sequence[Episode]) -> Tensor:
        """[M, B] worth of episodes in the eyes of M members [log-odds of a comparison].

        Questions are asked where the members disagree.
        """

    def predict_pairs(self, first: Tensor, second: Tensor) -> Tensor:
        """[..., 3] probability that the first of two scores wins, ties, loses.

        Args:
            first, second: [M, ...] as from `member_scores`.

        """

    def explain(self) -> list[dict[str, Any]]:
        """What is valued, most important first; empty where it cannot be told."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready findings."""


class CalibratedReward(ABC):
    """What rewards have in common whose score predicts rankings, up to a factor.

    A subclass writes `blank`, `fit` (which sets the attributes) and `rewards`.

    Attributes:
        temperature: log-odds of a comparison per unit of score.
        log_tie: log tie parameter of the raters.
        slip: probability that an answer was given at random, whatever the scores.
        answers: how many the fit used; 0 before.
        explained: as in `Reward`.
        ranked_bars: length of most of the ranked episodes [bars]; 0 where it is not known.

    """

    temperature: float = 1.0
    log_tie: Tensor = torch.tensor(NEVER_TIED, dtype=torch.float64)
    slip: float = 0.0
    answers: int = 0
    explained: float = 0.0
    ranked_bars: int = 0

    @property
    def fitted(self) -> bool:
        """Whether `fit` has succeeded."""
        return self.answers > 0

    @abstractmethod
    def rewards(self, paths: TradePaths) -> Tensor:
        """[B, L] reward of each bar; see `Reward`."""

    def score(self, episodes: Sequence[Episode]) -> Tensor:
        """[B] worth of each episode: what its bars are paid together."""
        self._require_fit()
        return per_episode(episodes, lambda paths: self.rewards(paths).sum(-1))

    def member_scores(self, episodes: Sequence[Episode]) -> Tensor:
        """[1, B] the score, in log-odds."""
        return self.score(episodes).double()[None] * self.temperature

    def predict_pairs(self, first: Tensor, second: Tensor) -> Tensor:
        """[..., 3] probability that the first of two scores wins, ties, loses; see `Reward`."""
        found = pair_probabilities(first - second, self.log_tie).mean(0)
        by_slip = found.new_tensor([1.0, float(self.log_tie) > NEVER_TIED, 1.0])
        return (1 - self.slip) * found + self.slip * by_slip / by_slip.sum()

    def explain(self) -> list[dict[str, Any]]:
        """Nothing: such a reward does not say what it values."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready findings."""
        return {"rankings": self.answers, "values": self.explain()}

    def _require_fit(self) -> None:
        if not self.fitted:
            raise FeedbackError(
                f"This {type(self).__name__} has not been fitted; call fit(rankings, episodes) "
                "first."
            )


def learned_score(reward: Reward) -> Callable[[EpisodeBatch], Floats]:
    """A function from B episodes to [B] what a learned reward pays for them as a whole."""

    def score(episodes: EpisodeBatch) -> Floats:
        paid = reward.rewards(TradePaths.from_episodes(episodes)).sum(-1)
        return np.asarray(paid.double().cpu().numpy())

    return score


def share_explained(log_likelihood: float, by_chance: float) -> float:
    """Share of the answers' surprise that a reward takes away, 0 to 1.

    Args:
        log_likelihood: of all answers, averaged over what was believed before them (the marginal
            likelihood): so each is foreseen from the earlier ones, and mere fitting is not paid.
        by_chance: of the answers, from somebody who answers at random but ties as often.

    """
    if by_chance > -1e-9:  # nothing was compared
        return 0.0
    return min(max(1.0 - log_likelihood / by_chance, 0.0), 1.0)
