"""Local times of a named zone, brought to UTC: the hour that comes twice, the one that never does.

When clocks go back an hour of local time happens twice, and both are real. Which of the two a row
means shows where the times of an asset step back; where they do not, nobody can know.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError

Stamps = NDArray[np.datetime64]


@dataclass(frozen=True)
class LocalTimes:
    """Local times as UTC.

    Attributes:
        stamps: [n] datetime64[ns] in UTC; NaT where the local time does not say which it is.
        twice: indices of times that may be either of two.
        never: indices of times that clocks skip.

    """

    stamps: Stamps
    twice: NDArray[np.intp]
    never: NDArray[np.intp]


def named_zone(name: str) -> ZoneInfo:
    """The IANA zone of that name.

    Raises:
        MarketDataError: there is none; the message suggests close ones.

    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = get_close_matches(name, sorted(available_timezones()), n=3)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise MarketDataError(
            f"zone {name!r} is no time zone. {hint}Write an IANA name, such as America/New_York."
        ) from error


def from_local(local: Stamps, zone: ZoneInfo) -> LocalTimes:
    """Local times of one asset, in the order of its rows, as UTC.

    Args:
        local: [n] naive datetime64[ns]; NaT stays.
        zone: whose clocks they show.

    """
    index = pd.DatetimeIndex(local)
    early = index.tz_localize(zone, ambiguous=np.ones(len(index), bool), nonexistent="NaT")
    late = index.tz_localize(zone, ambiguous=np.zeros(len(index), bool), nonexistent="NaT")
    never = np.setdiff1d(np.flatnonzero(early.isna()), np.flatnonzero(index.isna()))
    first, second = (x.tz_convert("UTC").tz_localize(None).to_numpy() for x in (early, late))
    twice = np.flatnonzero((first != second) & ~np.isnat(first))
    stamps, unknown = first.copy(), []
    # Rows of one change of clocks are within a few hours of each other.
    cuts = np.flatnonzero(np.diff(first[twice]) > np.timedelta64(6, "h")) + 1
    for rows in np.split(twice, cuts) if len(twice) else ():
        back = np.flatnonzero(np.diff(local[rows]) <= np.timedelta64(0)) + 1
        if len(back) == 1:
            stamps[rows[back[0] :]] = second[rows[back[0] :]]
        else:
            unknown.append(rows)
            stamps[rows] = np.datetime64("NaT")
    doubtful = np.concatenate(unknown) if unknown else np.empty(0, np.intp)
    return LocalTimes(stamps.astype("datetime64[ns]"), doubtful, never)
