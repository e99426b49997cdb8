"""Rows of fills in a broker's file: which lines they are, and what each cell of them means."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tradinghf.errors import MarketDataError
from tradinghf.market._archives import EXCEL_SUFFIXES, TEXT_SUFFIXES, decoded, unpacked
from tradinghf.market._bar_rules import Finding
from tradinghf.market._excel import sheet_rows
from tradinghf.market._fill_names import COSTS, NEEDED, fill_columns, side_of
from tradinghf.market._text_table import DELIMITERS

_MOST_BYTES = 512 * 2**20
_MOST_SECTIONS = 3  # tables of a report that may be fills
_MONEY = {"balance", "credit", "deposit", "withdrawal", "dividend"}


@dataclass(frozen=True)
class Row:
    """One fill as text.

    Attributes:
        number: of the row, as a spreadsheet shows it.
        cells: our name -> text; names that the file lacks are absent.

    """

    number: int
    cells: dict[str, str]


@dataclass
class FillRows:
    """The fills of a file as text, and everything else that it holds.

    Attributes:
        rows: the fills, as in the file.
        money: rows that move money without a trade (deposits).
        findings: rows that are no fill that can be read, each with the reason.
        dialect: whose file it is, in words.
        delimiter: between cells; "" for workbooks.
        shorts: whether the broker's accounts sell what they do not hold.

    """

    rows: list[Row] = field(default_factory=list)
    money: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    dialect: str = "a list of fills"
    delimiter: str = ","
    shorts: bool = False


def fill_rows(path: Path, sheet: str | None = None) -> FillRows:
    """Find the fills in a broker's file.

    Args:
        path: text or a workbook, also packed.
        sheet: of a workbook that has several.

    Raises:
        MarketDataError: unreadable, or no columns of fills in it.
        MissingExtraError: a workbook, and the package that reads it is not installed.

    """
    what = str(path)
    try:
        data, suffix = unpacked(path, _MOST_BYTES)
    except OSError as error:
        raise MarketDataError(
            f"{path}: cannot be read ({error.strerror or error}). Check the path."
        ) from error
    if suffix in EXCEL_SUFFIXES:
        return _of_lines(list(enumerate(sheet_rows(io.BytesIO(data), what, sheet), 1)), "", what)
    if suffix not in TEXT_SUFFIXES:
        raise MarketDataError(f"{path}: expected a .csv, .tsv, .txt or .xlsx file of fills.")
    text = decoded(data, what)
    tables = {mark: _lines(text, mark, what) for mark in DELIMITERS}
    best = max(tables, key=lambda mark: _fit(tables[mark]))
    return _of_lines(tables[best], best, what)


def _lines(text: str, mark: str, what: str) -> list[tuple[int, list[str]]]:
    """(number, cells) of each line that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise MarketDataError(f"{what}: line {reader.line_num}: broken CSV ({error}).") from error


def _fit(lines: Sequence[tuple[int, list[str]]]) -> int:
    return max((len(fill_columns(cells)) for _, cells in lines if _is_header(cells)), default=0)


def _is_header(cells: Sequence[str]) -> bool:
    return set(NEEDED) <= set(fill_columns(cells))


def _of_lines(lines: list[tuple[int, list[str]]], mark: str, what: str) -> FillRows:
    if any(cells[:2] == ["Trades", "Header"] for _, cells in lines):
        return _statement(lines, mark)
    heads = [i for i, (_, cells) in enumerate(lines) if _is_header(cells)]
    if not heads:
        shown = ", ".join(repr(cell.strip()) for cell in lines[0][1][:10]) if lines else "nothing"
        raise MarketDataError(
            f"{what}: no columns of fills. Expected time, symbol, side, quantity, price and "
            f"perhaps fee; the file begins with {shown}. Rename its columns so."
        )
    deals = [i for i in heads if "deal" in (cell.strip().lower() for cell in lines[i][1])]
    head = (deals or heads[:_MOST_SECTIONS])[0]
    later = [i for i in heads if i > head] + [len(lines)]
    header, body = lines[head][1], lines[head + 1 : later[0]]
    places = fill_columns(header)
    names = {cell.strip().lower() for cell in header}
    if len(places["timestamp"]) > 1 and _twice(header, "price"):
        return _round_trips(header, body, mark)
    found = FillRows(delimiter=mark)
    if "deal" in names:
        found.dialect, found.shorts = "MetaTrader 5 deals", True
    elif "ibcommission" in names:
        found.dialect, found.shorts = "an Interactive Brokers flex query", True
    elif any(name.startswith("date(utc)") for name in names):
        found.dialect = "Binance trades"
    _sort_in(found, header, body, len(header))
    return found


def _sort_in(
    found: FillRows, header: Sequence[str], body: Sequence[tuple[int, list[str]]], width: int
) -> None:
    """Put the lines below a header where they belong: fills, money, or findings."""
    places = fill_columns(header)
    for number, cells in body:
        if len(cells) < width and len(cells) < max(p[0] for p in places.values()) + 1:
            said = " ".join(cell.strip() for cell in cells if cell.strip())[:60]
            found.findings.append(_aside(number, f"{said!r} has {len(cells)} cells, not {width}"))
            continue
        row = Row(number, _cells(places, cells))
        kind = row.cells.get("side", "").strip().casefold()
        if kind in _MONEY or (kind and not side_of(kind) and not row.cells.get("symbol", "")):
            found.money.append(row)
        else:
            found.rows.append(row)


def _cells(places: dict[str, list[int]], cells: Sequence[str]) -> dict[str, str]:
    """The row's texts by our names; of two columns for the side, the one that says it."""
    out = {}
    for name, found in places.items():
        texts = [cells[place].strip() for place in found if place < len(cells)]
        if name == "side":
            texts = [t for t in texts if side_of(t)] or texts
        out[name] = texts[0] if texts else ""
    return out


def _statement(lines: list[tuple[int, list[str]]], mark: str) -> FillRows:
    """The section Trades of an Interactive Brokers activity statement."""
    found = FillRows(dialect="an Interactive Brokers statement", delimiter=mark, shorts=True)
    trades = [(number, cells) for number, cells in lines if cells[0] == "Trades"]
    kinds = {cells[2] for _, cells in trades if cells[1] == "Data"}
    # An order is the sum of its trades: one kind of row only.
    wanted = "Order" if "Order" in kinds else "Trade"
    header: list[str] = []
    for number, cells in trades:
        if cells[1] == "Header":
            header = cells
        elif cells[1] == "Data" and cells[2] == wanted:
            _sort_in(found, header, [(number, cells)], len(header))
    return found


def _twice(header: Sequence[str], name: str) -> bool:
    return sum(cell.strip().lower() == name for cell in header) > 1


def _round_trips(header: list[str], body: list[tuple[int, list[str]]], mark: str) -> FillRows:
    """MetaTrader's closed positions: a row opens and closes, so it is two fills."""
    found = FillRows(dialect="MetaTrader positions", delimiter=mark, shorts=True)
    places = fill_columns(header)
    prices = [i for i, cell in enumerate(header) if cell.strip().lower() == "price"][:2]
    times = sorted(places["timestamp"])[:2]
    _sort_in(found, header, body, len(header))
    by_number = dict(body)
    legs = []
    for row in found.rows:
        cells, own = by_number[row.number], dict(row.cells)
        opened = {"timestamp": cells[times[0]].strip(), "price": cells[prices[0]].strip()}
        closed = {"timestamp": cells[times[1]].strip(), "price": cells[prices[1]].strip()}
        side = side_of(own.get("side", ""))
        # The row's costs are charged when it closes.
        first = own | opened | dict.fromkeys(set(COSTS) & set(own), "")
        legs.append(Row(row.number, first | {"id": f"{own.get('id', '')} opened"}))
        last = own | closed | {"id": f"{own.get('id', '')} closed"}
        legs.append(Row(row.number, last | {"side": "sell" if side > 0 else "buy"}))
    found.rows = legs
    return found


def _aside(number: int, why: str) -> Finding:
    return Finding(f"row {number}", "", why, "It is no fill", "warning", "no_fill")
