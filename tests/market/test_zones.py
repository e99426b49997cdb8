"""Dates keep their session, local times their hour: zones, clocks that change, and duplicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, MarketData, backtest, load_market
from tradinghf.errors import MarketDataError
from tradinghf.market import check_market_file
from tradinghf.simulation import simulate

ZONES = [
    *("Europe/Berlin", "Asia/Tokyo", "America/New_York", "Pacific/Auckland", "Asia/Kolkata"),
    *("America/Los_Angeles", "UTC"),
]
FLAT = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}


def flat(index: pd.DatetimeIndex) -> pd.DataFrame:
    return pd.DataFrame(FLAT, index=index)


def csv(folder: Path, stamps: list[str], name: str = "bars.csv") -> Path:
    path = folder / name
    rows = [f"{stamp},1,1,1,1,1" for stamp in stamps]
    path.write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]) + "\n")
    return path


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("freq", ["B", "W-FRI", "ME", "QS"])
def test_midnights_of_a_zone_keep_their_dates(tmp_path: Path, zone: str, freq: str) -> None:
    """Over both changes of clocks, as an index, as text with offsets, and from Parquet."""
    dates = pd.date_range("2022-01-03", periods=40, freq=freq)
    local = dates.tz_localize(zone)
    path = csv(tmp_path, [str(stamp) for stamp in local])
    flat(local).rename_axis("timestamp").reset_index().to_parquet(tmp_path / "bars.parquet")
    for market in (
        MarketData.from_frame(flat(local), symbol="X"),
        load_market(path),
        load_market(f"{tmp_path}/bars.parquet:zone={zone}"),
    ):
        assert market.index.tz_localize(None).tolist() == dates.tolist()


@pytest.mark.parametrize(
    ("offset", "text"),
    [
        ("+01:00", "2023-01-0{} 00:00:00+01:00"),
        ("+0900", "2023-01-0{}T00:00+0900"),
        ("-05", "2023-01-0{} 00:00:00.000-05"),
        ("Z", "2023-01-0{}T00:00:00Z"),
    ],
)
def test_offsets_in_any_form(tmp_path: Path, offset: str, text: str) -> None:
    market = load_market(csv(tmp_path, [text.format(day) for day in (2, 3, 4)]))
    assert [str(t)[:19] for t in market.index] == [f"2023-01-0{d} 00:00:00" for d in (2, 3, 4)]


def test_a_date_format_with_an_offset_keeps_dates(tmp_path: Path) -> None:
    path = csv(tmp_path, ["11/01/2022 +0100", "11/02/2022 +0100"])
    market = load_market(path, date_format="%m/%d/%Y %z")
    assert [str(t.date()) for t in market.index] == ["2022-11-01", "2022-11-02"]


def test_times_of_day_become_utc() -> None:
    index = pd.date_range("2022-07-01 09:31", periods=5, freq="min", tz="America/New_York")
    market = MarketData.from_frame(flat(index), symbol="X")
    assert str(market.index[0]) == "2022-07-01 13:31:00+00:00"


def test_session_dates_stored_in_utc_come_back_with_the_zone(tmp_path: Path) -> None:
    utc = pd.date_range("2022-11-01", periods=3, tz="Europe/Berlin").tz_convert("UTC")
    path = csv(tmp_path, [str(stamp) for stamp in utc])
    assert load_market(path).index[0].day == 31
    assert load_market(path, zone="Europe/Berlin").index[0].day == 1
    assert MarketData.from_frame(flat(utc), symbol="X", zone="Europe/Berlin").index[0].day == 1


@pytest.mark.parametrize("zone", ZONES)
def test_weights_and_dividends_in_the_zone_of_the_bars_find_them(zone: str) -> None:
    index = pd.date_range("2022-10-26", periods=6, tz=zone)
    close = np.array([100.0, 100, 110, 110, 110, 110])
    bars = {name: close for name in ("open", "high", "low", "close")}
    market = MarketData.from_frame(pd.DataFrame(bars, index=index), symbol="X")
    free = CostModel(fee_bps=0, slippage_bps=0)
    weights = pd.DataFrame({"X": [1.0]}, index=index[:1])
    assert backtest(weights, market, costs=free).equity.iloc[-1] == pytest.approx(110_000)
    paid = pd.DataFrame({"X": [0.0, 0, 0, 5, 0, 0]}, index=index)
    held = np.array([1.0, *[np.nan] * 5])
    done = simulate(market, held, costs=free, dividend=paid)
    assert done.equity[-1] == pytest.approx(115_000)


# ------------------------------------------------------------------ the hour that comes twice


def local_text(zone: str, start: str, periods: int, freq: str) -> list[str]:
    index = pd.date_range(start, periods=periods, freq=freq, tz=zone).tz_localize(None)
    return [str(stamp) for stamp in index]


@pytest.mark.parametrize(
    ("zone", "start", "freq"),
    [
        ("Europe/Berlin", "2019-10-26 12:00", "30min"),
        ("America/New_York", "2021-11-06 18:00", "15min"),
        ("Australia/Lord_Howe", "2022-04-02 12:00", "10min"),  # half an hour
        ("Europe/London", "2020-10-24 20:00", "1h"),
    ],
)
def test_naive_local_times_are_placed_by_their_zone(
    tmp_path: Path, zone: str, start: str, freq: str
) -> None:
    index = pd.date_range(start, periods=150, freq=freq, tz=zone)
    path = csv(tmp_path, local_text(zone, start, 150, freq))
    market = load_market(f"{path}:zone={zone}")
    assert market.index.tolist() == index.tz_convert("UTC").tolist()
    frame = flat(index.tz_localize(None))
    assert MarketData.from_frame(frame, symbol="X", zone=zone).index.equals(market.index)


def test_each_asset_of_a_long_file_has_its_own_second_hour(tmp_path: Path) -> None:
    stamps = local_text("Europe/Berlin", "2019-10-26 22:00", 20, "30min")
    rows = [f"{stamp},{symbol},1,1,1,1,1" for symbol in "AB" for stamp in stamps]
    path = tmp_path / "long.csv"
    path.write_text("\n".join(["Date,Symbol,Open,High,Low,Close,Volume", *rows]))
    market = load_market(path, zone="Europe/Berlin")
    assert (market.assets, market.bars) == (2, 20)
    assert set(np.diff(market.timestamps).tolist()) == {1_800_000_000_000}


def test_without_a_zone_the_second_hour_is_explained_and_nothing_is_to_be_deleted(
    tmp_path: Path,
) -> None:
    path = csv(tmp_path, local_text("Europe/Berlin", "2019-10-26 12:00", 60, "30min"))
    with pytest.raises(MarketDataError, match=r"zone=Europe/Berlin.*do not delete rows"):
        load_market(path)
    assert [finding.rule for finding in check_market_file(path)] == ["repeated_hour"]
    assert check_market_file(path, zone="Europe/Berlin") == [] or all(
        finding.severity == "warning" for finding in check_market_file(path, zone="Europe/Berlin")
    )


def test_an_hour_that_is_there_once_is_not_guessed(tmp_path: Path) -> None:
    stamps = [f"2019-10-27 0{hour}:00:00" for hour in (0, 1, 2, 3, 4)]
    with pytest.raises(MarketDataError, match=r"row 4 .*show this time twice.*\+01:00"):
        load_market(csv(tmp_path, stamps), zone="Europe/Berlin")


def test_an_hour_that_clocks_skip_is_named(tmp_path: Path) -> None:
    stamps = [f"2019-03-31 0{hour}:30:00" for hour in (0, 1, 2, 3, 4)]
    with pytest.raises(MarketDataError, match=r"row 4 .*clocks of Europe/Berlin skip this time"):
        load_market(csv(tmp_path, stamps), zone="Europe/Berlin")


def test_an_unknown_zone_suggests_close_ones(tmp_path: Path) -> None:
    path = csv(tmp_path, ["2020-01-02", "2020-01-03"])
    with pytest.raises(MarketDataError, match="Did you mean Europe/Berlin"):
        load_market(path, zone="Europe/Berlim")


def test_duplicates_say_whether_the_rows_are_equal(tmp_path: Path) -> None:
    path = csv(tmp_path, ["2020-01-02", "2020-01-03", "2020-01-03", "2020-01-06"])
    with pytest.raises(MarketDataError, match=r"occurs twice\. The two rows are equal: delete one"):
        load_market(path)
    path.write_text(path.read_text().replace("2020-01-03,1,1,1,1,1", "2020-01-03,1,1,1,1,2", 1))
    with pytest.raises(
        MarketDataError, match=r"occurs twice\. The two rows differ: find out which"
    ):
        load_market(path)


# ------------------------------------------------------------------ what vendors write


def test_the_csv_of_a_yfinance_download(tmp_path: Path) -> None:
    path = tmp_path / "yf.csv"
    path.write_text(
        "Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume\n"
        "Ticker,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL\n"
        "Date,,,,,,,,,,\n"
        "2023-02-17,11,21,12,22,9,19,10,20,5,6\n"
        "2023-02-21,12,22,13,23,10,20,11,21,7,8\n"
    )
    market = load_market(path)
    assert market.symbols == ("MSFT", "AAPL")
    assert market.close.tolist() == [[11, 21], [12, 22]]
    assert market.volume.tolist() == [[5, 6], [7, 8]]
    path.write_text(path.read_text().replace("2023-02-21,12", "2023-02-21,x"))
    with pytest.raises(MarketDataError, match=r"row 5 \(2023-02-21, MSFT\).*'x' is not a number"):
        load_market(path)


@pytest.mark.parametrize("words", ["Ticker Price", " "])
def test_the_csv_of_a_yfinance_download_by_ticker(words: str, tmp_path: Path) -> None:
    path = tmp_path / "yf.csv"
    ticker, price = words.split(" ")
    path.write_text(
        f"{ticker},MSFT,MSFT,MSFT,MSFT,MSFT,AAPL,AAPL,AAPL,AAPL,AAPL\n"
        f"{price},Open,High,Low,Close,Volume,Open,High,Low,Close,Volume\n"
        "Date,,,,,,,,,,\n"
        "2023-02-17,10,12,9,11,5,20,22,19,21,6\n"
        "2023-02-21,11,13,10,12,7,21,23,20,22,8\n"
    )
    market = load_market(path)
    assert market.symbols == ("MSFT", "AAPL")
    assert market.open.tolist() == [[10, 20], [11, 21]]
    assert market.close.tolist() == [[11, 21], [12, 22]]
    assert market.volume.tolist() == [[5, 6], [7, 8]]
    path.write_text(path.read_text().replace("2023-02-21,11", "2023-02-21,x"))
    with pytest.raises(MarketDataError, match=r"row 5 \(2023-02-21, MSFT\).*'x' is not a number"):
        load_market(path)


def test_the_close_time_of_an_exchange_is_the_time_of_the_bar(tmp_path: Path) -> None:
    path = tmp_path / "klines.csv"
    path.write_text(
        "open_time,open,high,low,close,volume,close_time\n"
        "1672531200000,1,2,0.5,1.5,10,1672531259999\n"
        "1672531260000,1.5,2,1,1.2,10,1672531319999\n"
    )
    assert str(load_market(path).index[0])[:19] == "2023-01-01 00:01:00"


# ------------------------------------------------------------------ many assets


def test_wide_frames_of_numbers_read_as_one_asset_at_a_time_does() -> None:
    rng = np.random.default_rng(0)
    index = pd.bdate_range("2020-01-01", periods=30)
    close = pd.DataFrame(rng.uniform(50, 60, (30, 7)), index, [f"S{i}" for i in range(7)])
    parts = {"open": close, "high": close + 1, "low": close - 1, "close": close}
    wide = pd.concat(parts, axis=1)
    by_field = MarketData.from_frame(wide)
    frames = {s: pd.DataFrame({f: parts[f][s] for f in parts}) for s in close.columns}
    assert by_field.sha256 == MarketData.from_frames(frames).sha256
    assert by_field.sha256 == MarketData.from_frame(wide.astype(object)).sha256
    holes = wide.copy()
    holes.iloc[4, 9] = np.nan  # high of S2
    with pytest.raises(MarketDataError, match=r"row 4 \(2020-01-07, S2\), column 'high': empty"):
        MarketData.from_frame(holes)
