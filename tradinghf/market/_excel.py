"""Rows of Excel workbooks, by openpyxl, an optional extra."""

from __future__ import annotations

import importlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import Any, BinaryIO

from tradinghf.errors import MarketDataError, MissingExtraError, unknown_name

_MOST_ROWS = 1_048_576  # of an Excel sheet
_MOST_CELLS = 2**25  # of a sheet, the empty ones between others too: a cell far out costs no bytes
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    SyntaxError,  # of XML, by either parser
    LookupError,
    ArithmeticError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    RuntimeError,
    OSError,
)
"""What openpyxl raises for a workbook that is none."""


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
    with _readable(what):
        with zipfile.ZipFile(file) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > 2**30:
            raise MarketDataError(f"{what}: {size / 2**20:,.0f} MiB unpacked. Export it as CSV.")
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        try:
            names = list(book.sheetnames)
            if sheet is not None and sheet not in names:
                raise MarketDataError(f"{what}: {unknown_name('sheet', sheet, names)}")
            sheets = {name: _rows(book[name], what) for name in ([sheet] if sheet else names)}
        finally:
            book.close()
    filled = [name for name, rows in sheets.items() if any(any(row) for row in rows)]
    if len(filled) > 1:
        raise MarketDataError(
            f"{what}: {len(filled)} sheets hold something: {', '.join(filled[:8])}. "
            f"Choose one: sheet={filled[0]!r}."
        )
    return sheets[filled[0]] if filled else []


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except MarketDataError:
        raise
    except _DAMAGED as error:
        raise MarketDataError(
            f"{what}: not a readable Excel workbook ({error}). Save it again, or export it as CSV."
        ) from error


def _rows(sheet: Any, what: str) -> list[list[str]]:
    """Rows of one width; those that hold nothing are empty lists."""
    if hasattr(sheet, "reset_dimensions"):  # what a file says of its size need not be so
        sheet.reset_dimensions()
    rows: list[list[str]] = []
    width = filled = 0
    for row in sheet.iter_rows(max_row=_MOST_ROWS, values_only=True):
        holds = any(value is not None for value in row)
        rows.append([_text(value) for value in row] if holds else [])
        width, filled = max(width, len(rows[-1])), filled + holds
        if width * filled > _MOST_CELLS:
            raise MarketDataError(
                f"{what}: a sheet of {filled:,} rows and {width:,} columns; at most "
                f"{_MOST_CELLS:,} cells are read. Export it as CSV."
            )
    while rows and not any(rows[-1]):
        rows.pop()
    return [row + [""] * (width - len(row)) if row else row for row in rows]


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
