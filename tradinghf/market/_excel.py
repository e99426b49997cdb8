"""Rows of Excel workbooks, by openpyxl, an optional extra."""

from __future__ import annotations

import importlib
import zipfile
from datetime import date, datetime, time
from typing import Any, BinaryIO

from tradinghf.errors import MarketDataError, MissingExtraError, unknown_name

_MOST_ROWS = 1_048_576  # of an Excel sheet


def sheet_rows(file: BinaryIO, what: str, sheet: str | None) -> list[list[str]]:
    """Rows of cells, as text, of one sheet.

    Args:
        file: the workbook.
        what: its name, for messages.
        sheet: the sheet's name; by default the only one that holds something.

    Raises:
        MarketDataError: damaged, or several sheets hold something and none is chosen.
        MissingExtraError: openpyxl is not installed.

    """
    try:
        openpyxl: Any = importlib.import_module("openpyxl")
    except ImportError as error:
        raise MissingExtraError("openpyxl", "excel", "Reading an Excel workbook") from error
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > 2**30:
            raise MarketDataError(f"{what}: {size / 2**20:,.0f} MiB unpacked. Export it as CSV.")
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, TypeError) as error:
        if isinstance(error, MarketDataError):
            raise
        raise MarketDataError(
            f"{what}: not a readable Excel workbook ({error}). Save it again, or export it as CSV."
        ) from error
    try:
        names = list(book.sheetnames)
        if sheet is not None and sheet not in names:
            raise MarketDataError(f"{what}: {unknown_name('sheet', sheet, names)}")
        sheets = {name: _rows(book[name]) for name in ([sheet] if sheet else names)}
    finally:
        book.close()
    filled = [name for name, rows in sheets.items() if any(any(row) for row in rows)]
    if len(filled) > 1:
        raise MarketDataError(
            f"{what}: {len(filled)} sheets hold something: {', '.join(filled[:8])}. "
            f"Choose one: sheet={filled[0]!r}."
        )
    return sheets[filled[0]] if filled else []


def _rows(sheet: Any) -> list[list[str]]:
    rows = [
        [_text(v) for v in row] for row in sheet.iter_rows(max_row=_MOST_ROWS, values_only=True)
    ]
    while rows and not any(rows[-1]):
        rows.pop()
    return rows


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
