"""SIGTERM, Ctrl+C and a closed terminal: a training told to stop writes a checkpoint first.

Within `stoppable`, they raise `Stopped`. Within `deferring_stops`, while a policy trains, the first
signal only makes `stop_requested` true, which the training reads after each iteration; a second
one does not wait.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from tradinghf.errors import Stopped

if TYPE_CHECKING:
    from tradinghf.learning.runs._checkpoints import RunDirectory

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT, *filter(None, [getattr(signal, "SIGHUP", None)]))
"""SIGHUP: the terminal was closed."""


@dataclass
class _Request:
    """The signal that waits, 0 if none; signals concern the whole process, so there is one."""

    number: int = 0
    deferred: bool = False


_request = _Request()


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the first such signal in the block into `Stopped`; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What the caller ignores stays ignored: nohup does so with SIGHUP.
    wanted = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _receive) for number in wanted}
    _request.number = 0
    try:
        yield
    finally:
        _request.number = 0
        for number, handler in before.items():
            signal.signal(number, handler)


def _receive(number: int, _frame: FrameType | None) -> None:
    if _request.deferred and not _request.number:
        _request.number = number
        return
    raise Stopped(number)


@contextmanager
def deferring_stops() -> Iterator[None]:
    """Let the block run to its end, or until it calls `stop_training`, when a signal comes."""
    _request.deferred = True
    try:
        yield
    finally:
        _request.deferred = False
    if _request.number:  # it came after the block had last looked
        raise Stopped(_request.number)


def stop_requested() -> bool:
    """Whether a signal waits for the end of the iteration."""
    return _request.number != 0


def stop_training(iteration: int, run: RunDirectory | None) -> None:
    """End the process's work, now that the checkpoint is written.

    Raises:
        Stopped: always.

    """
    kept = (
        f"{run.path} holds a checkpoint of it; continue with --resume."
        if run is not None
        else "Nothing of it was kept, for it had no run directory."
    )
    about = {"iteration": iteration, "run": None if run is None else str(run.path)}
    _log.warning("training stopped", extra=about)
    raise Stopped(_request.number, f"Stopped after iteration {iteration:,}. {kept}")
