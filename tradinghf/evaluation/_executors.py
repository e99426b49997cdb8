"""Where the chunks of a sweep run: in this process, or as tasks of a Ray cluster.

An executor is a function `(work, setting, tasks) -> results in the order of the tasks`, where a
result is `work(setting, task)`. A chunk depends on nothing but its arguments, so a task that is
lost with its machine runs again elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

from tradinghf.errors import ConfigError, MissingExtraError
from tradinghf.registry import FILE_MODULE

_Setting = TypeVar("_Setting")
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_IN_FLIGHT = 4
"""Tasks in the cluster per processor: none idles, and memory stays bounded."""


class Executor(Protocol):
    """Runs independent tasks, and hands their results over in order."""

    def __call__(
        self,
        work: Callable[[_Setting, _Task], _Result],
        setting: _Setting,
        tasks: Sequence[_Task],
        /,
    ) -> Iterable[_Result]:
        """`work(setting, task)` of each task."""


def local(
    work: Callable[[_Setting, _Task], _Result], setting: _Setting, tasks: Sequence[_Task], /
) -> Iterator[_Result]:
    """One after the other, in this process."""
    return (work(setting, task) for task in tasks)


def as_executor(executor: Executor | Literal["local", "ray"]) -> Executor:
    """An executor by name, or itself.

    Raises:
        ConfigError: an unknown name.
        MissingExtraError: "ray" without Ray.

    """
    if executor == "local":
        return local
    if executor == "ray":
        return ray()
    if isinstance(executor, str):
        raise ConfigError(f'executor is {executor!r}; expected "local", "ray", or an executor.')
    return executor


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
        raise MissingExtraError("ray", "cluster", "Sweeping on several machines") from error
    address = address or ("auto" if os.environ.get("RAY_ADDRESS") else "local")

    def run(
        work: Callable[[_Setting, _Task], _Result], setting: _Setting, tasks: Sequence[_Task], /
    ) -> Iterator[_Result]:
        _join(library, address)
        for module in _files_of(setting):
            library.cloudpickle.register_pickle_by_value(module)
        shared, remote = library.put(setting), library.remote(work)
        room = max(_IN_FLIGHT * int(library.cluster_resources().get("CPU", 1)), 1)
        waiting = [remote.remote(shared, task) for task in tasks[:room]]
        for number in range(len(tasks)):
            result: _Result = library.get(waiting.pop(0))
            if number + room < len(tasks):
                waiting.append(remote.remote(shared, tasks[number + room]))
            yield result

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


def _files_of(setting: Any) -> list[Any]:
    """Modules of strategies that were loaded from a file, which a worker cannot import by name."""
    parts = setting if isinstance(setting, tuple) else (setting,)
    names = {getattr(getattr(part, "function", None), "__module__", "") for part in parts}
    return [sys.modules[n] for n in sorted(names) if n.startswith(FILE_MODULE)]
