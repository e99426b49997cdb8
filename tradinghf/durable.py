"""Writes files atomically: to a temporary name, then fsync, rename, and fsync of the folder.

What this package keeps is written through this module; tests/project/test_security.py sees to it.

Source: Pillai et al. 2014, "All File Systems Are Not Created Equal".
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path


def write_atomic(path: Path, data: bytes | Iterable[bytes], *, mode: int = 0o666) -> None:
    """Write a file, whole or in pieces, so that a crash leaves the old one or the new one.

    Args:
        path: of the file.
        data: its content.
        mode: who may read and write it, less the process's umask; 0o600 for its owner alone.

    Raises:
        OSError: the disk refused; nothing is left behind.

    """
    opener = partial(os.open, mode=mode)
    with _draft(path) as draft, open(draft, "xb", opener=opener) as file:
        file.writelines([data] if isinstance(data, bytes) else data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to; when the block ends without error, it replaces `path`.

    For libraries that write files by themselves. The suffix is the same.

    Raises:
        OSError: the disk refused; nothing is left behind.

    """
    with _draft(path) as draft:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    # Not mkstemp: its files are private, and a team shares the folder.
    draft = path.parent / f".tmp-{uuid.uuid4().hex}{path.suffix}"
    try:
        yield draft
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable (no-op where folders cannot be opened)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
