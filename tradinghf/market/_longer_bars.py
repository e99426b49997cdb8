"""Bars of a day, week or month from shorter ones, and the regular sessions of an exchange."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.market._bar_rules import FIELDS
from tradinghf.market._data import MarketData
from tradinghf.market._times import infer_bars_per_year

_PERIODS = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}
_MINUTES = re.compile(r"(\d+)(min|h)")
_EXPECTED = f"{', '.join(_PERIODS)}, or minutes and hours such as 15min and 4h"
# Regular hours, local time: zone, open, close. Half days are not in it.
EXCHANGES = {
    "XNYS": ("America/New_York", "09:30", "16:00"),
    "XNAS": ("America/New_York", "09:30", "16:00"),
    "XTSE": ("America/Toronto", "09:30", "16:00"),
    "BVMF": ("America/Sao_Paulo", "10:00", "17:00"),
    "XLON": ("Europe/London", "08:00", "16:30"),
    "XETR": ("Europe/Berlin", "09:00", "17:30"),
    "XPAR": ("Europe/Paris", "09:00", "17:30"),
    "XAMS": ("Europe/Amsterdam", "09:00", "17:30"),
    "XSWX": ("Europe/Zurich", "09:00", "17:30"),
    "XTKS": ("Asia/Tokyo", "09:00", "15:30"),
    "XHKG": ("Asia/Hong_Kong", "09:30", "16:00"),
    "XSHG": ("Asia/Shanghai", "09:30", "15:00"),
    "XBOM": ("Asia/Kolkata", "09:15", "15:30"),
    "XASX": ("Australia/Sydney", "10:00", "16:00"),
}


def longer_bars(market: MarketData, every: str, *, zone: str = "UTC") -> MarketData:
    """Bars of a longer time: first open, highest high, lowest low, last close, volumes added.

    A bar carries the time of its last close, daily and longer ones the date of their last session;
    so nothing is known before its time. The last one may be shorter: its period goes on.

    Args:
        market: [T, A] bars.
        every: "day", "week" (Monday to Sunday), "month", "quarter", "year", or minutes or hours
            ("15min", "4h").
        zone: IANA zone whose midnights part the days of intraday bars.

    Raises:
        MarketDataError: no such time, or one that the bars are longer than.

    """
    stamps = market.timestamps
    are_dates = bool((stamps == stamps.astype("datetime64[D]")).all())
    fixed = _MINUTES.fullmatch(every)
    if not (fixed and int(fixed[1])) and every not in _PERIODS:
        raise MarketDataError(f"{market.name}: every is {every!r}; expected {_EXPECTED}.")
    if fixed and are_dates:
        raise MarketDataError(f"{market.name}: every is {every!r}, and the bars are daily already.")
    # A bar that closes at midnight belongs to the day before.
    local = stamps if are_dates else _local(stamps, zone) - np.timedelta64(1, "ns")
    if fixed:
        width = int(fixed[1]) * (60 if fixed[2] == "h" else 1)
        period = local.astype("datetime64[m]").astype(np.int64) // width
    else:
        period = pd.DatetimeIndex(local).to_period(_PERIODS[every]).asi8
    first = np.flatnonzero(np.diff(period, prepend=period[0] - 1))
    last = np.append(first[1:], len(stamps)) - 1
    if len(first) < 2:
        raise MarketDataError(
            f"{market.name}: {market.bars} bars are {len(first)} of every={every}; at least 2 are "
            "needed. Load a longer history."
        )
    times = stamps[last] if fixed or are_dates else local[last].astype("datetime64[D]")
    times = times.astype("datetime64[ns]")
    how: dict[str, Any] = {"high": np.maximum, "low": np.minimum, "volume": np.add}
    arrays = {f: how[f].reduceat(getattr(market, f), first, axis=0) for f in how}
    arrays |= {"open": market.open[first], "close": market.close[last]}
    listed = None if market.listed is None else np.logical_or.reduceat(market.listed, first)
    return replace(
        market,
        **arrays,
        timestamps=times,
        listed=listed,
        bars_per_year=infer_bars_per_year(times),
        source=f"{market.source}; {len(stamps)} bars joined by {every}",
    )


def in_session(market: MarketData, exchange: str) -> MarketData:
    """The intraday bars that close within the regular hours of an exchange.

    Half days have the usual hours here, and holidays are left to the data.

    Args:
        market: [T, A] intraday bars.
        exchange: its code by ISO 10383 ("XNYS").

    Raises:
        MarketDataError: an unknown exchange, daily bars, or none within its hours.

    """
    zone, opens, closes = hours_of(exchange)
    if (market.timestamps == market.timestamps.astype("datetime64[D]")).all():
        raise MarketDataError(
            f"{market.name}: exchange={exchange} keeps bars within its hours; these are daily."
        )
    local = _local(market.timestamps, zone)
    clock = (local - local.astype("datetime64[D]")).astype("timedelta64[s]").astype(np.int64)
    start, end = (int(pd.Timedelta(f"{text}:00").total_seconds()) for text in (opens, closes))
    keep = (clock > start) & (clock <= end)
    if int(keep.sum()) < 2:
        raise MarketDataError(
            f"{market.name}: {int(keep.sum())} bars close between {opens} and {closes} in {zone} "
            f"({exchange}); at least 2 are needed. Are the times in UTC, or is zone= missing?"
        )
    if keep.all():
        return market
    lost = f"{int((~keep).sum())} bars beyond the hours of {exchange} left out"
    arrays: dict[str, Any] = {f: getattr(market, f)[keep] for f in FIELDS}
    times = market.timestamps[keep]
    return replace(
        market,
        **arrays,
        timestamps=times,
        listed=None if market.listed is None else market.listed[keep],
        bars_per_year=infer_bars_per_year(times),
        source=f"{market.source}; {lost}",
    )


def hours_of(exchange: str) -> tuple[str, str, str]:
    """Zone, open and close of an exchange.

    Raises:
        MarketDataError: it is not known; the message suggests close matches.

    """
    if exchange not in EXCHANGES:
        raise MarketDataError(unknown_name("exchange", exchange, EXCHANGES))
    return EXCHANGES[exchange]


def _local(stamps: NDArray[np.datetime64], zone: str) -> NDArray[np.datetime64]:
    """[T] UTC times as clocks of a zone show them."""
    if zone == "UTC":
        return stamps
    index = pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(zone)
    shown: NDArray[np.datetime64] = index.tz_localize(None).to_numpy().astype("datetime64[ns]")
    return shown
