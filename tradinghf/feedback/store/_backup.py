"""Backups of a store: made, checked and put back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import tempfile
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from tradinghf._json import parse_json
from tradinghf.durable import sync_folder, write_atomic
from tradinghf.errors import EpisodeError, StoreError
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._engine import (
    DATABASE,
    Database,
    Location,
    locate,
    open_read_only,
)
from tradinghf.feedback.store._episode_files import (
    episode_path,
    read_episode_file,
    write_episode_file,
)
from tradinghf.feedback.store._migrate import copy_database, migrate, newest
from tradinghf.feedback.store._rankings import chain_head
from tradinghf.feedback.store._statements import count_rows
from tradinghf.feedback.store._verification import Verification, verify

_MANIFEST = "manifest.json"
_FORMAT = "tradinghf-backup-1"


def backup(database: Database, folder: Path) -> Path:
    """Copy a store into a new folder; see `Store.backup`."""
    folder = folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} exists already; expected a new or empty folder for the backup.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".backup-") as name:
            inner = Path(name) / "store"
            inner.mkdir(mode=0o700)
            _fill(database, inner)
            os.replace(inner, folder)
        sync_folder(folder.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The backup to {folder} failed: {error}. It was removed.") from error
    return folder


def restore(folder: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Put a backup back: check its hashes, then copy it to an empty place.

    Args:
        folder: written by `Store.backup`.
        target: where the store shall be; a folder or a `postgresql://` URL, empty.

    Raises:
        StoreError: not a backup, damaged, or `target` holds a store already.

    """
    source = Path(folder).expanduser().absolute()
    _check(source)
    _check_files(source)
    location = locate(target)
    # A left-over write-ahead log would be replayed into the restored file.
    there = [Path(f"{location.database}{end}") for end in ("", "-wal", "-shm")]
    if location.sqlite and any(path.exists() for path in there):
        raise StoreError(f"{location} exists already; move it away before restoring.")
    try:
        _copy_files(source, location.folder)
        if not location.sqlite:
            _fill_server(source, location)
            return
        draft = location.folder / f".restore-{uuid.uuid4().hex}"
        try:
            copy_database(source / DATABASE, draft)
            _give_name(draft, location.database)
        except FileExistsError as error:
            raise StoreError(
                f"{location} was made by somebody else meanwhile; nothing of it was changed. Move "
                "it away before restoring."
            ) from error
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(location.folder)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"Restoring {source} to {location} failed: {error}.") from error


def _give_name(draft: Path, path: Path) -> None:
    """Give a file its name, unlike a rename never in place of what came there meanwhile."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.replace(draft, path)


def verify_backup(folder: str | os.PathLike[str], anchor: str | None = None) -> Verification:
    """Check a backup without changing it: opening it as a store would alter its hash.

    Args:
        folder: written by `Store.backup`.
        anchor: as for `Store.verify`.

    Raises:
        StoreError: not a backup, or its database differs from the manifest.

    """
    source = Path(folder).expanduser().absolute()
    _check(source)
    with tempfile.TemporaryDirectory() as name:
        copy = locate(Path(name) / DATABASE)
        shutil.copyfile(source / DATABASE, copy.database)
        migrate(copy)
        with Database(copy) as database:
            return verify(database, source, anchor)


def is_backup(folder: str | os.PathLike[str]) -> bool:
    """Whether `Store.backup` wrote this folder."""
    return "://" not in str(folder) and (Path(folder) / _MANIFEST).is_file()


def _fill(database: Database, folder: Path) -> None:
    """Fill a backup; the database first, so that the file of every episode it names exists."""
    location, copy = database.location, locate(folder / DATABASE)
    if location.sqlite:
        copy_database(location.database, copy.database)
    else:
        migrate(copy)
        with Database(copy) as target, database.reading() as read, target.writing() as write:
            _copy_rows(read, write)
    with Database(copy) as finished, finished.reading() as connection:
        about = _summary(connection)
        found = connection.execute(select(t.episodes.c.id, t.episodes.c.size))
        recorded = [(row.id, row.size) for row in found]
    for name, size in recorded:
        _copy_file(episode_path(location.folder, name), episode_path(folder, name), size)
    _fold_write_ahead_log(copy.database)
    about["database_sha256"] = hashlib.sha256(copy.database.read_bytes()).hexdigest()
    write_atomic(folder / _MANIFEST, json.dumps(about, indent=2).encode(), mode=0o600)


def _summary(connection: Connection) -> dict[str, Any]:
    """What the manifest says, for people and for `verify(anchor=head)`."""
    return {
        "format": _FORMAT,
        "created": t.timestamp_now(),
        "schema": newest(),
        "rankings": count_rows(connection, t.rankings),
        "episodes": count_rows(connection, t.episodes),
        "head": chain_head(connection),
    }


def _fold_write_ahead_log(database: Path) -> None:
    """Write the write-ahead log into the file, and leave none beside it."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()


def _copy_file(source: Path, target: Path, size: int) -> None:
    if not source.is_file() or source.stat().st_size != size:
        raise StoreError(f"The episode file {source} is missing or damaged; run verify.")
    target.parent.parent.mkdir(exist_ok=True, mode=0o700)
    target.parent.mkdir(exist_ok=True, mode=0o700)
    write_atomic(target, source.read_bytes(), mode=0o600)


def _copy_files(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in sorted((source / "episodes").glob("*/*.safetensors")):
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != file.stem:
            raise StoreError(f"The episode file {file} of the backup was altered.")
        write_episode_file(folder, file.stem, data)


def _check_files(source: Path) -> None:
    """Refuse a backup that lacks the file of an episode, before anything of it is written."""
    connection = open_read_only(source / DATABASE)
    try:
        recorded = connection.execute("SELECT id, size FROM episodes ORDER BY seq").fetchall()
    except sqlite3.Error as error:
        raise StoreError(f"{source} is not a backup ({error}).") from error
    finally:
        connection.close()
    for name, size in recorded:
        try:
            read_episode_file(source, str(name), int(size))
        except EpisodeError as error:
            raise StoreError(
                f"The backup {source} is not whole, and nothing was restored: {error}"
            ) from error


def _check_ordinary(source: Path) -> None:
    """Refuse links, pipes and devices: one would be waited for, or read without end."""
    for place, folders, names in os.walk(source):
        for path in (Path(place, name) for name in (*folders, *names)):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise StoreError(
                    f"{path} is a link, a pipe or a device; a backup holds files alone. Nothing of "
                    "it was read; copy the backup again with what its links lead to."
                )


def _copy_rows(read: Connection, write: Connection) -> None:
    """Every row of every table, parents first, by the order of their numbers."""
    for table in t.metadata.sorted_tables:
        order = table.c.seq if "seq" in table.c else None
        found = read.execute(select(table).order_by(order)).mappings()
        for part in found.partitions(1000):
            write.execute(insert(table), [dict(row) for row in part])


def _fill_server(source: Path, location: Location) -> None:
    """Rows of a backup, migrated first where it is older, into an empty PostgreSQL database."""
    migrate(location)
    with tempfile.TemporaryDirectory() as name:
        copy = locate(Path(name) / DATABASE)
        copy_database(source / DATABASE, copy.database)
        migrate(copy)
        with (
            Database(copy) as backed_up,
            Database(location) as server,
            backed_up.reading() as read,
            server.writing() as write,
        ):
            if count_rows(write, t.episodes):
                raise StoreError(f"{location} holds a store already; expected an empty database.")
            _copy_rows(read, write)


def _check(source: Path) -> None:
    """Refuse a folder that is no backup, or whose database differs from its manifest."""
    _check_ordinary(source)
    try:
        about = parse_json((source / _MANIFEST).read_text())
        found = hashlib.sha256((source / DATABASE).read_bytes()).hexdigest()
        genuine = about["format"] == _FORMAT and about["database_sha256"] == found
        counts = {name: about[name] for name in ("rankings", "episodes")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{source} is not a backup ({type(error).__name__}: {error}).") from error
    if not genuine:
        raise StoreError(
            f"The backup {source} was altered: its hash differs from the manifest's. If it was "
            "only opened as a store, it is one now: copy the folder instead of restoring it."
        )
    connection = open_read_only(source / DATABASE)
    try:
        held = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # nosec B608
            for name in counts
        }
    except sqlite3.Error as error:
        raise StoreError(f"{source} is not a backup ({error}).") from error
    finally:
        connection.close()
    if held != counts:
        raise StoreError(
            f"The backup {source} holds {held}; its manifest says {counts}: one was altered."
        )
