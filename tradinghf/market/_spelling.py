"""How vendors and languages spell times, brought to one spelling; nothing is read here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from tradinghf.errors import MarketDataError

_ABBREVIATED = re.compile(
    r"\s*\b(EST|EDT|ET|CST|CDT|CT|MST|MDT|PST|PDT|PT|CET|CEST|MEZ|MESZ|EET|EEST|WET|WEST|BST|JST"
    r"|IST|HKT|SGT|MSK|KST|AEST|AEDT)$"
)
_PARENTHESIS = re.compile(r"\s*\([^()]*\)$")  # "GMT-0500 (Eastern Standard Time)"
_GMT = re.compile(r"\s*(?:GMT|UTC)\s*([+-]\d{2}:?\d{2})$")
_UNIVERSAL = re.compile(r":\d\d(?:\.\d+)? (?:GMT|UTC)$")
_GAPS = re.compile(r"(?<=\d[./-]) (?=\d)")  # "2023- 03- 01"
_WEEKDAY = re.compile(
    r"(?:mon|tue|wed|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so|lun|mar|mer|jeu|ven|sam|dim|mié|jue|vie"
    r"|sáb|dom|gio|sab|seg|ter|qua|qui|sex|ma|wo|vr|za|zo)[^\W\d_]*\.?,?(?:-feira,?)? +(?=\S)",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}\.?[ -](?:de )?[^\W\d_]{3,}|[^\W\d_]{3,}\.? \d{1,2}\b"
)
_HALVES = (("上午", "AM"), ("下午", "PM"), ("午前", "AM"), ("午後", "PM"))
_HALF = re.compile(r"(?<=\d) ?([ap])\.? ?m\.?$", re.IGNORECASE)
_FRENCH_HOUR = re.compile(r" (\d{1,2}) ?[hH] ?(\d{2})$")
_DOTTED_HOUR = re.compile(r"(?<=\d) (\d{1,2})\.(\d{2})$")
_REPUBLIC = re.compile(r"^(\d{3})/(\d{2}/\d{2})(?!\d)")
_SERIAL = re.compile(r"[2-6]\d{4}(?:\.\d+)?")
_ROUNDED = re.compile(r"\d(?:\.\d+)?[eE]\+\d{2}")
_EPOCH = re.compile(r"(\d{9,19})\.(\d+)")
# Ten digits that are a day and an hour would be Unix seconds from 2032 on.
_WHOLE = ((14, "%Y%m%d%H%M%S"), (12, "%Y%m%d%H%M"), (10, "%Y%m%d%H"))


def spelled(texts: Sequence[str], *, zone: str | None, what: str) -> list[str]:
    """Times without weekdays, with AM and PM, numbers of spreadsheets as dates.

    Args:
        texts: [n] as in the file.
        zone: IANA zone that the user gave; needed where a zone is only abbreviated.
        what: the file, for messages.

    Raises:
        MarketDataError: a zone is abbreviated, or a spreadsheet has rounded the times away.

    """
    joined = "\n".join(["", *texts, ""])
    tidy = not any(gap in joined for gap in ("  ", "\n ", " \n", "\t", "\u00a0", "\u202f"))
    cells = list(texts) if tidy else [" ".join(text.split()) for text in texts]
    some = next((cell for cell in cells if cell), "")
    for change in _CHANGES:
        if change(some) != some:
            cells = [change(cell) for cell in cells]
            some = change(some)
    if _ROUNDED.fullmatch(some):
        raise MarketDataError(
            f"{what}: a spreadsheet rounded the times ({some!r}), so that bars cannot be told "
            "apart. Export the file again, without opening it in a spreadsheet."
        )
    found = _ABBREVIATED.search(some)
    if found is not None:
        if zone is None:
            raise MarketDataError(
                f"{what}: {some!r} abbreviates its time zone, and {found[1]!r} is no name of one. "
                "Name it, for example zone=America/New_York or zone=Europe/Berlin."
            )
        cells = [_ABBREVIATED.sub("", cell) for cell in cells]
    if _EPOCH.fullmatch(some):
        cells = _whole_epochs(cells)
    if _SERIAL.fullmatch(some) and all(_SERIAL.fullmatch(cell) or not cell for cell in cells):
        cells = [_excel_date(float(cell)) if cell else "" for cell in cells]
    return cells


def _without_weekday(cell: str) -> str:
    found = _WEEKDAY.match(cell)
    rest = cell[found.end() :] if found else ""
    # "Mar 01, 2023" begins with a month: what follows a weekday is a date of its own.
    return rest if _DATE.match(rest) else cell


def _half_day(cell: str) -> str:
    for word, half in _HALVES:
        if word in cell:
            cell = " ".join(cell.replace(word, " ").split()) + f" {half}"
    return _HALF.sub(lambda found: f" {found[1].upper()}M", cell)


def _clock(cell: str) -> str:
    cell = cell.removesuffix(" Uhr")
    cell = _FRENCH_HOUR.sub(r" \1:\2", cell)
    return _DOTTED_HOUR.sub(r" \1:\2", cell)


def _offset(cell: str) -> str:
    cell = _GAPS.sub("", _GMT.sub(r"\1", _PARENTHESIS.sub("", cell)))  # "GMT+0100"
    return f"{cell[:-4]}Z" if _UNIVERSAL.search(cell) else cell


def _republic_year(cell: str) -> str:
    """Years of the Republic of China begin with 1912: 112/03/01 is 2023/03/01."""
    return _REPUBLIC.sub(lambda found: f"{int(found[1]) + 1911}/{found[2]}", cell, count=1)


_CHANGES: tuple[Callable[[str], str], ...] = (
    _offset,
    _without_weekday,
    _half_day,
    _clock,
    _republic_year,
)


def _whole_epochs(cells: list[str]) -> list[str]:
    """Unix times with a fraction: without it where it is 0, else seconds as milliseconds."""
    found = [_EPOCH.fullmatch(cell) for cell in cells if cell]
    split = [(match[1], match[2]) for match in found if match]
    if not split or len(split) < len(found):
        return cells
    if not any(part.strip("0") for _, part in split):
        return [cell.partition(".")[0] for cell in cells]
    if max(len(whole) for whole, _ in split) > 10:
        return cells
    return [whole + (part + "00")[:3] for whole, _, part in (cell.partition(".") for cell in cells)]


def _excel_date(number: float) -> str:
    """The day that a spreadsheet numbers so, and the time of day as its fraction."""
    stamp = datetime(1899, 12, 30) + timedelta(milliseconds=round(number * 86_400) * 1000)
    return stamp.isoformat(sep=" ") if number % 1 else stamp.date().isoformat()


def compact_format(cells: Sequence[str]) -> str | None:
    """The format of 202303010930, where every cell is such a time; it is no Unix time then."""
    some = [cell for cell in cells if cell]
    for digits, written in _WHOLE:
        if some and all(len(cell) == digits and cell.isdigit() for cell in some):
            try:
                years = {datetime.strptime(cell, written).year for cell in some}
            except ValueError:
                return None
            return written if 1900 < min(years) <= max(years) < 2100 else None
    return None
