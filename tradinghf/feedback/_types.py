"""`Query`, a question to traders, and `Ranking`, an answer; both check their values.

Standard library only, so that every process can load them, and fast.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

from tradinghf.errors import FeedbackError, unknown_name

Purpose = Literal["learn", "test", "repeat", "practice", "gold"]
AnswerOutcome = Literal["ranked", "skipped", "cant_tell"]

RATING_LEVELS = 5
"""Ratings run from 1 (bad) to 5 (good)."""
MAX_PANELS = 10
"""A tie of n episodes is one of 2^n groups that could have been chosen: more fill the memory."""
_MAX_NAME = 100
MAX_TEXT = 4000
_MAX_COUNT = 2**31 - 1
"""The largest whole number that every database holds in a column of integers."""


def _name(what: str, value: str, *, empty: bool = False) -> str:
    """An identifier: printable, on one line, of bounded length."""
    if not isinstance(value, str) or len(value) > _MAX_NAME or not value.isprintable():
        shown = repr(value)[:60]
        raise FeedbackError(f"{what} is {shown}; expected up to {_MAX_NAME} printable characters.")
    if not (value or empty):
        raise FeedbackError(f"{what} is empty; expected a name.")
    return value


def clean_text(text: str) -> str:
    """Free text without control characters or broken Unicode, trimmed.

    New lines and tabs stay. Databases refuse NUL and lone surrogates, and a trader who pasted one
    should not lose an answer to it.
    """
    whole = str(text).encode("utf-8", "ignore").decode("utf-8").replace("\r\n", "\n")
    kept = "".join(c for c in whole if c in "\n\t" or (ord(c) >= 32 and not 127 <= ord(c) < 160))
    return kept.strip()


def _whole(values: Sequence[object]) -> tuple[int, ...]:
    """Those that are whole numbers; True and False, which Python takes for 1 and 0, are none."""
    return tuple(
        operator.index(value)
        for value in values
        if hasattr(value, "__index__") and not isinstance(value, bool)
    )


def _text(what: str, value: str) -> str:
    if not isinstance(value, str):
        raise FeedbackError(f"{what} is {type(value).__name__}; expected text.")
    long = len(value) > 10 * MAX_TEXT  # not worth cleaning
    clean = value if long else clean_text(value)
    if len(clean) > MAX_TEXT:
        raise FeedbackError(
            f"{what} has {len(clean):,} characters; expected at most {MAX_TEXT:,}. Shorten it: "
            "nothing was cut off or stored."
        )
    return clean


def _episodes(what: str, ids: Sequence[str]) -> tuple[str, ...]:
    if isinstance(ids, str):
        raise FeedbackError(f"{what} is a string; expected a sequence of episode ids.")
    episodes = tuple(_name(f"{what}[{i}]", item) for i, item in enumerate(ids))
    if not 2 <= len(episodes) <= MAX_PANELS or len(set(episodes)) != len(episodes):
        raise FeedbackError(
            f"{what} holds {len(episodes)} ids, {len(set(episodes))} of them distinct; "
            f"expected 2 to {MAX_PANELS} distinct episodes."
        )
    return episodes


def _shown(value: object) -> str:
    """The value in a message; Python refuses to print numbers of thousands of digits."""
    try:
        return repr(value)[:200]
    except ValueError:
        return "a number of thousands of digits"


def _between(values: Sequence[int], most: int) -> bool:
    return all(1 <= value <= most for value in values)


def _ranks(what: str, ranks: Sequence[int], size: int) -> tuple[int, ...]:
    """The ranks without gaps; ties stay ties."""
    if isinstance(ranks, str):
        raise FeedbackError(f"{what} is a string; expected whole numbers.")
    values = _whole(ranks)
    if len(ranks) != size or len(values) != size or not _between(values, _MAX_COUNT):
        raise FeedbackError(
            f"{what} is {_shown(ranks)}; expected {size} whole numbers, 1 = best, equal = tie."
        )
    levels = sorted(set(values))
    return tuple(levels.index(r) + 1 for r in values)


@dataclass(frozen=True)
class Query:
    """One question to a trader: rank these K episodes of one market window.

    Attributes:
        id: unique name; `Query.of` derives it from the content.
        episodes: K episode ids.
        purpose: "learn" for the reward model, "test" held out from it, "repeat" of a query the
            rater answered before (consistency), "practice" is never learned from, "gold" has a
            known `answer`.
        round: round of the loop that asked.
        note: free text for the lead; never shown to raters.
        answer: the expected ranks of a gold query, in the order of `episodes`; else empty.

    """

    id: str
    episodes: tuple[str, ...]
    purpose: Purpose = "learn"
    round: int = 0
    note: str = ""
    answer: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _name("Query.id", self.id)
        object.__setattr__(self, "episodes", _episodes("Query.episodes", self.episodes))
        object.__setattr__(self, "note", _text("Query.note", self.note))
        if not _whole([self.round]) or abs(self.round) > _MAX_COUNT:
            raise FeedbackError(
                f"Query.round is {_shown(self.round)}; expected a whole number up to {_MAX_COUNT}."
            )
        if self.purpose not in get_args(Purpose):
            raise FeedbackError(unknown_name("query purpose", self.purpose, get_args(Purpose)))
        if (self.purpose == "gold") != bool(self.answer):
            raise FeedbackError(
                f"Query.answer is {self.answer!r} and its purpose is {self.purpose!r}; "
                "gold queries, and only they, carry the expected ranks."
            )
        if self.answer:
            ranks = _ranks("Query.answer", self.answer, len(self.episodes))
            object.__setattr__(self, "answer", ranks)

    @classmethod
    def of(
        cls,
        episodes: Sequence[str],
        *,
        purpose: Purpose = "learn",
        round: int = 0,  # noqa: A002 (the attribute is called so)
        note: str = "",
        answer: Sequence[int] = (),
    ) -> Query:
        """A query named by its content: the same question twice is one query."""
        content = [list(episodes), purpose, round, note, list(answer)]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
        return cls(digest, tuple(episodes), purpose, round, note, tuple(answer))

    @property
    def group(self) -> str:
        """Name of the set of episodes, in any order; a repeat shares it with its original."""
        return hashlib.sha256("\n".join(sorted(self.episodes)).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Ranking:
    """One trader's answer: K episodes of one market window, ranked.

    Attributes:
        key: unique submit key made by the client; the same key twice is one answer.
        episodes: K episode ids, in the order in which the rater saw the panels.
        ranks: rank of each episode, 1 = best, equal = tie; gaps are closed, so (1, 1, 3) becomes
            (1, 1, 2). Empty unless `outcome` is "ranked".
        query: id of the query answered; empty for a ranking nobody asked for.
        rater: who answered.
        session: one sitting of the rater; held-out splits keep sessions whole.
        created: when the rater answered [aware, UTC].
        seconds: time from showing the panels to the answer [seconds].
        comment: what the rater wrote, as plain text without control characters.
        ratings: per episode 1 (bad) to 5 (good), or None; empty when nothing was rated.
        outcome: "ranked", "skipped" or "cant_tell".
        supersedes: key of the earlier answer of the same rater that this one corrects.

    """

    key: str
    episodes: tuple[str, ...]
    ranks: tuple[int, ...]
    query: str = ""
    rater: str = "local"
    session: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float | None = None
    comment: str = ""
    ratings: tuple[int | None, ...] = ()
    outcome: AnswerOutcome = "ranked"
    supersedes: str = ""

    def __post_init__(self) -> None:
        _name("Ranking.key", self.key)
        _name("Ranking.rater", self.rater)
        for attribute in ("query", "session", "supersedes"):
            _name(f"Ranking.{attribute}", getattr(self, attribute), empty=True)
        if self.outcome not in get_args(AnswerOutcome):
            raise FeedbackError(unknown_name("outcome", self.outcome, get_args(AnswerOutcome)))
        if self.supersedes == self.key:
            raise FeedbackError(f"Ranking {self.key!r} supersedes itself; expected another key.")
        episodes = _episodes("Ranking.episodes", self.episodes)
        size = len(episodes) if self.outcome == "ranked" else 0
        object.__setattr__(self, "episodes", episodes)
        object.__setattr__(self, "ranks", _ranks("Ranking.ranks", self.ranks, size))
        object.__setattr__(self, "ratings", self._checked_ratings())
        object.__setattr__(self, "created", self._checked_created())
        object.__setattr__(self, "seconds", self._checked_seconds())
        object.__setattr__(self, "comment", _text("Ranking.comment", self.comment))

    def _checked_ratings(self) -> tuple[int | None, ...]:
        given = () if isinstance(self.ratings, str) else tuple(self.ratings)
        said = [r for r in given if r is not None]
        numbers = iter(_whole(said))
        ratings = tuple(None if r is None else next(numbers, 0) for r in given)
        given_text = isinstance(self.ratings, str) or len(_whole(said)) != len(said)
        if (
            given_text
            or not _between(_whole(said), RATING_LEVELS)
            or len(ratings) not in (0, len(self.episodes))
        ):
            raise FeedbackError(
                f"Ranking.ratings is {_shown(self.ratings)}; expected nothing, or one of 1 to "
                f"{RATING_LEVELS} or None for each of the {len(self.episodes)} episodes."
            )
        return () if all(r is None for r in ratings) else ratings

    def _checked_created(self) -> datetime:
        if not isinstance(self.created, datetime) or self.created.tzinfo is None:
            raise FeedbackError(
                f"Ranking.created is {self.created!r}; expected a datetime with a time zone, "
                "such as datetime.now(UTC)."
            )
        try:
            return self.created.astimezone(UTC)
        except OverflowError as error:
            raise FeedbackError(f"Ranking.created is {self.created!r}, no time in UTC.") from error

    def _checked_seconds(self) -> float | None:
        if self.seconds is None:
            return None
        number = isinstance(self.seconds, int | float) and not isinstance(self.seconds, bool)
        if not number or not 0 <= self.seconds <= sys.float_info.max:
            raise FeedbackError(
                f"Ranking.seconds is {_shown(self.seconds)}; expected a finite number >= 0, "
                "or None."
            )
        return float(self.seconds)

    @property
    def bits(self) -> float:
        """log2 K!, the orderings of K episodes without ties; 0 when nothing was ranked [bits]."""
        return math.log2(math.factorial(len(self.episodes))) if self.ranks else 0.0

    @property
    def group(self) -> str:
        """Name of the set of episodes, as `Query.group`."""
        return Query("group", self.episodes).group

    def pairs(self) -> Iterator[tuple[str, str, int]]:
        """Every pair of ranked episodes once.

        Yields:
            (first, second, sign) with first < second by id, so that pairs of different rankings
            compare; sign is 1 where first is better, -1 where worse, 0 for a tie.

        """
        placed = sorted(zip(self.episodes, self.ranks, strict=False))
        for i, (first, rank) in enumerate(placed):
            for second, other in placed[i + 1 :]:
                yield first, second, (other > rank) - (other < rank)
