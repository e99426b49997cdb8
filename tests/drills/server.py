"""A PostgreSQL server of our own: a socket in a folder, no network, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine

from drills.core import NotHereError

PROGRAMS = ("initdb", "pg_ctl", "postgres")
# fsync is off: these drills kill clients, not the machine under the server.
OPTIONS = "-c listen_addresses='' -c fsync=off -c max_connections=60"


@contextmanager
def postgres() -> Iterator[str]:
    """Socket folder of a running server.

    Raises:
        NotHereError: PostgreSQL or psycopg is not installed, or nobody may run it.

    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    missing += [] if find_spec("psycopg") else ["psycopg"]
    if missing:
        raise NotHereError(f"PostgreSQL is not drilled: {', '.join(missing)} not installed.")
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket path has at most 107 bytes
    if user is not None:
        shutil.chown(folder, user)
    log = folder.with_suffix(".log")

    def call(*command: str) -> None:
        with log.open("ab") as file:
            subprocess.run(
                command, check=True, user=user, cwd=folder, stdout=file, stderr=file, timeout=120
            )

    data = str(folder / "data")
    try:
        call("initdb", "-D", data, "-A", "trust", "-U", "tradinghf", "--no-sync", "-E", "UTF8")
        call("pg_ctl", "-D", data, "-w", "-o", f"{OPTIONS} -k {folder}", "start")
        yield str(folder)
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
        log.unlink(missing_ok=True)


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: another account to run it, when we are root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    found = next((name for name in ("postgres", "nobody") if name in names), None)
    if found is None:
        raise NotHereError("PostgreSQL is not drilled: running as root, no account to run it as.")
    return found


def postgres_url(socket: str, folder: Path | str, template: str = "template1") -> str:
    """URL of a new database, a copy of `template`, with its episode files in `folder`."""
    name = f"t{uuid.uuid4().hex[:12]}"
    server = create_engine(f"postgresql+psycopg://tradinghf@/postgres?host={socket}")
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    server.dispose()
    return f"postgresql://tradinghf@/{name}?host={socket}&folder={folder}"


@contextmanager
def databases(work: Path) -> Iterator[dict[str, str]]:
    """Where an empty store can be made: SQLite always, PostgreSQL where it is installed."""
    sqlite = {"SQLite": str(work / "sqlite")}
    try:
        server = postgres()
        socket = server.__enter__()
    except NotHereError:
        yield sqlite
        return
    try:
        yield {**sqlite, "PostgreSQL": postgres_url(socket, work / "postgresql")}
    finally:
        server.__exit__(None, None, None)
