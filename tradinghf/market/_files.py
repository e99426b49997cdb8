"""Bars in CSV and Parquet files: reading, checking and writing."""

from __future__ import annotations

import csv
import io
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tradinghf.durable import atomic_path
from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import Finding
from tradinghf.market._columns import KNOWN_NAMES, canonical_name, yahoo_columns
from tradinghf.market._data import Join, MarketData
from tradinghf.market._findings import table_findings
from tradinghf.market._quality import market_warnings
from tradinghf.market._tables import Table

_CSV_SUFFIXES = (".csv", ".tsv")
_PARQUET_SUFFIXES = (".parquet", ".pq")
SUFFIXES = (*_CSV_SUFFIXES, *_PARQUET_SUFFIXES)
# Text needs about ten times its size in memory while it is parsed; Parquet about twice.
MAX_CSV_BYTES = 512 * 2**20
MAX_PARQUET_BYTES = 4 * 2**30
_DELIMITERS = ",;\t|"
_BLOCK = 10_000


def load_file(
    path: Path | str,
    *,
    symbol: str | None = None,
    adjust: bool = True,
    join: Join = "exact",
    date_format: str | None = None,
    zone: str | None = None,
    bars_per_year: float | None = None,
) -> MarketData:
    """Validated bars from a .csv or .parquet file.

    Columns: timestamp (or datetime, date, time), open, high, low, close, and optionally volume,
    symbol (one row per bar and asset) and adj_close. Any case, any order; others are ignored. CSV
    may be separated by comma, semicolon, tab or bar; the number of a row is the one a spreadsheet
    shows (the header is row 1). Rows of Parquet files are numbered from 0, as in pandas.

    Args:
        path: the file.
        symbol: the asset, where the file has no such column; by default the file's stem.
        adjust: scale prices by adj_close / close where the file has an adjusted close.
        join: "inner" keeps the times that all assets share; "exact" demands equal times.
        date_format: strftime format of times that are not ISO 8601 ("%m/%d/%Y").
        zone: IANA zone ("Europe/Berlin") of times without one, and of daily sessions whose times
            are in UTC.
        bars_per_year: for annualising; by default inferred from the spacing of the bars.

    Raises:
        MarketDataError: a rule is broken; the message names file, row, column and the fix.

    """
    path = Path(path)
    table = read_table(path, symbol=symbol, adjust=adjust, date_format=date_format, zone=zone)
    return MarketData.from_table(
        table,
        name=path.stem,
        error_name=str(path),
        bars_per_year=bars_per_year,
        source=str(path),
        join=join,
        hint=f"; see all with: tradinghf data check {path}",
    )


def read_table(
    path: Path,
    *,
    symbol: str | None = None,
    adjust: bool = True,
    date_format: str | None = None,
    zone: str | None = None,
) -> Table:
    """Parse a file without judging its bars.

    Raises:
        MarketDataError: the file cannot be read, or lacks a column.

    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise MarketDataError(
            f"{path}: expected a file ending in {', '.join(SUFFIXES)}. Convert or rename it."
        )
    ragged: dict[int, Finding] = {}
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise MarketDataError(f"{path}: {what}. Give the path of a bar file.")
        size = path.stat().st_size
        if size == 0:
            raise MarketDataError(f"{path}: the file is empty. Export it again.")
        if suffix in _PARQUET_SUFFIXES:
            columns, first_row = _parquet_columns(path), 0
        else:
            _check_size(path, size, MAX_CSV_BYTES, "convert it to Parquet, or split it by asset")
            columns, ragged = _csv_columns(path.read_bytes(), str(path))
            first_row = 2
    except OSError as error:
        raise MarketDataError(
            f"{path}: cannot be read ({error.strerror or error}). Check the path and permissions."
        ) from error
    parts = yahoo_columns(columns)
    if parts is not None:
        # Rows are numbered as in the file: two more lines of headers stand above them.
        options: Any = {"adjust": adjust, "first_row": 4, "zone": zone, "what": str(path)}
        return Table.concat(
            [Table.from_columns(part, symbol=name, **options) for name, part in parts.items()]
        )
    return Table.from_columns(
        columns,
        symbol=symbol or path.stem,
        adjust=adjust,
        first_row=first_row,
        date_format=date_format,
        zone=zone,
        ragged=ragged,
        what=str(path),
    )


def parse_csv(data: bytes, *, symbol: str, date_format: str | None = None) -> Table:
    """Bars from the bytes of a CSV file; rows are numbered as a spreadsheet shows them.

    Raises:
        MarketDataError: not a CSV file with the expected columns.

    """
    columns, ragged = _csv_columns(data, symbol)
    return Table.from_columns(
        columns, symbol=symbol, first_row=2, date_format=date_format, ragged=ragged
    )


def check_market_file(
    path: Path | str,
    *,
    symbol: str | None = None,
    adjust: bool = True,
    date_format: str | None = None,
    zone: str | None = None,
) -> list[Finding]:
    """Everything that is wrong with a bar file, and what merely looks odd; empty when all is well.

    Options as in `load_file`. Never raises on a bad file: what stops reading is a finding too.
    """
    path = Path(path)
    try:
        table = read_table(path, symbol=symbol, adjust=adjust, date_format=date_format, zone=zone)
        found = [*table_findings(table), *_ignored_columns(table)]
        if any(finding.severity == "error" for finding in found):
            return found
        return [*found, *market_warnings(MarketData.from_table(table, name=str(path)))]
    except MarketDataError as error:
        return [Finding("", "", str(error).rstrip("."), "")]


def save_market(market: MarketData, path: Path | str) -> None:
    """Write bars as .csv or .parquet, one row per bar and asset; `load_file` gives them back.

    Floats are written so that they are read back bit for bit.

    Raises:
        MarketDataError: unknown suffix, or the file cannot be written.

    """
    path = Path(path)
    frame = market.to_long()
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise MarketDataError(f"{path}: expected a path ending in {', '.join(SUFFIXES)}.")
    try:
        with atomic_path(path) as draft:
            if suffix in _PARQUET_SUFFIXES:
                # With checksums a flipped bit is found, not read as another price.
                frame.to_parquet(draft, index=False, engine="pyarrow", write_page_checksum=True)
            else:
                times = np.datetime_as_string(market.timestamps, unit="ns")
                frame["timestamp"] = np.tile(np.char.add(times, "Z"), market.assets)
                frame.to_csv(draft, index=False, sep="\t" if suffix == ".tsv" else ",")
    except OSError as error:
        raise MarketDataError(
            f"{path}: cannot be written ({error.strerror or error}). Check folder and disk space."
        ) from error


def _csv_columns(data: bytes, what: str) -> tuple[list[tuple[str, Any]], dict[int, Finding]]:
    """Named text columns of a CSV document, and findings on rows of another length by index.

    Raises:
        MarketDataError: not UTF-8, no header, or broken quotes.

    """
    text = _decode(data, what)
    # Spreadsheets append rows of bare separators; the first line break there ends the data.
    end = text.find("\n", len(text.rstrip(" \t\r\n" + _DELIMITERS)))
    text = (text if end < 0 else text[:end]).lstrip("\r\n")
    delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise MarketDataError(f"{what}: the file holds no text. Export it again.")
        cells: list[list[str]] = [[] for _ in header]
        ragged: dict[int, Finding] = {}
        # By blocks: a million row lists at once would keep the garbage collector busy.
        while block := list(islice(reader, _BLOCK)):
            ragged |= _pad(block, len(header), len(cells[0]))
            for column, values in zip(cells, zip(*block, strict=True), strict=True):
                column.extend(values)
    except csv.Error as error:
        raise MarketDataError(
            f"{what}: line {reader.line_num}: broken CSV ({error}). "
            "Check the quotes there, or export the file again."
        ) from error
    return list(zip(header, cells, strict=True)), ragged


def _pad(rows: list[list[str]], width: int, start: int) -> dict[int, Finding]:
    """Bring ragged rows to `width` cells, in place; their cells become empty."""
    ragged = {}
    for i, row in enumerate(rows):
        if len(row) != width:
            empty = not any(cell.strip() for cell in row)
            problem = "the row is empty" if empty else f"{len(row)} cells; the header has {width}"
            fix = "Delete it" if empty else "Add or remove separators; quote text with separators"
            place = f"row {start + i + 2}"
            ragged[start + i] = Finding(place, "", problem, fix, rule="ragged_row")
            rows[i] = [""] * width
    return ragged


def _decode(data: bytes, what: str) -> str:
    kinds = {b"PK\x03\x04": "an Excel workbook or zip archive", b"PAR1": "a Parquet file"}
    for magic, kind in kinds.items():
        if data.startswith(magic):
            raise MarketDataError(f"{what}: this is {kind}, not CSV. Export it as CSV, or rename.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MarketDataError(
            f"{what}: line {line}: byte 0x{data[error.start]:02x} is not UTF-8. "
            "Save the file as 'CSV UTF-8'."
        ) from error


def _parquet_columns(path: Path) -> list[tuple[str, Any]]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            about = file.metadata
            groups = (about.row_group(i) for i in range(about.num_row_groups))
            size = sum(group.total_byte_size for group in groups)
            _check_size(path, size, MAX_PARQUET_BYTES, "split it by asset or by year")
            # Without the pandas metadata: an untrusted file has no say in how it is rebuilt.
            frame = file.read().to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        # Arrow reports damage as an OSError too, without the number that the system's have.
        if isinstance(error, MarketDataError) or getattr(error, "errno", None) is not None:
            raise
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MarketDataError(
            f"{path}: not a readable Parquet file ({first}). Write it again, or use CSV."
        ) from error
    columns = [(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    return _name_index(columns)


def _name_index(columns: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Pandas stores an unnamed index as "__index_level_0__": it is the time, if nothing else is."""
    timed = any(canonical_name(name) == "timestamp" for name, _ in columns)
    unnamed = "__index_level_0__"
    if timed:
        return [(name, values) for name, values in columns if name != unnamed]
    return [("timestamp" if name == unnamed else name, values) for name, values in columns]


def _check_size(path: Path, size: int, limit: int, fix: str) -> None:
    if size > limit:
        raise MarketDataError(
            f"{path}: {size / 2**20:,.0f} MiB of bars; at most {limit / 2**20:,.0f} MiB are read "
            f"at once. Please {fix}."
        )


def _ignored_columns(table: Table) -> list[Finding]:
    return [
        Finding(
            "", name, "the column is not used", "Rename it if it was meant", "warning", "unused"
        )
        for name in table.columns
        if canonical_name(name) not in KNOWN_NAMES
    ]
