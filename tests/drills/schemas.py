"""Drill of the migrations: every past schema, killed at every statement, on each database."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from drills.core import NotHereError, Outcome, Say, Tell, die, in_child
from drills.samples import make_episode
from drills.server import postgres, postgres_url
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store, locate
from tradinghf.feedback.store._engine import connect
from tradinghf.feedback.store._migrate import migrate, newest, scripts
from tradinghf.feedback.store._schema import metadata


def older_schemas() -> list[str]:
    """Every past schema, newest first."""
    return [s.revision for s in scripts().walk_revisions() if s.revision != newest()]


def old_store(target: str, revision: str) -> list[Ranking]:
    """A store as an older version left it, with two episodes, a query and two answers."""
    location = locate(target)
    migrate(location, to=revision)
    with Store(str(location.folder / "elsewhere" / "feedback.db")) as modern:
        ids = modern.add_episodes([make_episode(0), make_episode(1)])
        query = Query.of(ids, answer=(2, 1), purpose="gold")
        modern.add_queries([query])
        answers = [
            Ranking("k1", tuple(ids), (1, 2), query=query.id, comment="=1", seconds=2.5),
            Ranking("k2", tuple(ids), (1, 1), query=query.id, supersedes="k1", ratings=(1, None)),
        ]
        for answer in answers:
            modern.submit(answer)
        shutil.copytree(location.folder / "elsewhere" / "episodes", location.folder / "episodes")
        _copy(modern.engine, connect(location))
    return answers


def _copy(source: sa.Engine, target: sa.Engine) -> None:
    """Copy the columns that the older schema has."""
    old = sa.MetaData()
    old.reflect(target)
    with source.connect() as read, target.connect() as write:
        for table in metadata.sorted_tables:
            if table.name not in old.tables:
                continue
            known = old.tables[table.name]
            columns = [table.c[c.name] for c in known.columns]
            for row in read.execute(sa.select(*columns).order_by(*table.primary_key)).mappings():
                write.execute(sa.insert(known), [dict(row)])
        write.commit()
    target.dispose()


def revision_of(target: str) -> str | None:
    """Schema of a store; None when there is none."""
    engine = connect(locate(target))
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    return found


def migrate_killed(work: Path, every: int, say: Say) -> Outcome:
    """Kill the migration at every `every`-th statement, and then let it happen."""
    failures: list[str] = []
    figures: dict[str, int] = {}
    with ExitStack() as stack:
        places: dict[str, Callable[[str], str]] = {"SQLite": lambda name: str(work / name)}
        try:
            socket = stack.enter_context(postgres())
            places["PostgreSQL"] = lambda name: postgres_url(socket, work / f"pg-{name}")
        except NotHereError as error:
            say(str(error))
        for database, place in places.items():
            for revision in (None, *older_schemas()):
                problems, kills = _kill_everywhere(place, revision, every)
                source = revision or "nothing"
                figures[f"{database} from {source}"] = kills
                failures += [f"{database}, from schema {source}: {p}" for p in problems]
                say(f"{database}: from schema {source}: killed at {kills} statements")
    return Outcome(sum(figures.values()), tuple(failures), figures)


def _kill_everywhere(
    place: Callable[[str], str], revision: str | None, every: int
) -> tuple[list[str], int]:
    """Kill at statement 1, 1 + every, ... until a migration gets through."""
    problems: list[str] = []
    kills, statement, finished = 0, 1, False
    while not finished:
        target = place(f"{revision}-{statement}")
        if revision is not None:
            # In a child: a process that forks must not hold connections.
            in_child(partial(_make_old, target, revision))
        code, lines = in_child(_dying(target, statement))
        finished = "migrated" in lines
        if finished and kills:
            break
        kills += 1
        code, lines = in_child(partial(_look, target, revision))
        problems += [f"killed at statement {statement}: {line}" for line in lines]
        if code:
            problems.append(f"killed at statement {statement}: looking at it failed")
        statement += every
    return problems, kills


def _make_old(target: str, revision: str, _tell: Tell) -> None:
    old_store(target, revision)


def _dying(target: str, statement: int) -> Callable[[Tell], None]:
    """Opens the store, and dies at the n-th statement of the migration."""

    def body(tell: Tell) -> None:
        left = statement

        def count(connection: sa.Connection, _cursor: object, text: str, *_rest: object) -> None:
            nonlocal left
            writes = connection.get_execution_options().get("writing")
            if writes and not text.startswith("BEGIN"):
                left -= 1
                if left == 0:
                    die()

        sa.event.listen(sa.Engine, "before_cursor_execute", count)
        Store(target).close()
        tell("migrated")

    return body


def _look(target: str, revision: str | None, tell: Tell) -> None:
    """Tell what is wrong after the kill; the next opening must migrate."""
    location = locate(target)
    nothing = location.sqlite and not location.database.exists()
    found = None if nothing else revision_of(target)
    if found != revision:
        tell(f"the schema is {found}, neither finished nor as before")
    with Store(target) as store:
        count = len(store.rankings(include_superseded=True))
        if count != (0 if revision is None else 2):
            tell(f"{count} answers are left")
        for problem in store.verify().problems:
            tell(problem)
    if revision_of(target) != newest():
        tell("the next opening did not migrate")
