"""Every older schema opens, with its data, whatever interrupts; newer and foreign ones do not."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from drills.schemas import old_store, older_schemas, revision_of
from support.store import make_episode, postgres_url

from tradinghf.errors import StoreError
from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store, locate
from tradinghf.feedback.store._engine import connect
from tradinghf.feedback.store._migrate import migrate, newest
from tradinghf.feedback.store._schema import metadata

OLDER = older_schemas()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is yet: no table, no file."""
    if request.param == "sqlite":
        return str(tmp_path / "store")
    return postgres_url(request.getfixturevalue("postgres"), tmp_path / "store")


def test_there_is_an_older_schema_to_test() -> None:
    assert OLDER


@pytest.mark.parametrize("revision", OLDER)
def test_every_older_schema_opens_with_its_data(empty: str, revision: str) -> None:
    answers = old_store(empty, revision)
    assert revision_of(empty) == revision
    with Store(empty) as store:
        assert store.rankings(include_superseded=True) == answers
        assert store.queries()[0].answer == (2, 1)
        assert [e.id for e in store.episodes()] == [make_episode(0).id, make_episode(1).id]
        assert store.verify().ok
        assert store.submit(Ranking("k3", answers[0].episodes, (2, 1)))
        assert store.verify().ok
    assert revision_of(empty) == newest()


@pytest.mark.parametrize("revision", [None, *OLDER])
def test_the_migrations_lead_to_the_schema_in_the_code(empty: str, revision: str | None) -> None:
    if revision is not None:
        migrate(locate(empty), to=revision)
    with Store(empty) as store, store.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("revision", OLDER)
def test_a_backup_of_the_older_schema_is_left(tmp_path: Path, revision: str) -> None:
    target = str(tmp_path / "store")
    old_store(target, revision)
    Store(target).close()
    (backup,) = (tmp_path / "store" / "backups").glob(f"before-migration-{revision}-*.db")
    with sqlite3.connect(backup) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (revision,)
        ]
        assert connection.execute("SELECT count(*) FROM rankings").fetchall() == [(2,)]
    connection.close()
    Store(target).close()
    assert len(list((tmp_path / "store" / "backups").iterdir())) == 1  # only when migrating


KILLED = """
import os, sys
import sqlalchemy as sa
from tradinghf.feedback.store import Store
left = int(sys.argv[2])
@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def count(connection, cursor, statement, *rest):
    global left
    if connection.get_execution_options().get("writing") and not statement.startswith("BEGIN"):
        left -= 1
        if left == 0:
            os._exit(9)
Store(sys.argv[1])
print("done")
"""


@pytest.mark.parametrize("revision", [None, *OLDER])
def test_killed_at_any_statement_the_old_schema_is_whole(
    tmp_path: Path, revision: str | None, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    first = tmp_path / "first"
    if revision is None:
        first.mkdir()
    else:
        old_store(str(first), revision)
    finished = False
    for step in (1, 8, 18, 10_000):
        target = tmp_path / f"killed-{step}"
        shutil.copytree(first, target)
        result = python("-c", KILLED, str(target), str(step))
        finished = "done" in result.stdout
        assert finished or result.returncode == 9, result.stderr
        assert revision_of(str(target)) == (newest() if finished else revision)
        with Store(target) as store:
            assert len(store.rankings(include_superseded=True)) == (0 if revision is None else 2)
            assert store.verify().ok
    assert finished


def test_a_newer_schema_is_refused_in_one_sentence(target: str) -> None:
    Store(target).close()
    engine = connect(locate(target))
    with engine.connect() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()
    engine.dispose()
    with pytest.raises(StoreError, match=r"schema 9999, newer than schema \d+ .*Upgrade it"):
        Store(target)


def test_a_database_of_something_else_is_refused(empty: str) -> None:
    locate(empty).folder.mkdir(exist_ok=True)
    engine = connect(locate(empty))
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE invoices (id INTEGER)"))
        connection.commit()
    engine.dispose()
    with pytest.raises(StoreError, match=r"something else .*invoices"):
        Store(empty)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "feedback.db").write_bytes(b"certainly not a database" * 50)
    with pytest.raises(StoreError, match="not a readable SQLite database"):
        Store(tmp_path)


@pytest.mark.parametrize("revision", [None, *OLDER])
def test_many_processes_open_a_store_at_once(empty: str, revision: str | None) -> None:
    if revision is not None:
        old_store(empty, revision)
    code = (
        "import sys; from tradinghf.feedback.store import Store\n"
        "print(Store(sys.argv[1]).health()['schema'])"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, empty],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    results = [process.communicate(timeout=120) for process in started]
    assert [out.strip() for out, _ in results] == [newest()] * 3, results
    with Store(empty) as store:
        assert store.verify().ok


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Cannot create the folder"):
        Store(tmp_path / "file" / "store")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("mysql://u:secret@h/db", "'mysql' is not supported"),
        ("sqlite://", "not supported"),
        ("postgresql://u:secret@127.0.0.1:1/db", "failed"),
        ("://", "cannot be parsed"),
    ],
)
def test_a_store_that_cannot_be_opened_says_so_without_passwords(target: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        Store(target)
    assert "secret" not in str(caught.value)
