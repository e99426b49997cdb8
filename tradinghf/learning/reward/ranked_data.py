"""Rankings as tensors: what the reward model is fitted to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback.comments import aspects_of
from tradinghf.feedback.lexicon import LEXICON
from tradinghf.feedback.types import Ranking
from tradinghf.learning.reward.aspects import TradePaths


def per_episode(episodes: Sequence[Episode], function: Callable[[TradePaths], Tensor]) -> Tensor:
    """Apply paths -> [B, ...] to episodes of whatever lengths; one row each, in their order."""
    parts: dict[int, list[int]] = {}
    for i, episode in enumerate(episodes):
        parts.setdefault(episode.bars, []).append(i)
    rows: dict[int, Tensor] = {}
    for group in parts.values():
        values = function(TradePaths.from_episodes([episodes[i] for i in group]))
        rows.update(zip(group, values, strict=True))
    return torch.stack([rows[i] for i in range(len(episodes))])


def ended_by(
    rankings: Sequence[Ranking],
    episodes: Mapping[str, Episode],
    until: np.datetime64,
    *,
    needed: bool = False,
) -> list[Ranking]:
    """The rankings whose episodes had all ended by a time: what could be known then.

    Raises:
        FeedbackError: there is none, and some are `needed`.

    """
    early = {name for name, episode in episodes.items() if episode.timestamps[-1] <= until}
    kept = [ranking for ranking in rankings if early.issuperset(ranking.episodes)]
    if needed and not kept:
        day = np.datetime_as_string(until, "D")
        raise FeedbackError(
            f"No ranking in the store is about bars up to {day} only. Rank episodes of earlier "
            "bars, or train on later ones."
        )
    return kept


def teaches(answer: Ranking) -> bool:
    """Whether something can be learned from an answer: it ranks, or it rates or labels."""
    return answer.outcome == "ranked" or (answer.outcome != "skipped" and bool(answer.ratings))


@dataclass(frozen=True, eq=False)
class RankedData:
    """R usable rankings of up to K episodes.

    Attributes:
        episodes: the distinct ranked episodes.
        index: [R, K] row of each ranked episode in `episodes`.
        ranks: [R, K] 1 = best, equal = tied.
        mask: [R, K] False where a ranking has fewer episodes.
        ordered: [R] False where the episodes were only rated or labelled.
        ratings: [R, K] 1 to 5; 0 where an episode was not rated.
        owner: [R] rater of each ranking, an index into `raters`.
        raters: U names.
        mentioned: aspects that the comments are about; their sign is the rankings' to tell.

    """

    episodes: list[Episode]
    index: Tensor
    ranks: Tensor
    mask: Tensor
    ordered: Tensor
    ratings: Tensor
    owner: Tensor
    raters: tuple[str, ...]
    mentioned: frozenset[str]

    @classmethod
    def of(cls, rankings: Sequence[Ranking], episodes: Mapping[str, Episode]) -> RankedData:
        """Usable answers only; skipped ones, and "can't tell" without ratings, say nothing.

        Raises:
            FeedbackError: no usable ranking, or an episode is missing.

        """
        usable = [r for r in rankings if teaches(r)]
        if not usable:
            raise FeedbackError(
                f"There are {len(usable)} usable rankings among {len(rankings)} answers; a reward "
                "model needs at least 1. Rank episodes in the dashboard, or with `tradinghf rank`."
            )
        names = sorted({name for r in usable for name in r.episodes})
        missing = [name for name in names if name not in episodes]
        if missing:
            raise FeedbackError(
                f"{len(missing)} ranked episodes are missing, the first is {missing[0][:12]}. "
                "Pass every episode that the rankings name."
            )
        row = {name: i for i, name in enumerate(names)}
        raters = tuple(sorted({r.rater for r in usable}))
        shape = (len(usable), max(len(r.episodes) for r in usable))
        index, ratings = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        ranks, mask = torch.ones(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
        for i, r in enumerate(usable):
            count = len(r.episodes)
            index[i, :count] = torch.tensor([row[name] for name in r.episodes])
            if r.ranks:
                ranks[i, :count] = torch.tensor(r.ranks)
            mask[i, :count] = True
            if r.ratings:
                ratings[i, :count] = torch.tensor([rating or 0 for rating in r.ratings])
        return cls(
            episodes=[episodes[name] for name in names],
            index=index,
            ranks=ranks,
            mask=mask,
            ordered=torch.tensor([r.outcome == "ranked" for r in usable]),
            ratings=ratings,
            owner=torch.tensor([raters.index(r.rater) for r in usable]),
            raters=raters,
            mentioned=frozenset(
                column
                for r in usable
                if r.comment
                for mention in aspects_of(r.comment)
                for column in LEXICON[mention.aspect].columns
            ),
        )

    @property
    def compared(self) -> Tensor:
        """[R, K] the mask of the rankings proper."""
        return self.mask & self.ordered[:, None]

    @property
    def equal_lengths(self) -> bool:
        """Whether all episodes have the same number of bars."""
        return len({episode.bars for episode in self.episodes}) == 1

    @property
    def commonest_length(self) -> list[Episode]:
        """The episodes of the most frequent number of bars."""
        groups: dict[int, list[Episode]] = {}
        for episode in self.episodes:
            groups.setdefault(episode.bars, []).append(episode)
        return max(groups.values(), key=len)
