"""Real bars inside optional packages: equal to their files, and what is said without them."""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tradinghf import load_market
from tradinghf.errors import MarketDataError, MissingExtraError
from tradinghf.market import SOURCES
from tradinghf.market import _real_samples as real
from tradinghf.market._catalogue import packaged_catalogue

NAMES = ("stocks20", "factors", "wiki", "eurusd_1h", "goog", "btcusd_1mo", "aapl_1h", "aapl_1m")


def folder_of(package: str) -> Path:
    """Folder of an optional package; skips aloud without it."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(
            f"NO {package.upper()}: its bars are not tested: pip install 'tradinghf[samples]'"
        )
    return Path(importlib.util.find_spec(package).submodule_search_locations[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_says_what_is_loaded(name: str) -> None:
    folder_of(SOURCES[name].package)
    entry = next(e for e in packaged_catalogue() if e.name == name)
    market = load_market(name)
    assert entry.available
    assert (entry.sha256, entry.bars) == (market.sha256, market.bars)
    first, last = (str(t)[:10] for t in market.timestamps[[0, -1]])
    assert entry.span == f"{first} to {last}"
    assert entry.source.startswith(f"package {SOURCES[name].package}, ")
    assert market.source.startswith(entry.source)
    assert {entry.licence, entry.units, entry.notes}.isdisjoint({""})


@pytest.mark.parametrize(("name", "load"), [("stocks20", "sp500"), ("factors", "factors")])
def test_closes_equal_the_package(name: str, load: str) -> None:
    path = folder_of("skfolio") / "datasets" / "data" / f"{load}_dataset.csv.gz"
    raw = pd.read_csv(path, index_col=0)
    market = load_market(name)
    assert list(market.symbols) == list(raw.columns)
    for field in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(market, field), raw.to_numpy())
    assert market.index.strftime("%Y-%m-%d").tolist() == raw.index.tolist()
    some = load_market(f"{name}:{raw.columns[3]},{raw.columns[0]}")
    np.testing.assert_array_equal(some.close, raw.to_numpy()[:, [3, 0]])


def test_wiki_bars_are_adjusted() -> None:
    path = folder_of("bokeh_sampledata") / "_data" / "stocks.csv.gz"
    raw = pd.read_csv(path)
    apple = raw[raw["Ticker"] == "AAPL"].set_index("Date")
    market = load_market("wiki:AAPL,IBM,MSFT")
    scale = (apple["Adj Close"] / apple["Close"]).to_numpy()
    for field in ("Open", "High", "Low", "Close"):
        bars = getattr(market, field.lower())[:, 0]
        np.testing.assert_allclose(bars, apple[field] * scale, rtol=1e-12)
    assert str(load_market("wiki:FB").timestamps[0])[:10] == "2012-05-18"


@pytest.mark.parametrize(("name", "file"), [("goog", "GOOG"), ("btcusd_1mo", "BTCUSD")])
def test_bars_of_backtesting_equal_its_file(name: str, file: str) -> None:
    raw = pd.read_csv(folder_of("backtesting") / "test" / f"{file}.csv", index_col=0)
    market = load_market(name)
    assert market.index.strftime("%Y-%m-%d").tolist() == raw.index.tolist()
    for field in ("Open", "High", "Low", "Close", "Volume"):
        np.testing.assert_array_equal(getattr(market, field.lower())[:, 0], raw[field])


def test_intraday_bars_carry_the_time_of_their_close() -> None:
    folder_of("backtesting")
    euro = load_market("eurusd_1h").index
    week_starts = euro[1:][np.diff(euro) > pd.Timedelta(days=1)]
    # The week opens at 17:00 in New York; its first hour ends at 18:00.
    assert (week_starts.tz_convert("America/New_York").hour == 18).mean() > 0.8
    folder_of("mintalib")
    hours = load_market("aapl_1h").index.tz_convert("America/New_York")
    assert set(hours.strftime("%H:%M")) <= {
        "10:30", "11:30", "12:30", "13:30", "14:30", "15:30", "16:00"
    }  # fmt: skip
    minutes = load_market("aapl_1m").index.tz_convert("America/New_York")
    assert (minutes.strftime("%H:%M") >= "09:31").all()
    assert (minutes.strftime("%H:%M") <= "16:00").all()


@pytest.mark.parametrize("name", NAMES)
def test_without_the_package_it_says_which_extra(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(real.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"tradinghf\[samples\]"):
        load_market(name)
    empty = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(real.importlib.util, "find_spec", lambda _: empty)
    with pytest.raises(MarketDataError, match="cannot be read"):
        load_market(name)


def test_another_version_of_a_file_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "datasets" / "data" / "factors_dataset.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"Date,AA,BB\n2020-01-02,1.0,2.0\n2020-01-03,1.5,2.5\n"))
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(real.importlib.util, "find_spec", lambda _: found)
    with caplog.at_level(logging.WARNING):
        market = load_market("factors")
    assert market.close.tolist() == [[1.0, 2.0], [1.5, 2.5]]
    assert "another factors_dataset.csv.gz" in caplog.text
    with pytest.raises(MarketDataError, match="AA"):
        load_market("factors:AAA")
