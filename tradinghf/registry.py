"""Named things that users add to: strategies, sources, rewards, traders; by name or by file."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from tradinghf.errors import TradingHFError, unknown_name

_T = TypeVar("_T")


class Registry(Generic[_T]):
    """Names to objects; refuses duplicates and suggests close matches.

    Args:
        kind: what is registered, for error messages ("strategy").
        error: the exception class raised by lookups and duplicates.

    """

    def __init__(self, kind: str, error: type[TradingHFError] = TradingHFError) -> None:
        self.kind = kind
        self._error = error
        self._items: dict[str, _T] = {}

    def add(self, name: str, item: _T) -> _T:
        """Register `item`; raises when the name is taken by another object."""
        if self._items.setdefault(name, item) is not item:
            raise self._error(
                f"The {self.kind} {name!r} is registered already. "
                f"Choose another name, or remove the first definition."
            )
        return item

    def register(self, name: str) -> Callable[[_T], _T]:
        """Decorator form of `add`."""
        return lambda item: self.add(name, item)

    def find(self, spec: str) -> tuple[str, _T]:
        """(name, item) of a registered name, or of `FILE.py:function`, registered or not.

        Raises:
            TradingHFError: an unknown name, a missing file or function, or a file that fails.

        """
        if ":" not in spec and not spec.endswith(".py"):
            return spec, self[spec]
        file, _, name = spec.rpartition(":") if ":" in spec else (spec, "", "")
        if not name:
            raise self._error(f"{self.kind} {spec!r} names no function; expected FILE.py:function.")
        module = import_file(file, self.kind, self._error)
        item: _T | None = getattr(module, name, None)
        if not callable(item):
            own = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
            raise self._error(f"{file} has no function {name!r}; it defines {sorted(own)}.")
        return f"{Path(file).stem}:{name}", item

    def __getitem__(self, name: str) -> _T:
        if name not in self._items:
            raise self._error(unknown_name(self.kind, name, self._items))
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)


FILE_MODULE = "tradinghf_file_"
"""How the names of modules begin that users' files are run as."""


def file_of(function: Callable[..., object]) -> Path | None:
    """The file that `import_file` has a function from; None of one from elsewhere."""
    path = getattr(sys.modules.get(function.__module__), "__file__", None)
    return Path(path) if path and function.__module__.startswith(FILE_MODULE) else None


def import_file(file: Path | str, kind: str, error: type[TradingHFError]) -> ModuleType:
    """Run a user's Python file as a module of its own; again only when its content changed.

    Args:
        file: what to run.
        kind: what it should define, for error messages.
        error: the exception class raised.

    Raises:
        TradingHFError: no such file, or it fails.

    """
    path = Path(file)
    if not path.is_file():
        raise error(f"The {kind} file {str(file)!r} does not exist; expected a Python file.")
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return _imported(path.resolve(), digest)
    except TradingHFError:
        raise
    except Exception as found:
        raise error(
            f"The {kind} file {str(file)!r} could not be imported "
            f"({type(found).__name__}: {found})."
        ) from found


@functools.lru_cache(maxsize=256)
def _imported(path: Path, digest: str) -> ModuleType:
    key = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    return run_file(path, f"{FILE_MODULE}{path.stem}_{key}_{digest[:8]}")


def loaded_files() -> list[tuple[str, str, str]]:
    """(module, path, text) of the files that `import_file` ran and that are as they were then."""
    found = []
    for name in [name for name in sys.modules if name.startswith(FILE_MODULE)]:
        path = Path(str(sys.modules[name].__file__))
        content = path.read_bytes() if path.is_file() else b""
        if name.endswith(hashlib.sha256(content).hexdigest()[:8]):
            found.append((name, str(path), content.decode()))
    return found


def run_file(path: Path, name: str = f"{FILE_MODULE}anew") -> ModuleType:
    """Run a Python file as a module of that name, whether or not it was before."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where type hints are looked up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
