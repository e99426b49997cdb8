"""Unfinished files that killed writers left beside a store: found by name, removed when old."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

_PATTERNS = ("episodes/*/.tmp-*", ".tmp-*", ".backup-*", ".restore-*", "backups/.tmp-*")
_OLD = 3600.0  # [s] age after which a draft has no writer any more; the slowest write takes seconds


def abandoned_drafts(folder: Path) -> list[Path]:
    """Drafts below the folder of a store, or of an export, that nobody writes any more."""
    newest = time.time() - _OLD
    found = [path for pattern in _PATTERNS for path in sorted(folder.glob(pattern))]
    return [path for path in found if _changed(path) < newest]


def remove_drafts(paths: list[Path]) -> None:
    """Remove drafts; one that has vanished meanwhile is no error."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
