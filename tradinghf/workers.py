"""Threads for compiled code that releases Python's lock, with calls handed over in microseconds.

Such calls take some hundred microseconds, of which `concurrent.futures` would spend a quarter.
On a machine that others use too, several threads can be many times slower than one: here they
are taken where they have been measured to be faster, and wait without keeping a processor busy.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES, _BLOCK_BYTES = 1 << 28, 1 << 25


def wait_asleep() -> None:
    """Let torch's threads sleep where they wait for one another, if torch is still to come.

    They would spin instead, each on a processor that another may need to go on: beside one busy
    process two threads were ten times slower than one (docs/benchmarks.md). OpenMP reads this
    once, when it is loaded; who has set it, or imported torch before, keeps what they have.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_one_thread_in_forks() -> None:
    """From now on a forked process computes with one torch thread; asking twice does no harm.

    A fork copies none of its parent's threads, but OpenMP goes on as if it had: the first
    operation that it wants to share among them waits for ever. Environments in processes of their
    own (Gymnasium's AsyncVectorEnv, Stable-Baselines3's SubprocVecEnv) are forked by default.
    """
    global _forks_are_safe
    if not _forks_are_safe and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_use_one_thread)
    _forks_are_safe = True


_forks_are_safe = False


def _use_one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@lru_cache
@lru_cache
def keep_freed_memory() -> None:
    """Tell glibc to keep up to 256 MiB of freed memory instead of returning it at once.

    Steps of many accounts, and fits of many answers, allocate large results anew and free them
    again: blocks that glibc would return to the kernel, and fetching them again costs more than
    the arithmetic.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
            libc.mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)


def usable_cores() -> int:
    """Processors that this process may keep busy: by its affinity and its control group's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = Path("/sys/fs/cgroup/cpu.max")
    try:
        quota, period = limit.read_text().split()
        return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores


@lru_cache
def has_matrix_unit() -> bool:
    """Whether the processor multiplies tiles of bfloat16 (AMX), and lets this process do so.

    Linux has a process ask before its first use, once, for all of its threads.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    from llvmlite import binding

    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # a processor that LLVM knows nothing of
        return False
    if not all(features.get(name) for name in ("amx-tile", "amx-bf16", "avx512bf16")):
        return False
    return int(ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK_FOR_STATE, _TILE_DATA)) == 0


_ARCH_PRCTL, _ASK_FOR_STATE, _TILE_DATA = 158, 0x1023, 18  # of Linux on x86-64


class Pace:
    """Decides by measuring whether a call is worth several threads, and asks again now and then.

    On a machine whose processors are busy the second thread starts late, and all wait for it.
    """

    _TRIALS, _PERIOD = 7, 512  # calls, half of them alone; until they are repeated

    def __init__(self) -> None:
        self._calls, self._several = 0, True
        self._spent = {True: 0.0, False: 0.0}

    def run(self, several: Callable[[], Any], alone: Callable[[], Any]) -> Any:
        """The result of one of two calls that do the same: the one that has been faster."""
        turn, self._calls = self._calls % self._PERIOD, self._calls + 1
        if turn >= self._TRIALS:
            return several() if self._several else alone()
        if not turn:  # the first may have to compile or to load something: it does not count
            self._spent = {True: 0.0, False: 0.0}
            return several()
        chosen = turn % 2 == 0
        begin = time.perf_counter()
        found = several() if chosen else alone()
        self._spent[chosen] += time.perf_counter() - begin
        self._several = self._spent[True] <= self._spent[False]
        return found


@contextmanager
def torch_threads_lent() -> Iterator[None]:
    """Torch computes with one thread for a while; compiled code may take those that it had.

    Torch's numbers then do not depend on how many there are either.
    """
    global _lent
    import torch

    own, lent_before = torch.get_num_threads(), _lent
    _lent = lent_before or own
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _lent = lent_before
        torch.set_num_threads(own)


_lent = 0


def threads_to_share() -> int:
    """Threads that compiled code may take: as many as torch has, or has lent, and processors."""
    import torch

    return min(_lent or torch.get_num_threads(), usable_cores())


_Job = tuple[Callable[..., Any], tuple[Any, ...]]
_Outcome = tuple[Any, Exception | None]


class _Worker:
    """A thread that takes one call at a time; ask for each outcome before the next call."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        Thread(target=_work, args=(self._jobs, self._outcomes), daemon=True).start()
        weakref.finalize(self, self._jobs.put, None)

    def start(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Begin a call."""
        self._jobs.put((function, arguments))

    def outcome(self) -> _Outcome:
        """What the call returned, or raised; waits for it."""
        return self._outcomes.get()


def _work(jobs: SimpleQueue[_Job | None], outcomes: SimpleQueue[_Outcome]) -> None:
    while (job := jobs.get()) is not None:
        function, arguments = job
        try:
            outcomes.put((function(*arguments), None))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asks for the outcome
            outcomes.put((None, error))
        del job, function, arguments  # keep no tensors while there is nothing to do


class Team:
    """Splits a call over a range among threads; starts as many threads as it needs."""

    def __init__(self) -> None:
        self._workers: list[_Worker] = []
        self._process, self._pace = os.getpid(), Pace()

    def share(self, function: Callable[..., Any], parts: int, least: int, *arguments: Any) -> None:
        """Call function(first, last, *arguments) for all of `parts`, in threads where that pays.

        Args:
            function: writes its results; what they are does not depend on where parts are cut.
            parts: how many there are.
            least: parts that are worth a thread of their own.
            arguments: handed on.

        """
        threads = max(min(threads_to_share(), parts // least), 1)
        cuts = list(pairwise(parts * t // threads for t in range(threads + 1)))
        if threads == 1:
            function(0, parts, *arguments)
        else:
            self._pace.run(
                lambda: self.run(function, cuts, *arguments),
                lambda: function(0, parts, *arguments),
            )

    def run(
        self, function: Callable[..., Any], cuts: Sequence[tuple[int, int]], *arguments: Any
    ) -> list[Any]:
        """Results of function(first, last, *arguments) for every cut; the first is done here.

        Raises:
            Exception: what a call raised, after all of them have ended.

        """
        if self._process != os.getpid():  # a forked process has none of its parent's threads
            self._workers, self._process = [], os.getpid()
        self._workers += [_Worker() for _ in range(len(cuts) - 1 - len(self._workers))]
        busy = self._workers[: len(cuts) - 1]
        for worker, cut in zip(busy, cuts[1:], strict=True):
            worker.start(function, *cut, *arguments)
        try:
            own = function(*cuts[0], *arguments)
        finally:
            outcomes = [worker.outcome() for worker in busy]
        for _, error in outcomes:
            if error is not None:
                raise error
        return [own, *(found for found, _ in outcomes)]
