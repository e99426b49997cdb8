"""Bars in files, as people have them: reading, checking and writing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tradinghf.durable import atomic_path
from tradinghf.errors import MarketDataError, MissingExtraError
from tradinghf.market._archives import (
    EXCEL_SUFFIXES,
    PACKED_SUFFIXES,
    TEXT_SUFFIXES,
    decoded,
    unpacked,
)
from tradinghf.market._bar_rules import Finding
from tradinghf.market._columns import renamed, unused_names
from tradinghf.market._data import Join, MarketData
from tradinghf.market._dialects import ColumnChoice, PlainBars, Reading, plain_bars
from tradinghf.market._excel import sheet_rows
from tradinghf.market._findings import table_findings
from tradinghf.market._joins import joined
from tradinghf.market._offsets import lifted
from tradinghf.market._parquet import (
    PARQUET_SUFFIXES,
    check_size,
    parquet_columns,
    plain_parquet,
)
from tradinghf.market._quality import market_warnings
from tradinghf.market._source_registry import Source
from tradinghf.market._tables import ADJUSTED_OFFER, Table
from tradinghf.market._text_table import HARMLESS, TextTable, read_rows, split_text
from tradinghf.market._times import infer_bars_per_year
from tradinghf.market._treatments import parted, treated, with_zone
from tradinghf.market._usual import usual_bars

_WRITTEN = (".csv", ".tsv")
SUFFIXES = (*TEXT_SUFFIXES, *PARQUET_SUFFIXES, *EXCEL_SUFFIXES, *PACKED_SUFFIXES)
# Text needs about ten times its size in memory while it is parsed; Parquet about twice.
MAX_CSV_BYTES = 512 * 2**20


def load_file(
    path: Path | str,
    *,
    symbol: str | None = None,
    adjust: bool = False,
    join: Join = "exact",
    columns: ColumnChoice = None,
    decimal: str | None = None,
    dayfirst: bool | None = None,
    date_format: str | None = None,
    sheet: str | None = None,
    zone: str | None = None,
    bars_per_year: float | None = None,
    offset: float = 0.0,
) -> MarketData:
    """Validated bars from a file: text, Parquet or Excel, also packed as .gz or .zip.

    Columns: times (in one column, or day and clock), open, high, low, close, and optionally
    volume, symbol (one row per bar and asset) and adj_close, in any order, under the names that
    vendors give them in several languages; others are ignored. Separator, decimal mark, form of
    the dates and order of the rows are found from the whole file; where two readings are possible
    the error shows both. The number of a row is the one a spreadsheet shows (the first line is
    1). Rows of Parquet files are numbered from 0, as in pandas.

    Args:
        path: the file.
        symbol: the asset, where the file has no such column; by default the file's stem.
        adjust: scale prices by adj_close / close where the file has an adjusted close.
        join: "inner" keeps the times that all assets share, "outer" all of them (an asset is not
            `listed` before its first and after its last bar); "exact" demands equal times.
        columns: which column is what, where names do not tell: {"close": "Price"}, or
            "close=Price;open=2" with names or numbers.
        decimal: "point" or "comma" ("." or ","), where the file leaves it open.
        dayfirst: whether 01/03/2023 is 1 March, where the file leaves it open.
        date_format: strftime format of times that are not found by themselves ("%m/%d/%y").
        sheet: of a workbook that has several.
        zone: IANA zone ("Europe/Berlin") of times without one, and of daily sessions whose times
            are in UTC.
        bars_per_year: for annualising; by default inferred from the spacing of the bars.
        offset: for prices that may be 0 or negative: collateral of a unit beyond its price, as in
            `MarketData.from_frame`.

    Raises:
        MarketDataError: a rule is broken; the message names file, row, column and the fix.
        MissingExtraError: a workbook, and the package that reads it is not installed.

    """
    path = Path(path)
    given = {
        k: v for k, v in locals().items() if k != "path" and v not in (None, False, 0.0, "exact")
    }
    reading = Reading(columns, decimal, dayfirst, date_format, sheet, zone)
    source = str(path) + ":" * bool(given) + ",".join(f"{k}={v}" for k, v in given.items())
    if reading.is_open and zone is None and not offset and join in get_args(Join):
        read = _plain_market(path, symbol, bars_per_year, source)
        if read is not None:
            return read[0]
    table = read_table(path, reading, symbol=symbol, adjust=adjust)
    return MarketData.from_table(
        table,
        name=market_name(path),
        error_name=str(path),
        bars_per_year=bars_per_year,
        source=source,
        join=join,
        offset=offset,
        hint=f"; see all with: tradinghf data check {path}",
    )


def _plain_market(
    path: Path, symbol: str | None, bars_per_year: float | None, source: str
) -> tuple[MarketData, bool] | None:
    """Bars of a Parquet file without a question, and whether its times name a zone; else None."""
    if path.suffix.lower() not in PARQUET_SUFFIXES or not path.is_file():
        return None
    try:
        read = plain_parquet(path, symbol or market_name(path))
        if read is None:
            return None
        per_year = infer_bars_per_year(read.stamps) if bars_per_year is None else bars_per_year
        about: Any = {"name": market_name(path), "source": source, **read.fields}
        market = MarketData(
            timestamps=read.stamps, symbols=read.symbols, bars_per_year=per_year, **about
        )
        return market, read.zoned
    except (MarketDataError, OSError):
        return None  # the careful reader says what is wrong, and where


FILE = Source("file", load_file, "A bar file: .csv, .parquet, .xlsx and others, also packed")


def market_name(path: Path) -> str:
    """Name of the bars of a file: its stem, without the endings of packed files."""
    stem = path.stem if path.suffix.lower() in PACKED_SUFFIXES else path.name
    return Path(stem).stem if Path(stem).suffix.lower() in SUFFIXES else stem


def read_table(
    path: Path, reading: Reading | None = None, *, symbol: str | None = None, adjust: bool = False
) -> Table:
    """Parse a file without judging its bars.

    Raises:
        MarketDataError: the file cannot be read, or lacks a column.

    """
    reading, what = reading or Reading(), str(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise MarketDataError(
            f"{path}: expected a file ending in {', '.join(SUFFIXES)}. Convert or rename it."
        )
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist"
            raise MarketDataError(f"{path}: {kind}. Give the path of a bar file.")
        size = path.stat().st_size
        if size == 0:
            raise MarketDataError(f"{path}: the file is empty. Export it again.")
        if suffix in PARQUET_SUFFIXES:
            columns = renamed(parquet_columns(path), reading.columns, what)
            return Table.from_columns(
                columns,
                symbol=symbol or market_name(path),
                adjust=adjust,
                date_format=reading.date_format,
                zone=reading.zone,
                what=what,
            )
        check_size(path, size, MAX_CSV_BYTES, "convert it to Parquet, or split it by asset")
        data, inner = unpacked(path, MAX_CSV_BYTES)
        bars = _plain(data, inner, reading, what)
    except OSError as error:
        raise MarketDataError(
            f"{path}: cannot be read ({error.strerror or error}). Check the path and permissions."
        ) from error
    return _table_of(bars, symbol or market_name(path), adjust, what)


def column_names(path: Path | str, *, sheet: str | None = None) -> list[str]:
    """Names of a bar file's columns as it has them; "column 1" and so on where it names none.

    Any of them, or its number, can be chosen as in `load_file`: `columns={"close": "Price"}`.

    Raises:
        MarketDataError: no file, or no table.
        MissingExtraError: a workbook, and the package that reads it is not installed.

    """
    path = Path(path)
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return [name for name, _ in parquet_columns(path)]
    data, suffix = unpacked(path, MAX_CSV_BYTES)
    names = _split(data, suffix, Reading(sheet=sheet), str(path)).names
    return [name.strip() or f"column {i}" for i, name in enumerate(names, start=1)]


def _plain(data: bytes, suffix: str, reading: Reading, what: str) -> PlainBars:
    """Columns of the content of a text file or workbook."""
    if suffix in TEXT_SUFFIXES and reading.is_open:
        usual = usual_bars(data, reading.zone)
        if usual is not None:
            return usual
    return plain_bars(_split(data, suffix, reading, what), reading, what)


def _split(data: bytes, suffix: str, reading: Reading, what: str) -> TextTable:
    """Cells of the content of a text file or workbook."""
    known = reading.column_names(what)
    if suffix in EXCEL_SUFFIXES:
        return read_rows(sheet_rows(io.BytesIO(data), what, reading.sheet), what, known=known)
    if suffix in TEXT_SUFFIXES:
        return split_text(decoded(data, what), what, known=known)
    raise MarketDataError(f"{what}: holds a file ending in {suffix!r}. Unpack it first.")


def _table_of(bars: PlainBars, symbol: str, adjust: bool, what: str) -> Table:
    return Table.from_columns(
        bars.columns,
        symbol=symbol,
        adjust=adjust,
        rows=bars.rows,
        date_format=bars.date_format,
        zone=bars.zone,
        ragged=bars.ragged,
        names=bars.names,
        note=bars.note,
        what=what,
    )


def parse_csv(data: bytes, *, symbol: str, date_format: str | None = None) -> Table:
    """Bars from the bytes of a CSV file; rows are numbered as a spreadsheet shows them.

    Raises:
        MarketDataError: not a CSV file with the expected columns.

    """
    bars = _plain(data, ".csv", Reading(date_format=date_format), symbol)
    return _table_of(bars, symbol, False, symbol)


def check_market_file(path: Path | str, **options: Any) -> list[Finding]:
    """Everything that is wrong with a bar file, and what merely looks odd; empty when all is well.

    Options as in `load_file`, also as text. Never raises on a bad file: what stops reading is a
    finding too.
    """
    path = Path(path)
    try:
        own, after = parted(options)
        given = FILE.converted(with_zone(own, after))
        symbol, adjust = given.pop("symbol", None), given.pop("adjust", False)
        market = {
            name: given.pop(name) for name in ("join", "bars_per_year", "offset") if name in given
        }
        if not given and not market.get("offset"):
            read = _plain_market(path, symbol, market.get("bars_per_year"), str(path))
            if read is not None:
                zone = _zone_offer(bool(_dates(read[0]) or read[1]))
                return [*zone, *market_warnings(treated(read[0], after))]
        table = read_table(path, Reading(**given), symbol=symbol, adjust=adjust)
        join = market.get("join", "exact")
        judged = joined(lifted(table, market.get("offset", 0.0), str(path))[0], join)
        found = [*table_findings(judged, aligned=join != "outer"), *_ignored_columns(table)]
        if any(finding.severity == "error" for finding in found):
            return found
        bars = treated(
            MarketData.from_table(table, name=str(path), **market), after, given.get("zone")
        )
        return [*found, *_offers(table), *market_warnings(bars)]
    except (MarketDataError, MissingExtraError) as error:
        return [Finding("", "", str(error).rstrip("."), "")]


def save_market(market: MarketData, path: Path | str) -> None:
    """Write bars as .csv or .parquet, one row per bar and asset; `load_file` gives them back.

    Floats are written so that they are read back bit for bit.

    Raises:
        MarketDataError: unknown suffix.
        WriteError: the disk refused (full, read-only).

    """
    path = Path(path)
    frame = market.to_long()
    suffix, written = path.suffix.lower(), (*_WRITTEN, *PARQUET_SUFFIXES)
    if suffix not in written:
        raise MarketDataError(f"{path}: expected a path ending in {', '.join(written)}.")
    with atomic_path(path) as draft:
        if suffix in PARQUET_SUFFIXES:
            # With checksums a flipped bit is found, not read as another price.
            frame.to_parquet(draft, index=False, engine="pyarrow", write_page_checksum=True)
        else:
            times = np.datetime_as_string(market.timestamps, unit="ns")
            stamps = np.tile(np.char.add(times, "Z"), market.assets)
            kept = slice(None) if market.listed is None else market.listed.ravel("F")
            frame["timestamp"] = stamps[kept]
            frame.to_csv(draft, index=False, sep="\t" if suffix == ".tsv" else ",")


def _offers(table: Table) -> list[Finding]:
    """What the file holds beside the bars that were loaded, or leaves to the reader."""
    found = []
    for note in table.note.split("; "):
        if note.endswith("left out") and not any(why in note for why in HARMLESS):
            fix = "Look whether they were meant as bars"
            found.append(Finding("", "", note, fix, "warning", "left_out"))
    if ADJUSTED_OFFER in table.note:
        problem, fix = "the adjusted close is not used", "Load with adjust=true to scale prices"
        found.append(Finding("", "adj_close", problem, fix, "warning", "adjusted_close"))
    return [*found, *_zone_offer(table.times.are_dates or bool(table.times.aware.any()))]


def _zone_offer(known: bool) -> list[Finding]:
    """A word about times of day whose zone is not `known`."""
    if known:
        return []
    problem, fix = "times of day without a zone are taken as UTC", "Name it: zone=Europe/Berlin"
    return [Finding("", "timestamp", problem, fix, "warning", "no_zone")]


def _dates(market: MarketData) -> bool:
    return bool((market.timestamps == market.timestamps.astype("datetime64[D]")).all())


def _ignored_columns(table: Table) -> list[Finding]:
    fix = "Rename it if it was meant"
    return [
        Finding("", name, "the column is not used", fix, "warning", "unused")
        for name in unused_names(table.columns)
    ]
