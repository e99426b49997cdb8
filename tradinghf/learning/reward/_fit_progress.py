"""How far a fit is, told to whoever watches.

A fit is a few searches, and a search at most so many rounds: one that ends early jumps ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PATIENCE = 2.0  # seconds that a fit may take before a person wants to see it move
_HUNDRED = 100
Hundredths = Callable[[int, int], None]
"""Called with (hundredths done, 100)."""


class _Watch:
    """Where the fits of a block are; each search of a fit is an equal share of it."""

    def __init__(self, tell: Hundredths, fits: int, after: float) -> None:
        self.tell, self.fits = tell, max(fits, 1)
        self.begins = time.monotonic() + after
        self.fit = -1  # number of the present one
        self.searches, self.search = 1, -1
        self.told = -1

    def reached(self, share: float) -> None:
        """Tell of a share of the present search, where it is something new and late enough."""
        of_fit = (max(self.search, 0) + share) / self.searches
        done = int(_HUNDRED * min((max(self.fit, 0) + min(of_fit, 1.0)) / self.fits, 1.0))
        if done > self.told and time.monotonic() >= self.begins:
            self.told = done
            self.tell(done, _HUNDRED)


_watch: ContextVar[_Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(tell: Hundredths, fits: int = 1, *, after: float = PATIENCE) -> Iterator[None]:
    """Tell how far the fits of the block are.

    Args:
        tell: called with (hundredths, 100), never with less than before.
        fits: how many there will be.
        after: nothing is told sooner [seconds].

    """
    watch = _Watch(tell, fits, after)
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)
    if time.monotonic() >= watch.begins:
        tell(_HUNDRED, _HUNDRED)


def begin_fit(searches: int) -> None:
    """A fit of so many searches begins."""
    if (watch := _watch.get()) is not None:
        watch.fit, watch.search, watch.searches = watch.fit + 1, -1, searches
        watch.reached(0.0)


def begin_search() -> None:
    """The fit's next search begins."""
    if (watch := _watch.get()) is not None:
        watch.search += 1
        watch.reached(0.0)


def advance(share: float) -> None:
    """A share of the search is done, 0 to 1."""
    if (watch := _watch.get()) is not None:
        watch.reached(min(share, 1.0))
