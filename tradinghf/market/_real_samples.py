"""Real bars that ship inside well-kept packages: read where they are installed, never copied.

A policy or a parameter that was chosen on one index says little. Here are 29 stocks, funds, a
currency and a coin, three of the sets with intraday bars, without a download.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import logging
from pathlib import Path

import pandas as pd

from tradinghf.errors import MarketDataError, MissingExtraError, unknown_name
from tradinghf.market._data import MarketData
from tradinghf.market._source_registry import source

_LOG = logging.getLogger(__name__)
_EXTRA = "samples"
_FULL_SPAN = ("AAPL", "GOOG", "IBM", "MSFT")  # FB was listed in 2012 only
# sha256 of the files whose figures data/catalogue.toml states.
_FILES = {
    "sp500_dataset.csv.gz": "ee21cac28befb1d0a739a9ceb22184f995394726aa0cfde9a21941d1ac04ac0d",
    "factors_dataset.csv.gz": "6eb089953db90c9a38d3283582751701a90db6f59965847fd64b0578de497161",
    "stocks.csv.gz": "5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd",
    "EURUSD.csv": "81e977905a006cc8fbc034ebdb83c999a8ed6ba00191dc7ea5ef5b386fb74a82",
    "GOOG.csv": "60e961a567490b157f71888df9e6afb36190a34a40a6286aa38988e2343f1b1a",
    "BTCUSD.csv": "ff253d97891080e5226f99d8a8f334621cecf33c5e1d8e5278cb5728024552d9",
    "hourly-prices.csv": "5caf37781e44d8ec59c41bc6599437c345d24a181a32cb536dcf342cbeebfea3",
    "minute-prices.csv": "38d437edab63e377e6c9d1793d0a14ad27244e9dc8b6760b6198084f0ab2c512",
}


@source(
    "stocks20",
    help="20 S&P 500 stocks, adjusted daily closes 1990-2022: stocks20:AAPL,XOM",
    package="skfolio",
)
def _stocks20(*symbols: str) -> MarketData:
    return _closes("stocks20", "sp500_dataset.csv.gz", symbols)


@source(
    "factors",
    help="5 factor ETFs, adjusted daily closes 2014-2022: factors:MTUM,VLUE",
    package="skfolio",
)
def _factors(*symbols: str) -> MarketData:
    return _closes("factors", "factors_dataset.csv.gz", symbols)


@source(
    "wiki",
    help="AAPL, GOOG, IBM, MSFT, adjusted daily OHLCV to March 2013, or wiki:FB",
    package="bokeh_sampledata",
)
def _wiki(*symbols: str) -> MarketData:
    text, place = _content("wiki", "bokeh_sampledata", "_data", "stocks.csv.gz")
    table = pd.read_csv(io.BytesIO(text), dtype={"Ticker": str})
    _check_symbols("wiki", symbols, sorted(set(table["Ticker"])))
    wanted = table[table["Ticker"].isin(symbols or _FULL_SPAN)]
    frame = wanted.rename(columns={"Ticker": "symbol", "Adj Close": "adj_close"})
    market = MarketData.from_frame(
        frame, name="wiki", adjust=True, join="inner", bars_per_year=252.0, source=place
    )
    return market.select(symbols or _FULL_SPAN)


@source(
    "eurusd_1h",
    help="EUR/USD, hourly OHLCV from April 2017 to February 2018",
    package="backtesting",
)
def _eurusd() -> MarketData:
    frame, place = _of_backtesting("eurusd_1h", "EURUSD.csv")
    # Trading weeks begin with a bar at 21:00 or 22:00 UTC on Sunday: stamps are starts of bars.
    starts = pd.DatetimeIndex(frame.index)
    frame.index = (starts + pd.Timedelta(hours=1)).rename("timestamp")
    return MarketData.from_frame(frame, name="eurusd_1h", symbol="EURUSD", source=place)


@source(
    "goog",
    help="Google, daily OHLCV from August 2004 to March 2013",
    package="backtesting",
)
def _google() -> MarketData:
    frame, place = _of_backtesting("goog", "GOOG.csv")
    return MarketData.from_frame(
        frame, name="goog", symbol="GOOG", bars_per_year=252.0, source=place
    )


@source(
    "btcusd_1mo",
    help="Bitcoin in US dollars, OHLCV by the month from January 2012 to December 2024",
    package="backtesting",
)
def _bitcoin() -> MarketData:
    frame, place = _of_backtesting("btcusd_1mo", "BTCUSD.csv")
    return MarketData.from_frame(frame, name="btcusd_1mo", symbol="BTCUSD", source=place)


def _of_backtesting(name: str, file: str) -> tuple[pd.DataFrame, str]:
    text, place = _content(name, "backtesting", "test", file)
    return pd.read_csv(io.BytesIO(text), index_col=0, parse_dates=True), place


@source("aapl_1h", help="Apple, hourly OHLCV from August 2024 to August 2026", package="mintalib")
def _apple_hourly() -> MarketData:
    return _apple("aapl_1h", "hourly-prices.csv", pd.Timedelta(hours=1))


@source("aapl_1m", help="Apple, OHLCV by the minute, 31 July to 6 August 2026", package="mintalib")
def _apple_by_minute() -> MarketData:
    return _apple("aapl_1m", "minute-prices.csv", pd.Timedelta(minutes=1))


def _apple(name: str, file: str, length: pd.Timedelta) -> MarketData:
    text, place = _content(name, "mintalib", "samples", file)
    frame = pd.read_csv(io.BytesIO(text), index_col=0)
    starts = pd.DatetimeIndex(pd.to_datetime(frame.index, utc=True))
    session_ends = starts.tz_convert("America/New_York").normalize() + pd.Timedelta(hours=16)
    # The day's last hourly bar ends with the session, at half past its start.
    ends = (starts + length).where(starts + length <= session_ends, session_ends.tz_convert("UTC"))
    frame.index = pd.DatetimeIndex(ends, name="timestamp")
    complete = frame.iloc[:-1]  # the last bar was still forming when the file was made
    return MarketData.from_frame(complete, name=name, symbol="AAPL", source=place)


def _closes(name: str, file: str, symbols: tuple[str, ...]) -> MarketData:
    """Bars of files that hold closes only: the bar is its close, so orders fill a close later."""
    text, place = _content(name, "skfolio", "datasets", "data", file)
    closes = pd.read_csv(io.BytesIO(text), index_col="Date", parse_dates=True)
    _check_symbols(name, symbols, list(closes.columns))
    frames = {
        symbol: pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes[symbol]))
        for symbol in symbols or tuple(closes.columns)
    }
    note = f"{place}; closes only: open, high and low are the close"
    return MarketData.from_frames(frames, name=name, bars_per_year=252.0, source=note)


def _content(name: str, package: str, *parts: str) -> tuple[bytes, str]:
    """The file's bytes, unpacked, and where they came from in words.

    Raises:
        MissingExtraError: the package is not installed.
        MarketDataError: it is, without the file.

    """
    # Read the file beside the package: importing some of them takes seconds.
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(package, _EXTRA, f"The data set {name}")
    path = Path(found.submodule_search_locations[0], *parts)
    try:
        stored = path.read_bytes()
        text = gzip.decompress(stored) if path.suffix == ".gz" else stored
    except (OSError, EOFError) as error:
        raise MarketDataError(
            f"{name}: the file {'/'.join(parts)} of the package {package} cannot be read "
            f"({error}). Reinstall it with: pip install --force-reinstall 'tradinghf[{_EXTRA}]'"
        ) from error
    if hashlib.sha256(stored).hexdigest() != _FILES[path.name]:
        _LOG.warning(
            "%s: this version of %s has another %s than the one that `tradinghf data list` "
            "describes; its span and hash differ.", name, package, path.name,
        )  # fmt: skip
    return text, f"package {package}, {'/'.join(parts)}"


def _check_symbols(name: str, symbols: tuple[str, ...], known: list[str]) -> None:
    for symbol in symbols:
        if symbol not in known:
            raise MarketDataError(f"{name}: {unknown_name('symbol', symbol, known)}")
