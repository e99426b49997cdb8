"""The queue of queries: what to ask whom next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, not_, or_, select
from sqlalchemy import update as sql_update

from tradinghf.errors import FeedbackError
from tradinghf.feedback.store import rows
from tradinghf.feedback.store import schema as t
from tradinghf.feedback.types import Query

LEASE = timedelta(minutes=15)
"""A query shown to a rater this recently counts towards the raters it wants."""


def add(connection: Connection, queries: Iterable[Query], raters: int | None) -> int:
    """Append the queries whose id is new; returns how many were.

    Raises:
        FeedbackError: `raters` below 1, an unknown episode, or an id taken by another query.

    """
    if raters is not None and raters < 1:
        raise FeedbackError(f"raters is {raters}; expected at least 1, or None for every rater.")
    wanted = {query.id: query for query in queries}
    known: set[str] = set()
    for part in rows.chunks(wanted):
        for found in rows.read_queries(
            connection, select(t.queries).where(t.queries.c.id.in_(part))
        ):
            if found != wanted[found.id]:
                raise FeedbackError(
                    f"Query {found.id!r} is in the store with other content. "
                    "Name queries by content: Query.of(episodes, ...)."
                )
            known.add(found.id)
    fresh = [query for name, query in wanted.items() if name not in known]
    if fresh:
        rows.require_episodes(connection, (e for query in fresh for e in query.episodes))
        first = rows.next_seq(connection, t.queries)
        records = [_row(q) | {"seq": first + i, "raters": raters} for i, q in enumerate(fresh)]
        connection.execute(insert(t.queries), records)
        connection.execute(insert(t.query_episodes), [p for q in fresh for p in _panels(q)])
    return len(fresh)


def get(connection: Connection, query_id: str) -> Query:
    """One query.

    Raises:
        FeedbackError: not in the store.

    """
    found = rows.read_queries(connection, select(t.queries).where(t.queries.c.id == query_id))
    if not found:
        raise FeedbackError(
            f"Query {query_id!r} is not in the store. Add it first: store.add_queries([...])."
        )
    return found[0]


def due(rater: str) -> ColumnElement[bool]:
    """Which queries this rater may be asked now, as an SQL condition."""
    queue, said = t.queries, t.rankings
    mine = said.c.rater == rater
    answered = exists().where(and_(mine, said.c.query == queue.c.id))
    seen = exists().where(and_(mine, said.c.group == queue.c.group))
    fits = or_(
        and_(queue.c.purpose == "repeat", seen), and_(queue.c.purpose != "repeat", not_(seen))
    )
    return and_(
        not_(answered), fits, or_(queue.c.raters.is_(None), _takers(rater) < queue.c.raters)
    )


def _takers(rater: str) -> Any:
    """How many other raters have answered the query, or were shown it within `LEASE`."""
    recent = rows.timestamp(datetime.now(UTC) - LEASE)
    answered = select(t.rankings.c.rater).where(t.rankings.c.query == t.queries.c.id)
    shown = select(t.serves.c.rater).where(
        t.serves.c.query == t.queries.c.id, t.serves.c.served > recent
    )
    # correlate: a UNION inside the count cannot see the outer row by itself.
    both = answered.correlate(t.queries).union(shown.correlate(t.queries)).subquery()
    return select(func.count()).select_from(both).where(both.c.rater != rater).scalar_subquery()


def serve(
    connection: Connection, rater: str, session: str, exclude: Collection[str]
) -> Query | None:
    """The first query due, noted as shown to the rater; None when nothing is due."""
    query = select(t.queries).where(due(rater)).order_by(t.queries.c.seq).limit(1)
    if exclude:
        query = query.where(t.queries.c.id.not_in(list(exclude)))
    found = rows.read_queries(connection, query)
    if not found:
        return None
    _note_served(connection, found[0].id, rater, session)
    return found[0]


def _note_served(connection: Connection, query_id: str, rater: str, session: str) -> None:
    table = t.serves
    mine = and_(table.c.query == query_id, table.c.rater == rater)
    before = connection.scalar(select(table.c.served).where(mine))
    values = {"session": session, "served": rows.now()}
    if before is None:
        connection.execute(insert(table), [{"query": query_id, "rater": rater, **values}])
    elif before < rows.timestamp(datetime.now(UTC) - LEASE / 2):  # spares a write per reload
        connection.execute(sql_update(table).where(mine).values(**values))


def _row(query: Query) -> dict[str, Any]:
    return {
        "id": query.id,
        "purpose": query.purpose,
        "round": query.round,
        "note": query.note,
        "group": query.group,
        "created": rows.now(),
    }


def _panels(query: Query) -> list[dict[str, Any]]:
    answers: Sequence[int | None] = query.answer or [None] * len(query.episodes)
    return [
        {"query": query.id, "panel": i, "episode": episode, "answer": answer}
        for i, (episode, answer) in enumerate(zip(query.episodes, answers, strict=True))
    ]


__all__ = ["LEASE", "add", "due", "get", "serve"]
