"""The format of a column of times, found from all its rows; a day is never taken for a month."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tradinghf.errors import MarketDataError
from tradinghf.market._spelling import compact_format, spelled

_MONTHS = (
    "jan january januar jänner janvier janv enero ene gennaio gen janeiro januari",
    "feb february februar février févr fév febrero febbraio fevereiro fev februari",
    "mar march märz mär mars marzo março maart mrt",
    "apr april avril avr abril abr aprile",
    "may mai mayo maggio mag maio mei",
    "jun june juni juin junio giugno giu junho",
    "jul july juli juillet juil julio luglio lug julho",
    "aug august août aoû agosto ago augustus",
    "sep sept september septembre septiembre settembre set setembro",
    "oct october okt oktober octobre octubre ottobre ott outubro out",
    "nov november novembre noviembre novembro",
    "dec december dez dezember décembre déc diciembre dic dicembre dezembro",
)
_MONTH = {word: i + 1 for i, words in enumerate(_MONTHS) for word in words.split()}
_WORD = re.compile(r"[^\W\d_]{3,}", re.UNICODE)
_NUMERIC = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
_YEAR_FIRST = re.compile(r"\d{4}([./])\d{1,2}\1\d{1,2}(?!\d)")
_COMPACT = re.compile(r"\d{8}(?!\d)")
_HALF_DAY = re.compile(r"(?<=\d) ?[AP]M$")
_EASTERN = re.compile(r"(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日")
_ZONE = re.compile(r"\s+([A-Z][A-Za-z]+/[A-Za-z_/]+)$")
_CLOCKS = (
    (r"\d{1,2}:\d{2}", "%H:%M"),
    (r"\d{1,2}:\d{2}:\d{2}", "%H:%M:%S"),
    (r"\d{1,2}:\d{2}:\d{2}\.\d{1,6}", "%H:%M:%S.%f"),
    (r"\d{1,2}:\d{2}\s*[AaPp][Mm]", "%I:%M %p"),
    (r"\d{1,2}:\d{2}:\d{2}\s*[AaPp][Mm]", "%I:%M:%S %p"),
    (r"\d{4}", "%H%M"),
    (r"\d{6}", "%H%M%S"),
)
_COMPACT_CLOCK = re.compile(r"\d{8}-\d\d:[\d:]+")
_OFFSET = re.compile(r"\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})$")


@dataclass(frozen=True)
class TimeTexts:
    """Texts of times, ready to be read.

    Attributes:
        texts: [n] one per row; month names are English, zones are cut off.
        date_format: strftime format; None for ISO 8601 and Unix epochs.
        zone: IANA zone that every row named.

    """

    texts: list[str]
    date_format: str | None = None
    zone: str | None = None


def time_texts(
    texts: Sequence[str],
    rows: Sequence[int],
    *,
    dayfirst: bool | None,
    zone: str | None = None,
    what: str,
) -> TimeTexts:
    """Find how a column of times is written.

    Args:
        texts: [n] as in the file.
        rows: [n] numbers of the rows, as people see them.
        dayfirst: the user's choice for 01/03/2023; None where the file has to decide.
        zone: IANA zone that the user gave, if any.
        what: the file, for messages.

    Raises:
        MarketDataError: the rows contradict each other, or leave two readings.

    """
    cells, zone = _without_zone(spelled(texts, zone=zone, what=what))
    some = next((cell for cell in cells if cell), "")
    if _EASTERN.match(some):
        cells = [_EASTERN.sub(r"\1-\2-\3", cell) for cell in cells]
        return TimeTexts(cells, _with_clock("%Y-%m-%d", cells), zone)
    if _YEAR_FIRST.match(some):
        mark = some[4]
        return TimeTexts(cells, _with_clock(f"%Y{mark}%m{mark}%d", cells), zone)
    if _COMPACT.match(some) and (" " in some or _COMPACT_CLOCK.fullmatch(some)):
        return TimeTexts(cells, _with_clock("%Y%m%d", cells), zone)
    if (whole := compact_format(cells)) is not None:
        return TimeTexts(cells, whole, zone)
    if _NUMERIC.match(some):
        order = _numeric_order(cells, rows, dayfirst, what)
        return TimeTexts(cells, _with_clock(order, cells), zone)
    if _WORD.search(some) and (named := _named_months(cells)) is not None:
        return TimeTexts(named, _with_clock("%Y-%m-%d", named), zone)
    if _HALF_DAY.search(some):
        return TimeTexts(cells, _with_clock("%Y-%m-%d", cells), zone)
    return TimeTexts(cells, None, zone)


def _without_zone(cells: list[str]) -> tuple[list[str], str | None]:
    """Cells without the zone at their end, where all of them name the same."""
    some = next((cell for cell in cells if cell), "")
    found = _ZONE.search(some)
    if found is None or not all(not c or c.endswith(found[0]) for c in cells):
        return cells, None
    try:
        ZoneInfo(found[1])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return cells, None
    return [cell.removesuffix(found[0]) for cell in cells], found[1]


def _with_clock(date: str, cells: Sequence[str]) -> str:
    """The format of date and time of day: the clock that most rows have tells."""
    some = next((cell for cell in cells if cell), "")
    joint = re.search(r"(?<=\d)(, | |T|-(?=\d\d:))(?=\d)", some)
    if joint is None:
        return date
    clock = some[joint.end() :]
    offset = _OFFSET.search(clock)
    if offset:
        clock = clock[: offset.start()]
    for pattern, written in _CLOCKS:
        if re.fullmatch(pattern, clock):
            written = written if " " in clock else written.replace(" %p", "%p")
            gap = " " if offset and offset[0].startswith(" ") else ""
            return f"{date}{joint[1]}{written}{gap + '%z' if offset else ''}"
    return date


def _numeric_order(
    cells: Sequence[str], rows: Sequence[int], dayfirst: bool | None, what: str
) -> str:
    """Format of 01/03/2023 and its kin, from the numbers above 12."""
    first: dict[str, tuple[int, str]] = {}
    mark, decided = "/", {"day": 0, "month": 0}
    seen: set[str] = set()
    for i, cell in enumerate(cells):
        date = cell.partition(" ")[0]
        if date in seen or (found := _NUMERIC.match(date)) is None:
            continue
        seen.add(date)
        left, mark, right, year = int(found[1]), found[2], int(found[3]), found[4]
        if len(year) == 2:
            raise MarketDataError(
                f"{what}: row {rows[i]}: the year of {date!r} has two digits. Name the format, "
                f"for example date_format='%d{mark}%m{mark}%y' or '%m{mark}%d{mark}%y'."
            )
        kind = "day" if left > 12 else "month" if right > 12 else ""
        kind = kind or ("either" if left != right else "")
        if kind:
            first.setdefault(kind, (rows[i], date))
        if kind in decided:
            decided[kind] += 1
    formats = {True: f"%d{mark}%m{mark}%Y", False: f"%m{mark}%d{mark}%Y"}
    if "day" in first and "month" in first:
        (a, day), (b, month) = first["day"], first["month"]
        raise MarketDataError(
            f"{what}: row {a}: {day!r} has the day first, row {b}: {month!r} the month. "
            "Write all dates in one way."
        )
    known = True if "day" in first else False if "month" in first else None
    if dayfirst is not None:
        if known is not None and known != dayfirst:
            row, date = first["day" if known else "month"]
            raise MarketDataError(
                f"{what}: row {row}: {date!r} has the {'day' if known else 'month'} first. "
                f"Load with dayfirst={str(known).lower()}, or leave it out."
            )
        return formats[dayfirst]
    if known is None and "either" in first:
        raise MarketDataError(_both_readings(cells, formats, first["either"], what))
    return formats[True if known is None else known]


def _both_readings(
    cells: Sequence[str], formats: dict[bool, str], first: tuple[int, str], what: str
) -> str:
    dates = [cell.partition(" ")[0] for cell in cells if cell]
    ends = dates[0], dates[-1]

    def reading(dayfirst: bool) -> str:
        read = [datetime.strptime(date, formats[dayfirst]) for date in ends]
        return " to ".join(f"{date.day} {date:%B %Y}" for date in read)

    try:
        both = [reading(True), reading(False)]
    except ValueError:
        both = ["the day first", "the month first"]
    return (
        f"{what}: row {first[0]}: {first[1]!r} has two readings, and no row decides: {ends[0]} to "
        f"{ends[1]} is {both[0]} (dayfirst=true) or {both[1]} (dayfirst=false). Choose one."
    )


_NAMED = re.compile(
    r"(?:(?P<d1>\d{1,2})(?:\.|st|nd|rd|th|º)?[ -](?:de )?)?(?P<m>[^\W\d_]{3,})\.?[ -](?:de )?"
    r"(?:(?P<d2>\d{1,2})(?:st|nd|rd|th)?,? )?(?P<y>\d{4}|\d{2})(?!\d|:)"
)


def _named_months(cells: Sequence[str]) -> list[str] | None:
    """Cells with "Mar 01, 2023" or "1. März 2023" written as 2023-03-01; None if they differ."""
    known: dict[str, str] = {}
    out = []
    for cell in cells:
        date = _NAMED.match(cell)
        if date is None or (date["d1"] and date["d2"]):
            out.append(cell)
            continue
        written = known.get(date[0]) or _iso_date(date)
        if written is None:
            out.append(cell)
            continue
        known[date[0]] = written
        out.append(written + cell[date.end() :])
    return out if known else None


def _iso_date(date: re.Match[str]) -> str | None:
    month = _MONTH.get(date["m"].lower())
    if month is None or (len(date["y"]) == 2 and not date["d1"]):
        return None
    if not date["d1"] and not date["d2"] and date.end() < len(date.string):
        return None  # "Mar 2023" is a month only where nothing follows
    year = int(date["y"])
    if len(date["y"]) == 2:  # 01-Mar-23, which only days and years of two digits can be
        year += 2000 if year < 69 else 1900
    return f"{year:04}-{month:02}-{int(date['d1'] or date['d2'] or 1):02}"


def joined_times(dates: Sequence[str], clocks: Sequence[str]) -> list[str] | None:
    """[n] "date time" of two columns; None where the second holds no times of day."""
    width = max((len(clock.strip()) for clock in clocks), default=0)
    digits = 4 if width <= 4 else 6
    out = []
    for date, clock in zip(dates, clocks, strict=True):
        time = clock.strip()
        if time.isdigit() and width <= 6:
            time = time.zfill(digits)  # 930 is 09:30
        elif time and not re.match(r"\d{1,2}:\d{2}", time):
            return None
        out.append(f"{date.strip()} {time}".strip())
    return out
