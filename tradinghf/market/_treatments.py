"""What may be done to any bars on the way in: exchange=, every=, currency= and rates=."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tradinghf.errors import MarketDataError, said_once
from tradinghf.market._currencies import in_account_currency
from tradinghf.market._data import MarketData
from tradinghf.market._longer_bars import hours_of, in_session, longer_bars
from tradinghf.market._source_registry import SOURCES
from tradinghf.market._times import session_times

TREATMENTS = ("exchange", "every", "currency", "rates")
FILE_OPTIONS = frozenset({"rates"})
"""Those whose value names a file of this machine."""


def parted(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the source takes, what is done to its bars afterwards)."""
    after = {name: options[name] for name in TREATMENTS if name in options}
    return {name: value for name, value in options.items() if name not in after}, after


def with_zone(options: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a file; naive times are those of the exchange's zone where one is named."""
    exchange = after.get("exchange")
    zone = {} if exchange is None else {"zone": hours_of(exchange)[0]}
    return {**zone, **options}


def treated(
    market: MarketData, treatments: Mapping[str, Any], zone: str | None = None
) -> MarketData:
    """The bars after what was asked for, in the order of `TREATMENTS`.

    Args:
        market: as loaded.
        treatments: exchange: keep the bars of its regular hours, see `in_session`; every: join
            bars, see `longer_bars`, by the days of the exchange's zone, else of `zone`; currency:
            of all assets ("JPY") or by symbol ("TM=JPY;SAP=EUR", or a mapping), and rates: a
            table, or a file of one, see `in_account_currency`.
        zone: of the file that they came from; None is UTC.

    Raises:
        MarketDataError: a value is not one of these.

    """
    if not treatments:
        return market
    given, before = dict(treatments), market.source
    exchange = given.get("exchange")
    if exchange is not None:
        zone = hours_of(exchange)[0]
        market = in_session(market, exchange)
    if "every" in given:
        market = longer_bars(market, str(given["every"]), zone=zone or "UTC")
    if ("currency" in given) != ("rates" in given):
        has, lacks = ("currency", "rates") if "currency" in given else ("rates", "currency")
        raise MarketDataError(
            f"{market.name}: {has}= needs {lacks}= too: currency=JPY,rates=FILE, whose columns are "
            "currencies in units of the account's."
        )
    if "currency" in given:
        currencies = _currencies(market, given["currency"])
        market = in_account_currency(market, currencies, _rates(given["rates"]))
    return replace(market, source=_named(market, before, given))


def _currencies(market: MarketData, given: Any) -> dict[str, str]:
    if not isinstance(given, str):
        return dict(given)
    if "=" not in given:
        return dict.fromkeys(market.symbols, given)
    pairs = [part.partition("=") for part in given.split(";") if part.strip()]
    wrong = [symbol for symbol, _, code in pairs if not (symbol and code)]
    if wrong:
        raise MarketDataError(
            f"{market.name}: currency {given!r} is not JPY, nor SYMBOL=JPY;SYMBOL=EUR."
        )
    said = ((symbol.strip(), code.strip()) for symbol, _, code in pairs)
    return said_once(said, f"{market.name}: currency", MarketDataError)


def _rates(given: Any) -> pd.DataFrame:
    """A table of rates by time, from a file where a path was given."""
    if isinstance(given, pd.DataFrame):
        return given
    path = Path(given)
    try:
        read = pd.read_parquet if path.suffix.lower() == ".parquet" else pd.read_csv
        table = read(path)
        if not isinstance(table.index, pd.DatetimeIndex):
            table = table.iloc[:, 1:].set_axis(session_times(table.iloc[:, 0]), axis=0)
        return table.astype(float)
    except (OSError, ValueError, TypeError, IndexError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MarketDataError(
            f"rates {path}: no table of times and currencies ({why}). Write a CSV with the dates "
            "in the first column and one column per currency (JPY), in units of the account's."
        ) from error


def _named(market: MarketData, before: str, given: Mapping[str, Any]) -> str:
    """The source as `load_market` takes it, with what was done, so that a report can name it."""
    head, _, _ = before.partition("; ")
    done = market.source.removeprefix(head)
    source = head.partition(":")[0]
    loadable = source in SOURCES or (market.name not in SOURCES and Path(source).suffix)
    start = head if loadable else market.name
    has_options = start.partition(":")[0] == "futures" or "=" in start.rpartition(":")[2]
    texts = [f"{name}={_text(value)}" for name, value in given.items()]
    about = "" if start == head else f"; {head}"
    return f"{start}{',' if has_options else ':'}{','.join(texts)}{about}{done}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ";".join(f"{k}={v}" for k, v in value.items())
    return "table" if isinstance(value, pd.DataFrame) else str(value)
