"""Tables of preferences in files: arrays, JSON and CSV, by the names of their columns."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tradinghf._json import parse_json
from tradinghf._npz import opened_npz
from tradinghf.errors import FeedbackError


def read_columns(path: Path) -> dict[str, Any]:
    """The columns of a file, whatever they are called.

    Raises:
        FeedbackError: no such file, or none that is read here.

    """
    readers = {".npz": read_arrays, ".json": _json, ".jsonl": _json_lines, ".csv": _csv}
    if path.suffix not in readers:
        raise FeedbackError(
            f"Cannot read {path.name}; expected .npz, .json, .jsonl or .csv. Files of pickled "
            "objects may run code: save their arrays with numpy.savez instead."
        )
    if not path.is_file():
        raise FeedbackError(f"There is no file {path}.")
    return readers[path.suffix](path)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz; no objects, which could run code.

    Raises:
        FeedbackError: another file.

    """
    try:
        with opened_npz(path) as found:
            return dict(found)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise FeedbackError(
            f"{path.name} is no .npz of plain arrays: {error}. Save arrays of numbers with "
            "numpy.savez; objects are not read, since they may run code."
        ) from error


def _json(path: Path) -> dict[str, Any]:
    """One object of columns, or a list of rows."""
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FeedbackError(f"{path.name} is no JSON: {error}.") from error
    if isinstance(found, dict):
        return found
    return _columns(path.name, found if isinstance(found, list) else [found])


def _json_lines(path: Path) -> dict[str, Any]:
    def rows() -> Iterator[Any]:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield parse_json(line)
                except (ValueError, RecursionError) as error:
                    raise FeedbackError(f"{path.name}, line {number}: no JSON: {error}.") from error

    return _columns(path.name, list(rows()))


def _columns(name: str, rows: Sequence[Any]) -> dict[str, Any]:
    """Rows by column, those that all of them have."""
    if not rows:
        raise FeedbackError(f"{name} holds no pair.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise FeedbackError(
                f"{name}, row {number} is a {type(row).__name__}; expected an object."
            )
    shared = [key for key in rows[0] if all(key in row for row in rows)]
    return {key: [row[key] for row in rows] for key in shared}


def _csv(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = list(reader.fieldnames or ())
            rows = list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise FeedbackError(f"{path.name} is not a CSV file in UTF-8: {error}.") from error
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise FeedbackError(f"{path.name} has two columns {twice[0]!r}; expected each name once.")
    if any(None in row or None in row.values() for row in rows):
        raise FeedbackError(f"{path.name}: expected as many cells in every row as columns.")
    return _columns(path.name, rows)
