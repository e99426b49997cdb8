"""NumPy's .npz from outside: plain arrays only, and no more of them than memory holds."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile

_MOST_BYTES = 2**31  # of a file, unpacked
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@contextmanager
def opened_npz(path: Path | str) -> Iterator[NpzFile]:
    """The arrays of a file; no objects, which could run code.

    Raises:
        ValueError: too large when unpacked, arrays of objects, or something else than arrays;
            damaged.
        zipfile.BadZipFile: no archive.
        OSError: a file that cannot be read.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive)
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except (zlib.error, EOFError) as error:
        raise ValueError(f"it is damaged: {error}") from error


def _check(archive: zipfile.ZipFile) -> None:
    """Refuse what is no array, or an array of another size than its header says, before reading.

    NumPy asks for as much memory as a header says, of which four bytes can say terabytes.
    """
    items = archive.infolist()
    size = sum(item.file_size for item in items)
    if size > _MOST_BYTES:
        raise ValueError(f"it unpacks to {size:,} bytes; at most {_MOST_BYTES:,} are read")
    if len({item.filename for item in items}) < len(items):
        raise ValueError("it holds two arrays of one name")
    for item in items:
        packed = item.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not packed or item.flag_bits & 1 or not item.filename.endswith(".npy"):
            raise ValueError(f"{item.filename} in it is no array as numpy.savez writes it")
        _check_array(archive, item)


def _check_array(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> None:
    try:
        with archive.open(item) as file:
            shape, _, kind = _HEADERS[npy.read_magic(file)](file)
            rest = item.file_size - file.tell()
    except (KeyError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise ValueError(f"{item.filename} in it has no readable header") from error
    if kind.hasobject:
        raise ValueError(f"{item.filename} in it holds objects")
    says = math.prod(shape) * kind.itemsize
    if min(shape, default=0) < 0 or says != rest:
        raise ValueError(f"{item.filename} in it says {says:,} bytes and holds {rest:,}")
