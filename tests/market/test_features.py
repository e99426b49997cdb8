"""Features: known answers, bounds, causality of every registered one; the scaler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markets import markets

from tradinghf import MarketData, load_market
from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError, MarketDataError
from tradinghf.market import (
    FeatureScaler,
    assert_causal,
    feature,
    feature_names,
    features,
    leaks,
    synthetic,
)
from tradinghf.market._features import FEATURES, LIMIT
from tradinghf.market._lookahead import Leak, perturb_after

NAMES = [usage.replace("_N", "_12") for usage in feature_names()]


@pytest.fixture(scope="module")
def market() -> MarketData:
    return synthetic(seed=5, bars=300, assets=3, regime="mixed")


def one(market: MarketData, name: str, asset: int = 0) -> np.ndarray:
    return features(market, [name])[:, asset, 0]


@pytest.fixture(scope="module")
def table(market: MarketData) -> pd.DataFrame:
    """Asset 0 in pandas, for oracles written in another library."""
    return market.select(["SYN0"]).to_frame()


def oracles() -> dict[str, Callable[[pd.DataFrame], pd.Series]]:
    def r(f: pd.DataFrame) -> pd.Series:
        return np.log(f.close).diff()

    def vol(f: pd.DataFrame, n: int = 20) -> pd.Series:
        return (r(f) ** 2).rolling(n).mean() ** 0.5

    def rsi(f: pd.DataFrame) -> pd.Series:
        up = f.close.diff().clip(lower=0).rolling(14).mean()
        down = (-f.close.diff()).clip(lower=0).rolling(14).mean()
        return ((100 - 100 / (1 + up / down)) - 50) / 50

    def zscore(f: pd.DataFrame) -> pd.Series:
        log = np.log(f.close)
        return (log - log.rolling(10).mean()) / log.rolling(10).std(ddof=0)

    def channel(f: pd.DataFrame) -> pd.Series:
        top, low = f.high.rolling(15).max(), f.low.rolling(15).min()
        return 2 * (f.close - low) / (top - low) - 1

    return {
        "log_return": lambda f: r(f) / vol(f),
        "momentum_5": lambda f: np.log(f.close / f.close.shift(5)) / vol(f) / 5**0.5,
        "momentum_40": lambda f: np.log(f.close / f.close.shift(40)) / vol(f, 40) / 40**0.5,
        "volatility_10": lambda f: np.log(vol(f, 10) * 252**0.5 / 0.16),
        "range": lambda f: np.log(f.high / f.low) / vol(f) / 1.5957691216057308 - 1,
        "body": lambda f: np.log(f.close / f.open) / vol(f),
        "gap": lambda f: np.log(f.open / f.close.shift()) / vol(f),
        "close_location": lambda f: (f.close - f.low) / (f.high - f.low) * 2 - 1,
        "volume": lambda f: np.log(f.volume / f.volume.rolling(20).mean()),
        "rsi_14": rsi,
        "zscore_10": zscore,
        "channel_15": channel,
        "drawdown_30": lambda f: np.log(f.close / f.close.rolling(30).max()) / vol(f, 30) / 30**0.5,
    }


@pytest.mark.parametrize("name", sorted(oracles()))
def test_feature_equals_pandas(market: MarketData, table: pd.DataFrame, name: str) -> None:
    expected = oracles()[name](table).fillna(0.0).to_numpy()
    np.testing.assert_allclose(one(market, name), expected, rtol=1e-7, atol=1e-9)
    assert np.abs(expected).max() > 0.5


def test_every_market_feature_has_an_oracle() -> None:
    ours = {n for n in FEATURES if FEATURES[n].function.__module__.startswith("tradinghf.market")}
    calendar = {n for n in ours if n.endswith(("_sin", "_cos"))}
    assert {name.rstrip("0123456789").rstrip("_") for name in oracles()} | calendar == ours


def test_calendar() -> None:
    hours = pd.date_range("2024-01-01", periods=24 * 400, freq="h")  # a Monday
    frame = pd.DataFrame({c: 1.0 for c in ("open", "high", "low", "close")}, index=hours)
    market = MarketData.from_frame(frame)

    def angle(name: str, at: str) -> float:
        row = int(np.flatnonzero(hours == pd.Timestamp(at))[0])
        sine, cosine = (one(market, f"{name}_{wave}")[row] for wave in ("sin", "cos"))
        return float(np.round(np.arctan2(sine, cosine) / (2 * np.pi) % 1.0, 9) % 1.0)

    assert angle("time_of_day", "2024-03-05 06:00") == 0.25
    assert angle("day_of_week", "2024-01-01 23:00") == 0.0
    assert angle("day_of_week", "2024-01-07 00:00") == pytest.approx(6 / 7)
    assert angle("month", "2024-01-31") == 0.0
    assert angle("month", "2024-07-01") == 0.5


@given(markets(), st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_features_are_finite_bounded_and_free_of_units(market: MarketData, window: int) -> None:
    names = [usage.replace("_N", f"_{window}") for usage in feature_names()]
    values = features(market, names)
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= LIMIT
    power = {name: getattr(market, name) * 4.0 for name in ("open", "high", "low", "close")}
    scaled = replace(market, **power, volume=market.volume * 8.0)
    np.testing.assert_allclose(features(scaled, names), values, rtol=1e-5, atol=1e-5)


def test_warm_up_rows_are_zero_and_short_markets_all_zero(market: MarketData) -> None:
    assert (one(market, "momentum_12")[:20] == 0).all()
    assert one(market, "momentum_12")[20] != 0
    assert (one(market, "channel_12")[:11] == 0).all()
    assert one(market, "channel_12")[11] != 0
    short = market.rows(0, 5)
    windowed = [name for name in NAMES if name.endswith("_12")]
    assert (features(short, windowed) == 0).all()


def test_constant_prices_give_zeros() -> None:
    index = pd.date_range("2020-01-01", periods=60)
    flat = pd.DataFrame({c: 5.0 for c in ("open", "high", "low", "close", "volume")}, index=index)
    names = [n for n in NAMES if not n.endswith(("_sin", "_cos"))]
    assert (features(MarketData.from_frame(flat), names) == 0).all()


def test_default_features_exist_and_have_unit_scale() -> None:
    sp500 = load_market("sp500")
    values = features(sp500, EnvConfig().features)
    assert values.shape == (5031, 1, 5)
    assert (values[100:].std(axis=(0, 1)) > 0.2).all()
    assert (values[100:].std(axis=(0, 1)) < 2.0).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("momentun_20", "Unknown feature 'momentun'. Did you mean 'momentum'"),
        ("momentum", "needs a window .*'momentum_20'"),
        ("momentum_1", "window 1; expected 2 to"),
        ("momentum_999999999999", "expected 2 to"),
        ("range_20", "'range' takes no window"),
        ("", "Unknown feature ''"),
        ("20", "Unknown feature '20'"),
    ],
)
def test_bad_names(market: MarketData, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        features(market, [name])


def test_no_names_give_no_features(market: MarketData) -> None:
    assert features(market, []).shape == (300, 3, 0)


@pytest.mark.parametrize("regime", ["momentum", "volatility_clustering"])
@pytest.mark.parametrize("name", [*NAMES, "momentum_2", "zscore_50", "channel_3"])
def test_no_feature_looks_ahead(name: str, regime: str) -> None:
    market = synthetic(seed=3, bars=160, assets=2, regime=regime)  # type: ignore[arg-type]
    assert_causal(lambda m: features(m, [name]), market, points=20, seed=1, name=name)


def planted() -> dict[str, Callable[[MarketData], np.ndarray]]:
    def centred(m: MarketData) -> np.ndarray:
        return pd.DataFrame(m.close).rolling(5, center=True).mean().to_numpy()

    def normalised(m: MarketData) -> np.ndarray:
        return (m.close - m.close.mean()) / m.close.std()

    def ranked(m: MarketData) -> np.ndarray:
        return m.close.argsort(axis=0).argsort(axis=0)

    def last_bar_flat(m: MarketData) -> np.ndarray:
        weights = np.ones(m.bars)
        weights[-1] = 0.0
        return weights

    def filled(m: MarketData) -> np.ndarray:
        sparse = np.where(np.arange(m.bars)[:, None] % 3 == 0, m.close, np.nan)
        return pd.DataFrame(sparse).bfill().to_numpy()

    def crash_ahead(m: MarketData) -> np.ndarray:
        # Silent on these paths, with or without a future: only other bars betray it.
        return np.minimum(np.roll(m.close, -1, axis=0), m.close) < 0.7 * m.close

    return {
        "crash ahead": crash_ahead,
        "next return": lambda m: np.diff(np.log(m.close), axis=0, append=0.0),
        "next open": lambda m: np.roll(m.open, -1, axis=0),
        "next volume": lambda m: np.roll(m.volume, -1, axis=0),
        "next high": lambda m: np.roll(m.high, -1, axis=0),
        "centred": centred,
        "normalised": normalised,
        "ranked": ranked,
        "filled back": filled,
        "last bar flat": last_bar_flat,
        "running sum from the end": lambda m: np.cumsum(m.close[::-1], axis=0)[::-1],
        "one in the last bit": lambda m: m.close * (1 + 1e-16 * m.close[-1]) + m.close[-1] * 1e-14,
    }


@pytest.mark.parametrize("name", sorted(planted()))
def test_planted_leaks_are_caught(market: MarketData, name: str) -> None:
    found = leaks(planted()[name], market)
    assert found
    assert isinstance(found[0], Leak)
    assert "differs after the bars from" in str(found[0])
    with pytest.raises(AssertionError, match="my feature looks ahead in"):
        assert_causal(planted()[name], market, name="my feature")


@pytest.mark.parametrize(
    "causal",
    [
        lambda m: m.close,
        lambda m: np.cumsum(m.close, axis=0),
        lambda m: pd.DataFrame(m.close).ewm(span=9).mean().to_numpy(),
        lambda m: np.arange(m.bars),
        lambda m: np.full(m.bars, np.nan),
        lambda m: m.timestamps,
    ],
)
def test_causal_functions_pass(market: MarketData, causal: Callable[..., np.ndarray]) -> None:
    assert leaks(causal, market) == []


def test_perturbation_changes_all_of_the_future_and_nothing_else(market: MarketData) -> None:
    other = perturb_after(market, 100, np.random.default_rng(0))
    for name in ("open", "high", "low", "close", "volume"):
        mine, theirs = getattr(market, name), getattr(other, name)
        np.testing.assert_array_equal(mine[:101], theirs[:101])
        assert (mine[101:] != theirs[101:]).all(), name


def test_registering_a_feature(market: MarketData) -> None:
    @feature("test_double_close", windowed=True)
    def double(m: MarketData, window: int) -> np.ndarray:
        """Twice the close over the window."""
        return 2 * m.close / window

    try:
        assert "test_double_close_N" in feature_names()
        assert FEATURES["test_double_close"].doc == "Twice the close over the window."
        got = features(market, ["test_double_close_100"])[..., 0]
        np.testing.assert_array_equal(got, np.minimum(2 * market.close / 100, LIMIT))
        with pytest.raises(ConfigError, match="registered already"):
            feature("test_double_close")(lambda m: m.close)
    finally:
        FEATURES._items.pop("test_double_close")


def test_wrong_shape_is_refused(market: MarketData) -> None:
    feature("test_flat")(lambda m: m.close[:, 0])
    try:
        with pytest.raises(MarketDataError, match=r"'test_flat' returned shape \(300,\)"):
            features(market, ["test_flat"])
    finally:
        FEATURES._items.pop("test_flat")


def test_scaler_standardises_the_training_rows_only(market: MarketData) -> None:
    values = features(market, ["momentum_12", "range", "time_of_day_sin"])
    scaler = FeatureScaler.fit(values)
    known = scaler.apply(values)[20:]
    np.testing.assert_allclose(known.mean(axis=(0, 1))[:2], 0, atol=0.02)
    np.testing.assert_allclose(known.std(axis=(0, 1))[:2], 1, atol=0.02)
    assert scaler.std[2] == 1.0
    assert np.abs(scaler.apply(values * 100)).max() == 5.0
    assert scaler.apply(values[3, 1]).shape == (3,)


def test_scaler_round_trip_and_refusals(market: MarketData) -> None:
    scaler = FeatureScaler.fit(features(market, ["momentum_12", "range"]))
    assert FeatureScaler.from_dict(scaler.to_dict()) == scaler
    with pytest.raises(ConfigError, match="fitted on 2 features; got 3"):
        scaler.apply(np.zeros((5, 3)))
    for bad in ({}, {"mean": [1], "std": ["x"], "clip": 5}, {"mean": 3, "std": [1], "clip": 5}):
        with pytest.raises(ConfigError, match="Not a FeatureScaler"):
            FeatureScaler.from_dict(bad)
    for bad in (((1.0,), (0.0,)), ((1.0,), (1.0, 1.0)), ((float("nan"),), (1.0,))):
        with pytest.raises(ConfigError, match="must be finite"):
            FeatureScaler(*bad)


def intraday(nights: float) -> MarketData:
    """Three sessions of sixty minutes; the price jumps by `nights` while the market is closed."""
    rng = np.random.default_rng(4)
    days = [f"2024-03-{day:02d}T14:30" for day in (4, 5, 8)]
    minutes = np.arange(60) * np.timedelta64(1, "m")
    times = np.concatenate([np.datetime64(day, "ns") + minutes for day in days])
    body = rng.normal(0, 1e-3, (180, 1))
    jumps = np.zeros((180, 1))
    jumps[[60, 120]] = nights
    close = 100 * np.exp(np.cumsum(body + jumps, axis=0))
    opened = close / np.exp(body)
    rows = np.hstack([opened, np.maximum(opened, close), np.minimum(opened, close), close])
    table = pd.DataFrame(rows, pd.DatetimeIndex(times, tz="UTC"), ["open", "high", "low", "close"])
    return MarketData.from_frame(table.assign(volume=1000.0))


def test_a_closed_night_is_not_the_move_of_a_minute() -> None:
    names = ["log_return", "momentum_5", "momentum_20", "volatility_20", "range", "body"]
    calm, wild = (intraday(nights) for nights in (0.0, 0.1))
    np.testing.assert_allclose(features(wild, names), features(calm, names), atol=1e-8)
    assert features(wild, ["gap"])[60, 0, 0] == LIMIT
    assert_causal(lambda m: features(m, names), wild)
    # A break of a few minutes is no night, and a weekend of daily bars is a return.
    times = wild.timestamps.copy()
    times[100:120] += np.timedelta64(9, "m")
    assert one(replace(wild, timestamps=times), "log_return")[100] == one(wild, "log_return")[100]
    daily = replace(wild, bars_per_year=252.0)
    assert one(daily, "log_return")[60] > 4
