"""Parquet files: all columns for the careful reader, or plain bars straight into their arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import FIELDS, PRICES, Floats
from tradinghf.market._column_names import canonical_name
from tradinghf.market._times import read_times
from tradinghf.market._wide import NO_SYMBOL

PARQUET_SUFFIXES = (".parquet", ".pq")
MAX_PARQUET_BYTES = 4 * 2**30
_BOMB_BYTES, _BOMB_RATIO = 512 * 2**20, 100
"""Numbers this large in memory, and this many times the file: no bars are so alike."""
_UNNAMED = "__index_level_0__"  # pandas' name of an index without one
_BATCH = 2**17  # rows of one column in memory beside the arrays


def parquet_columns(path: Path) -> list[tuple[str, Any]]:
    """(name, values [n]) of every column.

    Raises:
        MarketDataError: the file is damaged, or too large.

    """
    with _opened(path) as file:
        # Without the pandas metadata: an untrusted file has no say in how it is rebuilt. Each
        # column is given back as soon as it has been converted.
        frame = file.read().to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
    columns = [(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    return _name_index(columns)


@dataclass(frozen=True, eq=False)
class PlainParquet:
    """Bars of a file that leaves nothing to judge but the rules of bars.

    Attributes:
        fields: open, high, low, close, volume: [T, A].
        stamps: [T] as `Times` has them.
        symbols: A names, in order of appearance.
        zoned: whether the times are in UTC, and not without a zone.

    """

    fields: dict[str, Floats]
    stamps: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    zoned: bool


def plain_parquet(path: Path, symbol: str) -> PlainParquet | None:
    """Bars column by column from the file into arrays of their final shape.

    The careful reader holds some ten times the bars while it judges each row; this holds the
    arrays and one batch of a column. None where a file has more than numbers under known names,
    gaps, or assets that do not share their times: that reader knows what to say.

    Args:
        path: the file.
        symbol: the asset, where no column names it.

    Raises:
        MarketDataError: the file is damaged, or too large.

    """
    with _opened(path) as file:
        named = _plain_names(file.schema_arrow)
        if named is None or file.metadata.num_rows < 2:
            return None
        read = _laid_out(path, file, named, symbol)
        if read is None:
            return None
        layout, stamps, symbols, zone = read
        times = read_times(pd.DatetimeIndex(stamps, tz=zone))
        fields: dict[str, Floats] = {}
        for name in FIELDS:
            if name not in named:
                fields[name] = np.zeros((len(stamps), len(symbols)))
                continue
            values = _numbers(file, named[name], layout, (len(stamps), len(symbols)))
            if values is None:
                return None
            fields[name] = values
    return PlainParquet(fields, times.stamps, symbols, zone is not None)


def _plain_names(schema: pa.Schema) -> dict[str, str] | None:
    """Our name of each column -> the file's; None where one is unknown or its type no plain one."""
    named: dict[str, str] = {}
    for column in schema:
        name = "timestamp" if column.name == _UNNAMED else canonical_name(column.name)
        kind = column.type
        if name == "timestamp":
            plain = pa.types.is_timestamp(kind) and kind.tz in (None, "UTC")
        elif name == "symbol":
            plain = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        else:
            plain = name in FIELDS and (pa.types.is_float64(kind) or pa.types.is_integer(kind))
        if not plain or name in named:
            return None
        named[name] = column.name
    return named if {"timestamp", *PRICES} <= set(named) else None


def _laid_out(
    path: Path, file: pq.ParquetFile, named: dict[str, str], symbol: str
) -> tuple[str, NDArray[np.datetime64], tuple[str, ...], str | None] | None:
    """("assets" or "times" first, [T] times, A symbols, zone); None where rows are otherwise."""
    kind, rows = file.schema_arrow.field(named["timestamp"]).type, file.metadata.num_rows
    layout, symbols = "times", [symbol]
    if "symbol" in named:
        found = _symbols(path, named["symbol"])
        if found is None:
            return None
        layout, symbols = found
    bars, assets = rows // len(symbols), len(symbols)
    own = np.zeros(bars, dtype="datetime64[ns]")
    for at, values in _batches(file, named["timestamp"]):
        if values is None:
            return None
        stamps = values.astype("datetime64[ns]")
        row = np.arange(at, at + len(stamps))
        bar, first = (row % bars, row < bars) if layout == "assets" else divmod(row, assets)
        first = first if layout == "assets" else first == 0
        own[bar[first]] = stamps[first]
        if not (own[bar] == stamps).all():
            return None
    return (layout, own, tuple(symbols), kind.tz) if (own[1:] > own[:-1]).all() else None


def _odd(name: str) -> bool:
    return name != name.strip() or name in NO_SYMBOL


def _symbols(path: Path, column: str) -> tuple[str, list[str]] | None:
    """("assets" or "times" first, names in order of appearance); None where they are mixed.

    Texts are read as codes: no text of each row is ever made.
    """
    known: dict[str | None, int] = {}
    with _opened(path, read_dictionary=[column]) as file:
        codes, at = np.empty(file.metadata.num_rows, dtype=np.int32), 0
        for batch in file.iter_batches(batch_size=_BATCH, columns=[column]):
            part = batch.column(0)
            if part.null_count:
                return None
            own = [known.setdefault(name, len(known)) for name in part.dictionary.to_pylist()]
            codes[at : at + len(part)] = np.array(own, dtype=np.int32)[part.indices.to_numpy()]
            at += len(part)
    names = [name or "" for name in known]
    if not names or len(codes) % len(names) or any(_odd(name) for name in names):
        return None
    wide = codes.reshape(len(names), -1)
    if (wide == wide[:, :1]).all():
        layout, order = "assets", wide[:, 0].tolist()
    else:
        tall = codes.reshape(-1, len(names))
        layout, order = "times", tall[0].tolist()
        if not (tall == tall[:1]).all():
            return None
    return (layout, [names[code] for code in order]) if len(set(order)) == len(names) else None


def _batches(file: pq.ParquetFile, column: str) -> Iterator[tuple[int, NDArray[Any] | None]]:
    """(row of the first, values) of a column, some at a time; None where a cell is empty."""
    at = 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=[column]):
        part = batch.column(0)
        yield at, None if part.null_count else part.to_numpy(zero_copy_only=False)
        at += len(part)


def _numbers(
    file: pq.ParquetFile, column: str, layout: str, shape: tuple[int, int]
) -> Floats | None:
    """[T, A] numbers of a column; None where a cell is empty."""
    bars, _ = shape
    made: Floats = np.empty(shape)
    flat = made.reshape(-1)
    for at, values in _batches(file, column):
        if values is None:
            return None
        if layout == "times":
            flat[at : at + len(values)] = values
            continue
        done = 0
        while done < len(values):
            asset, bar = divmod(at + done, bars)
            more = min(bars - bar, len(values) - done)
            made[bar : bar + more, asset] = values[done : done + more]
            done += more
    return made


@contextmanager
def _opened(path: Path, **options: Any) -> Iterator[pq.ParquetFile]:
    """The file, once its sizes are believed; damage is a sentence."""
    options = {"page_checksum_verification": True, **options}
    try:
        with pq.ParquetFile(path, **options) as file:
            about = file.metadata
            groups = (about.row_group(i) for i in range(about.num_row_groups))
            size = sum(group.total_byte_size for group in groups)
            decoded = 8 * about.num_rows * about.num_columns
            check_size(path, max(size, decoded), MAX_PARQUET_BYTES, "split it by asset or by year")
            _check_repeats(path, decoded)
            yield file
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        # Arrow reports damage as an OSError too, without the number that the system's have.
        if isinstance(error, MarketDataError) or getattr(error, "errno", None) is not None:
            raise
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MarketDataError(
            f"{path}: not a readable Parquet file ({first}). Write it again, or use CSV."
        ) from error


def _name_index(columns: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Pandas stores an unnamed index as "__index_level_0__": it is the time, if nothing else is."""
    timed = any(canonical_name(name) == "timestamp" for name, _ in columns)
    if timed:
        return [(name, values) for name, values in columns if name != _UNNAMED]
    return [("timestamp" if name == _UNNAMED else name, values) for name, values in columns]


def check_size(path: Path, size: int, limit: int, fix: str) -> None:
    """Refuse what is larger than `limit` bytes of bars.

    Raises:
        MarketDataError: it is.

    """
    if size > limit:
        raise MarketDataError(
            f"{path}: {size / 2**20:,.0f} MiB of bars; at most {limit / 2**20:,.0f} MiB are read "
            f"at once. Please {fix}."
        )


def _check_repeats(path: Path, decoded: int) -> None:
    """Refuse a file of a few values, each said millions of times, before it is decoded."""
    size = path.stat().st_size
    if decoded > max(_BOMB_BYTES, _BOMB_RATIO * size):
        raise MarketDataError(
            f"{path}: {size / 2**20:,.1f} MiB that unpack to {decoded / 2**20:,.0f} MiB of "
            "numbers. Bars are not so alike; look at what wrote it, or split it by asset."
        )
