"""Connections of the server: not too many, not too slow, and no flood of lines about them.

uvicorn waits for ever for the end of a request's headers, and for who asks and does not read the
answer, and takes connections until the system has no file left: a thousand half requests, and
nobody gets in.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections import defaultdict
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

_HEADER_SECONDS = 10.0
_READ_SECONDS = 30.0
_MOST = 1000
_SPARE_FILES = 128  # for the store, episodes and what is uploaded
_LINES_A_MINUTE = 5
_STREAMLIT = "streamlit.web.server"


def most_connections() -> int:
    """How many connections are taken at once, by the files that this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST + _SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(16, min(_MOST, (soft - _SPARE_FILES) * 3 // 4))


def patient_protocol(
    most: int, seconds: float = _HEADER_SECONDS, reading: float = _READ_SECONDS
) -> type[asyncio.Protocol]:
    """A protocol of uvicorn that closes connections beyond `most`, and those that are too slow.

    Args:
        most: connections at once.
        seconds: in which the headers of a request must have come.
        reading: in which some of an answer must have been read that did not fit the line.

    """

    class Patient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # made at run time
        """One connection."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._late: asyncio.TimerHandle | None = None
            self._unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            """Take the connection, or close it when there are too many."""
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.abort()
            else:
                self._wait()

        def data_received(self, data: bytes) -> None:
            """Read on; the clock stops while a request is answered."""
            super().data_received(data)
            asked = self.cycle is not None and not self.cycle.response_complete
            if asked or self.transport.get_protocol() is not self:
                self._stop()
            elif self._late is None:
                self._wait()

        def pause_writing(self) -> None:
            """The other side does not read: wait a while for it."""
            super().pause_writing()
            self._unread = self.loop.call_later(reading, self._give_up)

        def resume_writing(self) -> None:
            """It reads."""
            super().resume_writing()
            self._read()

        def connection_lost(self, exc: Exception | None) -> None:
            """Forget the clocks."""
            self._stop()
            self._read()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._late = self.loop.call_later(seconds, self.transport.abort)

        def _give_up(self) -> None:
            if self.transport.get_protocol() is self:  # else a websocket by now
                self.transport.abort()

        def _read(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def _stop(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Patient


class _Fewer(logging.Filter):
    """Lets a few lines a minute of each kind pass."""

    def __init__(self) -> None:
        super().__init__()
        self._minute = 0
        self._seen: dict[str, int] = defaultdict(int)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write this line."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._seen.clear()
        kind = str(record.msg)[:60]
        self._seen[kind] += 1
        return self._seen[kind] <= _LINES_A_MINUTE


def limit_repeated_lines() -> None:
    """Keep the lines of the server's parts about one trouble to a few a minute.

    Whoever has not signed in can cause some of them as often as they like.
    """
    known = [name for name in logging.root.manager.loggerDict if name.startswith(_STREAMLIT)]
    for name in ("asyncio", "uvicorn.error", *known):
        _limit(logging.getLogger(name))
    if logging.lastResort is not None:  # our own, where no log was asked for
        _limit(logging.lastResort)


def _limit(place: logging.Filterer) -> None:
    if not any(isinstance(kept, _Fewer) for kept in place.filters):
        place.addFilter(_Fewer())
