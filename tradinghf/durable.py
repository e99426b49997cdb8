"""Writes files atomically: to a temporary name, then fsync, rename, and fsync of the folder.

What this package keeps is written through this module, so that every command fails in one way on a
full or read-only disk: `WriteError`, and nothing half. tests/project/test_security.py sees to it.

Source: Pillai et al. 2014, "All File Systems Are Not Created Equal".
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tradinghf.errors import WriteError

_TRIED = 4096  # bytes: one block of most file systems


def write_atomic(path: Path, data: bytes | Iterable[bytes], *, mode: int = 0o666) -> None:
    """Write a file, whole or in pieces, so that a crash leaves the old one or the new one.

    Args:
        path: of the file; folders above it are made, a link is followed.
        data: its content.
        mode: who may read and write it, less the process's umask; 0o600 for its owner alone.

    Raises:
        WriteError: the disk refused, or the name is a folder's or a device's; nothing is left
            behind.

    """
    opener = partial(os.open, mode=mode)
    with _draft(path) as draft, open(draft, "xb", opener=opener) as file:
        file.writelines([data] if isinstance(data, bytes) else data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to; when the block ends without error, it replaces `path`.

    For libraries that write files by themselves. The suffix is the same; folders above are made,
    a link is followed.

    Raises:
        WriteError: the disk refused, or the name is a folder's or a device's; nothing is left
            behind.

    """
    with _draft(path) as draft:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    target = _target(path)
    # Not mkstemp: its files are private, and a team shares the folder.
    draft = target.parent / f".tmp-{uuid.uuid4().hex}{target.suffix}"
    try:
        _check_ordinary(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        os.replace(draft, target)
        sync_folder(target.parent)
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(path, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _target(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a NUL in the name
        raise WriteError(path, OSError(errno.EINVAL, str(error))) from error


def _check_ordinary(path: Path) -> None:
    """Refuse what a rename would replace for everybody, such as /dev/null."""
    if path.exists() and not path.is_file():
        folder = path.is_dir()
        number = errno.EISDIR if folder else errno.EINVAL
        raise OSError(number, "It is a folder" if folder else "It is a device, not a file")


def check_writable(path: Path) -> None:
    """Try whether a file or folder of this name could be written; nothing of it is left.

    For what takes long before it writes. The disk may fill meanwhile all the same.

    Raises:
        WriteError: it could not.

    """
    target = _target(path)
    there = next(place for place in (target, *target.parents) if place.exists())
    folder = target.parent if there == target and not there.is_dir() else there
    draft = folder / f".tmp-{uuid.uuid4().hex}"
    try:
        if there != target or not there.is_dir():
            _check_ordinary(target)
        with draft.open("xb") as file:
            file.write(bytes(_TRIED))
    except OSError as error:
        raise WriteError(path, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def make_folder(path: Path, *, mode: int = 0o777) -> None:
    """Make a folder and those above it, where they are absent.

    Raises:
        WriteError: the disk refused, or a file has that name.

    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise WriteError(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable (no-op where folders cannot be opened)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
