"""What killed writers leave beside a store's files: found by name, removed when surely dead."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

PATTERNS = ("episodes/*/.tmp-*", ".tmp-*", ".backup-*", ".restore-*", "backups/.tmp-*")
OLD = 3600.0
"""Age after which a draft has no writer any more [s]; the slowest write takes seconds."""


def leftovers(folder: Path, *, older_than: float = OLD) -> list[Path]:
    """Drafts below the folder of a store, or of an export, that nobody writes any more."""
    newest = time.time() - older_than
    found = [path for pattern in PATTERNS for path in sorted(folder.glob(pattern))]
    return [path for path in found if _changed(path) < newest]


def remove(paths: list[Path]) -> None:
    """Remove drafts; one that is gone meanwhile is as good."""
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


__all__ = ["leftovers", "remove"]
