"""A thread that takes one call at a time, handed over in a few microseconds."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

Job = tuple[Callable[..., Any], tuple[Any, ...]]


class Worker:
    """Runs calls beside the caller, who asks for each result before the next call.

    For work that gives up Python's lock and takes some hundred microseconds, of which
    `concurrent.futures` would spend a quarter on handing over.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()
        self._process = os.getpid()
        Thread(target=_work, args=(self._jobs, self._results), daemon=True).start()
        weakref.finalize(self, self._jobs.put, None)

    @property
    def alive(self) -> bool:
        """False in a forked process, which has none of its parent's threads."""
        return self._process == os.getpid()

    def start(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Begin a call."""
        self._jobs.put((function, arguments))

    def result(self) -> Any:
        """What the call returned; waits for it, and raises what it raised."""
        found, error = self._results.get()
        if error is not None:
            raise error
        return found


def _work(jobs: SimpleQueue[Any], results: SimpleQueue[Any]) -> None:
    while (job := jobs.get()) is not None:
        function, arguments = job
        try:
            results.put((function(*arguments), None))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asks for the result
            results.put((None, error))
        del job, function, arguments  # keep no tensors while there is nothing to do
