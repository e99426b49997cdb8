"""One folder of the server whose files an admin may take as bars: it is named at the start."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.serving._upload_files import MAX_UPLOAD_BYTES, TAKEN

_MOST_NAMES = 1000


class DataFolder:
    """The files of a folder, known by their place in it; nothing outside of it is read.

    Args:
        folder: its path; empty for none.

    """

    def __init__(self, folder: str = "") -> None:
        self._root = Path(folder).resolve() if folder else None

    def names(self) -> list[str]:
        """Places of the files that may hold bars, such as "fx/EURUSD.csv", at most 1,000."""
        if self._root is None:
            return []
        found: list[str] = []
        for place, folders, files in os.walk(self._root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            paths = (Path(place, name) for name in sorted(files) if not name.startswith("."))
            found += [
                path.relative_to(self._root).as_posix()
                for path in paths
                if path.suffix.lower() in TAKEN and self._real(path)
            ]
            if len(found) >= _MOST_NAMES:
                break
        return found[:_MOST_NAMES]

    def _real(self, path: Path) -> Path | None:
        """The file itself, where symbolic links lead to one of the folder."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return None
        inside = self._root is not None and real.is_relative_to(self._root)
        return real if inside and real.is_file() else None

    def read(self, name: str) -> bytes:
        """The content of a file.

        Args:
            name: one of `names`.

        Raises:
            MarketDataError: no such file in the folder, too large, or unreadable; the message
                tells no path of the server.

        """
        known = self.names()
        real = self._real(self._root / name) if self._root and name in known else None
        if real is None:
            raise MarketDataError(unknown_name("file of the server's folder", name[:60], known))
        try:
            # It may have become a link, or a pipe, since it was looked at.
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            with open(os.open(real, flags), "rb") as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode):
                    raise MarketDataError(f"{name}: it is no file any more. Open the page again.")
                if about.st_size > MAX_UPLOAD_BYTES:
                    raise MarketDataError(
                        f"{name}: it has {about.st_size / 2**20:.0f} MB; at most 20 are taken. "
                        "Pack it as .gz, or split it by asset or by year."
                    )
                return file.read(MAX_UPLOAD_BYTES + 1)
        except OSError as error:
            raise MarketDataError(
                f"{name}: it cannot be read ({error.strerror or 'unknown error'}). Ask who looks "
                "after the server."
            ) from error

    def changed(self, name: str) -> float:
        """When a file changed last [seconds since 1970]; 0 where it is gone."""
        real = self._real(self._root / name) if self._root else None
        return real.stat().st_mtime if real else 0.0
