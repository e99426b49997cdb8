"""Leaderboard of strategies and policies from rankings of their episodes.

Strengths follow Davidson's model, Bradley-Terry with ties: P(i beats j) : P(j beats i) : P(tie) =
s_i : s_j : nu * sqrt(s_i * s_j). Elo (evalica) is beside it because people know it, but it depends
on the order of play. For the strengths every pair of a ranking of K counts 2/K: one ranking is
K - 1 decisions, not K(K-1)/2.

Uncertainty is the Bayesian bootstrap over whole rankings (Rubin 1981): exponential weights on the
rankings and on a weak prior (each source twice won and twice lost against an average opponent). So
one lucky ranking does not look certain: of two sources, the winner of n of n rankings is called
ahead from n = 5 on, and two equal ones are told apart wrongly in about 5 % of cases.

Sources: Davidson 1970, JASA 65(329); Rubin 1981, Annals of Statistics 9(1); Elo 1978.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import evalica
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf._intervals import quantile
from tradinghf.episodes import Floats
from tradinghf.errors import FeedbackError
from tradinghf.feedback._davidson import fit_davidson
from tradinghf.feedback._sources import EDITED_SOURCE, OWN_SOURCE
from tradinghf.feedback._types import Ranking

_BASE, _SCALE = 1000.0, 400.0
"""Ratings are 1000 + 400 log10(strength / mean strength): +400 is ten times as strong."""
_ELO_STEP = 8.0
_ELO_ORDERS = 25
_RESULT = {1: evalica.Winner.X, 0: evalica.Winner.Draw, -1: evalica.Winner.Y}


@dataclass(frozen=True)
class Standing:
    """One line of the leaderboard.

    Attributes:
        source: strategy or policy.
        rating: Davidson strength [Elo-like points], the average source is 1000.
        low, high: interval of `rating`.
        elo: median Elo over random orders of the rankings [points]; it has no interval, because
            what it would settle at depends on the order of play.
        wins, losses, ties: pairwise outcomes.
        place: 1 = best.
        best_place, worst_place: the places that the data leave open.
        too_close: True when the next source below is too close to call.

    """

    source: str
    rating: float
    low: float
    high: float
    elo: float
    wins: int
    losses: int
    ties: int
    place: int
    best_place: int
    worst_place: int
    too_close: bool


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Standings, best first, and what they rest on; S sources.

    Attributes:
        standings: S lines.
        wins: [S, S] share of comparisons that the row's source won against the column's, ties
            counting one half; NaN where the two never met.
        met: [S, S] number of comparisons.
        ahead: [S, S] probability that the row's source is stronger than the column's; 0.5 where
            no chain of comparisons links the two.
        tie_strength: nu of Davidson's model; 0 = no ties, 1 = equals tie in a third of cases.
        rankings: how many rankings compare different sources.

    """

    standings: tuple[Standing, ...]
    wins: Floats
    met: NDArray[np.int64]
    ahead: Floats
    tie_strength: float
    rankings: int

    @property
    def sources(self) -> list[str]:
        """Names, in the order of every table here."""
        return [standing.source for standing in self.standings]


def leaderboard(
    rankings: Iterable[Ranking],
    sources: Mapping[str, str],
    *,
    resamples: int = 300,
    level: float = 0.95,
    prior: float = 2.0,
    seed: int = 0,
) -> Leaderboard:
    """Rate the sources of the ranked episodes.

    Args:
        rankings: answers; skipped ones are left out, and so are demonstrations and edits, which
            are preferred to what they were compared with by their making.
        sources: source of every episode, by episode id (`Store.sources()`).
        resamples: bootstrap draws.
        level: of the intervals, and for calling one source ahead of another.
        prior: virtual wins and losses of each source against an average opponent; 0 gives the
            plain maximum likelihood, which is infinite for a source that never lost.
        seed: of the bootstrap.

    Raises:
        FeedbackError: an episode's source is unknown, or an argument is out of range.

    """
    if resamples < 2 or not 0 < level < 1 or prior < 0:
        raise FeedbackError(
            f"resamples, level, prior are {resamples}, {level}, {prior}; "
            "expected at least 2, between 0 and 1, and at least 0."
        )
    games = _Games.of(rankings, sources)
    if not games.names:
        empty = np.zeros((0, 0))
        return Leaderboard((), empty, empty.astype(np.int64), empty, 0.0, 0)
    generator = np.random.default_rng(seed)
    sizes = (resamples, games.rankings), (resamples, len(games.names), 2)
    weights = np.vstack([np.ones(games.rankings), generator.standard_exponential(sizes[0])])
    virtual = np.concatenate(
        [np.full((1, *sizes[1][1:]), prior), generator.gamma(prior, size=sizes[1])]
    )
    theta, nu = fit_davidson(*games.totals(weights), virtual)
    ratings = _BASE + _SCALE / np.log(10.0) * (theta - theta.mean(axis=1, keepdims=True))
    elos = np.array([games.elo(generator.permutation(games.rankings)) for _ in range(_ELO_ORDERS)])
    return _table(games, ratings[0], float(nu[0]), ratings[1:], elos, level)


@dataclass(frozen=True, eq=False)
class _Games:
    """Rankings as pairwise games between S sources; G games.

    first, second: [G] source indices; result: [G] +1, 0, -1 for the first; ranking: [G] index of
    the ranking that the game came from, ascending; share: [G] its weight 2/K.
    """

    names: list[str]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    result: NDArray[np.int64]
    ranking: NDArray[np.int64]
    share: Floats
    rankings: int

    @classmethod
    def of(cls, rankings: Iterable[Ranking], sources: Mapping[str, str]) -> _Games:
        played: list[tuple[str, str, int, int, float]] = []
        count = 0
        for ranking in rankings:
            missing = [e for e in ranking.episodes if e not in sources]
            if missing:
                raise FeedbackError(
                    f"The source of episode {missing[0][:12]!r} of ranking {ranking.key!r} is "
                    "unknown. Pass store.sources()."
                )
            games = [
                (sources[a], sources[b], sign, count, 2.0 / len(ranking.episodes))
                for a, b, sign in ranking.pairs()
                if sources[a] != sources[b]
                and not ranking.rater.startswith(OWN_SOURCE)
                and not sources[a].startswith(EDITED_SOURCE)
                and not sources[b].startswith(EDITED_SOURCE)
            ]
            played += games
            count += bool(games)
        names = sorted({name for game in played for name in game[:2]})
        number = {name: i for i, name in enumerate(names)}
        whole = [(number[a], number[b], sign, game) for a, b, sign, game, _ in played]
        first, second, result, index = np.array(whole, dtype=np.int64).reshape(-1, 4).T
        share = np.array([game[4] for game in played])
        return cls(names, first, second, result, index, share, count)

    def totals(self, weights: Floats) -> tuple[Floats, Floats]:
        """([B, S, S] wins, [B, S, S] ties) for [B, R] weights of the rankings."""
        size = len(self.names)
        shape = (size, size, 3)
        kinds = np.ravel_multi_index((self.first, self.second, self.result + 1), shape)
        rows = [
            np.bincount(kinds, weights=self.share * row[self.ranking], minlength=size * size * 3)
            for row in weights
        ]
        table: Floats = np.array(rows, dtype=np.float64).reshape(-1, *shape)
        lost, tied, won = table[..., 0], table[..., 1], table[..., 2]
        return won + lost.swapaxes(1, 2), tied + tied.swapaxes(1, 2)

    def elo(self, order: NDArray[np.int64]) -> Floats:
        """[S] Elo ratings when rankings arrive in `order` (some may come twice or never)."""
        bounds = np.searchsorted(self.ranking, np.arange(self.rankings + 1))
        games = np.concatenate([np.arange(bounds[i], bounds[i + 1]) for i in order])
        fitted = evalica.elo(
            self.first[games].tolist(),
            self.second[games].tolist(),
            [_RESULT[r] for r in self.result[games].tolist()],
            index=pd.RangeIndex(len(self.names)),
            initial=_BASE,
            k=_ELO_STEP,
        )
        return np.asarray(fitted.scores.sort_index(), dtype=np.float64)

    def tally(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """([S, S] wins of row over column, [S, S] ties)."""
        size = len(self.names)
        wins = np.zeros((size, size), dtype=np.int64)
        ties = np.zeros_like(wins)
        np.add.at(wins, (self.first, self.second), self.result == 1)
        np.add.at(wins, (self.second, self.first), self.result == -1)
        np.add.at(ties, (self.first, self.second), self.result == 0)
        return wins, ties + ties.T


def _linked(met: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[S, S] True where a chain of comparisons links two sources."""
    reach = (met > 0) | np.eye(len(met), dtype=bool)
    while True:
        further = reach @ reach
        if (further == reach).all():
            return reach
        reach = further


def _table(
    games: _Games,
    ratings: Floats,
    tie_strength: float,
    draws: Floats,
    elos: Floats,
    level: float,
) -> Leaderboard:
    """Sort everything by rating, best first."""
    order = np.lexsort((np.arange(len(ratings)), -ratings))
    ratings, draws, elos = ratings[order], draws[:, order], elos[:, order]
    wins, ties = (table[np.ix_(order, order)] for table in games.tally())
    met = wins + wins.T + ties
    ahead = (draws[:, :, None] > draws[:, None, :]).mean(axis=0)
    ahead = np.where(_linked(met) & ~np.eye(len(met), dtype=bool), ahead, 0.5)
    sure = ahead >= 0.5 + level / 2
    ends = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    # The draws know the spread from the rankings themselves: Student's t allows for it.
    freedom = max(games.rankings - len(ratings), 1)
    low, high = ratings + (ends - ratings) * quantile(freedom, level) / quantile(math.inf, level)
    size = len(ratings)
    numbers = {
        "rating": ratings, "low": low, "high": high, "elo": np.median(elos, axis=0),
        "wins": wins.sum(axis=1), "losses": wins.sum(axis=0),
        "ties": ties.sum(axis=1),
    }  # fmt: skip
    standings = tuple(
        Standing(
            source=games.names[order[i]],
            **{name: column[i].item() for name, column in numbers.items()},
            place=i + 1,
            best_place=1 + int(sure[:, i].sum()),
            worst_place=size - int(sure[i].sum()),
            too_close=i + 1 < size and not sure[i, i + 1],
        )
        for i in range(size)
    )
    share = np.divide(wins + 0.5 * ties, met, out=np.full(met.shape, np.nan), where=met > 0)
    return Leaderboard(standings, share, met, ahead, tie_strength, games.rankings)
