"""A training that is asked to end writes a checkpoint first.

Within `stoppable`, SIGTERM and Ctrl+C raise `Stopped`. While a policy trains (`held`), the first
signal only leaves a note (`asked`), which the loop reads after each iteration; a second one does
not wait.
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
    from tradinghf.learning.runs.checkpoints import RunDirectory

_log = logging.getLogger(__name__)
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass
class _Note:
    """What this process was asked; signals concern the whole process, so there is one."""

    number: int = 0
    held: bool = False


_note = _Note()


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the first SIGTERM or Ctrl+C in the block into `Stopped`; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _receive) for number in SIGNALS}
    _note.number = 0
    try:
        yield
    finally:
        _note.number = 0
        for number, handler in before.items():
            signal.signal(number, handler)


def _receive(number: int, _frame: FrameType | None) -> None:
    if _note.held and not _note.number:
        _note.number = number
        return
    raise Stopped(number)


@contextmanager
def held() -> Iterator[None]:
    """Let the block run to its end, or until it calls `stop`, when a signal comes."""
    _note.held = True
    try:
        yield
    finally:
        _note.held = False
    if _note.number:  # it came after the block had last asked
        raise Stopped(_note.number)


def asked() -> bool:
    """Whether a signal waits for the end of the iteration."""
    return _note.number != 0


def stop(iteration: int, run: RunDirectory | None) -> None:
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
    raise Stopped(_note.number, f"Stopped after iteration {iteration:,}. {kept}")
