"""Exchange calendars: do the bars lie where the exchange says it traded?"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import pandas as pd

from tradinghf.errors import MissingExtraError
from tradinghf.market.data import MarketData


@dataclass(frozen=True)
class SessionReport:
    """Days on which a market and an exchange's calendar disagree, as ISO dates.

    Attributes:
        missing: sessions without a bar.
        extra: days with a bar that are no sessions.

    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]


def check_sessions(market: MarketData, calendar: str) -> SessionReport:
    """Compare a market's days with the sessions of an exchange.

    Args:
        market: bars of any spacing; a bar belongs to its UTC date.
        calendar: a name of `exchange_calendars`, such as "XNYS".

    Raises:
        MissingExtraError: `exchange_calendars` is not installed.

    """
    try:
        import exchange_calendars
    except ImportError as error:
        raise MissingExtraError("exchange-calendars", "data", "Checking sessions") from error
    days = pd.DatetimeIndex(market.timestamps).normalize().unique()
    with warnings.catch_warnings():
        # Of the calendar's own use of pandas; nothing its caller could act on.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        exchange = exchange_calendars.get_calendar(calendar, start=days[0], end=days[-1])
        sessions = exchange.sessions_in_range(days[0], days[-1])

    def dates(index: pd.DatetimeIndex) -> tuple[str, ...]:
        return tuple(index.strftime("%Y-%m-%d"))

    return SessionReport(dates(sessions.difference(days)), dates(days.difference(sessions)))
