"""The zone that a file names beside its times: in the column's name, or in a column of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tradinghf.errors import MarketDataError
from tradinghf.market._column_names import canonical_name, is_clock, plain_name
from tradinghf.market._columns import quoted
from tradinghf.market._times import read_times

Columns = Sequence[tuple[str, Any]]
_ZONE_COLUMNS = {"tz", "timezone", "time_zone", "zone", "zeitzone", "tzid", "fuseau_horaire"}
_BRACKETS = re.compile(r"[(\[]([^()\[\]]+)[)\]]\s*>?$")
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])0?(\d{1,2})(?::?(00))?", re.IGNORECASE)
_UNIVERSAL = {"utc", "gmt", "z", "zulu", "utc+0", "gmt+0"}
_LOCAL = re.compile(
    r"[ECMP][SD]?T|CES?T|MES?Z|EES?T|WES?T|BST|JST|IST|HKT|SGT|MSK|KST|AE[SD]T"
    r"|.*\b(?:local|exchange|eastern|central|pacific|server|broker)\b.*",
    re.IGNORECASE,
)
_ENOUGH = 50  # rows that tell whether times are dates


def stated_zone(columns: Columns, what: str) -> str | None:
    """What the file says of the zone of its times, as it is written; None where it says nothing.

    Args:
        columns: (name, texts) pairs, as in the file.
        what: the file, for messages.

    Raises:
        MarketDataError: a column of zones names several.

    """
    for raw, values in columns:
        if plain_name(raw) in _ZONE_COLUMNS:
            different = dict.fromkeys(text for value in values if (text := str(value).strip()))
            if len(different) > 1:
                one, other = (quoted(text) for text in list(different)[:2])
                raise MarketDataError(
                    f"{what}: column {quoted(raw)} names several time zones ({one}, {other}). "
                    "Write all times in UTC."
                )
            return next(iter(different), None)
    for raw, _ in columns:
        found = _BRACKETS.search(raw)
        if found and (canonical_name(raw) == "timestamp" or is_clock(raw)):
            words = found[1].strip()
            known = _named(words) or words.casefold() in _UNIVERSAL or _LOCAL.fullmatch(words)
            return words if known else None
    return None


def zone_of(stated: str, times: Sequence[str], date_format: str | None, what: str) -> str | None:
    """The IANA zone of times beside which a file says `stated`; None where they need none.

    Args:
        stated: by `stated_zone`.
        times: [n] as they will be read.
        date_format: of the times.
        what: the file, for messages.

    Raises:
        MarketDataError: it is no name of a zone, and the times of day need one.

    """
    if (zone := _named(stated)) is not None:
        return zone
    read = read_times(list(times[:_ENOUGH]), date_format)
    if stated.casefold() in _UNIVERSAL or read.are_dates or read.aware.any():
        return None
    raise MarketDataError(
        f"{what}: the times are in {quoted(stated)}, which is no name of a time zone. Name it, for "
        "example zone=America/New_York or zone=Europe/Berlin."
    )


def _named(words: str) -> str | None:
    """The IANA zone of a name with a slash, or of whole hours from UTC; else None."""
    if (hours := _OFFSET.fullmatch(words)) is not None:
        sign = "-" if hours[1] == "+" else "+"  # IANA counts these to the west
        words = f"Etc/GMT{sign}{int(hours[2])}"
    if "/" not in words:
        return None
    try:
        return ZoneInfo(words).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
