"""The queue of queries: what to ask whom next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, insert, not_, or_, select
from sqlalchemy import update as sql_update

from tradinghf.errors import FeedbackError
from tradinghf.feedback import Query
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._episodes import require_episodes
from tradinghf.feedback.store._journal import note_in_journal
from tradinghf.feedback.store._statements import next_seq, panels_of, rows_in, where_given

_LEASE = timedelta(minutes=15)
"""A query shown to a rater this recently counts towards the raters it wants."""


def add_queries(connection: Connection, queries: Iterable[Query], raters: int | None) -> int:
    """Append the queries whose id is new; returns how many. See `Store.add_queries`."""
    if raters is not None and (isinstance(raters, bool) or not 1 <= raters < 2**31):
        raise FeedbackError(
            f"raters is {raters}; expected at least 1 (of 32 bits), or None for all."
        )
    wanted = {query.id: query for query in queries}
    known = _read(connection, rows_in(connection, select(t.queries), t.queries.c.id, wanted))
    for found in known:
        if found != wanted.pop(found.id):
            raise FeedbackError(
                f"Query {found.id!r} is in the store with other content. "
                "Name queries by content: Query.of(episodes, ...)."
            )
    new = list(wanted.values())
    if new:
        require_episodes(connection, (e for query in new for e in query.episodes))
        first = next_seq(connection, t.queries)
        rows = [_query_row(q) | {"seq": first + i, "raters": raters} for i, q in enumerate(new)]
        connection.execute(insert(t.queries), rows)
        panels = [_panel_rows(query) for query in new]
        connection.execute(insert(t.query_episodes), [p for shown in panels for p in shown])
        said = [[(p["episode"], p["answer"]) for p in shown] for shown in panels]
        note_in_journal(
            connection, "query", [row | {"panels": p} for row, p in zip(rows, said, strict=True)]
        )
    return len(new)


def find_queries(connection: Connection, **filters: Any) -> list[Query]:
    """Queries with these values of columns, in the order of the queue."""
    query = where_given(select(t.queries).order_by(t.queries.c.seq), t.queries, **filters)
    return _read(connection, connection.execute(query).all())


def find_query(connection: Connection, query_id: str) -> Query:
    """One query.

    Raises:
        FeedbackError: not in the store.

    """
    found = find_queries(connection, id=query_id)
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
    """How many other raters have answered the query, or were shown it within `_LEASE`."""
    now = datetime.now(UTC)
    recent, soon = t.timestamp(now - _LEASE), t.timestamp(now + _LEASE)
    answered = select(t.rankings.c.rater).where(t.rankings.c.query == t.queries.c.id)
    shown = select(t.serves.c.rater).where(
        t.serves.c.query == t.queries.c.id,
        t.serves.c.served > recent,
        t.serves.c.served < soon,  # noted while the clock was ahead: not to hold it until then
    )
    # correlate: a UNION inside the count cannot see the outer row by itself.
    both = answered.correlate(t.queries).union(shown.correlate(t.queries)).subquery()
    return select(func.count()).select_from(both).where(both.c.rater != rater).scalar_subquery()


def serve_next(
    connection: Connection, rater: str, session: str, exclude: Collection[str]
) -> Query | None:
    """The first query due, noted as shown to the rater; None when nothing is due.

    Comparisons, which are test queries with a note, come first: somebody waits for them.
    """
    compares = and_(t.queries.c.purpose == "test", t.queries.c.note != "")
    for which in (compares, not_(compares)):
        query = select(t.queries).where(which, due(rater)).order_by(t.queries.c.seq).limit(1)
        if exclude:
            query = query.where(t.queries.c.id.not_in(list(exclude)))
        found = _read(connection, connection.execute(query).all())
        if found:
            _note_served(connection, found[0].id, rater, session)
            return found[0]
    return None


def _note_served(connection: Connection, query_id: str, rater: str, session: str) -> None:
    table = t.serves
    mine = and_(table.c.query == query_id, table.c.rater == rater)
    before = connection.scalar(select(table.c.served).where(mine))
    values = {"session": session, "served": t.timestamp_now()}
    if before is None:
        connection.execute(insert(table), [{"query": query_id, "rater": rater, **values}])
    elif not _recently(before):  # spares a write per reload
        connection.execute(sql_update(table).where(mine).values(**values))


def _recently(served: str) -> bool:
    now = datetime.now(UTC)
    return t.timestamp(now - _LEASE / 2) <= served <= t.timestamp(now)


def _read(connection: Connection, rows: Sequence[Row[Any]]) -> list[Query]:
    """The queries of these rows, in their order."""
    panels = panels_of(connection, t.query_episodes.c.query, (row.id for row in rows))
    return [
        Query(
            row.id,
            tuple(p.episode for p in panels[row.id]),
            row.purpose,
            row.round,
            row.note,
            tuple(p.answer for p in panels[row.id] if p.answer is not None),
        )
        for row in rows
    ]


def _query_row(query: Query) -> dict[str, Any]:
    names = ("id", "purpose", "round", "note", "group")
    return {name: getattr(query, name) for name in names} | {"created": t.timestamp_now()}


def _panel_rows(query: Query) -> list[dict[str, Any]]:
    answers: Sequence[int | None] = query.answer or [None] * len(query.episodes)
    return [
        {"query": query.id, "panel": i, "episode": episode, "answer": answer}
        for i, (episode, answer) in enumerate(zip(query.episodes, answers, strict=True))
    ]
