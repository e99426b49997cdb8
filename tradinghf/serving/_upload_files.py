"""Files that people upload, before they are read: packed ones opened, and none too large."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tradinghf.durable import write_atomic
from tradinghf.errors import MarketDataError
from tradinghf.market import unpacked

KEPT = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")
PACKED = (".gz", ".zip")
TAKEN = (*KEPT, *PACKED)
MAX_UPLOAD_BYTES = 20 * 2**20  # of a packed file, of what it holds too
_MOST_NUMBERS = 6_000_000
_MOST_UNPACKED = 128 * 2**20
_MOST_SHEETS = 48 * 2**20  # a cell takes ten times as much while it is read


def opened(path: Path) -> Path:
    """The file itself, or the one that it holds, written beside it.

    Raises:
        MarketDataError: damaged, more than may be uploaded, or not one file of bars.

    """
    if path.suffix not in PACKED:
        return path
    data, suffix = unpacked(path, MAX_UPLOAD_BYTES)
    if suffix not in KEPT:
        raise MarketDataError(f"It holds a file ending in {suffix!r}. Unpack it first.")
    inner = path.with_name(f"{path.stem}.held{suffix}")
    write_atomic(inner, data)
    return inner


def _check_sheets(path: Path) -> None:
    """Refuse a workbook that is small only as long as it is packed.

    Raises:
        MarketDataError: more than the server's memory is meant for.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, OSError):
        return  # the reader of bars says what is wrong with it
    if size > _MOST_SHEETS:
        raise MarketDataError(
            f"The workbook unpacks to {size / 2**20:,.0f} MB; at most {_MOST_SHEETS >> 20} are "
            "taken. Save its sheet as CSV."
        )


def check_unpacked(path: Path) -> None:
    """Refuse a workbook or Parquet file that is small only as long as it is packed.

    Raises:
        MarketDataError: too many numbers, or too much text, for the server's memory.

    """
    if path.suffix == ".xlsx":
        _check_sheets(path)
    if path.suffix != ".parquet":
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = pq.read_metadata(path)
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        rows, columns = about.num_rows, about.num_columns
    except (pa.ArrowException, OSError, ValueError):
        return  # the reader of bars says what is wrong with it
    size = sum(group.total_byte_size for group in groups)
    if rows * columns > _MOST_NUMBERS or size > _MOST_UNPACKED:
        raise MarketDataError(
            f"The file unpacks to {rows:,} rows of {columns:,} columns ({size / 2**20:,.0f} MB); "
            f"at most {_MOST_NUMBERS:,} numbers are taken. Split it by asset or by year."
        )
