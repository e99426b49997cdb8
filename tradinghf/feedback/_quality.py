"""How far answers can be trusted: agreement between raters, and each rater's own consistency."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from tradinghf._intervals import bounded_ends, clusters, jackknife_error
from tradinghf.feedback._types import Query, Ranking

FAST_SECONDS = 2.0
"""Answers quicker than this cannot rest on reading the charts."""
_Signs = dict[tuple[str, str], int]


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha between raters: 1 = perfect, 0 = chance, below 0 = systematic conflict.

    Attributes:
        alpha: over pairs of episodes (first better, tie, second better); None when fewer than two
            raters answered the same query, or everybody always tied.
        low, high: 95 % interval, for which whole queries are the independent cases; None with
            `alpha`, or where all but one query tie everything.
        queries: sets of episodes that at least two raters ranked.
        raters: how many raters ranked those.

    """

    alpha: float | None
    low: float | None
    high: float | None
    queries: int
    raters: int


@dataclass(frozen=True)
class RaterQuality:
    """One rater's answers.

    Attributes:
        rater: who.
        answers: all of them, of which `skipped` and `cant_tell` rank nothing.
        ties: share of pairs that were tied; None without rankings.
        median_seconds: time per answer; None when never measured.
        too_fast: share of timed answers under `fast_seconds`; None when never measured.
        consistency: share of pairs judged alike when the same episodes were shown again; None
            without repeats. The pooled figure over raters is the ceiling for any model.
        repeats: how many repeats that rests on.
        gold_passed: gold queries whose every strict pair was answered as expected.
        gold: gold queries answered.
        agreement: share of pairs judged as another rater judged them; None when alone.

    """

    rater: str
    answers: int
    skipped: int
    cant_tell: int
    ties: float | None
    median_seconds: float | None
    too_fast: float | None
    consistency: float | None
    repeats: int
    gold_passed: int
    gold: int
    agreement: float | None


def rater_agreement(rankings: Iterable[Ranking]) -> Agreement:
    """Krippendorff's alpha (interval distance on -1, 0, 1) over all pairs of episodes.

    Which episode of a pair is named first is arbitrary, so each pair enters in both directions:
    chance is then a coin flip with the observed share of ties, whatever the naming. All values
    then sum to 0, and alpha = 1 - (n-1)/(2n) * O/Q for n values with sum of squares Q, and O the
    sum of squared differences inside each unit divided by its answers less one.

    Args:
        rankings: answers without superseded ones; a rater's first answer per query counts.

    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability".

    """
    groups: dict[str, list[_Signs]] = defaultdict(list)
    raters: dict[str, set[str]] = defaultdict(set)
    for (rater, group), signs in _first_answers(rankings).items():
        groups[group].append(signs)
        raters[group].add(rater)
    shared = [name for name, answers in groups.items() if len(answers) >= 2]
    who = {rater for name in shared for rater in raters[name]}
    parts = np.array([_parts(groups[name]) for name in shared]).reshape(-1, 3)
    value = float(_alpha(parts.sum(axis=0)))
    if np.isnan(value):
        return Agreement(None, None, None, len(shared), len(who))
    blocks = clusters(np.arange(len(shared)))
    error = jackknife_error(_alpha(parts.sum(axis=0) - parts))
    if len(shared) < 2 or not np.isfinite(error):
        return Agreement(value, None, None, len(shared), len(who))
    # From -1, always the other way round, to 1: a share of the way.
    low, high = bounded_ends((1 + value) / 2, float(error) / 2, blocks)
    return Agreement(value, 2 * low - 1, 2 * high - 1, len(shared), len(who))


def rater_quality(
    rankings: Iterable[Ranking],
    queries: Iterable[Query],
    *,
    fast_seconds: float = FAST_SECONDS,
) -> list[RaterQuality]:
    """Every rater's record, by name; for the page "Raters and quality".

    Args:
        rankings: answers without superseded ones, in order of arrival.
        queries: the queries they answer (`Store.queries()`); gold and repeats are found there.
        fast_seconds: answers quicker than this are too fast [seconds].

    """
    answers = list(rankings)
    gold = {query.id: query for query in queries if query.purpose == "gold"}
    first = _first_answers(answers)
    raters = sorted({ranking.rater for ranking in answers})
    return [_record(r, answers, gold, first, fast_seconds) for r in raters]


def repeat_consistency(rankings: Iterable[Ranking]) -> float | None:
    """Share of pairs judged alike on repeats, pooled over raters; None without repeats."""
    same = [hit for hits in _repeats(list(rankings)).values() for repeat in hits for hit in repeat]
    return float(np.mean(same)) if same else None


def _record(
    rater: str,
    everybody: list[Ranking],
    gold: dict[str, Query],
    first: dict[tuple[str, str], _Signs],
    fast_seconds: float,
) -> RaterQuality:
    mine = [ranking for ranking in everybody if ranking.rater == rater]
    signs = [sign for ranking in mine for _, _, sign in ranking.pairs()]
    seconds = [ranking.seconds for ranking in mine if ranking.seconds is not None]
    repeats = _repeats(mine).get(rater, [])
    golden = [ranking for ranking in mine if ranking.query in gold]
    return RaterQuality(
        rater=rater,
        answers=len(mine),
        skipped=sum(ranking.outcome == "skipped" for ranking in mine),
        cant_tell=sum(ranking.outcome == "cant_tell" for ranking in mine),
        ties=_share([sign == 0 for sign in signs]),
        median_seconds=median(seconds) if seconds else None,
        too_fast=_share([value < fast_seconds for value in seconds]),
        consistency=_share([hit for repeat in repeats for hit in repeat]),
        repeats=len(repeats),
        gold_passed=sum(_as_expected(ranking, gold[ranking.query]) for ranking in golden),
        gold=len(golden),
        agreement=_share(_with_others(rater, first)),
    )


def _share(hits: list[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None


def _signs(ranking: Ranking) -> _Signs:
    return {(a, b): sign for a, b, sign in ranking.pairs()}


def _first_answers(rankings: Iterable[Ranking]) -> dict[tuple[str, str], _Signs]:
    """Each rater's first ranking of each set of episodes."""
    found: dict[tuple[str, str], _Signs] = {}
    for ranking in rankings:
        if ranking.outcome == "ranked":
            found.setdefault((ranking.rater, ranking.group), _signs(ranking))
    return found


def _repeats(rankings: list[Ranking]) -> dict[str, list[list[bool]]]:
    """For each rater and each repeat, whether each pair was judged as the time before."""
    last: dict[tuple[str, str], _Signs] = {}
    found: dict[str, list[list[bool]]] = defaultdict(list)
    for ranking in rankings:
        if ranking.outcome != "ranked":
            continue
        name, signs = (ranking.rater, ranking.group), _signs(ranking)
        if (before := last.get(name)) is not None:
            found[ranking.rater].append([before[pair] == sign for pair, sign in signs.items()])
        last[name] = signs
    return found


def _with_others(rater: str, first: dict[tuple[str, str], _Signs]) -> list[bool]:
    return [
        signs[pair] == sign
        for (own, group), signs in first.items()
        if own == rater
        for (other, same), others in first.items()
        if other != rater and same == group
        for pair, sign in others.items()
    ]


def _as_expected(ranking: Ranking, query: Query) -> bool:
    """Whether a ranking orders every pair that the gold query's answer orders as it does."""
    expected = _signs(Ranking("gold", query.episodes, query.answer))
    given = _signs(ranking)
    return all(given.get(pair) == sign for pair, sign in expected.items() if sign)


def _parts(answers: list[_Signs]) -> tuple[float, float, float]:
    """(O, Q, n) of one query's pairs, both directions; see `rater_agreement`."""
    values = np.array([[signs[pair] for pair in answers[0]] for signs in answers], dtype=float)
    differences = (values[:, None] - values[None, :]) ** 2
    observed = 2 * differences.sum() / (len(answers) - 1)
    return float(observed), float(2 * (values**2).sum()), float(2 * values.size)


def _alpha(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """[...] alpha of summed parts [..., 3]; NaN without strict answers."""
    observed, squares, count = np.moveaxis(np.asarray(parts, dtype=float), -1, 0)
    known = squares > 0
    ratio = np.divide(observed, squares, out=np.full(squares.shape, np.nan), where=known)
    return np.asarray(1.0 - (count - 1) / (2 * np.maximum(count, 1)) * ratio)
