"""Where independent tasks run: here, in processes of this machine, or on a Ray cluster.

An executor is a function `(work, setting, tasks) -> (number, result) pairs`, as they are ready,
where result `number` is `work(setting, tasks[number])`. A task depends on nothing but its
arguments, so that one which is lost with its machine runs again elsewhere.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tradinghf.durable import write_atomic
from tradinghf.errors import ConfigError, MissingExtraError, TradingHFError
from tradinghf.registry import loaded_files, run_file
from tradinghf.workers import usable_cores

_Setting = TypeVar("_Setting")
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_IN_FLIGHT = 4
"""Tasks in the cluster per processor: none idles, and memory stays bounded."""


class Executor(Protocol):
    """Runs independent tasks, and hands each result over as soon as it is there."""

    def __call__(
        self,
        work: Callable[[_Setting, _Task], _Result],
        setting: _Setting,
        tasks: Sequence[_Task],
        /,
    ) -> Iterable[tuple[int, _Result]]:
        """`(number, work(setting, tasks[number]))` of every task, in any order."""


ExecutorLike = Executor | str


def local(
    work: Callable[[_Setting, _Task], _Result], setting: _Setting, tasks: Sequence[_Task], /
) -> Iterator[tuple[int, _Result]]:
    """One after the other, in this process."""
    return ((number, work(setting, task)) for number, task in enumerate(tasks))


def as_executor(executor: ExecutorLike) -> Executor:
    """An executor by name, or itself.

    Args:
        executor: "local"; "processes", or "processes:N" for N of them; "ray", or "ray:ADDRESS"; or
            an executor.

    Raises:
        ConfigError: an unknown name, or a number of processes that is none.
        MissingExtraError: "ray" without Ray.

    """
    if not isinstance(executor, str):
        return executor
    name, _, rest = executor.partition(":")
    if executor == "local":
        return local
    if name == "processes" and (not rest or (rest.isdecimal() and int(rest))):
        return processes(int(rest) if rest else None)
    if name == "ray":
        return ray(rest or None)
    raise ConfigError(
        f'executor is {executor!r}; expected "local", "processes", "processes:N" (N at least 1), '
        '"ray", "ray:ADDRESS", or an executor.'
    )


def in_order(results: Iterable[tuple[int, _Result]]) -> Iterator[_Result]:
    """The results of an executor in the order of the tasks, each as soon as those before it."""
    early: dict[int, _Result] = {}
    wanted = 0
    for number, result in results:
        early[number] = result
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1


def processes(count: int | None = None) -> Executor:
    """Processes of this machine, each with one thread.

    A script that asks for them does so under `if __name__ == "__main__":`, since each of them
    imports it. Functions in `setting` and `tasks` have a name in a module, or in a file that was
    loaded by its path.

    Args:
        count: how many; None is one for each processor that may be used.

    """
    number = count or usable_cores()

    def run(
        work: Callable[[_Setting, _Task], _Result], setting: _Setting, tasks: Sequence[_Task], /
    ) -> Iterator[tuple[int, _Result]]:
        begin = partial(_begin, _Files(), work, setting)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(number, context, begin)
        with pool:
            try:
                running = {pool.submit(_call, task): place for place, task in enumerate(tasks)}
            except Exception as error:
                raise ConfigError(
                    f"What is to be done cannot be sent to another process ({error}). Put "
                    "functions and strategies into a module or a file of their own, or stay in "
                    'this process ("local").'
                ) from error
            try:
                for done in as_completed(running):
                    yield running[done], done.result()
            except BrokenProcessPool as error:
                raise TradingHFError(
                    "A process of several was ended from outside, perhaps for want of memory. What "
                    "was done is kept where the command keeps it; run it again, with fewer "
                    "processes (processes:N)."
                ) from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    return run


class _Files:
    """Modules that were loaded from a file; where they arrive, they are loaded before what follows.

    A worker cannot import them by name.
    """

    def __reduce__(self) -> tuple[Callable[..., _Files], tuple[Any, ...]]:
        return _load, tuple(loaded_files())


def _load(*files: tuple[str, str, str]) -> _Files:
    for name, path, text in files:
        file = Path(path)
        if not file.is_file() or file.read_text() != text:  # another machine, or changed since
            file = Path(tempfile.mkdtemp()) / file.name
            write_atomic(file, text.encode())
        if name not in sys.modules:
            run_file(file, name)
    return _Files()


_Shared = tuple[_Files, Callable[[Any, Any], Any], Any]
_own: _Shared
"""What this process, one of several, was started for."""


def _begin(*shared: Any) -> None:
    global _own
    import torch

    torch.set_num_threads(1)
    _own = shared


def _call(task: Any) -> Any:
    return _call_with(_own, task)


def _call_with(shared: _Shared, task: Any) -> Any:
    _, work, setting = shared
    return work(setting, task)


def ray(address: str | None = None) -> Executor:
    """Tasks of a Ray cluster; every machine of it needs this version of tradinghf.

    A strategy from a file of yours travels with its tasks. Ray listens on the network and runs
    what it is sent: keep a cluster behind a firewall and set RAY_AUTH_MODE=token.

    Args:
        address: "auto" for the cluster that is running here, ray://HOST:10001 for one elsewhere,
            or "local" for a new one on this machine; None: "auto" where RAY_ADDRESS is set, else
            "local".

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: there is no cluster at the address.

    """
    try:
        import ray as library
    except ImportError as error:
        raise MissingExtraError("ray", "cluster", "Spreading over several machines") from error
    address = address or ("auto" if os.environ.get("RAY_ADDRESS") else "local")

    def run(
        work: Callable[[_Setting, _Task], _Result], setting: _Setting, tasks: Sequence[_Task], /
    ) -> Iterator[tuple[int, _Result]]:
        if not tasks:
            return
        _join(library, address)
        shared = library.put((_Files(), work, setting))
        remote = library.remote(_call_with)
        room = max(_IN_FLIGHT * int(library.cluster_resources().get("CPU", 1)), 1)
        left, running = iter(enumerate(tasks)), dict[Any, int]()

        def send(count: int) -> None:
            for number, task in islice(left, count):
                running[remote.remote(shared, task)] = number

        send(room)
        while running:
            ready, _ = library.wait(list(running), num_returns=1)
            number = running.pop(ready[0])
            send(1)
            yield number, library.get(ready[0])

    return run


def _join(library: Any, address: str) -> None:
    """Connect to a cluster; a connection that is there already is used."""
    if library.is_initialized():
        return
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address == "local":
        options["include_dashboard"] = False
    try:
        library.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"There is no Ray cluster at {address!r} ({error}). Start one with `ray start --head`, "
            'or use "local".'
        ) from error
