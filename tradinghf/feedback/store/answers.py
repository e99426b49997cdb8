"""Rankings in the store: append-only, idempotent, chained."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, exists, func, insert, not_, select

from tradinghf.errors import FeedbackError
from tradinghf.feedback.store import queue, rows
from tradinghf.feedback.store import schema as t
from tradinghf.feedback.store.chain import GENESIS, link
from tradinghf.feedback.types import Purpose, Ranking


def submit(connection: Connection, ranking: Ranking) -> bool:
    """Append an answer; False when it is there already. See `Store.submit`."""
    if (earlier := by_key(connection, ranking.key)) is not None:
        if _answer(earlier) == _answer(ranking):
            return False
        raise FeedbackError(
            f"The submit key {ranking.key!r} is taken by a different answer. "
            "Use a new key for every answer."
        )
    _check_query(connection, ranking)
    _check_superseded(connection, ranking)
    rows.require_episodes(connection, ranking.episodes)
    seq = rows.next_seq(connection, t.rankings)
    panels = rows.panel_rows(ranking, seq)
    row = rows.ranking_row(ranking) | {"received": rows.now(), "seq": seq}
    hashed = [(p["episode"], p["rank"], p["rating"]) for p in panels]
    row["chain"] = link(head(connection), row, hashed)
    connection.execute(insert(t.rankings), [row])
    connection.execute(insert(t.ranking_episodes), panels)
    return True


def head(connection: Connection) -> str:
    """Hash of the newest answer; `GENESIS` when there is none."""
    table = t.rankings
    newest = select(table.c.chain).order_by(table.c.seq.desc()).limit(1)
    return str(connection.scalar(newest) or GENESIS)


def selection(
    *,
    include_superseded: bool = True,
    purposes: Collection[Purpose] | None = None,
    **filters: str | None,
) -> Select[Any]:
    """SELECT of rankings in order of arrival; see `Store.rankings`."""
    table, asked = t.rankings, t.queries
    query = select(table).order_by(table.c.seq)
    query = query.where(*(table.c[k] == v for k, v in filters.items() if v is not None))
    if not include_superseded:
        later = table.alias("later")
        query = query.where(not_(exists().where(later.c.supersedes == table.c.key)))
    if purposes is not None:
        purpose = func.coalesce(asked.c.purpose, "learn")
        joined = table.outerjoin(asked, table.c.query == asked.c.id)
        query = query.select_from(joined).where(purpose.in_(list(purposes)))
    return query


def by_key(connection: Connection, key: str) -> Ranking | None:
    """The answer with this submit key, if any."""
    found = rows.read_rankings(connection, selection(key=key))
    return found[0][1] if found else None


def _answer(ranking: Ranking) -> tuple[object, ...]:
    """What makes two submits the same answer: all but the delivery's clock times."""
    row = rows.ranking_row(ranking)
    del row["created"], row["seconds"]
    return (*row.values(), ranking.episodes, ranking.ranks, ranking.ratings)


def _check_query(connection: Connection, ranking: Ranking) -> None:
    if not ranking.query:
        return
    asked = queue.get(connection, ranking.query)
    if set(asked.episodes) != set(ranking.episodes):
        raise FeedbackError(
            f"Ranking {ranking.key!r} ranks other episodes than its query {asked.id!r} shows. "
            "Send the query's episodes, in any order."
        )
    if ranking.supersedes:
        return
    table = t.rankings
    mine = select(table.c.key).where(table.c.query == asked.id, table.c.rater == ranking.rater)
    earlier = connection.scalar(mine.order_by(table.c.seq.desc()).limit(1))
    if earlier is not None:
        raise FeedbackError(
            f"Rater {ranking.rater!r} has answered query {asked.id!r} already. "
            f"To correct that answer, submit with supersedes={earlier!r}."
        )


def _check_superseded(connection: Connection, ranking: Ranking) -> None:
    if not ranking.supersedes:
        return
    old = by_key(connection, ranking.supersedes)
    if old is None:
        raise FeedbackError(
            f"Ranking {ranking.key!r} supersedes {ranking.supersedes!r}, which is not in the "
            "store. Check the key."
        )
    if (old.rater, old.query, old.group) != (ranking.rater, ranking.query, ranking.group):
        raise FeedbackError(
            f"Ranking {ranking.key!r} supersedes an answer of another rater or query; "
            f"expected rater {old.rater!r}, query {old.query!r} and the same episodes."
        )
    table = t.rankings
    newer = connection.scalar(select(table.c.key).where(table.c.supersedes == old.key))
    if newer is not None:
        raise FeedbackError(
            f"Ranking {old.key!r} was superseded by {newer!r} already; supersede that one."
        )


__all__ = ["by_key", "head", "selection", "submit"]
