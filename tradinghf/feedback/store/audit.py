"""Is the store well? `health` counts, `verify` checks every byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from tradinghf.errors import EpisodeError
from tradinghf.feedback.store import answers
from tradinghf.feedback.store import schema as t
from tradinghf.feedback.store.blobs import read_blob
from tradinghf.feedback.store.chain import GENESIS, link
from tradinghf.feedback.store.engine import Location, reading
from tradinghf.feedback.store.migrate import newest

_RESTORE = "Restore a backup."


@dataclass(frozen=True)
class Verification:
    """What `Store.verify` found.

    Attributes:
        rankings: answers whose hash was recomputed.
        episodes: files that were read and hashed.
        head: hash of the newest answer; note it elsewhere to prove later that nothing changed.
        problems: one sentence each, the most serious first; empty when all is well.

    """

    rankings: int
    episodes: int
    head: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems


def health(engine: Engine, location: Location) -> dict[str, Any]:
    """Counts and state; see `Store.health`."""
    tables = {"episodes": t.episodes, "queries": t.queries, "rankings": t.rankings}
    with reading(engine, location) as connection:
        counts = {
            name: int(connection.scalar(select(func.count()).select_from(table)) or 0)
            for name, table in {**tables, "trials": t.trials}.items()
        }
        raters = select(func.count(func.distinct(t.rankings.c.rater)))
        corrected = select(func.count(t.rankings.c.supersedes))
        size = connection.scalar(select(func.sum(t.episodes.c.size)))
        return {
            "store": str(location),
            "folder": str(location.folder),
            "database": engine.dialect.name,
            "schema": newest(),
            **counts,
            "superseded": int(connection.scalar(corrected) or 0),
            "raters": int(connection.scalar(raters) or 0),
            "episode_bytes": int(size or 0),
            "head": answers.head(connection),
        }


def verify(engine: Engine, location: Location, anchor: str | None) -> Verification:
    """Check everything; see `Store.verify`."""
    with reading(engine, location) as connection:
        problems = _database(connection)
        count, head, broken = _chain(connection, anchor)
        columns = select(t.episodes.c.id, t.episodes.c.size).order_by(t.episodes.c.seq)
        recorded = [(row.id, row.size) for row in connection.execute(columns)]
    problems += broken
    for episode_id, size in recorded:
        try:
            read_blob(location.folder, episode_id, size)
        except EpisodeError as error:
            problems.append(str(error))
    return Verification(count, len(recorded), head, tuple(problems))


def _database(connection: Connection) -> list[str]:
    """Damage that the database itself can see (SQLite only; PostgreSQL checks its pages)."""
    if connection.dialect.name != "sqlite":
        return []
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
    problems = [f"The database is damaged: {line}." for line in found if line != "ok"]
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return problems + [
        f"Row {row[1]} of table {row[0]} refers to a missing row of {row[2]}." for row in dangling
    ]


def _chain(connection: Connection, anchor: str | None) -> tuple[int, str, list[str]]:
    """(answers checked, head, the first break): an altered answer breaks all that follow."""
    panels: dict[int, list[tuple[Any, ...]]] = {}
    shown = t.ranking_episodes
    columns = (shown.c.ranking, shown.c.episode, shown.c.rank, shown.c.rating)
    for row in connection.execute(select(*columns).order_by(shown.c.ranking, shown.c.panel)):
        panels.setdefault(row.ranking, []).append((row.episode, row.rank, row.rating))
    head, count, met = GENESIS, 0, anchor in (None, GENESIS)
    for row in connection.execute(select(t.rankings).order_by(t.rankings.c.seq)):
        count += 1
        expected = link(head, dict(row._mapping), panels.get(row.seq, []))
        if row.seq != count:
            return count, head, [f"The hash chain breaks: answer {count} is missing. {_RESTORE}"]
        if row.chain != expected:
            who = f"answer {row.seq} (key {row.key!r}, rater {row.rater!r})"
            return count, head, [f"The hash chain breaks: {who} was altered. {_RESTORE}"]
        head = expected
        met = met or head == anchor
    if met:
        return count, head, []
    lost = f"The hash chain does not contain {str(anchor)[:16]}: answers were cut off or rewritten."
    return count, head, [f"{lost} {_RESTORE}"]


__all__ = ["Verification", "health", "verify"]
