"""NumPy's .npz from outside: plain arrays only, and no more of them than memory holds."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

_MOST_BYTES = 2**31  # of a file, unpacked


@contextmanager
def opened_npz(path: Path | str) -> Iterator[NpzFile]:
    """The arrays of a file; no objects, which could run code.

    Raises:
        ValueError: too large when unpacked, or arrays of objects.
        zipfile.BadZipFile: no archive.
        OSError: a file that cannot be read.

    """
    with zipfile.ZipFile(path) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > _MOST_BYTES:
        raise ValueError(f"it unpacks to {size:,} bytes; at most {_MOST_BYTES:,} are read")
    with np.load(path, allow_pickle=False) as arrays:
        yield arrays
