"""Traders' answers as tensors: a row per answer, and unrolled into the choices it consists of.

A ranking of K episodes is a chain of choices "which group is best among what is left"
(Davidson-Luce). With worth linear in features, each choice is a conditional logit whose options
are groups of episodes, with the group's mean features and, for groups larger than one, a tie term.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback import LEXICON, Ranking, aspects_of
from tradinghf.learning.reward._likelihood import largest_tie, stages, tied_groups
from tradinghf.workers import keep_freed_memory

_RATING_STRIDES = 4  # comparisons of each rated episode with later ones of the same rater


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


def checked_answers(given: Any) -> Sequence[Ranking]:
    """Answers that a caller brought.

    Raises:
        FeedbackError: they are no sequence of `Ranking`.

    """
    known = isinstance(given, Sequence) and not isinstance(given, str)
    wrong = None if known else given
    if known:
        wrong = next((each for each in given if not isinstance(each, Ranking)), None)
    if not known or wrong is not None:
        raise FeedbackError(
            f"The rankings hold {wrong!r:.60}, a {type(wrong).__name__}; expected a list of "
            "Ranking, as from store.rankings() or SyntheticTrader.rank()."
        )
    answers: Sequence[Ranking] = given
    return answers


def teaches(answer: Ranking) -> bool:
    """Whether something can be learned from an answer: it ranks, or it rates or labels."""
    return answer.outcome == "ranked" or (answer.outcome != "skipped" and bool(answer.ratings))


def _owner(
    answer: Ranking, windows: Sequence[tuple[str, str, int, int]], across_windows: bool
) -> str:
    """The rater whose trust an answer is weighed by.

    Whoever ranks across windows mixes taste with the luck of the window. How far such answers
    follow the same values is found from the data, apart from the rater's other answers.
    """
    if not answer.ranks or len(set(windows)) == 1:
        return answer.rater
    if not across_windows:
        raise FeedbackError(
            f"Ranking {answer.key!r} compares episodes of {len(set(windows))} market windows "
            f"({Episode.windows_in_words(windows)}): luck would be learned as taste. Rank "
            "episodes of one window, or allow it with across_windows=True: "
            "RewardModel(RewardConfig(across_windows=True))."
        )
    return f"{answer.rater} across windows"


def _mentions(answers: Sequence[Ranking]) -> Counter[str]:
    """How often each aspect is named; a tag, which the rater chose or confirmed, counts twice."""
    found: Counter[str] = Counter()
    for answer in answers:
        named: dict[str, int] = {}
        for mention in aspects_of(answer.comment) if answer.comment else ():
            for column in LEXICON[mention.aspect].columns:
                named[column] = max(named.get(column, 0), 2 if mention.method == "tag" else 1)
        found.update(named)
    return found


@dataclass(frozen=True, eq=False)
class AnswerTable:
    """R usable answers about up to K episodes each.

    Attributes:
        episodes: the distinct episodes.
        index: [R, K] row of each answer's episodes in `episodes`.
        ranks: [R, K] 1 = best, equal = tied.
        mask: [R, K] False where an answer is about fewer episodes.
        ordered: [R] False where the episodes were only rated or labelled.
        ratings: [R, K] 1 to 5; 0 where an episode was not rated.
        owner: [R] rater of each answer, an index into `raters`.
        raters: U names; who ranks across windows is another rater there, with a trust of its own.
        mentioned: how often the comments name each aspect: 1 for each answer with words about it,
            2 where the rater confirmed it as what decided; its sign is the rankings' to tell.

    """

    episodes: list[Episode]
    index: Tensor
    ranks: Tensor
    mask: Tensor
    ordered: Tensor
    ratings: Tensor
    owner: Tensor
    raters: tuple[str, ...]
    mentioned: Counter[str]

    @classmethod
    def of(
        cls,
        rankings: Sequence[Ranking],
        episodes: Mapping[str, Episode],
        *,
        across_windows: bool = False,
    ) -> AnswerTable:
        """Usable answers only; skipped ones, and "can't tell" without ratings, say nothing.

        Args:
            rankings: answers.
            episodes: id -> episode, for every ranked id.
            across_windows: whether a ranking may be of several market windows.

        Raises:
            FeedbackError: no usable ranking, an episode is missing, or a ranking is of several
                windows without leave.

        """
        keep_freed_memory()  # tables of many answers come and go in a fit: it takes half as long
        usable = [r for r in checked_answers(rankings) if teaches(r)]
        if not usable:
            raise FeedbackError(
                f"There are 0 usable rankings among {len(rankings)} answers; a reward model needs "
                "at least 1. Rank episodes in the dashboard, or with `tradinghf rank`."
            )
        names = sorted({name for r in usable for name in r.episodes})
        missing = [name for name in names if name not in episodes]
        if missing:
            raise FeedbackError(
                f"{len(missing)} ranked episodes are missing, the first is {missing[0][:12]}. "
                "Pass every episode that the rankings name."
            )
        row = {name: i for i, name in enumerate(names)}
        owners = [
            _owner(r, [episodes[n].window for n in r.episodes], across_windows) for r in usable
        ]
        raters = tuple(sorted(set(owners)))
        width = max(len(r.episodes) for r in usable)

        def table(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
            return torch.tensor([[*r, *[fill] * (width - len(r))] for r in rows])

        return cls(
            episodes=[episodes[name] for name in names],
            index=table([[row[name] for name in r.episodes] for r in usable], 0),
            ranks=table([r.ranks for r in usable], 1),
            mask=table([[1] * len(r.episodes) for r in usable], 0).bool(),
            ordered=torch.tensor([r.outcome == "ranked" for r in usable]),
            ratings=table([[rating or 0 for rating in r.ratings] for r in usable], 0),
            owner=torch.tensor([raters.index(owner) for owner in owners]),
            raters=raters,
            mentioned=_mentions(usable),
        )

    @property
    def compared(self) -> Tensor:
        """[R, K] the mask of the rankings proper."""
        return self.mask & self.ordered[:, None]

    @property
    def commonest_length(self) -> list[Episode]:
        """The episodes of the most frequent number of bars (and of assets, if portfolios)."""
        groups: dict[tuple[int, int], list[Episode]] = {}
        for episode in self.episodes:
            groups.setdefault((episode.bars, episode.breadth), []).append(episode)
        return max(groups.values(), key=len)

    def choices(self, features: Tensor, rating_weight: float) -> Choices:
        """Rankings, and each rater's ratings, as choices.

        Args:
            features: [R, K, P] of the episodes.
            rating_weight: what the comparisons of one rated episode count, against a choice.

        """
        parts = [Choices.from_rankings(features, self.ranks, self.compared)]
        for rater in range(len(self.raters)):
            row, column = torch.nonzero(
                (self.ratings > 0) & (self.owner == rater)[:, None], as_tuple=True
            )
            rated = (features[row, column], self.ratings[row, column], row)
            parts += [Choices.from_ratings(*rated, rating_weight)] if len(row) else []
        widest = max(part.features.shape[1] for part in parts)
        columns = zip(*(part.padded_to(widest) for part in parts), strict=True)
        return Choices(*(torch.cat(column) for column in columns))


@dataclass(frozen=True, eq=False)
class Choices:
    """C choices among up to O options, described by P features and the tie term.

    Attributes:
        features: [C, O, P+1] of each option, less those of the chosen one; the tie term last.
        available: [C, O] which options could have been chosen.
        answer: [C] index of the answer that the choice belongs to.
        weight: [C] how much the choice counts.

    """

    features: Tensor
    available: Tensor
    answer: Tensor
    weight: Tensor

    @classmethod
    def from_rankings(cls, totals: Tensor, ranks: Tensor, mask: Tensor) -> Choices:
        """Unroll rankings into choices.

        Args:
            totals: [R, K, P] features of each ranked episode.
            ranks: [R, K] integers, 1 = best, equal = tied.
            mask: [R, K] False where a ranking has fewer episodes.

        """
        groups = tied_groups(totals.shape[1], largest_tie(ranks, mask)).to(totals)
        sizes = groups.sum(-1)
        group = torch.einsum("sk,rkp->rsp", groups / sizes[:, None], totals * mask[..., None])
        tie = (sizes - 1).expand(len(totals), -1)[..., None]
        group = torch.cat([group, tie], dim=-1)  # [R, S, P+1]
        features, available, answer = [], [], []
        for stage in stages(ranks, mask, groups):
            rows = stage.open.nonzero().squeeze(-1)
            target = stage.picked[rows].to(torch.int8).argmax(-1)
            options = group[rows]
            features.append(options - options[torch.arange(len(rows)), target][:, None])
            available.append(stage.available[rows])
            answer.append(rows)
        found = torch.cat(answer)
        weight = torch.ones(len(found), dtype=totals.dtype)
        return cls(torch.cat(features), torch.cat(available), found, weight)

    @classmethod
    def from_ratings(
        cls, totals: Tensor, ratings: Tensor, answer: Tensor, weight: float
    ) -> Choices:
        """Ratings as comparisons: an episode rated higher is preferred, in whatever window.

        Each episode is compared with a few others, spread over the rater's whole history. What is
        rated equal is not compared, so few comparisons may remain: those of one episode count
        `weight` on average and twice that at most, however few they are; all of them count
        `weight` per episode at most, and never more than a ranking of the n episodes, which is
        n-1 choices.

        Args:
            totals: [n, P] features of the rated episodes of one rater.
            ratings: [n] integers; only their order is used, so raters may use the scale
                differently.
            answer: [n] index of the answer that each rating came with.
            weight: of the comparisons of one episode, against a choice of a ranking.

        Returns:
            Choices between two options; the tie term is zero.
        Source: ordinal comparison of ratings, Joachims 2002 (KDD), section 4.

        """
        count, parts = len(ratings), _RATING_STRIDES + 1
        strides = {max(1, round(count * part / parts)) for part in range(1, parts)}
        first = torch.arange(count).repeat(len(strides))
        second = (first + torch.tensor(sorted(strides)).repeat_interleave(count)) % count
        higher = ratings[first] > ratings[second]
        lower = ratings[first] < ratings[second]
        better = torch.cat([first[higher], second[lower]])
        worse = torch.cat([second[higher], first[lower]])
        gap = totals[worse] - totals[better]
        options = torch.stack([torch.zeros_like(gap), gap], dim=1)
        compared = torch.bincount(torch.cat([better, worse]), minlength=count)
        busier = torch.maximum(compared[better], compared[worse])
        share = 2 * min(weight, (count - 1) / count) / busier.to(totals)
        available = torch.ones(len(gap), 2, dtype=torch.bool)
        return cls(pad(options, (0, 1)), available, answer[better], share)

    def padded_to(self, options: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four tensors, with room for more options."""
        missing = options - self.features.shape[1]
        features = pad(self.features, (0, 0, 0, missing))
        return features, pad(self.available, (0, missing)), self.answer, self.weight

    def scaled(self, factor: Tensor) -> Choices:
        """The same choices with the features (not the tie term) times `factor` [C]."""
        scaled = self.features[..., :-1] * factor[:, None, None]
        return replace(self, features=torch.cat([scaled, self.features[..., -1:]], dim=-1))

    def some(self, rows: Tensor) -> Choices:
        """The choices whose [C] boolean entry is True."""
        parts = (self.features, self.available, self.answer, self.weight)
        return Choices(*(part[rows] for part in parts))

    def with_terms(self, columns: Tensor) -> Choices:
        """The same choices with some of the features only, and the tie term."""
        columns = torch.cat([columns, torch.tensor([-1])])
        return replace(self, features=self.features[..., columns])

    def log_likelihood(self, weights: Tensor) -> Tensor:
        """[C] log-probability of what was chosen, under weights [P+1]."""
        logits = (self.features @ weights).masked_fill(~self.available, -torch.inf)
        return -logits.logsumexp(-1)

    @cached_property
    def options(self) -> Tensor:
        """[C] number of options that could have been chosen."""
        return self.available.sum(-1)

    @property
    def tie(self) -> int:
        """Column of the tie term."""
        return self.features.shape[-1] - 1

    @property
    def blank(self) -> int:
        """Row of zeros in `by_column`."""
        return self.features.shape[-1]

    @cached_property
    def by_column(self) -> Tensor:
        """[P+2, C·O] the features, a row each, zero where an option was not available.

        The last row is zeros: it pads small models. Rows are what a search picks from; side by
        side in memory they are picked fast.
        """
        rows = self.features.flatten(0, 1)
        shown = rows.new_empty(rows.shape[1] + 1, len(rows))
        shown[-1] = 0.0
        shown[:-1].copy_(rows.T).mul_(self.available.flatten())
        return shown

    @cached_property
    def rough(self) -> Tensor:
        """[P, C·O] the same in single precision, without the tie term: for looking around."""
        return self.by_column[: self.tie].float()

    def at_random(self) -> float:
        """Minus the log-likelihood of somebody who chooses at random [nats]."""
        return float((self.weight * self.options.to(self.weight).log()).sum())

    def likeness(self, column: int, others: Sequence[int]) -> Tensor:
        """[len(others)] absolute correlation of a feature with others."""
        own, rest = self.rough[column], self.rough[list(others)]
        length: Tensor = rest.norm(dim=1) * own.norm()
        return (rest @ own).abs() / length.clamp(min=1e-12)


def spread_within(totals: Tensor, mask: Tensor) -> Tensor:
    """[P] standard deviation of each aspect among episodes of the same window."""
    mean = (totals * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    gap = (totals - mean[:, None]) * mask[..., None]
    scale = gap.square().sum((0, 1)).div(mask.sum()).sqrt()
    return torch.where(scale > 1e-12, scale, torch.ones_like(scale))
