"""The state of a store: `health` counts what it holds, `verify` checks every byte of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, ForeignKey, exists, func, select

from tradinghf.errors import EpisodeError, StoreError
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._chain import GENESIS, link
from tradinghf.feedback.store._engine import Database
from tradinghf.feedback.store._episode_files import read_episode_file
from tradinghf.feedback.store._episodes import EpisodeInfo, episode_columns, find_episodes
from tradinghf.feedback.store._guards import wrong_guards
from tradinghf.feedback.store._journal import check_journal, journal_head
from tradinghf.feedback.store._migrate import newest
from tradinghf.feedback.store._rankings import chain_head
from tradinghf.feedback.store._statements import count_rows, panels_of

_HEAD = re.compile(r"[0-9a-f]{64}")
_RESTORE = "Restore a backup."
_OTHER_KINDS = (TypeError, ValueError, LookupError, OverflowError, AttributeError)
"""What rows raise with text in a column of numbers, or numbers that JSON cannot hold."""


@dataclass(frozen=True)
class Verification:
    """What `Store.verify` found.

    Attributes:
        rankings: answers whose hash was recomputed.
        episodes: files that were read and hashed.
        head: hash of the newest answer.
        journal: hash of the newest entry of the journal, which covers answers, questions, counted
            backtests, people and the audit trail; note it elsewhere to prove later that nothing
            changed.
        problems: one sentence each, the most serious first; empty when all is well.

    """

    rankings: int
    episodes: int
    head: str
    journal: str
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
            "journal": journal_head(connection),
        }


def verify(database: Database, folder: Path, anchor: str | None) -> Verification:
    """Check everything, with the episode files of `folder`; see `Store.verify`."""
    check_anchor(anchor)
    with database.reading() as connection:
        problems = _database(connection)
        try:
            count, head, broken, heads = _chain(connection)
            unnoted, entries = check_journal(connection)
            journal = journal_head(connection)
        except _OTHER_KINDS as error:
            raise StoreError(
                f"The store {database.location} holds a value of another kind than its column "
                f"({error}): a row was altered. {_RESTORE}"
            ) from error
        problems += broken + unnoted + wrong_guards(connection)
        if anchor is not None and not broken and anchor not in {GENESIS} | heads | entries:
            problems.append(_cut_off(anchor))
        recorded = find_episodes(connection)
    problems += [found for info in recorded if (found := _episode_problem(folder, info))]
    return Verification(count, len(recorded), head, journal, tuple(problems))


def check_anchor(anchor: str | None) -> None:
    """Refuse what cannot be a head: an empty one would prove nothing, and say all is well.

    Raises:
        StoreError: not 64 hexadecimal digits.

    """
    if anchor is not None and not _HEAD.fullmatch(anchor):
        raise StoreError(
            f"The anchor is {anchor[:70]!r}; expected the 64 hexadecimal digits of a head that was "
            "noted earlier (`tradinghf store verify` prints it)."
        )


def _episode_problem(folder: Path, info: EpisodeInfo) -> str | None:
    """What is wrong with an episode: its file, or a row that says something else than the file."""
    try:
        episode = read_episode_file(folder, info.id, info.size)
    except EpisodeError as error:
        return str(error)
    for name, said in episode_columns(episode).items():
        found = getattr(info, name)
        close = isinstance(said, float) and isinstance(found, int | float)
        same = math.isclose(said, found, rel_tol=1e-9, abs_tol=1e-12) if close else said == found
        if not same:
            return (
                f"The row of episode {info.id[:12]} says {name} {str(found)[:40]!r}, its file "
                f"{str(said)[:40]!r}: the row was altered. {_RESTORE}"
            )
    return None


def _database(connection: Connection) -> list[str]:
    """Damage that the database itself can see (PostgreSQL checks its pages), and lost references.

    Whoever owns a server can switch its own checks of references off.
    """
    problems = []
    if connection.dialect.name == "sqlite":
        found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
        problems = [f"The database is damaged: {line}." for line in found if line != "ok"]
    return problems + [
        f"{count} rows of table {key.parent.table.name} refer to a missing row of "
        f"{key.column.table.name}."
        for table in t.metadata.sorted_tables
        for key in sorted(table.foreign_keys, key=str)
        if (count := _dangling(connection, key))
    ]


def _dangling(connection: Connection, key: ForeignKey) -> int:
    """How many rows refer by this key to one that is not there."""
    there = key.column.table.alias("there")  # a ranking supersedes one of its own table
    known = exists().where(there.c[key.column.name] == key.parent)
    lost = select(func.count()).select_from(key.parent.table).where(key.parent.is_not(None), ~known)
    return int(connection.scalar(lost) or 0)


def _chain(connection: Connection) -> tuple[int, str, list[str], set[str]]:
    """(answers checked, head, the first break, every hash): one change breaks all that follow."""
    rows = connection.execute(select(t.rankings).order_by(t.rankings.c.seq)).all()
    panels = panels_of(connection, t.ranking_episodes.c.ranking, (row.seq for row in rows))
    head, heads = GENESIS, set[str]()
    for count, row in enumerate(rows, start=1):
        shown = panels[row.seq]
        hashed = [(p.episode, p.rank, p.rating) for p in shown]
        expected = link(head, dict(row._mapping), hashed)
        if [p.panel for p in shown] != list(range(len(shown))):
            expected = ""
        if row.seq != count:
            missing = f"The hash chain breaks: answer {count} is missing. {_RESTORE}"
            return count, head, [missing], heads
        if row.chain != expected:
            who = f"answer {row.seq} (key {row.key!r}, rater {row.rater!r})"
            altered = f"The hash chain breaks: {who} was altered. {_RESTORE}"
            return count, head, [altered], heads
        head = expected
        heads.add(head)
    return len(rows), head, [], heads


def _cut_off(anchor: str) -> str:
    lost = f"The hash chain does not contain {anchor[:16]}: what it held was cut off or rewritten."
    return f"{lost} {_RESTORE}"
