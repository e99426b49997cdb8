"""A trader's taste as what parameters are chosen by: the learned reward of windows of an account.

A variant trades one account through all the bars, as after a deployment; the account's path is cut
into windows as long as the episodes that were ranked, and each is paid as an episode is. All
variants are cut at the same bars, so that the luck of a window is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tradinghf._intervals import kept, time_blocks
from tradinghf.episodes import EpisodeBatch
from tradinghf.errors import ConfigError, check_setting
from tradinghf.market import Floats, MarketData

if TYPE_CHECKING:
    from tradinghf.learning.reward import Reward

_SHIFTS = 4  # windows begin at so many bars of a window's length: the more, the less noise
_AT_ONCE = 16_384  # episodes that are scored together (memory)
_PROFIT_WEIGHT = 0.5  # `RLHFConfig.pnl_weight`: profit beside a reward that explains nothing


@dataclass(frozen=True)
class Taste:
    """An objective: what windows of trading are worth to a trader.

    Attributes:
        score: [B] worth of B episodes, more is better.
        window: L bars of each.
        profit: weight of the windows' profit beside it, in units of the spread that holding the
            market has over the same windows; 0: taste alone.
        keep: only variants whose mean profit a window is above that of the strategy with its own
            parameters less this, by at least a standard error, are chosen, however well others
            are liked [fraction of equity]; None: profit does not matter.

    """

    score: Callable[[EpisodeBatch], Floats]
    window: int = 64
    profit: float = 0.0
    keep: float | None = None

    def __post_init__(self) -> None:
        check_setting(self.window >= 2, "Taste.window", self.window, "at least 2 bars")
        check_setting(self.profit >= 0, "Taste.profit", self.profit, "0 or more")
        kept = self.keep is None or self.keep >= 0
        check_setting(kept, "Taste.keep", self.keep, "0 or more, or None")

    @property
    def name(self) -> str:
        """The column that variants are chosen by."""
        if self.profit:
            return "taste_and_profit"
        return "taste" if self.keep is None else "taste_keeping_profit"

    @classmethod
    def of(
        cls,
        reward: Reward,
        *,
        window: int | None = None,
        profit: bool = False,
        keep: float | None = None,
    ) -> Taste:
        """The taste that a fitted reward has learned.

        Args:
            reward: fitted to rankings.
            window: bars of a window; None: as most of the ranked episodes.
            profit: count profit too, with a weight that fades as the reward explains more.
            keep: see the class.

        Raises:
            ConfigError: the reward has not been fitted.

        """
        if not reward.fitted:
            raise ConfigError(
                "The objective is a reward that has not been fitted; call "
                "fit(rankings, episodes) first."
            )
        from tradinghf.learning.reward import learned_score

        weight = _PROFIT_WEIGHT * (1.0 - reward.explained) ** 4 if profit else 0.0
        ranked = int(getattr(reward, "ranked_bars", 0))
        return cls(learned_score(reward), window or ranked or cls.window, weight, keep)

    def starts(self, bars: int) -> NDArray[np.int64]:
        """[W] first bars of the windows in T bars; every fourth of a window, up to the last bar.

        Raises:
            ConfigError: not one window fits.

        """
        last = bars - 1 - self.window
        if last < 0:
            raise ConfigError(
                f"{bars} bars are too few for a window of {self.window} bars, which the taste is "
                f"measured on; expected at least {self.window + 1}. Use more bars."
            )
        return np.arange(last, -1, -max(self.window // _SHIFTS, 1), dtype=np.int64)[::-1]

    def of_windows(self, path: EpisodeBatch) -> Floats:
        """[W, N] worth of every window of N accounts that traded the same T bars.

        Args:
            path: [N, T] of every array; positions, turnover and costs of a bar at its close.

        """
        starts = self.starts(path.equity.shape[1])
        size = max(_AT_ONCE // len(starts), 1)
        parts = [self._scored(path, slice(k, k + size), starts) for k in range(0, len(path), size)]
        return np.concatenate(parts).T

    def _scored(self, path: EpisodeBatch, rows: slice, starts: NDArray[np.int64]) -> Floats:
        points = starts[:, None] + np.arange(self.window + 1)  # [W, L+1]
        steps = points[:, 1:]

        def cut(values: Floats, at: NDArray[np.int64]) -> Floats:
            return values[rows][:, at].reshape(-1, at.shape[1])

        equity = cut(path.equity, points)
        base = np.maximum(equity[:, :1], 1e-12)
        episodes = EpisodeBatch(
            close=cut(path.close, points),
            position=cut(path.position, steps),
            equity=np.maximum(equity / base, 1e-6),
            turnover=cut(path.turnover, steps),
            costs=cut(path.costs, steps) / base,
        )
        found = np.asarray(self.score(episodes), dtype=np.float64)
        return found.reshape(-1, len(starts))

    def scores(
        self,
        tastes: Floats,
        returns: Floats,
        market: MarketData,
        *,
        own: Floats | None = None,
        inside: NDArray[np.bool_] | None = None,
    ) -> Floats:
        """[N] what variants are chosen by: mean worth; NaN for those that do not keep the profit.

        Args:
            tastes: [W, N] as from `of_windows`.
            returns: [T, N] of the accounts' bars.
            market: the bars.
            own: [T, 1] or [T, N] returns of the strategy with its own parameters, for `keep`.
            inside: [W] windows that count; None: all.

        """
        starts, rows = self.starts(market.bars), slice(None) if inside is None else inside
        worth: Floats = tastes[rows].mean(axis=0)
        if not self.profit and self.keep is None:
            return worth
        gains = _gains(returns, starts, self.window)[rows]
        if self.profit:
            held = _growth(
                (market.close / market.close[0]).mean(axis=1)[:, None], starts, self.window
            )
            worth = worth + self.profit * gains.mean(axis=0) / max(float(held.std()), 1e-9)
        if self.keep is not None and own is not None:
            lost = gains - _gains(own, starts, self.window)[rows]
            keeps = kept(lost.T, self.keep, time_blocks(starts[rows], self.window))
            worth = np.where(keeps, worth, np.nan)
        return worth


def as_taste(objective: Any) -> Taste | None:
    """The taste that a caller means: a `Taste`, a fitted reward, a score of episodes, or none.

    Raises:
        ConfigError: something else came.

    """
    if objective is None or isinstance(objective, Taste):
        return objective
    if hasattr(type(objective), "rewards"):
        return Taste.of(objective)
    if callable(objective):
        return Taste(objective)
    raise ConfigError(
        f"objective is {objective!r}; expected a fitted reward model, a function from an "
        "EpisodeBatch of B episodes to [B] numbers, a Taste(...), or None."
    )


def _growth(wealth: Floats, starts: NDArray[np.int64], window: int) -> Floats:
    """[W, N] growth of [T, N] over every window."""
    return np.asarray(wealth[starts + window] / wealth[starts] - 1.0)


def _gains(returns: Floats, starts: NDArray[np.int64], window: int) -> Floats:
    """[W, N] profit of [T, N] returns over every window."""
    return _growth(np.maximum(np.cumprod(1.0 + returns, axis=0), 1e-12), starts, window)
