"""What every drill shares: its outcome, and child processes that can be killed at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tradinghf.errors import TradingHFError

Say = Callable[[str], None]
Tell = Callable[[str], None]
FUZZ_BATCH = 2000  # files that one child reads
SHOWN = 20  # failures that are reported in words; all are counted


class NotHereError(TradingHFError):
    """The machine lacks what the drill needs (a database server, permission to mount)."""


@dataclass(frozen=True)
class Outcome:
    """What came of a drill.

    Attributes:
        cases: how often something was broken.
        failures: one sentence for each case that went wrong.
        figures: anything else that was counted or timed; JSON values.

    """

    cases: int
    failures: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> int:
        """Cases that went as promised."""
        return self.cases - min(len(self.failures), self.cases)

    @property
    def ok(self) -> bool:
        """True when every case went as promised, and there was one."""
        return not self.failures and self.cases > 0


class Child:
    """A forked process that tells its parent what it has done, line by line.

    Forking costs milliseconds where a fresh interpreter costs seconds, so hundreds can be killed.
    Start it before the parent opens a store or starts a thread.

    Args:
        body: what it does; gets a function that sends one line to the parent.

    """

    def __init__(self, body: Callable[[Tell], None]) -> None:
        read, write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(read)
            code = 1
            try:
                body(lambda line: _send(write, line))
                code = 0
            except BaseException:  # noqa: BLE001 - a forked child must never return
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(write)
        self._lines = os.fdopen(read)
        self._code: int | None = None

    def line(self) -> str:
        """The next line; empty when the child has ended."""
        return self._lines.readline().rstrip("\n")

    def rest(self) -> list[str]:
        """All complete lines that are left; waits for the child's end."""
        return [line.rstrip("\n") for line in self._lines if line.endswith("\n")]

    def kill(self) -> None:
        """SIGKILL: no handler, no clean-up, no flush."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def ended(self) -> bool:
        """Whether it has ended by now."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code is not None

    def wait(self) -> int:
        """Exit code; minus the signal's number when it was killed."""
        if self._code is None:
            _, status = os.waitpid(self.pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
        self._lines.close()
        return self._code


def _send(pipe: int, line: str) -> None:
    os.write(pipe, line.encode() + b"\n")


def in_child(body: Callable[[Tell], None]) -> tuple[int, list[str]]:
    """Run to the end in a child; returns its exit code and its lines."""
    child = Child(body)
    lines = child.rest()
    return child.wait(), lines


def die() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def fuzz_in_children(
    batch: Callable[[range, Tell], None], count: int, say: Say
) -> tuple[list[str], dict[str, list[int]]]:
    """Read files with seeds 0 to `count` - 1, in children, so that a crash names its seeds.

    Args:
        batch: reads the files of some seeds; tells "! SENTENCE" of a failure, else "KIND NUMBER".
        count: how many files.
        say: how far it is.

    Returns:
        the failures, and the numbers that were told of each kind.

    """
    failures: list[str] = []
    told: dict[str, list[int]] = {}
    for first in range(0, count, FUZZ_BATCH):
        seeds = range(first, min(first + FUZZ_BATCH, count))
        code, lines = in_child(partial(batch, seeds))
        for line in lines:
            kind, _, text = line.partition(" ")
            if kind == "!":
                failures.append(text)
            else:
                told.setdefault(kind, []).append(int(text))
        if code:
            failures.append(f"seeds {seeds}: the process ended with code {code}")
        say(f"{seeds.stop:,}/{count:,} files, {len(failures)} failures")
    return failures, told


def counted(say: Say, total: int, items: Iterable[Any], what: str) -> Iterator[Any]:
    """Pass `items` through, and say every tenth of `total`."""
    step = max(total // 10, 1)
    for number, item in enumerate(items, start=1):
        yield item
        if number % step == 0 or number == total:
            say(f"{number:,}/{total:,} {what}")


def short(failures: Iterable[str]) -> list[str]:
    """The first failures in words, and how many there are beyond."""
    found = list(failures)
    more = [f"... and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return found[:SHOWN] + more
