"""The event log: one JSON line per event, in the file that TRADINGHF_LOG names.

    {"time": "2026-11-22T21:00:00.123Z", "level": "info", "event": "answer stored",
     "logger": "tradinghf.serving._routes", "pid": 4711, "rater": "ann", "query": "...", ...}

The server and the trainings that it starts share the file; whoever finds it too long rotates it.
Modules log by `logging.getLogger(__name__)`, fields as `extra`. No field holds what a trader wrote
or ranked, and passwords in URLs are masked.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from tradinghf.errors import ConfigError

_VARIABLE = "TRADINGHF_LOG"
_MAX_BYTES = 10 * 2**20
_KEPT_FILES = 5  # rotated files: NAME.1 (the newest) to NAME.5
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_PASSWORD = re.compile(r"(://[^:/@\s]*:).*@|((?:password|secret|token)=)[^&]+", re.I | re.S)
"""Greedy up to the last @ of a value: a password may hold any character, also unescaped ones."""


_private = partial(os.open, mode=0o600)


class _JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Fixed fields first, then those of `extra`; of an error no more than type and places."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, object] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            "pid": record.process,
        }
        entry |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            # The text of a chained error may hold the parameters of an SQL statement: an answer.
            error = record.exc_info[1]
            places = traceback.extract_tb(error.__traceback__)
            entry["error"] = f"{type(error).__name__}: {error}"
            entry["places"] = [f"{Path(p.filename).name}:{p.lineno} {p.name}" for p in places]
        return json.dumps({name: _masked(value) for name, value in entry.items()}, default=str)


def _masked(value: object) -> object:
    """A value of the log without the passwords of URLs in it."""
    if isinstance(value, str):
        return without_passwords(value)
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    if isinstance(value, dict):
        return {name: _masked(item) for name, item in value.items()}
    return value if isinstance(value, bool | int | float | None) else without_passwords(str(value))


def without_passwords(text: str) -> str:
    """The text with *** for the passwords of URLs in it."""
    return _PASSWORD.sub(lambda found: f"{found[1]}***@" if found[1] else f"{found[2]}***", text)


class _SharedFile(WatchedFileHandler):
    """A log file of several processes that one of them rotates.

    Args:
        path: of the newest file.
        most: length [bytes] from which it is rotated.

    """

    def __init__(self, path: Path, most: int = _MAX_BYTES) -> None:
        self.path, self.most = path, most  # before the file is opened
        super().__init__(path, encoding="utf-8")
        self.setFormatter(_JsonLines())

    def _open(self) -> TextIOWrapper:
        """Open the file, also a new one after a rotation, for its owner alone."""
        handle = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        return os.fdopen(handle, "a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a full disk is reported and stops nothing."""
        try:
            with self._turn():
                self.reopenIfNeeded()
                if os.stat(self.path).st_size >= self.most:
                    self._rotate()
                    self.reopenIfNeeded()
                super().emit(record)
        except OSError:
            self.handleError(record)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with open(f"{self.path}.lock", "ab", opener=_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _rotate(self) -> None:
        names = [
            self.path,
            *(Path(f"{self.path}.{number}") for number in range(1, _KEPT_FILES + 1)),
        ]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                os.replace(newer, older)


def start_log() -> None:
    """Log to the file that TRADINGHF_LOG names, from now on; nothing when it is not set.

    Raises:
        ConfigError: the file cannot be written.

    """
    name = os.environ.get(_VARIABLE, "")
    log = logging.getLogger("tradinghf")
    there = [handler for handler in log.handlers if isinstance(handler, _SharedFile)]
    if not name or any(handler.path == Path(name).absolute() for handler in there):
        return
    path = Path(name).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _SharedFile(path)
    except OSError as error:
        raise ConfigError(
            f"{_VARIABLE} is {name!r}, which cannot be written: {error.strerror}. Name a file "
            "in a folder of yours, or unset it."
        ) from error
    for other in there:
        log.removeHandler(other)
        other.close()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
