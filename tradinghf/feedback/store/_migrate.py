"""Migration of a database to the newest schema: all steps in one transaction, after a backup.

Alembic alone is not atomic on SQLite; here it runs inside one BEGIN IMMEDIATE (PostgreSQL: one
transaction under an advisory lock), so a killed migration leaves the old schema, and two processes
that open an old store at once migrate it once.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from tradinghf.errors import StoreError
from tradinghf.feedback.store._engine import (
    BUSY_SECONDS,
    Database,
    Location,
    disk_reason,
    locate,
    open_read_only,
)
from tradinghf.feedback.store._schema import metadata

_ONE_AT_A_TIME = threading.Lock()  # Alembic keeps the running migration in a module global


@cache
def scripts() -> ScriptDirectory:
    """The packaged migrations, read once per process: scripts open a store for every backtest."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def newest() -> str:
    """The schema revision that this version of tradinghf reads and writes."""
    return str(scripts().get_current_head())


def migrate(location: Location, *, to: str = "head") -> None:
    """Create or upgrade the schema at `location`; returns at once when it is current.

    Raises:
        StoreError: the schema is newer than this version, is not ours, or the upgrade failed
            (nothing has changed then).

    """
    directory = scripts()
    target = newest() if to == "head" else to
    if location.read_only:
        _check_readable(location, directory, target)
        return
    if location.sqlite:
        _make_folder(location.folder)
        _use_wal(location)
    with Database(location, foreign_keys=False) as database:
        with database.reading() as connection:
            current = _revision(connection, location, directory)
        if current == target:
            return
        with database.writing() as connection:
            current = _revision(connection, location, directory)
            if current == target:  # another process was faster
                return
            if current is not None and location.sqlite:
                _backup_before(location, current)
            _upgrade(connection, directory, target)
            if location.sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").all():
                raise StoreError(f"Migrating {location} would break references; nothing changed.")


def _check_readable(location: Location, directory: ScriptDirectory, target: str) -> None:
    """Refuse a store that may not be written, unless it has this version's schema already."""
    with Database(location) as database, database.reading() as connection:
        current = _revision(connection, location, directory)
    if current != target:
        raise StoreError(
            f"The store {location} has schema {current or 'none'}, older than {target}, and may "
            "only be read here. Copy the folder to where you may write and open it there."
        )


def _revision(connection: Connection, location: Location, directory: ScriptDirectory) -> str | None:
    """Current revision; None for an empty database. Refuses what this version cannot handle."""
    # Tables first: those that another process commits meanwhile come with their revision.
    tables = set(inspect(connection).get_table_names())
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None and tables - {"alembic_version"}:
        raise StoreError(
            f"{location} is a database of something else (tables: {', '.join(sorted(tables)[:5])})."
            " Choose another path for the feedback store."
        )
    known = {script.revision for script in directory.walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreError(
            f"The store {location} has schema {revision}, newer than schema {newest()} of this "
            "tradinghf. Upgrade it: pip install --upgrade tradinghf."
        )
    return revision


def _upgrade(connection: Connection, directory: ScriptDirectory, target: str) -> None:
    """Run the migrations in the transaction that `connection` is in."""
    context = MigrationContext.configure(
        connection,
        opts={
            "fn": lambda revision, _context: directory._upgrade_revs(target, revision),
            "transactional_ddl": True,
            "target_metadata": metadata,
        },
    )
    with _ONE_AT_A_TIME, Operations.context(context):
        context.run_migrations()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(
            f"Cannot create the folder {folder} of the store: {error.strerror}. Choose another."
        ) from error


def _use_wal(location: Location) -> None:
    """Switch the file to write-ahead logging, which stays with it.

    The switch ignores the busy timeout while others open the same file, hence the retries.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        connection = _open_private(location.database, 1.0)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                reason = disk_reason(str(error), location.folder)
                raise StoreError(f"Cannot open the store {location}: {reason}.") from error
            time.sleep(0.05)
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{location} is not a readable SQLite database ({error}). Restore a backup with "
                "'tradinghf store restore', or choose another path."
            ) from error
        finally:
            connection.close()


def _open_private(database: Path, patience: float) -> sqlite3.Connection:
    """Open a file, made for its owner alone; SQLite gives the files beside it the same rights."""
    if not database.exists():
        with suppress(OSError):  # SQLite says it better
            os.close(os.open(database, os.O_CREAT | os.O_WRONLY, 0o600))
    return sqlite3.connect(database, timeout=patience)


def _backup_before(location: Location, revision: str) -> None:
    """Copy the database as it is now to `backups/`, readable by the version that wrote it."""
    folder = location.folder / "backups"
    folder.mkdir(exist_ok=True, mode=0o700)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    copy_database(location.database, folder / f"before-migration-{revision}-{stamp}.db")


def copy_database(source: Path, target: Path) -> None:
    """Online copy of an SQLite file, consistent while others write to it; also where none may."""
    reader = (
        open_read_only(source)
        if locate(source).read_only
        else sqlite3.connect(source, timeout=BUSY_SECONDS)
    )
    writer = _open_private(target, BUSY_SECONDS)
    try:
        reader.backup(writer)
    finally:
        writer.close()
        reader.close()
