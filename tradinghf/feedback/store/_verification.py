"""The state of a store: `health` counts what it holds, `verify` checks every byte of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from tradinghf.errors import EpisodeError
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._chain import GENESIS, link
from tradinghf.feedback.store._engine import Database
from tradinghf.feedback.store._episode_files import read_episode_file
from tradinghf.feedback.store._migrate import newest
from tradinghf.feedback.store._rankings import chain_head
from tradinghf.feedback.store._statements import count_rows, panels_of

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


def health(database: Database) -> dict[str, Any]:
    """Counts and state; see `Store.health`."""
    location = database.location
    with database.reading() as connection:
        raters = select(func.count(func.distinct(t.rankings.c.rater)))
        corrected = select(func.count(t.rankings.c.supersedes))
        size = connection.scalar(select(func.sum(t.episodes.c.size)))
        return {
            "store": str(location),
            "folder": str(location.folder),
            "database": database.engine.dialect.name,
            "schema": newest(),
            **{
                table.name: count_rows(connection, table)
                for table in (t.episodes, t.queries, t.rankings, t.trials)
            },
            "superseded": int(connection.scalar(corrected) or 0),
            "raters": int(connection.scalar(raters) or 0),
            "episode_bytes": int(size or 0),
            "head": chain_head(connection),
        }


def verify(database: Database, folder: Path, anchor: str | None) -> Verification:
    """Check everything, with the episode files of `folder`; see `Store.verify`."""
    with database.reading() as connection:
        problems = _database(connection)
        count, head, broken = _chain(connection, anchor)
        columns = select(t.episodes.c.id, t.episodes.c.size).order_by(t.episodes.c.seq)
        recorded = [(row.id, row.size) for row in connection.execute(columns)]
    problems += broken
    for episode_id, size in recorded:
        try:
            read_episode_file(folder, episode_id, size)
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
    rows = connection.execute(select(t.rankings).order_by(t.rankings.c.seq)).all()
    panels = panels_of(connection, t.ranking_episodes.c.ranking, (row.seq for row in rows))
    head, met = GENESIS, anchor in (None, GENESIS)
    for count, row in enumerate(rows, start=1):
        hashed = [(p.episode, p.rank, p.rating) for p in panels[row.seq]]
        expected = link(head, dict(row._mapping), hashed)
        if row.seq != count:
            return count, head, [f"The hash chain breaks: answer {count} is missing. {_RESTORE}"]
        if row.chain != expected:
            who = f"answer {row.seq} (key {row.key!r}, rater {row.rater!r})"
            return count, head, [f"The hash chain breaks: {who} was altered. {_RESTORE}"]
        head = expected
        met = met or head == anchor
    if met:
        return len(rows), head, []
    lost = f"The hash chain does not contain {str(anchor)[:16]}: answers were cut off or rewritten."
    return len(rows), head, [f"{lost} {_RESTORE}"]
