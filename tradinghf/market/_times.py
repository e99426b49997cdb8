"""Reads timestamps of any common form; never guesses a time zone.

Times that are all midnight of their own zone are dates: daily and longer bars keep the date of
their session, whatever the zone. Other times become UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError

_AWARE = re.compile(r":\d{2}.*(Z|z|UTC|[+-]\d{2}(:?\d{2})?)$")
_OFFSET = re.compile(r"\s*(Z|z|UTC|[+-]\d{2}(:?\d{2})?)$")
_MIDNIGHT = re.compile(r"[T ]0?0:00(:00(\.0+)?)?$")
_DATED = re.compile(r"\d{4}\D|\d{8}(\D|$)|\d{4}$")
# One digit less is a time before September 2001.
_EPOCH_DIGITS = {
    digits - less: unit
    for digits, unit in {10: "s", 13: "ms", 16: "us", 19: "ns"}.items()
    for less in (0, 1)
}
_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
# datetime64[ns] spans 1677-09-21 to 2262-04-11; stay clear of its ends.
_FIRST, _LAST = np.datetime64("1678-01-01"), np.datetime64("2262-01-01")


@dataclass(frozen=True)
class Times:
    """Timestamps as read.

    Attributes:
        stamps: [n] datetime64[ns] in UTC, dates at 00:00; NaT where unreadable.
        aware: [n] whether the value carried a time zone.
        texts: [n] the values as found, for error messages; None when they were datetime64.
        change: (index, unit before, unit there) where Unix times change their unit, if they do.

    """

    stamps: NDArray[np.datetime64]
    aware: NDArray[np.bool_]
    texts: list[str] | None = None
    change: tuple[int, str, str] | None = None

    def take(self, at: NDArray[np.intp]) -> Times:
        """The rows `at`."""
        texts = None if self.texts is None else [self.texts[i] for i in at]
        return Times(self.stamps[at], self.aware[at], texts)

    @property
    def are_dates(self) -> bool:
        """Every readable time is midnight: daily or longer bars, stamped by their date."""
        return _at_midnight(self.stamps)

    @property
    def mixed(self) -> bool:
        """Some readable values carry a time zone and others do not."""
        known = self.aware[~np.isnat(self.stamps)]
        return bool(known.any() and not known.all())


def read_times(values: Any, date_format: str | None = None) -> Times:
    """Read datetimes, ISO 8601 text, or Unix epochs (s, ms, us, ns by their 10, 13, 16, 19 digits).

    Args:
        values: [n] a pandas Series or Index, or a list of strings.
        date_format: strftime format of text that is not ISO 8601, for example "%m/%d/%Y".

    Returns:
        Naive values as they are, others in UTC or, where all are midnight in their own zone, as
        dates; whether a mixture is allowed is for the caller to judge by `mixed`.

    """
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, pd.DatetimeTZDtype) or (
        isinstance(dtype, np.dtype) and np.issubdtype(dtype, np.datetime64)
    ):
        index = pd.DatetimeIndex(values)
        aware = np.full(len(index), index.tz is not None)
        return Times(_nanoseconds(session_times(index)), aware)
    texts = [_text(value) for value in values]
    return _read_formatted(texts, date_format) if date_format else _read_texts(texts)


def session_times(index: Any) -> pd.DatetimeIndex:
    """Times as bars carry them: naive UTC, or the dates where all are midnight of their zone.

    A table of weights, rates or dividends whose times have a zone finds its bars through this.

    Args:
        index: [n] times, or their texts, whose offsets may change with the season.

    Raises:
        MarketDataError: a text is no time that can be read in one way only.

    """
    if not isinstance(index, pd.DatetimeIndex):
        times = read_times(index)
        lost = np.flatnonzero(np.isnat(times.stamps))
        if len(lost):
            text = _text(list(index)[lost[0]])
            raise MarketDataError(f"{text!r} is no time; expected 2020-01-31, or ISO 8601.")
        return pd.DatetimeIndex(times.stamps)
    if index.tz is None:
        return index
    local = index.tz_localize(None)
    return local if _at_midnight(local.to_numpy()) else index.tz_convert("UTC").tz_localize(None)


def dates_in(stamps: NDArray[np.datetime64], zone: ZoneInfo) -> NDArray[np.datetime64] | None:
    """[n] UTC times as the dates of a zone, if all of them are midnight there; else None."""
    local = pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return _nanoseconds(local) if _at_midnight(local.to_numpy()) else None


def _at_midnight(stamps: NDArray[np.datetime64]) -> bool:
    known = stamps[~np.isnat(stamps)]
    return bool(len(known)) and bool((known == known.astype("datetime64[D]")).all())


def _read_formatted(texts: list[str], date_format: str) -> Times:
    try:
        read = pd.to_datetime(texts, utc=True, format=date_format, errors="coerce")
    except ValueError as error:
        raise MarketDataError(
            f"date_format {date_format!r} is no strftime format ({error}). "
            "Write it like %m/%d/%Y or %d.%m.%Y %H:%M."
        ) from error
    aware = np.full(len(texts), "%z" in date_format)
    index = pd.DatetimeIndex(read)
    if aware.any():
        local = [
            datetime.strptime(text, date_format).replace(tzinfo=None) if known else pd.NaT
            for text, known in zip(texts, index.notna(), strict=True)
        ]
        dates = pd.DatetimeIndex(local)
        index = dates if _at_midnight(dates.to_numpy()) else index
    return Times(_nanoseconds(index), aware, texts)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, date):  # datetime and pd.Timestamp too
        return value.isoformat()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _read_texts(texts: list[str]) -> Times:
    if _all_epochs(texts):
        return _read_epochs(texts)
    usable = [text if _DATED.match(text) else "" for text in texts]
    index = pd.DatetimeIndex(pd.to_datetime(usable, utc=True, format="ISO8601", errors="coerce"))
    aware = np.fromiter((bool(_AWARE.search(text)) for text in texts), bool, len(texts))
    if aware.any():
        local = [
            _OFFSET.sub("", text) if zoned else text
            for text, zoned in zip(usable, aware, strict=True)
        ]
        if all(_MIDNIGHT.search(text) or not text for text in local):
            index = pd.DatetimeIndex(pd.to_datetime(local, format="ISO8601", errors="coerce"))
    return Times(_nanoseconds(index), aware, texts)


def _all_epochs(texts: Iterable[str]) -> bool:
    some = [text for text in texts if text]
    return bool(some) and all(
        len(text) in _EPOCH_DIGITS and text.isascii() and text.isdigit() for text in some
    )


def _read_epochs(texts: list[str]) -> Times:
    stamps = np.full(len(texts), "NaT", dtype="datetime64[ns]")
    digits = np.fromiter((len(text) for text in texts), np.int64, len(texts))
    units = np.array([_EPOCH_DIGITS.get(int(n), "") for n in range(20)])[digits]
    for unit in set(units.tolist()) - {""}:
        at = np.flatnonzero(units == unit)
        values = np.array([texts[i] for i in at.tolist()]).astype(np.int64)
        stamps[at] = values.astype(f"datetime64[{unit}]")
    known = np.flatnonzero(units != "")
    odd = known[units[known] != units[known[0]]]
    change = None
    if len(odd):
        first, after = str(units[known[0]]), str(units[odd[0]])
        change = (int(odd[0]), _UNITS[first], _UNITS[after])
    return Times(stamps, np.ones(len(texts), dtype=bool), texts, change)


def _nanoseconds(index: pd.DatetimeIndex) -> NDArray[np.datetime64]:
    naive = (index.tz_localize(None) if index.tz is not None else index).to_numpy().copy()
    with np.errstate(invalid="ignore"):
        naive[(naive < _FIRST) | (naive > _LAST)] = np.datetime64("NaT")
    stamps: NDArray[np.datetime64] = naive.astype("datetime64[ns]")
    return stamps


def infer_bars_per_year(stamps: NDArray[np.datetime64]) -> float:
    """Bars per year from the spacing of the bars.

    252 or 365 for daily bars (365 where Saturdays are traded), 52 weekly, 12 monthly, 4 quarterly,
    1 yearly; for intraday bars the median number per traded day times 252 or 365.

    Args:
        stamps: [T] strictly increasing datetime64[ns].

    """
    days = stamps.astype("datetime64[D]").astype(np.int64)
    year = 365.0 if np.mean((days + 3) % 7 == 5) > 0.05 else 252.0  # day 0 was a Thursday
    step = float(np.median(np.diff(stamps).astype(np.int64))) / 86_400e9
    if step < 0.9:
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1, append=days[-1] + 1))
        return year * float(np.median(np.diff(starts)))
    for longest, per_year in ((4.0, year), (12.0, 52.0), (45.0, 12.0), (135.0, 4.0)):
        if step <= longest:
            return per_year
    return 1.0


def date_bound(given: Any) -> Any:
    """A date as pandas slices by it: text stands for all of its day, month or year."""
    if given is None or isinstance(given, str):
        return given or None
    if isinstance(given, int | np.integer) or type(given) is date:
        return str(given)  # 2012 is a year
    time = pd.Timestamp(given)
    return time.tz_localize("UTC") if time.tz is None else time


def shown_date(given: Any) -> str:
    """A date that was given, for messages."""
    return "not set" if given is None or given == "" else str(given)
