"""What somebody with the database's password, a hostile backup or a lost server does to a store."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.store import make_episode, postgres_url

from tradinghf.errors import StoreError
from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store, _backup, restore, verify_backup


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (
            "CREATE TRIGGER quiet BEFORE INSERT ON rankings WHEN NEW.rater = 'ann' "
            "BEGIN SELECT RAISE(IGNORE); END",
            "trigger 'quiet'",
        ),
        (
            "CREATE TRIGGER later AFTER INSERT ON dashboard_users BEGIN "
            "UPDATE dashboard_users SET role = 'admin'; END",
            "trigger 'later'",
        ),
        ("CREATE VIEW hidden AS SELECT * FROM rankings", "view 'hidden'"),
    ],
)
def test_verify_sees_what_would_drop_or_change_rows(tmp_path: Path, made: str, named: str) -> None:
    with Store(tmp_path) as store:
        assert store.verify().ok
        with sqlite3.connect(tmp_path / "feedback.db") as connection:
            connection.execute(made)
        (problem,) = store.verify().problems
    assert problem.startswith(f"The {named} in the database is none of a store's")


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("CREATE RULE quiet AS ON INSERT TO rankings DO INSTEAD NOTHING", "rule 'quiet'"),
        ("ALTER TABLE rankings ENABLE ROW LEVEL SECURITY", "rule 'kind r'"),
        (
            "CREATE TRIGGER quiet BEFORE INSERT ON rankings FOR EACH ROW "
            "EXECUTE FUNCTION append_only()",
            "trigger 'quiet of rankings'",
        ),
        (
            "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RETURN NULL; /* RAISE EXCEPTION */ END $$",
            "trigger append_only_rankings",
        ),
        (
            "DROP TRIGGER append_only_rankings ON rankings; CREATE TRIGGER append_only_rankings "
            "BEFORE TRUNCATE ON rankings FOR EACH STATEMENT EXECUTE FUNCTION append_only()",
            "trigger append_only_rankings",
        ),
        (
            "ALTER TABLE rankings DISABLE TRIGGER append_only_rankings",
            "trigger append_only_rankings",
        ),
    ],
)
def test_verify_sees_it_on_a_server_too(
    postgres: str, migrated: str, tmp_path: Path, made: str, named: str
) -> None:
    with Store(postgres_url(postgres, tmp_path / "store", migrated)) as store:
        assert store.verify().ok
        with store.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(made)
        problems = store.verify().problems
    assert problems
    assert any(named in problem for problem in problems), problems


def test_verify_sees_a_lost_reference_on_a_server(
    postgres: str, migrated: str, tmp_path: Path
) -> None:
    """Whoever owns the server can switch its own checks off."""
    with Store(postgres_url(postgres, tmp_path / "store", migrated)) as store:
        ids = store.add_episodes(make_episode(i) for i in range(2))
        store.submit(Ranking("k", tuple(ids), (1, 2), rater="ann"))
        with store.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql("DELETE FROM episodes WHERE seq = 1")
        (problem,) = store.verify().problems
    assert problem == "1 rows of table ranking_episodes refer to a missing row of episodes."


def test_readers_wait_for_no_writer(store: Store, ids: list[str]) -> None:
    store.submit(Ranking("k", tuple(ids[:2]), (1, 2), rater="ann"))
    with store.writing() as connection:
        began = time.monotonic()
        with ThreadPoolExecutor(1) as another:
            assert len(another.submit(store.rankings).result()) == 1
        assert time.monotonic() - began < 5
        assert connection.in_transaction()


def test_an_answer_is_on_the_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    with Store(tmp_path) as store, store.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)


def _link(target: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return make


@pytest.mark.parametrize("make", [_pipe, _link("/dev/zero"), _link("/etc/passwd"), _link("loop")])
@pytest.mark.parametrize("place", ["feedback.db", "episodes/zz/a.safetensors", "extra"])
def test_a_backup_of_pipes_and_links_is_refused_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None], place: str
) -> None:
    with Store(tmp_path / "store") as store:
        store.add_episodes([make_episode(0)])
        store.backup(tmp_path / "copy")
    path = tmp_path / "copy" / place
    path.parent.mkdir(exist_ok=True)
    make(path)
    with pytest.raises(StoreError, match="a link, a pipe or a device"):
        restore(tmp_path / "copy", tmp_path / "again")
    with pytest.raises(StoreError, match="a link, a pipe or a device"):
        verify_backup(tmp_path / "copy")
    assert not (tmp_path / "again").exists()


def test_a_folder_of_a_backup_that_is_a_link_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.add_episodes([make_episode(0)])
        store.backup(tmp_path / "copy")
    (tmp_path / "copy" / "episodes").rename(tmp_path / "elsewhere")
    (tmp_path / "copy" / "episodes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="a link, a pipe or a device"):
        restore(tmp_path / "copy", tmp_path / "again")
    with pytest.raises(StoreError, match="a link, a pipe or a device"):
        verify_backup(tmp_path / "copy")


def test_a_store_that_came_meanwhile_is_not_restored_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "store") as store:
        ids = store.add_episodes(make_episode(i) for i in range(2))
        store.backup(tmp_path / "copy")
    real = _backup.copy_database

    def slow(source: Path, target: Path) -> None:
        real(source, target)
        with Store(tmp_path / "again") as other:
            other.add_episodes(make_episode(i) for i in range(2))
            other.submit(Ranking("k", tuple(ids), (1, 2), rater="ann"))

    monkeypatch.setattr(_backup, "copy_database", slow)
    with pytest.raises(StoreError, match="made by somebody else meanwhile"):
        restore(tmp_path / "copy", tmp_path / "again")
    monkeypatch.undo()
    with Store(tmp_path / "again") as other:
        assert len(other.rankings()) == 1
        assert other.verify().ok
    assert not list((tmp_path / "again").glob(".restore-*"))


def test_a_server_that_leaves_in_a_transaction_is_a_sentence_and_a_retry_stores_once(
    postgres: str, migrated: str, tmp_path: Path
) -> None:
    with Store(postgres_url(postgres, tmp_path / "store", migrated)) as store:
        ids = store.add_episodes(make_episode(i) for i in range(2))
        ranking = Ranking("k", tuple(ids), (1, 2), rater="ann")
        kill = "SELECT pg_terminate_backend(pg_backend_pid())"
        lost = pytest.raises(StoreError, match="whether the last of it was written is not known")
        with lost, store.writing() as connection:
            connection.exec_driver_sql(kill)
        assert store.rankings() == []
        assert store.submit(ranking)
        assert not store.submit(ranking)
        assert store.verify().ok
