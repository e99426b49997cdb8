"""The service behind the Rank page: gives the next query, checks and stores answers.

The server decides the order of a query's panels by a hash of query and rater, so the order is
random, equal at every reload, and never taken from the browser; the stored ranking records it.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from tradinghf.episodes import Episode
from tradinghf.errors import EpisodeError, FeedbackError
from tradinghf.feedback import LEXICON, Query, Ranking, aspects_of, with_tags
from tradinghf.feedback.store import Store
from tradinghf.serving._edits import checked_edit, edited_panel, store_edit
from tradinghf.serving._payload import query_payload

_log = logging.getLogger(__name__)
_KEY = re.compile(r"[0-9a-f]{32}")
_MAX_COMMENT = 2000
_MAX_ID = 100
_ENDLESS = 1e300
_MAX_SECONDS = 24 * 3600.0
_REMEMBERED = 128
_REPEATS = 0.07
"""Share of answered queries that are asked again later: the raters' own consistency."""
_FIELDS = {
    "key", "query", "ranks", "outcome", "comment", "aspects", "ratings", "seconds", "session",
    "supersedes",
}  # fmt: skip


def panel_order(query: str, rater: str, episodes: Collection[str]) -> tuple[str, ...]:
    """The episodes in the order in which this rater sees them."""

    def place(episode: str) -> bytes:
        return hashlib.sha256("\x1f".join((query, rater, episode)).encode()).digest()

    return tuple(sorted(episodes, key=place))


def asked_again(query: str) -> bool:
    """Whether this query is one of the `_REPEATS` that are asked again; by its id, so for all."""
    return int(hashlib.sha256(f"repeat {query}".encode()).hexdigest()[:8], 16) / 2**32 < _REPEATS


class AnsweredElsewhereError(FeedbackError):
    """The rater has answered the question already, in another tab or on another device.

    Attributes:
        key: of the answer that counts now.
        outcome: "ranked", "skipped" or "cant_tell".

    """

    def __init__(self, other: Ranking) -> None:
        super().__init__("You have answered this question elsewhere: keep or replace that answer.")
        self.key = other.key
        self.outcome = other.outcome


class RankingService:
    """The Rank page of one store; safe to call from many threads.

    Attributes:
        store: questions and answers.
        unshowable: why a query is passed over, by its id: the file of an episode is missing or
            damaged. They are tried again after a restart.

    """

    def __init__(self, store: Store) -> None:
        self.store = store
        # Queries and episodes never change, and many raters are asked the same.
        self.unshowable: dict[str, str] = {}
        self._shown = lru_cache(_REMEMBERED)(self._look_up)

    def _look_up(self, query: str) -> tuple[Query, dict[str, Episode]]:
        found = self.store.query(query)
        episodes = self.store.episodes(found.episodes)
        return found, dict(zip(found.episodes, episodes, strict=True))

    def next_query(
        self, rater: str, session: str = "", have: Collection[str] = ()
    ) -> dict[str, Any] | None:
        """The blind payload of the next query, or None when all are answered.

        Args:
            rater: who asks.
            session: the rater's sitting.
            have: ids on the screen, prefetched, or answered and still on the way here.

        """
        query, episodes = self._next_whole(rater, session, have)
        if query is None:
            return None
        order = panel_order(query.id, rater, query.episodes)
        return query_payload(query.id, [episodes[name] for name in order])

    def _next_whole(
        self, rater: str, session: str, have: Collection[str]
    ) -> tuple[Query | None, dict[str, Episode]]:
        """The next query all of whose episodes can be read; others are passed over, with an alarm.

        One damaged file would else keep every rater from all questions after it.
        """
        passed = [*have, *self.unshowable]
        while (query := self.store.next_query(rater, session, exclude=passed)) is not None:
            try:
                return query, self._shown(query.id)[1]
            except EpisodeError as error:
                passed.append(query.id)
                self.unshowable[query.id] = str(error)
                _log.error("query cannot be shown", extra={"query": query.id, "why": str(error)})
        return None, {}

    def reopen(self, rater: str, key: str) -> dict[str, Any]:
        """The payload of an answered query, with the answer, for correcting it.

        Raises:
            FeedbackError: this rater has no current answer with that key.

        """
        old = self._own(rater, key)
        payload = query_payload(old.query, self.store.episodes(old.episodes))
        answer = {"ranks": old.ranks or [0] * len(old.episodes), "ratings": old.ratings}
        return payload | {"edit": answer | {"key": key, "comment": old.comment}}

    def _own(self, rater: str, key: str) -> Ranking:
        for ranking in self.store.rankings(rater, include_superseded=True):
            if ranking.key == key:
                return ranking
        raise FeedbackError(f"You have no answer {key[:40]!r}. Open it from My feedback.")

    def _counting(self, rater: str, query: str) -> Ranking | None:
        """The answer of a rater to a query that counts now, if any."""
        found = self.store.rankings(rater) if query else []
        return next((ranking for ranking in reversed(found) if ranking.query == query), None)

    def answer(self, rater: str, body: Mapping[str, Any]) -> bool:
        """Check and store an answer as the browser sent it.

        Returns:
            True when stored, False when it was stored before (a retry).

        Raises:
            AnsweredElsewhereError: another answer of this rater counts for the question.
            FeedbackError: forged or malformed, or refused by the store.

        """
        fields = checked_answer(body)
        old = self._own(rater, fields["supersedes"]) if fields["supersedes"] else None
        if old is not None and old.ranks and fields["outcome"] == "skipped":
            raise FeedbackError("A skip does not replace a ranking. Cancel the correction instead.")
        episodes = old.episodes if old is not None else self._asked(rater, fields["query"])
        ranking = Ranking(episodes=episodes, rater=rater, **fields)
        try:
            stored = self.store.submit(ranking)
        except FeedbackError as error:
            other = self._counting(rater, ranking.query)
            if other is None or other.key in (ranking.key, ranking.supersedes):
                raise
            raise AnsweredElsewhereError(other) from error
        if (
            stored
            and old is None
            and fields["outcome"] == "ranked"
            and asked_again(fields["query"])
        ):
            asked, _ = self._shown(fields["query"])
            if asked.purpose in ("learn", "test"):
                again = Query.of(asked.episodes, purpose="repeat", round=asked.round)
                self.store.add_queries([again])
        return stored

    def edit(self, rater: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What a panel comes to with its position changed; with a key, also stored.

        Returns:
            `panel`: arrays as in a payload; `stored` as `answer` says it, where a key came.

        Raises:
            FeedbackError: malformed, of no query, or an edit that cannot be made.

        """
        query = body.get("query") if isinstance(body, Mapping) else None
        _expect(isinstance(query, str) and len(query) <= _MAX_ID, "query", "an id")
        found, by_id = self._shown(str(query))
        episodes = [by_id[name] for name in panel_order(found.id, rater, found.episodes)]
        number, changes = checked_edit(body, len(episodes))
        edited, arrays = edited_panel(episodes, number, changes, rater)
        if (key := body.get("key")) is None:
            return {"panel": arrays}
        session = body.get("session", "")
        _expect(isinstance(key, str) and _KEY.fullmatch(key) is not None, "key", "32 hex digits")
        _expect(isinstance(session, str) and len(session) <= _MAX_ID, "session", "a name")
        who = {"purpose": found.purpose, "rater": rater, "key": key, "session": session}
        stored = store_edit(self.store, episodes[number], edited, **who)
        return {"panel": arrays, "stored": stored}

    @staticmethod
    def aspects(text: str) -> list[str]:
        """Aspects of trading that a comment mentions, for the chips."""
        return [mention.aspect for mention in aspects_of(text[:_MAX_COMMENT])]

    def _asked(self, rater: str, query: str) -> tuple[str, ...]:
        found, _ = self._shown(query)
        return panel_order(found.id, rater, found.episodes)


def checked_answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a `Ranking` from an untrusted JSON object.

    `aspects` is null unless the rater edited the chips; the comment then carries them as tags.

    Raises:
        FeedbackError: an unknown or missing field, a wrong type, or a value out of range; what
            `Ranking` itself checks is left to it.

    """
    if not isinstance(body, Mapping) or set(body) != _FIELDS:
        raise FeedbackError(f"An answer has exactly the fields {', '.join(sorted(_FIELDS))}.")
    for name in ("key", "query", "outcome", "comment", "session", "supersedes"):
        _expect(isinstance(body[name], str), name, "a string")
    for name in ("ranks", "ratings", "aspects"):
        if name == "aspects" and body[name] is None:
            continue
        _expect(isinstance(body[name], list) and len(body[name]) <= 20, name, "a short list")
    _expect(_KEY.fullmatch(body["key"]) is not None, "key", "32 hexadecimal digits")
    _expect(len(body["comment"]) <= _MAX_COMMENT, "comment", f"at most {_MAX_COMMENT} characters")
    _expect(all(type(rank) is int for rank in body["ranks"]), "ranks", "whole numbers")
    seconds = body["seconds"]
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    # Compared, not converted: JSON's whole numbers may be larger than any float.
    _expect(number and 0 <= seconds < _ENDLESS, "seconds", "a number >= 0")
    for name in ("query", "session", "supersedes"):
        short = len(body[name]) <= _MAX_ID and body[name].isprintable()
        _expect(short, name, f"at most {_MAX_ID} printable characters")
    fields = {name: value for name, value in body.items() if name != "aspects"}
    if body["aspects"] is not None:
        known = all(isinstance(name, str) and name in LEXICON for name in body["aspects"])
        _expect(known, "aspects", "known aspects")
        fields["comment"] = with_tags(body["comment"], body["aspects"])
    ranked = {"ranks": tuple(body["ranks"]), "ratings": tuple(body["ratings"])}
    return fields | ranked | {"seconds": min(float(seconds), _MAX_SECONDS)}


def _expect(ok: bool, name: str, expected: str) -> None:
    if not ok:
        raise FeedbackError(f"The answer's field {name!r} is malformed; expected {expected}.")
