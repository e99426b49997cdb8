"""MarketData: what it accepts, refuses, and gives back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from support.markets import markets

from tradinghf import MarketData
from tradinghf.errors import MarketDataError
from tradinghf.market import FIELDS
from tradinghf.market._times import infer_bars_per_year, read_times


def frame(bars: int = 5, start: str = "2020-01-06") -> pd.DataFrame:
    close = 100.0 + np.arange(bars)
    return pd.DataFrame(
        {"open": close - 0.5, "high": close + 1, "low": close - 1, "close": close, "volume": 10.0},
        index=pd.date_range(start, periods=bars, freq="B"),
    )


def arrays(bars: int = 4, assets: int = 2) -> dict[str, object]:
    close = 100.0 + np.arange(bars * assets).reshape(bars, assets)
    return {
        "open": close.copy(),
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": np.ones_like(close),
        "timestamps": np.datetime64("2020-01-01") + np.arange(bars),
        "symbols": tuple("AB"[:assets]),
    }


def test_from_frame_keeps_values_and_times() -> None:
    market = MarketData.from_frame(frame(), symbol="SPY")
    assert (market.bars, market.assets, market.symbols) == (5, 1, ("SPY",))
    assert market.close[:, 0].tolist() == [100, 101, 102, 103, 104]
    assert market.timestamps.dtype == "datetime64[ns]"
    assert market.index[0] == pd.Timestamp("2020-01-06", tz="UTC")
    assert market.bars_per_year == 252


@pytest.mark.parametrize("order", [("symbol", "field"), ("field", "symbol")])
def test_column_multiindex_in_both_orders(order: tuple[str, str]) -> None:
    both = pd.concat({"A": frame(), "B": frame() * 2}, axis=1, names=["symbol", "field"])
    both = both.reorder_levels(list(order), axis=1)
    market = MarketData.from_frame(both)
    assert market.symbols == ("A", "B")
    np.testing.assert_array_equal(market.close[:, 1], 2 * market.close[:, 0])


def test_long_frame_index_levels_and_from_frames_agree() -> None:
    parts = {"A": frame(), "B": frame() * 2}
    wide = MarketData.from_frames(parts)
    long = pd.concat(
        [p.assign(Symbol=s).rename_axis("Date").reset_index() for s, p in parts.items()]
    )
    stacked = pd.concat(parts, names=["symbol", "timestamp"])
    assert MarketData.from_frame(long).sha256 == wide.sha256
    assert MarketData.from_frame(long.sort_values("Date")).sha256 == wide.sha256
    assert MarketData.from_frame(stacked).sha256 == wide.sha256


def test_missing_volume_is_zero_and_names_in_any_case() -> None:
    upper = frame().drop(columns="volume").rename(columns=str.upper).rename_axis("DATE")
    market = MarketData.from_frame(upper.reset_index())
    assert (market.volume == 0).all()


def test_adjusted_close_scales_prices_when_asked_and_says_so() -> None:
    raw = frame().assign(**{"Adj Close": frame()["close"] * [0.5, 0.5, 1, 1, 1]})
    market = MarketData.from_frame(raw, adjust=True)
    assert market.close[:, 0].tolist() == [50, 50.5, 102, 103, 104]
    assert market.high[0, 0] == 101 * 0.5
    assert "scaled by adj_close / close in 2 rows" in market.source
    offered = MarketData.from_frame(raw)
    assert offered.close[0, 0] == 100
    assert "adj_close not used" in offered.source
    raw.iloc[1, -1] = np.nan
    with pytest.raises(MarketDataError, match=r"row 1 .*'adj_close'.*adjust=False"):
        MarketData.from_frame(raw, adjust=True)


def test_arrays_cannot_be_changed() -> None:
    market = MarketData.from_frame(frame())
    with pytest.raises(ValueError, match="read-only"):
        market.close[0, 0] = 1.0


def test_hash_covers_every_part_and_nothing_else() -> None:
    base = MarketData(**arrays())
    assert MarketData(**arrays(), name="other", source="x").sha256 == base.sha256
    for name in FIELDS:
        changed = arrays()
        changed[name] = changed[name] * np.where(np.arange(8).reshape(4, 2) == 3, 1 + 1e-12, 1.0)
        assert MarketData(**changed).sha256 != base.sha256, name
    for change in (
        {"symbols": ("A", "C")},
        {"timestamps": arrays()["timestamps"] + np.timedelta64(1, "D")},
    ):
        assert MarketData(**{**arrays(), **change}).sha256 != base.sha256


def test_hash_is_stable_across_versions() -> None:
    expected = "777fbedf24165da6a5835f6bf6aa8898b7ec7626cc08ba536561870a8b42f4aa"
    assert MarketData(**arrays()).sha256 == expected


def test_rows_between_select() -> None:
    market = MarketData.from_frames({"A": frame(10), "B": frame(10) * 2})
    assert market.rows(2, 5).close[:, 0].tolist() == [102, 103, 104]
    assert market.between("2020-01-07", "2020-01-09").bars == 3
    assert market.between("2020").bars == 10
    assert market.between(None, "2020-01").bars == 10
    days = market.timestamps[2], market.index[4]
    for first, last in (
        days,
        [str(d)[:10] for d in days],
        [d.date() for d in market.index[[2, 4]]],
    ):
        assert market.between(first, last).bars == 3
    assert market.between(2020, 2020).bars == 10
    assert market.select(["B"]).close[0, 0] == 200
    assert market.select("A").symbols == ("A",)
    with pytest.raises(MarketDataError, match="window of 1 bars"):
        market.rows(3, 4)
    with pytest.raises(MarketDataError, match="no bars from 2030;"):
        market.between("2030")
    with pytest.raises(MarketDataError, match="Write them as 2012"):
        market.between("soon")
    with pytest.raises(MarketDataError, match="Unknown symbol 'C'"):
        market.select(["C"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": (1, np.nan)}, r"close\[1\] of 'A' .* is .*nan.* expected a number"),
        ({"open": (2, np.inf)}, r"open\[2\].*finite"),
        ({"low": (3, 0.0)}, r"low\[3\].*more than 0"),
        ({"low": (3, -1.0)}, r"low\[3\].*ratio-adjusted"),
        ({"close": (0, 1e300)}, r"close\[0\].*between 1e-15 and 1e\+15"),
        ({"volume": (1, -1.0)}, r"volume\[1\].*0 or more"),
        ({"high": (1, 1.0)}, r"high\[1\].*at least low = 101.*Swap"),
        ({"open": (1, 104.0)}, r"open\[1\].*between low = 101 and high = 103"),
        ({"close": (1, 100.0)}, r"close\[1\].*between low = 101 and high = 103"),
    ],
)
def test_bad_values_name_bar_column_and_fix(
    change: dict[str, tuple[int, float]], message: str
) -> None:
    bad = arrays()
    for name, (bar, value) in change.items():
        bad[name][bar, 0] = value  # type: ignore[index]
    with pytest.raises(MarketDataError, match=message):
        MarketData(**bad, name="m")


def test_slack_is_relative_1e_9() -> None:
    fine, bad = arrays(), arrays()
    fine["close"] = fine["high"] * (1 + 9e-10)  # type: ignore[operator]
    bad["close"] = bad["high"] * (1 + 2e-9)  # type: ignore[operator]
    MarketData(**fine)
    with pytest.raises(MarketDataError, match="close"):
        MarketData(**bad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamps": np.arange("2020-01-01", "2020-01-04", dtype="M8[D]")}, "timestamps has"),
        ({"timestamps": np.array(["2020-01-01"] * 4, "M8[D]")}, r"timestamps\[1\].*duplicates"),
        ({"timestamps": np.array(["NaT"] * 4, "M8[D]")}, r"timestamps\[0\] is NaT"),
        ({"symbols": ("A", "A")}, "2 different non-empty names"),
        ({"symbols": ("A", "")}, "2 different non-empty names"),
        ({"symbols": ("A",)}, "2 different non-empty names"),
        ({"bars_per_year": 0.0}, "bars_per_year"),
        ({"bars_per_year": float("nan")}, "bars_per_year"),
        ({"volume": np.ones((3, 2))}, "volume has shape"),
    ],
)
def test_bad_shapes_and_labels(change: dict[str, object], message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        MarketData(**{**arrays(), **change})


def test_one_bar_and_one_dimension_are_refused() -> None:
    for bars in (0, 1):
        with pytest.raises(MarketDataError, match="at least 2 bars"):
            MarketData(**arrays(bars))
    flat = {k: v[:, 0] if isinstance(v, np.ndarray) and v.ndim == 2 else v
            for k, v in arrays(4, 1).items()}  # fmt: skip
    with pytest.raises(MarketDataError, match=r"\[T, A\]"):
        MarketData(**flat)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (pd.DataFrame(), "missing columns 'timestamp'"),
        (frame().iloc[:1], "there is one bar"),
        (frame().iloc[:0], "there are no rows"),
        (frame().iloc[::-1], r"row 1 .*before that of the row above \(4 such rows\).*Sort"),
        (pd.concat([frame(), frame().iloc[-1:]]), "row 5 .*occurs twice"),
        (frame().rename(columns={"close": "Closed"}), "missing column 'close'.*Rename 'Closed'"),
        (frame().reset_index(drop=True), "missing column 'timestamp'"),
        (frame().assign(Close=1.0), "two columns are 'close'"),
        (frame().assign(symbol=["A", "A", "B", "B", ""]), "row 4 .*names no asset"),
        (frame().assign(symbol=list("AABBB")), "'A' lacks 3 of 5 times, first 2020-01-08.*inner"),
        (frame().set_index(pd.Index(list("abcde"))), "row 0.*'a' is not a readable time"),
        (
            frame().assign(open=["100", "100", "x", "100", "100"]),
            "row 2 .*'open': 'x' is not a number",
        ),
    ],
)
def test_bad_frames(frames: pd.DataFrame, message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        MarketData.from_frame(frames)


def test_inner_join_keeps_common_times_and_says_so() -> None:
    parts = {"A": frame(5), "B": frame(5).iloc[1:]}
    with pytest.raises(MarketDataError, match="'B' lacks 1 of 5 times, first 2020-01-06"):
        MarketData.from_frames(parts)
    market = MarketData.from_frames(parts, join="inner")
    assert market.bars == 4
    assert "1 rows dropped" in market.source
    with pytest.raises(MarketDataError, match="'exact'"):
        MarketData.from_frames(parts, join="left")


def test_wrong_types_are_refused() -> None:
    for wrong in ([1, 2], None, "sp500"):
        with pytest.raises(MarketDataError, match="expected a pandas DataFrame"):
            MarketData.from_frame(wrong)  # type: ignore[arg-type]
    with pytest.raises(MarketDataError, match="no frames"):
        MarketData.from_frames({})
    three = pd.concat({"x": pd.concat({"A": frame()}, axis=1)}, axis=1)
    with pytest.raises(MarketDataError, match="3 levels"):
        MarketData.from_frame(three)
    neither = pd.concat({"A": frame().drop(columns="high")}, axis=1)
    with pytest.raises(MarketDataError, match="neither column level"):
        MarketData.from_frame(neither)


def test_time_zones_all_or_none() -> None:
    mixed = frame(2).reset_index(names="timestamp")
    mixed["timestamp"] = ["2020-01-06T00:00:00", "2020-01-07T00:00:00+01:00"]
    with pytest.raises(MarketDataError, match=r"row 1 .*time zone and others do not.*append Z"):
        MarketData.from_frame(mixed)
    other = frame(2).tz_localize("America/New_York")
    with pytest.raises(MarketDataError, match="time zone and others"):
        MarketData.from_frames({"A": frame(2), "B": other})
    assert MarketData.from_frame(other).index[0] == pd.Timestamp("2020-01-06T00:00Z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-31", "2020-01-31"),
        ("20200131", "2020-01-31"),
        ("2020-01", "2020-01-01"),
        ("2020-01-31 16:00", "2020-01-31T16:00"),
        ("2020-01-31T16:00:00Z", "2020-01-31T16:00"),
        ("2020-01-31T16:00:00+02:00", "2020-01-31T14:00"),
        ("2020-01-31 16:00:00.123456789", "2020-01-31T16:00:00.123456789"),
        ("1580486400", "2020-01-31T16:00"),
        ("1580486400000", "2020-01-31T16:00"),
        ("1580486400000000000", "2020-01-31T16:00"),
        ("31.01.2020", "NaT"),
        ("01/31/2020", "NaT"),
        ("now", "NaT"),
        ("today", "NaT"),
        ("", "NaT"),
        ("12", "NaT"),
        ("0001-01-01", "NaT"),
        ("9999-12-31", "NaT"),
        ("2020-02-30", "NaT"),
        ("٢٠٢٠-01-01", "NaT"),
    ],
)
def test_times(text: str, expected: str) -> None:
    got = read_times([text]).stamps
    np.testing.assert_array_equal(got, np.array([expected], dtype="datetime64[ns]"))


@pytest.mark.parametrize(
    ("freq", "bars", "expected"),
    [("B", 600, 252), ("D", 600, 365), ("W", 80, 52), ("MS", 50, 12), ("QS", 20, 4), ("YS", 9, 1)],
)
def test_bars_per_year(freq: str, bars: int, expected: float) -> None:
    stamps = pd.date_range("2001-01-01", periods=bars, freq=freq).to_numpy().astype("M8[ns]")
    assert infer_bars_per_year(stamps) == expected


def test_bars_per_year_of_intraday_sessions() -> None:
    days = pd.bdate_range("2020-01-06", periods=60)
    session = [d + pd.Timedelta(minutes=570 + 5 * i) for d in days for i in range(1, 79)]
    stamps = pd.DatetimeIndex(session).to_numpy().astype("M8[ns]")
    assert infer_bars_per_year(stamps) == 78 * 252
    hours = pd.date_range("2020-01-01", periods=24 * 60, freq="h").to_numpy().astype("M8[ns]")
    assert infer_bars_per_year(hours) == 24 * 365


@given(markets())
@settings(max_examples=60, deadline=None)
def test_frame_round_trip_is_exact(market: MarketData) -> None:
    back = MarketData.from_frame(market.to_frame(), symbol=market.symbols[0])
    assert back.sha256 == market.sha256
    assert MarketData.from_frame(market.to_long()).sha256 == market.sha256


@pytest.mark.parametrize("order", [("symbol", "field"), ("field", "symbol")])
@pytest.mark.parametrize("cell", [None, np.nan, -1.0])
def test_wide_frames_are_read_at_once_as_one_by_one(
    order: tuple[str, str], cell: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {name: frame().astype({"volume": int}) * (k + 1) for k, name in enumerate("CAB")}
    wide = pd.concat(parts, axis=1, names=["symbol", "field"]).reorder_levels(order, axis=1)
    if cell is not None:
        wide.iloc[2, 4] = cell

    def read() -> tuple[object, ...]:
        try:
            market = MarketData.from_frame(wide, join="outer")
        except MarketDataError as error:
            return (str(error),)
        return market.sha256, market.source, market.symbols, market.bars_per_year

    at_once = read()
    monkeypatch.setattr(MarketData, "_of_wide", lambda *_: None)
    monkeypatch.setattr("tradinghf.market._tables.wide_bars", lambda *_: None)
    assert at_once == read()


def test_assets_whose_names_are_the_same_text_are_refused() -> None:
    """A number and a text: one would take the place of the other."""
    wide = pd.concat({1: frame(), "1": frame() * 2}, axis=1)
    with pytest.raises(MarketDataError, match=r"two assets are called '1'.*Rename"):
        MarketData.from_frame(wide)


@pytest.mark.parametrize(
    ("every", "per_year"),
    [("B", 252), ("D", 365), ("W-FRI", 52), ("ME", 12), ("QE", 4), ("YE", 1), ("6h", 1460)],
)
def test_bars_per_year_follow_from_their_spacing(every: str, per_year: float) -> None:
    index = pd.date_range("2001-01-01", periods=400 if every != "YE" else 20, freq=every)
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 1.0), index)
    assert MarketData.from_frame(frame).bars_per_year == per_year
