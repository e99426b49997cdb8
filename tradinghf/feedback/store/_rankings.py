"""Rankings in the store: append-only, the same submit key once, linked by a hash chain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, insert, not_, select

from tradinghf.errors import FeedbackError
from tradinghf.feedback import Purpose, Ranking
from tradinghf.feedback._look_alikes import look_of, name_problem
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._chain import GENESIS, link
from tradinghf.feedback.store._episodes import require_episodes, require_one_window
from tradinghf.feedback.store._journal import note_in_journal
from tradinghf.feedback.store._queue import find_query
from tradinghf.feedback.store._statements import next_seq, panels_of, where_given

_MOST_SECONDS = 366 * 86400.0


def submit_ranking(
    connection: Connection, ranking: Ranking, *, across_windows: bool = False
) -> bool:
    """Append an answer; False when it is there already. See `Store.submit`."""
    if (earlier := _with_key(connection, ranking.key)) is not None:
        if _answer(earlier) == _answer(ranking):
            return False
        raise FeedbackError(
            f"The submit key {ranking.key!r} is taken by a different answer. "
            "Use a new key for every answer."
        )
    _check_plausible(ranking)
    _check_rater(connection, ranking)
    _check_query(connection, ranking)
    _check_superseded(connection, ranking)
    require_episodes(connection, ranking.episodes)
    if ranking.ranks and not across_windows:
        require_one_window(connection, ranking.episodes, ranking.key)
    seq = next_seq(connection, t.rankings)
    panels = panel_rows(ranking, seq)
    row = _ranking_row(ranking) | {"received": t.timestamp_now(), "seq": seq}
    hashed = [(p["episode"], p["rank"], p["rating"]) for p in panels]
    row["chain"] = link(chain_head(connection), row, hashed)
    connection.execute(insert(t.rankings), [row])
    connection.execute(insert(t.ranking_episodes), panels)
    note_in_journal(connection, "answer", [row])
    return True


def chain_head(connection: Connection) -> str:
    """Hash of the newest answer; `GENESIS` when there is none."""
    table = t.rankings
    newest = select(table.c.chain).order_by(table.c.seq.desc()).limit(1)
    return str(connection.scalar(newest) or GENESIS)


def find_rankings(
    connection: Connection,
    *,
    include_superseded: bool = True,
    purposes: Collection[Purpose] | None = None,
    **filters: str | None,
) -> list[Ranking]:
    """Rankings in order of arrival; see `Store.rankings`."""
    table, asked = t.rankings, t.queries
    query = where_given(select(table).order_by(table.c.seq), table, **filters)
    if not include_superseded:
        later = table.alias("later")
        query = query.where(not_(exists().where(later.c.supersedes == table.c.key)))
    if purposes is not None:
        purpose = func.coalesce(asked.c.purpose, "learn")
        joined = table.outerjoin(asked, table.c.query == asked.c.id)
        query = query.select_from(joined).where(purpose.in_(list(purposes)))
    return _read(connection, query)


def _read(connection: Connection, statement: Select[Any]) -> list[Ranking]:
    found = connection.execute(statement).all()
    panels = panels_of(connection, t.ranking_episodes.c.ranking, (row.seq for row in found))
    return [_ranking(row, panels[row.seq]) for row in found]


def _ranking(row: Row[Any], panels: list[Row[Any]]) -> Ranking:
    return Ranking(
        key=row.key,
        episodes=tuple(p.episode for p in panels),
        ranks=tuple(p.rank for p in panels if p.rank is not None),
        query=row.query or "",
        rater=row.rater,
        session=row.session,
        created=t.answered_at(row.created, row.received),
        seconds=row.seconds,
        comment=row.comment,
        ratings=tuple(p.rating for p in panels),
        outcome=row.outcome,
        supersedes=row.supersedes or "",
    )


def _ranking_row(ranking: Ranking) -> dict[str, Any]:
    """The ranking's own columns; `seq` and `received` are added on writing."""
    return {
        "key": ranking.key,
        "query": ranking.query or None,
        "group": ranking.group,
        "rater": ranking.rater,
        "session": ranking.session,
        "created": t.timestamp(ranking.created),
        "seconds": ranking.seconds,
        "outcome": ranking.outcome,
        "comment": ranking.comment,
        "supersedes": ranking.supersedes or None,
    }


def panel_rows(ranking: Ranking, seq: int) -> list[dict[str, Any]]:
    """One row per episode of the ranking."""
    unsaid: Sequence[int | None] = [None] * len(ranking.episodes)
    values = zip(ranking.episodes, ranking.ranks or unsaid, ranking.ratings or unsaid, strict=True)
    return [
        {"ranking": seq, "panel": i, "episode": episode, "rank": rank, "rating": rating}
        for i, (episode, rank, rating) in enumerate(values)
    ]


def _with_key(connection: Connection, key: str) -> Ranking | None:
    """The answer with this submit key, if any."""
    return next(iter(find_rankings(connection, key=key)), None)


def _answer(ranking: Ranking) -> tuple[object, ...]:
    """What makes two submits the same answer: all but the delivery's clock times."""
    row = _ranking_row(ranking)
    del row["created"], row["seconds"]
    return (*row.values(), ranking.episodes, ranking.ranks, ranking.ratings)


def _check_plausible(ranking: Ranking) -> None:
    """Refuse what no trader can have said; a store of an earlier version may hold it."""
    if not t.plausible(ranking.created):
        raise FeedbackError(
            f"Ranking {ranking.key!r} was created in the year {ranking.created.year}; expected "
            f"{t.FIRST_YEAR} to {t.LAST_YEAR}. Check the clock of the machine it comes from."
        )
    if ranking.seconds is not None and ranking.seconds > _MOST_SECONDS:
        raise FeedbackError(
            f"Ranking {ranking.key!r} took {ranking.seconds:g} seconds; expected at most a year."
        )
    for name in ("key", "rater", "session"):
        value = getattr(ranking, name)
        if problem := name_problem(value):
            raise FeedbackError(
                f"Ranking.{name} is {value!r}, which {problem}: it would pass for another one that "
                "looks the same. Write it plainly."
            )


def raters_who_look_like(connection: Connection, name: str) -> list[str]:
    """Others who have answered and whose names look the same.

    None for who has answered before, or has an account: nobody at work is kept from answering.
    """
    rater = t.rankings.c.rater
    for known in (rater, t.users.c.name):
        if connection.scalar(select(known).where(known == name).limit(1)) is not None:
            return []
    look = look_of(name)
    raters = connection.scalars(select(rater).distinct())
    return [other for other in raters if look_of(other) == look]


def _check_rater(connection: Connection, ranking: Ranking) -> None:
    """Refuse a new rater whom everybody would take for another one."""
    if others := raters_who_look_like(connection, ranking.rater):
        raise FeedbackError(
            f"Ranking {ranking.key!r} is by {ranking.rater!r}; answers of {others[0]!r}, which "
            "looks the same, are in the store. Use that name, or one that looks different."
        )


def _check_query(connection: Connection, ranking: Ranking) -> None:
    if not ranking.query:
        return
    asked = find_query(connection, ranking.query)
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
    old = _with_key(connection, ranking.supersedes)
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
