"""Sealed bars: which they are, leaving them out, and the log of who opened them."""

from __future__ import annotations

import getpass
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pandas as pd

from tradinghf.errors import ConfigError, MarketDataWarning
from tradinghf.feedback.store import Store
from tradinghf.market import MarketData

Notify = Callable[[str], None]
USE_SEALED = '--open-sealed "why" (open_sealed="why") uses them and is logged.'


def warn(text: str) -> None:
    """What is said to scripts and notebooks about their data, once per text."""
    warnings.warn(text, MarketDataWarning, stacklevel=2)


def check_reason(open_sealed: str | None) -> None:
    """Refuse to open sealed bars for no reason.

    Raises:
        ConfigError: a reason of no words.

    """
    if open_sealed is not None and not open_sealed.strip():
        raise ConfigError(
            "The reason to open sealed bars (--open-sealed, open_sealed) is empty; expected "
            'words for the log, such as "the final look before trading".'
        )


def first_sealed_day(data_set: MarketData, store: Store) -> str | None:
    """First sealed day of bars that the store knows; a later seal can only seal more."""
    return min((seal.name for seal in store.trial_log(data_set.sha256, "seal")), default=None)


def day_before(day: str) -> str:
    """The last day that is not sealed."""
    return str(date.fromisoformat(day) - timedelta(days=1))


def bars_before(market: MarketData, day: str) -> int:
    """How many bars of a market there are before a day begins (UTC)."""
    return int((market.index < pd.Timestamp(day, tz="UTC")).sum())


def left_out(first_sealed: str) -> str:
    """What is said where sealed bars are left out."""
    return f"Bars from {first_sealed} on are sealed and left out; {USE_SEALED}"


def log_opening(data_set: MarketData, store: Store, purpose: str, reason: str) -> int:
    """Log who opened sealed or test bars, when and what for; returns how many openings so far."""
    note = {"who": getpass.getuser(), "at": datetime.now(UTC).isoformat(), "reason": reason}
    store.count_trial("opening", purpose, data_set.sha256, note)
    return store.trials(data_set.sha256, kind="opening")


def visible_bars(
    data_set: MarketData,
    market: MarketData,
    store: Store,
    open_sealed: str | None,
    purpose: str,
    notify: Notify,
) -> MarketData:
    """`market` without sealed bars; or with them, after the opening was logged.

    Raises:
        ConfigError: all of its bars are sealed.

    """
    first = first_sealed_day(data_set, store)
    visible = market.bars if first is None else bars_before(market, first)
    if first is None or visible == market.bars:
        return market
    if open_sealed is not None:
        number = log_opening(data_set, store, purpose, open_sealed)
        notify(f"Opening {number} of the bars from {first} on: logged.")
        return market
    if visible < 2:
        raise ConfigError(
            f"All bars asked for are sealed (from {first} on). Choose earlier ones with --end; "
            f"{USE_SEALED}"
        )
    notify(left_out(first))
    return market.rows(0, visible)


def refuse_sealed(
    data_set: MarketData,
    market: MarketData,
    store: Store,
    open_sealed: str | None,
    purpose: str,
    notify: Notify,
) -> None:
    """Refuse bars in hand of which some are sealed; or log that they are opened.

    Raises:
        ConfigError: some are sealed, and there is no reason to open them.

    """
    first = first_sealed_day(data_set, store)
    if first is None or bars_before(market, first) == market.bars:
        return
    if open_sealed is None:
        raise ConfigError(
            f"{purpose}: the bars of {market.name} from {first} on are sealed. "
            f'market.between(None, "{day_before(first)}") leaves them out; {USE_SEALED}'
        )
    number = log_opening(data_set, store, purpose, open_sealed)
    notify(f"Opening {number} of the bars from {first} on: logged.")
