"""Splits the text of a bar file into columns: separator, header, comments, footers, odd rows."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import Finding
from tradinghf.market._column_names import KNOWN_NAMES, canonical_name
from tradinghf.market._edges import cut_footers, cut_units, tickers_above
from tradinghf.market._thousands import rejoined

DELIMITERS = ",;\t|"
_COMMENTS = ("#", "//", "%")
_COMMENT_SIGNS = ("#", "/", "%")
HARMLESS = ("empty rows", "comment lines")
_WHY = (*HARMLESS, "repeated headers")
_PREAMBLE = 30  # lines above the header that a file may have
_LONGEST_LINE = 2**20  # ten thousand columns and more
_BLOCK = 10_000
_FEWEST = 5  # a time and four prices
_GAPS = re.compile(r"(?<=\S)[ \t]+(?=[^\s])|[ \t]+$", re.MULTILINE)
_ENDS = " \t\r\n\x1a\0" + DELIMITERS


@dataclass(frozen=True)
class TextTable:
    """Columns of text, before anything is read as a number or a time.

    Attributes:
        names: of the columns, as found; empty texts where the file has no header.
        cells: one list of [n] texts per column.
        rows: [n] number of each row as a spreadsheet shows it.
        ragged: findings on rows of another length, by index; their cells are empty.
        delimiter: what stands between cells; "" for workbooks.
        notes: what was left out on the way in.

    """

    names: tuple[str, ...]
    cells: list[list[str]]
    rows: NDArray[np.int64]
    ragged: dict[int, Finding] = field(default_factory=dict)
    delimiter: str = ","
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[tuple[str, Any]]:
        """(name, texts) pairs."""
        return list(zip(self.names, self.cells, strict=True))


def split_text(text: str, what: str, *, known: Iterable[str] = ()) -> TextTable:
    """Split the text of a CSV file.

    Args:
        text: the whole file.
        what: the file, for messages.
        known: further names of columns that the user gave.

    Raises:
        MarketDataError: there is no text, a line without end, or its quotes are broken.

    """
    # Spreadsheets append rows of bare separators, old programs an end mark; the first line break
    # there ends the data.
    end = text.find("\n", len(text.rstrip(_ENDS)))
    text = text.rstrip("\x1a\0") if end < 0 else text[:end]
    lines = [line.rstrip("\r") for line in text.split("\n", _PREAMBLE)[:_PREAMBLE]]
    if not any(line.strip() for line in lines):
        raise MarketDataError(f"{what}: the file holds no text. Export it again.")
    longest = max(range(len(lines)), key=lambda i: len(lines[i]))
    if len(lines[longest]) > _LONGEST_LINE:
        raise MarketDataError(
            f"{what}: line {longest + 1} has {len(lines[longest]):,} characters; expected at most "
            f"{_LONGEST_LINE:,}. This is no table of bars."
        )
    head, delimiter = _find_header(lines, set(known))
    body = text[_offset(text, head) :]
    beside = lines[max(head - 1, 0) : head + 2]
    if len(beside) == 3 and tickers_above(*(_cells(line, delimiter) for line in beside)):
        head -= 1  # the header goes first, as in such files by column
        body = f"{beside[1]}\n{beside[0]}\n{text[_offset(text, head + 2) :]}"
    if delimiter not in lines[head] and len(lines[head].split()) >= _FEWEST:
        body, delimiter = _GAPS.sub(" ", body), " "  # columns of fixed width
    rest = io.StringIO(body, newline="")
    reader = csv.reader(rest, delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        return _columns_of(reader, head + 1, delimiter, set(known))
    except csv.Error as error:
        raise MarketDataError(
            f"{what}: line {head + reader.line_num}: broken CSV ({error}). "
            "Check the quotes there, or export the file again."
        ) from error


def read_rows(rows: list[list[str]], what: str, *, known: Iterable[str] = ()) -> TextTable:
    """Columns of the rows of a sheet.

    Args:
        rows: cells, from the first row of the sheet.
        what: the file, for messages.
        known: further names of columns that the user gave.

    Raises:
        MarketDataError: there is nothing in it.

    """
    if not any(any(cell.strip() for cell in row) for row in rows):
        raise MarketDataError(f"{what}: the sheet is empty. Export it again.")
    top = rows[:_PREAMBLE]
    heads = [i for i, row in enumerate(top) if has_names(row, known)]
    heads += [i for i, row in enumerate(top) if sum(map(bool, row)) > 1]
    heads += [0]
    return _columns_of(iter(rows[heads[0] :]), heads[0] + 1, "", set(known))


def _columns_of(
    lines: Iterator[list[str]], first: int, delimiter: str, known: set[str]
) -> TextTable:
    """Columns of rows of cells; the first row is the header, unless it holds a bar.

    Args:
        lines: rows of cells.
        first: number of the first row, as people see it.
        delimiter: what stood between cells.
        known: further names of columns.

    """
    header = next(lines, [])
    if not has_names(header, known) and is_bar(header):
        lines, header = chain([header], lines), [""] * len(header)
    else:
        first += 1
        header = [header[0].lstrip("#").lstrip(), *header[1:]] if header else header
    read = _Rows(header, [[] for _ in header])
    # By blocks: a million row lists at once would keep the garbage collector busy.
    while block := list(islice(lines, _BLOCK)):
        read.add(block)
    rows = first + np.delete(np.arange(read.count, dtype=np.int64), list(read.left_out))
    footers = cut_footers(read.header, read.cells, read.odd)
    joined = _rejoin(read.cells, read.odd, len(rows)) if delimiter == "," else 0
    rows = rows[: len(rows) - footers]
    counts = Counter(read.left_out.values())
    notes = [f"{counts[why]} {why} left out" for why in _WHY if counts[why]]
    if footers:
        notes.append(f"{footers} lines of text at the end left out")
    if joined:
        notes.append(f"thousands without quotes joined in {joined} rows")
    if cut_units(read.header, read.cells, read.odd):
        rows = rows[1:]
        notes.append("the line under the header left out")
    commas = delimiter == "," and 2 * len(read.odd) > len(rows)
    ragged = {i: _ragged(int(rows[i]), row, len(header), commas) for i, row in read.odd.items()}
    return TextTable(tuple(header), read.cells, rows, ragged, delimiter, tuple(notes))


@dataclass
class _Rows:
    """Columns while they are being read.

    Attributes:
        header: names of the columns.
        cells: one list per column.
        count: rows so far, those left out too.
        left_out: why, by place.
        odd: rows of another length, by index among the others.

    """

    header: list[str]
    cells: list[list[str]]
    count: int = 0
    left_out: dict[int, str] = field(default_factory=dict)
    odd: dict[int, list[str]] = field(default_factory=dict)

    def add(self, block: list[list[str]]) -> None:
        """Append rows."""
        kept = block if set(map(len, block)) == {len(self.cells)} else None
        heads = "\n".join(["", *(row[0] for row in block if row), ""])
        signs = ("\n", *_COMMENT_SIGNS, f"{self.header[0]}\n" if self.header else "\n")
        if kept is None or any(f"\n{sign}" in heads for sign in signs):
            kept = self._sorted_out(block)
        self.count += len(block)
        for column, values in zip(self.cells, zip(*kept, strict=True), strict=False):
            column.extend(values)

    def _sorted_out(self, block: list[list[str]]) -> list[list[str]]:
        """Rows of `width` cells; others are left out, or emptied and noted as odd."""
        width, kept = len(self.cells), []
        open_end = not self.header or not self.header[-1].strip()
        for place, row in enumerate(block, self.count):
            if why := self._no_row(row):
                self.left_out[place] = why
            elif len(row) == width:
                kept.append(row)
            elif len(row) == width + 1 and not row[-1].strip():
                kept.append(row[:-1])
            elif len(row) == width - 1 and open_end:
                kept.append([*row, ""])
            else:
                self.odd[place - len(self.left_out)] = row
                kept.append([""] * width)
        return kept

    def _no_row(self, row: list[str]) -> str:
        """Why a row is none of the table's; "" if it is one."""
        if not any(cell.strip() for cell in row):
            return "empty rows"
        if row[0].lstrip().startswith(_COMMENTS):
            return "comment lines"
        return "repeated headers" if row == self.header and any(row) else ""


def _ragged(row: int, cells: list[str], width: int, commas: bool) -> Finding:
    problem = f"{len(cells)} cells; the header has {width}"
    fix = "Add or remove separators; quote text with separators"
    if commas and len(cells) > width:
        fix = "If commas are decimal marks here, export with semicolons, or with decimal points"
    return Finding(f"row {row}", "", problem, fix, rule="ragged_row")


def _rejoin(cells: list[list[str]], odd: dict[int, list[str]], count: int) -> int:
    """Fill in rows whose thousands were written without quotes, if most rows are so."""
    if 2 * len(odd) <= count:
        return 0
    found = {i: rejoined(row, len(cells)) for i, row in odd.items()}
    done = {i: row for i, row in found.items() if row is not None}
    if 2 * len(done) <= count:
        return 0
    for i, row in done.items():
        del odd[i]
        for column, cell in zip(cells, row, strict=True):
            column[i] = cell
    return len(done)


def has_names(cells: Sequence[str], known: Iterable[str] = ()) -> bool:
    """Whether a row of cells is a header: it names at least three columns of a bar."""
    names = {canonical_name(cell) for cell in cells}
    given = {cell.strip() for cell in cells} & set(known)
    return len(names & set(KNOWN_NAMES)) + len(given) >= 3


def is_bar(cells: Sequence[str]) -> bool:
    """Whether a row of cells holds a bar: a time in the first two cells, then numbers."""
    return (
        len(cells) >= 5
        and any(_is_time(cell) for cell in cells[:2])
        and sum(_is_number(cell) for cell in cells) >= 4
    )


def _is_time(cell: str) -> bool:
    text = cell.strip()
    digits = sum(c.isdigit() for c in text)
    return text[:1].isdigit() and digits >= 6 and (text.isdigit() or digits < len(text) <= 40)


def _is_number(cell: str) -> bool:
    text = cell.strip().lstrip("$€£¥+-")
    return text[:1].isdigit() and all(c.isdigit() or c in ".,eE+- '" for c in text)


def _find_header(lines: list[str], known: set[str]) -> tuple[int, str]:
    """(index of the line where the table begins, its delimiter)."""
    told = next((x[4:5] or "\t" for x in lines[:1] if x.lower().startswith("sep=")), "")
    marks = told if told and told in DELIMITERS else DELIMITERS
    split = [(i, mark, _cells(x, mark)) for i, x in enumerate(lines) for mark in marks]
    split = [part for part in split if not (part[0] == 0 and told)]
    for i, mark, cells in split:
        if has_names(cells, known):
            return i, mark
    for i, mark, cells in split:
        if is_bar(cells):
            above = _cells(lines[i - 1], mark) if i else []
            # A header of another length than the rows is found below: it is not passed over.
            named = len(above) >= len(cells) - 1 and not any(cell[:1].isdigit() for cell in above)
            return i - named, mark
    usable = [i for i, line in enumerate(lines) if line.strip() and not (i == 0 and told)]
    plain = [i for i in usable if not lines[i].lstrip().startswith(_COMMENTS)]
    first = (plain or usable or [0])[0]
    return first, max(marks, key=lines[first].count)


def _cells(line: str, mark: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error:
        return []


def _offset(text: str, line: int) -> int:
    at = 0
    for _ in range(line):
        at = text.index("\n", at) + 1
    return at
