"""Bars from the network: Yahoo Finance and crypto exchanges, as optional extras.

Vendors stamp a bar with its start. Here intraday bars carry the time of their close; daily and
longer bars keep the vendor's date at 00:00 UTC. A bar that is still forming is dropped.
"""

from __future__ import annotations

import importlib
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from tradinghf.errors import MarketDataError, MissingExtraError, unknown_name
from tradinghf.market._data import Join, MarketData
from tradinghf.market._source_registry import source
from tradinghf.market._tables import Table

_DAY = pd.Timedelta(days=1)
_PAGE = 1000


@source(
    "yfinance", help="Yahoo Finance, adjusted bars: yfinance:SPY,QQQ,start=2010", package="yfinance"
)
def _yfinance(
    *symbols: str,
    start: str | None = None,
    end: str | None = None,
    interval: str = "1d",
    join: Join = "exact",
) -> MarketData:
    if not symbols:
        raise MarketDataError("yfinance: no symbol. Write for example yfinance:SPY,start=2010.")
    package = _extra("yfinance", "Loading from Yahoo Finance")
    length = _interval(interval)
    span = _span(start, end)
    tables = []
    for symbol in symbols:
        with _log_of("yfinance") as said:
            try:
                frame = package.Ticker(symbol).history(interval=interval, actions=False, **span)
            except (OSError, ValueError, KeyError, TypeError, package.exceptions.YFException) as e:
                raise MarketDataError(_no_bars("yfinance", symbol, str(e))) from e
        if not len(frame):
            raise MarketDataError(_no_bars("yfinance", symbol, said[-1] if said else ""))
        starts = pd.DatetimeIndex(frame.index)
        ends = starts + length
        frame = frame[ends <= pd.Timestamp.now(tz=starts.tz)]
        stamps = ends.tz_convert("UTC") if length < _DAY else starts.tz_localize(None).normalize()
        frame.index = stamps[: len(frame)].rename("timestamp")
        tables.append(Table.from_frame(frame, symbol=symbol))
    return _finish(tables, join, "yfinance", f"yfinance:{','.join(symbols)}, interval {interval}")


@source("ccxt", help="Crypto exchanges: ccxt:binance:BTC/USDT:1d,start=2020-01-01", package="ccxt")
def _ccxt(market: str, *, start: str | None = None, end: str | None = None) -> MarketData:
    exchange_name, symbol, interval = _parts(market)
    package = _extra("ccxt", "Loading from crypto exchanges")
    if exchange_name not in package.exchanges:
        raise MarketDataError(
            f"ccxt: {unknown_name('exchange', exchange_name, package.exchanges)[:400]}"
        )
    exchange = getattr(package, exchange_name)({"enableRateLimit": True})
    try:
        candles = _candles(exchange, symbol, interval, start, end)
    except package.BadSymbol as error:
        symbols = exchange.symbols or []
        raise MarketDataError(f"ccxt: {unknown_name('symbol', symbol, symbols)[:400]}") from error
    except package.BaseError as error:
        raise MarketDataError(_no_bars("ccxt", market, str(error))) from error
    length = _interval(interval)
    if not candles:
        raise MarketDataError(_no_bars("ccxt", market, "no candles in this span"))
    fields = ["timestamp", "open", "high", "low", "close", "volume"]
    frame = pd.DataFrame(candles, columns=fields)
    starts = pd.to_datetime(frame["timestamp"], unit="ms", utc=True)
    frame["timestamp"] = starts + length if length < _DAY else starts
    table = Table.from_frame(frame, symbol=symbol)
    return _finish([table], "exact", f"{exchange_name} {symbol}", f"ccxt:{market}")


def _candles(
    exchange: Any, symbol: str, interval: str, start: str | None, end: str | None
) -> list[list[float]]:
    """Finished candles [start of bar in ms, open, high, low, close, volume], oldest first."""
    step = int(_interval(interval).total_seconds() * 1000)
    last = exchange.milliseconds() - step
    if end:
        last = min(last, _milliseconds(end))
    if start is None:
        page = exchange.fetch_ohlcv(symbol, interval, limit=_PAGE)
        return [candle for candle in page if candle[0] <= last]
    candles: list[list[float]] = []
    since = _milliseconds(start)
    while since <= last:
        page = exchange.fetch_ohlcv(symbol, interval, since=since, limit=_PAGE)
        fresh = [candle for candle in page if candle[0] >= since]
        if not fresh:
            break
        candles += [candle for candle in fresh if candle[0] <= last]
        since = int(fresh[-1][0]) + 1
    return candles


def _finish(tables: list[Table], join: Join, name: str, origin: str) -> MarketData:
    fetched = time.strftime("%Y-%m-%d", time.gmtime())
    origin = f"{origin}, fetched {fetched}"
    return MarketData.from_table(Table.concat(tables), name=name, source=origin, join=join)


def _extra(package: str, purpose: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "data", purpose) from error


def _parts(market: str) -> tuple[str, str, str]:
    """(exchange, symbol, interval) of "binance:BTC/USDT:1d"; the interval defaults to 1d."""
    exchange, _, rest = market.partition(":")
    symbol, _, interval = rest.rpartition(":")
    if not re.fullmatch(r"\d+[a-zA-Z]+", interval):
        symbol, interval = rest, "1d"
    if not exchange or not symbol:
        raise MarketDataError(
            f"ccxt: {market!r} is not EXCHANGE:SYMBOL:INTERVAL, for example binance:BTC/USDT:1d."
        )
    return exchange, symbol, interval


def _interval(text: str) -> pd.Timedelta:
    """Length of "5m", "1h", "1d", "1wk" or "1mo" (30 days)."""
    match = re.fullmatch(r"(\d+)(m|h|d|w|wk|M|mo)", text)
    if not match or not int(match[1]):
        raise MarketDataError(
            f"Interval {text!r} is unknown. Write for example 5m, 1h, 1d, 1w or 1M."
        )
    minutes = {"m": 1, "h": 60, "d": 1440, "w": 10_080, "wk": 10_080, "M": 43_200, "mo": 43_200}
    return pd.Timedelta(minutes=int(match[1]) * minutes[match[2]])


def _span(start: str | None, end: str | None) -> dict[str, Any]:
    """Arguments of yfinance, whose `end` is exclusive; ours is inclusive."""
    span: dict[str, Any] = {"period": "max"} if start is None else {"start": _timestamp(start)}
    if end is not None:
        span["end"] = _timestamp(end) + _DAY
        span.setdefault("start", pd.Timestamp("1900-01-01"))
        span.pop("period", None)
    return {name: v if name == "period" else str(v.date()) for name, v in span.items()}


def _milliseconds(text: str) -> int:
    return int(_timestamp(text).timestamp() * 1000)


def _timestamp(text: str) -> pd.Timestamp:
    try:
        stamp = pd.Timestamp(str(text))
    except ValueError as error:
        raise MarketDataError(f"{text!r} is no date. Write 2010, 2010-06 or 2010-06-30.") from error
    return stamp.tz_localize("UTC") if stamp.tz is None else stamp.tz_convert("UTC")


def _no_bars(vendor: str, what: str, reason: str) -> str:
    because = f" ({reason.splitlines()[0][:200]})" if reason else ""
    return (
        f"{vendor}: no bars of {what!r} came{because}. Check the symbol, the dates and the "
        "network; or load a file, or a sample such as load_market('sp500')."
    )


@contextmanager
def _log_of(name: str) -> Iterator[list[str]]:
    """Collect what a package logs, instead of letting it print: the reason of an empty answer."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(name)
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
