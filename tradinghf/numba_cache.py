"""Numba's compile cache, made safe for processes that fill it at the same time.

Numba numbers a function's cache files 1, 2, ... by an index that it reads before it writes. Two
processes that compile the same function for different types at once may take the same number; the
index then names the other type's machine code, which runs without an error and reads arrays in the
wrong order. Seen on a fresh machine: backtests in two processes, equity off by up to 20 %.

It also compares a function's own file only with what it compiled before. A kernel that calls one of
another module would go on with that module's old code: here all kernels of a folder count.
"""

from __future__ import annotations

import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from tradinghf._compiling import watch_compiling


def use_unique_files() -> None:
    """Give every cache file of this process a number of its own; call before compiling.

    What was compiled counts until a module `*_kernel.py` of the function's folder changes.
    """
    from numba.core import caching

    caching.IndexDataCacheFile.save = _save
    caching._SourceFileBackedLocatorMixin.get_source_stamp = _stamp
    watch_compiling()


def _stamp(locator: Any) -> Any:
    """What a cached function was compiled from: its file, or all kernels of its folder."""
    file = Path(sys.executable if getattr(sys, "frozen", False) else locator._py_file)
    return _texts(file.parent) if file.stem.endswith("_kernel") else _text(file)


@cache
def _texts(folder: Path) -> tuple[str, ...]:
    return tuple(_text(file) for file in sorted(folder.glob("*_kernel.py")))


@cache
def _text(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def _save(file: Any, key: Any, data: Any) -> None:
    """Write `data` to a file that no other process can name, then enter it into the index.

    Writers may still overwrite each other's index; what is lost there is compiled again.
    """
    name = file._data_name(uuid4().int)
    file._save_data(name, data)
    file._save_index({**file._load_index(), key: name})
