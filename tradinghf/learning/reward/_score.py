"""A reward model of your own: any function from episodes to scores, paid bar by bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.episodes import Episode, EpisodeBatch, Floats
from tradinghf.errors import FeedbackError, check_setting
from tradinghf.feedback import Ranking
from tradinghf.learning.reward._answers import AnswerTable
from tradinghf.learning.reward._likelihood import RankingLikelihood
from tradinghf.learning.reward._paths import TradePaths, per_episode
from tradinghf.learning.reward._protocol import CalibratedReward, share_explained

Score = Callable[[EpisodeBatch], Any]
Learn = Callable[[Sequence[Ranking], Mapping[str, Episode]], object]
_STEPS = 40
_PRECISION = 0.02  # of the Gaussian prior of log temperature and log tie around 0


def growth(score: Callable[[EpisodeBatch], Floats], batch: EpisodeBatch, stride: int) -> Floats:
    """[B, L] growth of a score, told every `stride` bars; sums to the score of the whole.

    Args:
        score: B episodes to [B]; also sees episodes that have only begun. While it fails on these
            (it may look back further than they go) nothing is paid.
        batch: B episodes of L bars.
        stride: bars between two looks; L or more pays everything in the last bar.

    """
    length = batch.position.shape[-1]
    out, before = np.zeros(batch.position.shape), np.zeros(len(batch))
    for stop in [*range(stride, length, stride), length]:
        try:
            now = score(batch.first(stop))
        except FeedbackError:
            if stop == length:
                raise
            continue
        out[:, stop - 1] = now - before
        before = now
    return out


class ScoreModel(CalibratedReward):
    """Your function from episodes to scores in the place of the learned aspects.

    `fit` calibrates it: how strongly a difference in score predicts the rankings (temperature) and
    how often raters tie, both by maximum likelihood. Probabilities, question choice and training
    then work as with `RewardModel`; there is one member, so questions are not chosen by doubt.

    Args:
        score: `EpisodeBatch` of B episodes to [B] numbers, more is better; with `axis=-1` the same
            code serves one `Episode`.
        learn: called with rankings and episodes before each calibration; None where the score has
            nothing to learn. What it learns by heart counts as explained.
        stride: bars between two payments while an episode runs.
        across_windows: whether rankings may be of several market windows.

    Example:
        >>> calm = ScoreModel(lambda e: e.net_return - 2 * e.drawdown.max(axis=-1))

    """

    def __init__(
        self,
        score: Score,
        *,
        learn: Learn | None = None,
        stride: int = 8,
        across_windows: bool = False,
    ) -> None:
        check_setting(stride >= 1, "stride", stride, "at least 1 bar")
        self._score, self._learn, self.stride = score, learn, stride
        self._across_windows = across_windows
        self.spread = 0.0

    def blank(self) -> ScoreModel:
        """A model with the same score that is not calibrated."""
        return ScoreModel(
            self._score,
            learn=self._learn,
            stride=self.stride,
            across_windows=self._across_windows,
        )

    def fit(self, rankings: Sequence[Ranking], episodes: Mapping[str, Episode]) -> ScoreModel:
        """Learn, if there is something to learn, and calibrate; as `Reward.fit`.

        Raises:
            FeedbackError: no usable ranking, missing episodes, or scores that are not finite or
                equal for all episodes.

        """
        if self._learn is not None:
            self._learn(rankings, episodes)
        table = AnswerTable.of(rankings, episodes, across_windows=self._across_windows)
        raw = per_episode(table.episodes, self._totals)[table.index]
        mean = (raw * table.mask).sum(1, keepdim=True) / table.mask.sum(1, keepdim=True)
        gap = (raw - mean) * table.mask
        spread = float(gap.square().sum().div(table.mask.sum()).sqrt())
        if not spread > 0:
            raise FeedbackError(
                "The score is the same for all episodes of every question; expected a function "
                "that tells them apart."
            )
        self._calibrate(gap / spread, table)
        self.spread, self.answers = spread, len(table.ranks)
        self.ranked_bars = table.commonest_length[0].bars
        return self

    def _calibrate(self, scores: Tensor, table: AnswerTable) -> None:
        """Temperature and tie parameter of [R, K] scores in units of their spread."""
        free = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([free], max_iter=_STEPS, line_search_fn="strong_wolfe")

        given = RankingLikelihood(table.ranks, table.compared)

        def likelihood(factor: Tensor, log_tie: Tensor) -> Tensor:
            return given(scores * factor, log_tie).sum()

        def surprise(at: Tensor) -> Tensor:
            return _PRECISION / 2 * at.square().sum() - likelihood(at[0].exp(), at[1])

        def loss() -> Tensor:
            optimiser.zero_grad()
            value = surprise(free)
            value.backward()
            return value

        optimiser.step(loss)
        found = free.detach()
        self.temperature, self.log_tie = float(found[0].exp()), found[1]
        # What the two parameters learned from the answers is not foreseen: Laplace's approximation
        # of the marginal likelihood takes it away.
        curvature = torch.linalg.eigvalsh(torch.autograd.functional.hessian(surprise, found))
        learned = 0.5 * float((curvature / _PRECISION).clamp(min=1).log().sum())
        by_chance = float(likelihood(torch.zeros(()), found[1]))
        self.explained = share_explained(-float(surprise(found)) - learned, by_chance)

    def _numbers(self, batch: EpisodeBatch) -> Floats:
        """[B] checked scores."""
        values = np.asarray(self._score(batch), dtype=np.float64)
        if values.shape != (len(batch),) or not np.isfinite(values).all():
            raise FeedbackError(
                f"The score of {len(batch)} episodes has shape {values.shape}; expected "
                f"({len(batch)},) finite numbers. Write it with axis=-1."
            )
        return values

    def _totals(self, paths: TradePaths) -> Tensor:
        return torch.from_numpy(self._numbers(paths.batch()))

    def rewards(self, paths: TradePaths) -> Tensor:
        """[B, L] reward of each bar; the sum over an episode is its score in units of the spread.

        Raises:
            FeedbackError: not fitted.

        """
        self._require_fit()
        paid = growth(self._numbers, paths.batch(), self.stride) / self.spread
        return torch.as_tensor(paid, dtype=paths.equity.dtype, device=paths.equity.device)

    def member_scores(self, episodes: Sequence[Episode]) -> Tensor:
        """[1, B] scores [log-odds]."""
        self._require_fit()
        return per_episode(episodes, self._totals)[None] / self.spread * self.temperature
