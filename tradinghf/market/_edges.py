"""Lines around the bars that a table has: totals and sentences below, units under the header."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tradinghf.market._column_names import canonical_name, is_date

_WORDS = "- -- \u2014 \u2013 null none n/a na #n/a #na nan nat n.a."
UNKNOWN = frozenset(_WORDS.split())
"""How vendors and spreadsheets write that a cell is not known, in small letters."""

_DIGIT = re.compile(r"\d")
_TOTALS = re.compile(
    r"(?:total|sum|average|avg|mean|median|min|max|high|low|change|durchschnitt|gesamt|mittel"
    r"|moyenne|media|média|promedio|gemiddeld|totaal|合计|总计|平均|合計)",
    re.IGNORECASE,
)
_FEWEST = 4  # numbers of a bar


def cut_footers(header: Sequence[str], cells: list[list[str]], odd: dict[int, list[str]]) -> int:
    """Cut rows at the end that are no bars; returns how many.

    Such a row holds one text, or a word where the others have their time: totals, averages,
    sentences. A row whose time is merely missing stays, and is found later.

    Args:
        header: names of the columns; empty texts where there is no header.
        cells: one list per column; shortened.
        odd: rows of another length, by index; those cut are taken out.

    """
    at, cut = _time_column(header, cells), 0
    while len(cells) > 1 and cells[0]:
        last = len(cells[0]) - 1
        row = odd.get(last, [column[last] for column in cells])
        if not _is_footer([cell.strip() for cell in row], at if last not in odd else None):
            return cut
        odd.pop(last, None)
        for column in cells:
            column.pop()
        cut += 1
    return cut


def _time_column(header: Sequence[str], cells: Sequence[Sequence[str]]) -> int | None:
    """Where every bar has a digit: the column of the times, if names or the first row tell it."""
    for i, name in enumerate(header):
        if name.strip() and (is_date(name) or canonical_name(name) == "timestamp"):
            return i
    first = [column[0] for column in cells if column]
    return next((i for i, cell in enumerate(first[:2]) if _DIGIT.search(cell)), None)


def _is_footer(row: Sequence[str], at: int | None) -> bool:
    texts = [cell for cell in row if cell]
    if len(texts) == 1:
        return texts[0][0].isalpha()
    if at is None or at >= len(row) or _DIGIT.search(row[at]) or not texts:
        return False
    if _TOTALS.match(row[at]):
        return True
    return sum(bool(_DIGIT.search(cell)) for cell in texts) < _FEWEST


def cut_units(header: Sequence[str], cells: list[list[str]], odd: dict[int, list[str]]) -> bool:
    """Cut a first row without any digit: units of the columns, or a ruled line."""
    if len(cells) < 2 or not any(header) or len(cells[0]) < 2 or 0 in odd:
        return False
    row = [column[0].strip() for column in cells]
    unknown = all(cell.casefold() in UNKNOWN or not cell for cell in row)
    # yfinance's second line names tickers, its third the column of times.
    tickers = row[0].lower() == "ticker" or canonical_name(cells[0][1]) == "timestamp"
    if tickers or unknown or any(map(_DIGIT.search, row)):
        return False
    for column in cells:
        del column[0]
    for i in sorted(odd):
        odd[i - 1] = odd.pop(i)
    return True


def tickers_above(above: Sequence[str], header: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the line above the header names the ticker of each column (yfinance, by ticker).

    The lines then begin with "Ticker", "Price" and "Date", or with nothing, nothing and "Date".
    """
    if not len(above) == len(header) == len(below) > 1:
        return False
    first = above[0].strip().lower(), header[0].strip().lower()
    return (
        first[0] in ("ticker", "symbols", "")
        and first[1] in ("price", "attributes", "")
        and all(cell.strip() for cell in above[1:])
        and canonical_name(below[0]) == "timestamp"
        and not any(cell.strip() for cell in below[1:])
    )
