"""Where a store lives, and transactions on it: SQLite by path, PostgreSQL by URL.

SQLite runs in WAL mode with synchronous=FULL; every write transaction starts with BEGIN IMMEDIATE,
so that two writers queue instead of failing half-way. On PostgreSQL an advisory lock does the same:
the hash chain needs one writer at a time.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from tradinghf.errors import StoreError

BUSY_SECONDS = 30.0
_BETWEEN_TURNS = (0.002, 0.02)  # [s] between two attempts of a waiting writer
_LEAST_ROOM = 2**20  # [bytes] free, below which SQLite's failures are the disk's
DATABASE = "feedback.db"
_DEFAULT_FOLDER = "store"
_LOST = (
    "The connection was lost: whether the last of it was written is not known. Repeat it; the same "
    "answer is stored once."
)
_LOCK = 0x7472_6164_6868  # one advisory lock key for every writer of a PostgreSQL store


@dataclass(frozen=True)
class Location:
    """Where a store keeps its rows and its files.

    Attributes:
        url: the database.
        folder: holds `episodes/` and `backups/`, and the SQLite file.

    """

    url: URL
    folder: Path

    @property
    def sqlite(self) -> bool:
        """True for SQLite, False for PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return Path(self.url.database or "")

    @property
    def read_only(self) -> bool:
        """Whether this SQLite file or its folder may only be read."""
        there = self.sqlite and self.database.is_file()
        return there and not (os.access(self.database, os.W_OK) and os.access(self.folder, os.W_OK))

    def __str__(self) -> str:
        return str(self.database) if self.sqlite else self.url.render_as_string(hide_password=True)


def locate(target: str | os.PathLike[str]) -> Location:
    """Find a store: a folder, a `.db` file, or a `sqlite:///` or `postgresql://` URL.

    A PostgreSQL URL may carry `?folder=/shared/store` for the episode files (default: `./store`).
    `env:NAME` stands for what the environment variable NAME holds: other users of the machine read
    the words of a command, but not its environment.

    Raises:
        StoreError: neither a path nor a supported URL, or the variable is not set.

    """
    if str(target).startswith("env:"):
        name = str(target).removeprefix("env:")
        if not os.environ.get(name):
            raise StoreError(f"The store is {target!s}, but the variable {name!r} is not set.")
        return locate(os.environ[name].removeprefix("env:"))
    if "://" not in str(target):
        path = Path(target).expanduser().absolute()
        file = path if path.suffix in (".db", ".sqlite") else path / DATABASE
        return Location(URL.create("sqlite", database=str(file)), file.parent)
    try:
        url = make_url(str(target))
        backend = url.get_backend_name()
    except (ArgumentError, ValueError) as error:  # the latter of a port or a host
        raise StoreError("The store URL cannot be parsed; expected postgresql://...") from error
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return locate(url.database)
    if backend != "postgresql":
        raise StoreError(
            f"A store of kind {backend!r} is not supported; expected a folder, a .db file, "
            "or a postgresql:// URL."
        )
    folder = url.query.get("folder", _DEFAULT_FOLDER)
    url = url.difference_update_query(["folder"]).set(drivername="postgresql+psycopg")
    return Location(url, Path(str(folder)).expanduser().absolute())


def connect(location: Location, *, foreign_keys: bool = True) -> Engine:
    """An engine for `location`; connections are made on first use."""
    if not location.sqlite:
        return create_engine(location.url, pool_pre_ping=True, pool_size=10)
    if location.read_only:
        return create_engine(location.url, creator=partial(open_read_only, location.database))
    engine = create_engine(location.url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writing", False):
            _take_turn(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def open_read_only(database: Path) -> sqlite3.Connection:
    """A connection that writes nothing at all, not even the files of a lock beside the database.

    Where a write-ahead log lies beside it, SQLite may need to write; then a copy in memory is read.
    """
    place = database.as_uri()
    log = Path(f"{database}-wal")
    if not log.is_file() or not log.stat().st_size:
        return sqlite3.connect(f"{place}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    connection = sqlite3.connect(f"{place}?mode=ro", uri=True, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        connection.close()
        return _in_memory(database, log)
    return connection


def _in_memory(database: Path, log: Path) -> sqlite3.Connection:
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / database.name
        shutil.copyfile(database, copy)
        shutil.copyfile(log, f"{copy}-wal")
        reader = sqlite3.connect(copy)
        memory = sqlite3.connect(":memory:", check_same_thread=False)
        reader.backup(memory)
        reader.close()
    return memory


def _take_turn(connection: Connection) -> None:
    """BEGIN IMMEDIATE, tried every few milliseconds until the other writers have finished.

    SQLite's own waiting asks ever more rarely, so that of twenty busy writers those who wait
    longest get nothing.
    """
    raw: Any = connection.connection.driver_connection
    deadline = time.monotonic() + BUSY_SECONDS
    raw.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < deadline:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    break
                time.sleep(random.uniform(*_BETWEEN_TURNS))  # not a secret  # nosec B311
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises in SQLAlchemy's terms
    finally:
        raw.execute(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS:.0f}")


class Database:
    """An open database, and where it and the episode files lie.

    Attributes:
        location: as given.
        engine: of SQLAlchemy; it connects on first use.

    """

    def __init__(self, location: Location, *, foreign_keys: bool = True) -> None:
        self.location = location
        self.engine = connect(location, foreign_keys=foreign_keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections; it may be used again and reconnects."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction: one consistent snapshot, never blocked by writers.

        Raises:
            StoreError: the database failed.

        """
        with _translated(self.location), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction, alone among writers; commits at the end, rolls back on an error.

        Raises:
            StoreError: the database failed, may not be written, or stayed locked for
                `BUSY_SECONDS`.

        """
        if self.location.read_only:
            raise StoreError(
                f"The store {self.location} may only be read here (its disk or its permissions). "
                "Nothing was written; copy the folder to where you may write."
            )
        with _translated(self.location), self.engine.connect() as plain:
            connection = plain.execution_options(writing=True)
            with connection.begin():
                if not self.location.sqlite:
                    # Without it a writer would wait for ever behind one that hangs.
                    patience = text("SELECT set_config('lock_timeout', :limit, true)")
                    connection.execute(patience, {"limit": f"{1000 * BUSY_SECONDS:.0f}ms"})
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                yield connection


@contextmanager
def _translated(location: Location) -> Iterator[None]:
    """Raise database errors as `StoreError`, one sentence without SQL, values or passwords."""
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else "unknown reason"
        reason = disk_reason(reason, location.folder)
        if "locked" in reason or "lock timeout" in reason:
            reason = f"another process has held it locked for {BUSY_SECONDS:g} seconds"
        said = _LOST if error.connection_invalidated else "Nothing was written."
        raise StoreError(f"The store {location} failed: {reason}. {said}") from error
    except (UnicodeError, OverflowError) as error:
        # Half a character, or a number of more than 64 bits: the driver refuses it by itself.
        raise StoreError(
            f"The store {location} cannot hold a value: {error}. Nothing was written; expected "
            "whole Unicode characters, and numbers of at most 64 bits."
        ) from error


def disk_reason(reason: str, folder: Path) -> str:
    """The reason of a failure; SQLite may call a full disk "disk I/O error" on opening a file."""
    full = "disk I/O" in reason and shutil.disk_usage(folder).free < _LEAST_ROOM
    return "the disk is full" if full else reason
