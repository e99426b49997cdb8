"""A word to who waits while numba compiles, which a machine does once for each kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Timer
from typing import Any

_PATIENCE = 2.0  # seconds of compiling before a word
_TOLD = "Compiling for this machine, once: half a minute or so; later runs find it in the cache."
_listeners: list[Callable[[str], Any]] = []


def tell_of_compiling(say: Callable[[str], Any]) -> None:
    """Have `say` called, once, when this process has been compiling for two seconds.

    It is asked for before numba is loaded, which takes longer than most commands.
    """
    _listeners.append(say)


def watch_compiling() -> None:
    """Begin to listen, for who asked to be told; numba is loaded by now."""
    for say in _listeners:
        _watch(say)


@cache
def _watch(say: Callable[[str], Any]) -> None:
    from numba.core import event

    class Watch(event.Listener):  # type: ignore[misc]
        """Of what numba compiles: functions compile on the way what they call."""

        depth, told = 0, False
        timer: Timer

        def on_start(self, _: Any) -> None:
            self.depth += 1
            if self.depth == 1:
                self.timer = Timer(_PATIENCE, self.tell)
                self.timer.daemon = True
                self.timer.start()

        def on_end(self, _: Any) -> None:
            self.depth -= 1
            if not self.depth:
                self.timer.cancel()

        def tell(self) -> None:
            if not self.told:
                self.told = True
                say(_TOLD)

    event.register("numba:compile", Watch())
