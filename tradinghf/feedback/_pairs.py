"""Rankings as pairs, for learners that know pairs only, and back.

A ranking of K episodes becomes its K·(K-1)/2 pairs. Each names its ranking, so that reading them
back gives that ranking again, and not pairs that a likelihood would count as independent answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tradinghf.errors import FeedbackError
from tradinghf.feedback._types import Ranking


@dataclass(frozen=True)
class Pair:
    """One comparison out of a ranking.

    Attributes:
        first, second: episode ids.
        preference: 1 where the first was ranked better, 0 where worse, 0.5 for a tie.
        ranking: key of the ranking that it is from.
        rater, session: of that ranking.

    """

    first: str
    second: str
    preference: float
    ranking: str
    rater: str = field(default="local", kw_only=True)
    session: str = field(default="", kw_only=True)


def pairs_of(rankings: Iterable[Ranking]) -> Iterator[Pair]:
    """Every pair of every ranking, in panel order; skipped answers have none."""
    for r in rankings:
        for i, rank in enumerate(r.ranks):
            for j in range(i + 1, len(r.ranks)):
                likes = 0.5 + 0.5 * ((r.ranks[j] > rank) - (r.ranks[j] < rank))
                ids = (r.episodes[i], r.episodes[j])
                yield Pair(*ids, likes, r.key, rater=r.rater, session=r.session)


def rankings_of(pairs: Iterable[Pair]) -> list[Ranking]:
    """The rankings that `pairs_of` took apart; inverse of it, also where tied pairs are missing.

    An episode's rank follows from how many others beat it, which in an order with ties is the
    same for tied episodes and differs between all others.

    Raises:
        FeedbackError: the pairs of one ranking contradict each other.

    """
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.ranking, []).append(pair)
    found = []
    for key, group in groups.items():
        names = tuple(dict.fromkeys(n for p in group for n in (p.first, p.second)))
        losses = dict.fromkeys(names, 0)
        for p in group:
            losses[p.second] += p.preference > 0.5
            losses[p.first] += p.preference < 0.5
        for p in group:
            said, now = p.preference - 0.5, losses[p.second] - losses[p.first]
            if (said > 0) != (now > 0) or (said < 0) != (now < 0):
                raise FeedbackError(
                    f"The pairs of ranking {key!r} contradict each other about {p.first[:12]} and "
                    f"{p.second[:12]}; expected the pairs of one order, ties allowed."
                )
        ranks = tuple(1 + losses[n] for n in names)
        first = group[0]
        found.append(Ranking(key, names, ranks, rater=first.rater, session=first.session))
    return found
