"""Stores to test on: SQLite, and a throw-away PostgreSQL where its programs are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from store_support import make_episode, postgres_url

from tradinghf.feedback.store import Store


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: another account to run it, when we are root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Socket folder of a PostgreSQL server of our own."""
    missing = [name for name in ("initdb", "pg_ctl", "postgres") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"POSTGRESQL IS NOT TESTED: {', '.join(missing)} not installed")
    if os.geteuid() == 0 and _unprivileged() is None:
        pytest.skip("POSTGRESQL IS NOT TESTED: running as root, no account to run it as")
    pytest.importorskip("psycopg", reason="POSTGRESQL IS NOT TESTED: no psycopg")
    with postgres_server() as socket:
        yield socket


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of our own: its socket's folder; no network, gone afterwards."""
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket path has at most 107 bytes
    if user is not None:
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        with (folder.parent / f"{folder.name}.log").open("ab") as log:
            subprocess.run(
                command, check=True, user=user, cwd=folder, stdout=log, stderr=log, timeout=120
            )

    data = str(folder / "data")
    try:
        run("initdb", "-D", data, "-A", "trust", "-U", "tradinghf", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -k {folder} -c fsync=off -c max_connections=60"
        run("pg_ctl", "-D", data, "-w", "-o", options, "start")
        yield str(folder)
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def migrated(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with an empty store, to be copied: cheaper than migrating each time."""
    url = postgres_url(postgres, tmp_path_factory.mktemp("template"))
    Store(url).close()
    return str(make_url(url).database)


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store is or can be made, on each database in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "store")
    template = request.getfixturevalue("migrated")
    return postgres_url(request.getfixturevalue("postgres"), tmp_path / "store", template)


@pytest.fixture
def store(target: str) -> Iterator[Store]:
    """An empty store."""
    with Store(target) as opened:
        yield opened


@pytest.fixture
def ids(store: Store) -> list[str]:
    """Nine stored episodes of three sources, ids in order."""
    return store.add_episodes(make_episode(i, "abc"[i % 3], start=i // 3) for i in range(9))
