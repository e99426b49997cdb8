"""Nothing acknowledged is lost and nothing is stored twice: many processes, kill -9, full disks."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support.store import make_episode

from tradinghf import durable
from tradinghf.errors import StoreError
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store
from tradinghf.feedback.store import _engine as engine

# Submits N answers, each twice (a client that retries), and prints a key once it is acknowledged.
RATER = """
import sys
from tradinghf.feedback.store import Store
from tradinghf.feedback import Ranking
target, rater, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store(target)
pairs = [tuple(q.episodes) for q in store.queries()]
print("ready", flush=True)
for i in range(count):
    said = Ranking(f"{rater}:{i}", pairs[i % len(pairs)], (1, 2), rater=rater)
    new = store.submit(said)
    again = store.submit(said)
    assert not again
    print(said.key, int(new), flush=True)
"""


def start(target: str, rater: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RATER, target, rater, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def asked(store: Store, ids: list[str]) -> Store:
    """A store with queries of two episodes."""
    store.add_queries(Query.of([ids[i], ids[i + 1]]) for i in range(8))
    return store


def test_four_processes_lose_and_double_nothing(asked: Store, target: str) -> None:
    raters = [start(target, f"r{i}", 50) for i in range(4)]
    results = [rater.communicate(timeout=120) for rater in raters]
    assert [rater.returncode for rater in raters] == [0] * 4, results
    stored = [ranking.key for ranking in asked.rankings()]
    assert sorted(stored) == sorted(f"r{i}:{j}" for i in range(4) for j in range(50))
    assert asked.verify().ok


def test_kill_9_loses_no_acknowledged_answer(asked: Store, target: str) -> None:
    acknowledged: set[str] = set()
    for round_ in range(3):
        rater = start(target, "ann", 1000)
        assert rater.stdout is not None
        assert rater.stdout.readline().strip() == "ready"
        for _ in range(3 + 4 * round_):
            acknowledged.add(rater.stdout.readline().split()[0])
        rater.send_signal(signal.SIGKILL)
        rest, _ = rater.communicate(timeout=60)
        acknowledged |= {line.split()[0] for line in rest.splitlines() if line.endswith(("0", "1"))}
    stored = [ranking.key for ranking in asked.rankings()]
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored)
    # At most one answer was committed without being acknowledged.
    assert len(stored) <= len(acknowledged) + 1
    assert all(len(ranking.episodes) == 2 for ranking in asked.rankings())
    assert asked.verify().ok


def test_a_locked_database_is_reported_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    with Store(tmp_path) as store:
        ids = store.add_episodes([make_episode(0), make_episode(1)])
        holder = sqlite3.connect(tmp_path / "feedback.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        said = Ranking("a", tuple(ids), (1, 2))
        with pytest.raises(
            StoreError, match=r"held it locked for 0\.1 seconds\. Nothing was written"
        ):
            store.submit(said)
        assert store.rankings() == []  # readers are never blocked
        holder.execute("ROLLBACK")
        holder.close()
        assert store.submit(said)


def test_a_writer_waits_for_a_short_lock(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        ids = store.add_episodes([make_episode(0), make_episode(1)])
        code = (
            "import sqlite3, sys, time\n"
            "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(1)\n"
            "c.execute('COMMIT')"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "feedback.db")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline().strip() == "held"
            assert store.submit(Ranking("a", tuple(ids), (1, 2)))


def test_a_full_disk_leaves_no_half_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path) as store:
        store.add_episodes([make_episode(0)])

        def full(_handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(durable.os, "fsync", full)
            with pytest.raises(StoreError, match="No space left on device"):
                store.add_episodes([make_episode(1)])
        assert store.health()["episodes"] == 1
        files = [p for p in (tmp_path / "episodes").rglob("*") if p.is_file()]
        assert [p.stem for p in files] == [make_episode(0).id]
        assert store.add_episodes([make_episode(1)])
        assert store.verify().ok


def test_a_full_database_is_reported_and_usable_afterwards(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        ids = store.add_episodes([make_episode(0), make_episode(1)])
        said = [Ranking(f"k{i}", tuple(ids), (1, 2), comment="x" * 4000) for i in range(50)]
        with store.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 8}")
        stored: list[Ranking] = []

        def submit_all() -> None:
            for ranking in said:
                store.submit(ranking)
                stored.append(ranking)

        with pytest.raises(StoreError, match="full"):
            submit_all()
        store.close()  # the limit belonged to the connection
        assert 0 < len(stored) < 50
        assert store.rankings() == stored
        assert all(store.submit(ranking) for ranking in said[len(stored) :])
        assert store.verify().ok
