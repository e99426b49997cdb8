"""Progress of long work: a bar for each phase on a terminal, a line per tenth elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SHOWN = {"pnl": "profit {:+.2%}", "learned": "learned reward {:+.3g}", "kl": "KL {:.4f}"}


class ProgressCall(Protocol):
    """What long work calls: (phase, done, total, metrics)."""

    def __call__(self, phase: str, done: int, total: int, metrics: Mapping[str, float], /) -> None:
        """Tell how far the phase has come."""


def _details(metrics: Mapping[str, float]) -> str:
    """The few metrics worth watching, in words."""
    return ", ".join(text.format(metrics[name]) for name, text in _SHOWN.items() if name in metrics)


class _Lines:
    """Progress where the output is not a terminal; phases of a few steps get one line or two."""

    def __init__(self) -> None:
        self.tenths: dict[str, int] = {}

    def __call__(self, phase: str, done: int, total: int, metrics: Mapping[str, float], /) -> None:
        """One line at the start of a phase and at each further tenth of it."""
        tenth = 10 * done // max(total, 1) if total >= 10 or done >= total else 0
        last = self.tenths.get(phase, -1)
        # A phase that comes again (rank, train, rank ...) starts again.
        if tenth > last or tenth < last - 1:
            self.tenths[phase] = tenth
            text = f"{phase} {done:,}/{total:,} {_details(metrics)}".rstrip()
            sys.stderr.write(text + "\n")


class _Bars:
    """Progress on a terminal."""

    def __init__(self, view: Progress) -> None:
        self.view = view
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, phase: str, done: int, total: int, metrics: Mapping[str, float], /) -> None:
        """Move the phase's bar."""
        if phase not in self.tasks:
            self.tasks[phase] = self.view.add_task(phase, total=total, details="")
        self.view.update(self.tasks[phase], completed=done, total=total, details=_details(metrics))


@contextmanager
def progress() -> Iterator[ProgressCall]:
    """Something to call with (phase, done, total, metrics) while the block runs."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = [
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        Remaining(),
        TextColumn("{task.fields[details]}"),
    ]
    with Progress(*columns, console=Console(stderr=True)) as view:
        yield _Bars(view)


@contextmanager
def fit_bar() -> Iterator[None]:
    """A bar for the fits of the block, where they take longer than a person waits gladly."""
    from tradinghf.learning.reward import watching

    with progress() as report, watching(lambda done, total: report("fitting", done, total, {})):
        yield
