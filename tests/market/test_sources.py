"""Sources: samples, generator, vendors, drop-in files, the catalogue and what it says."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tradinghf import MarketData, load_market
from tradinghf.errors import MarketDataError, MissingExtraError
from tradinghf.market import (
    SOURCES,
    catalogue,
    describe_market,
    market_warnings,
    save_market,
    source,
    synthetic,
)
from tradinghf.market import _catalogue as catalogue_module
from tradinghf.market import _samples as samples
from tradinghf.market import _vendors as vendors
from tradinghf.market._catalogue import packaged_catalogue
from tradinghf.market._features import FEATURES
from tradinghf.market._sources import drop_in_files
from tradinghf.market._synthetic import REGIMES
from tradinghf.resources import resource_dir

OHLC = ("open", "high", "low", "close")


# The index samples


@pytest.mark.parametrize("name", ["sp500", "nasdaq"])
def test_samples_equal_the_package(name: str) -> None:
    raw = pytest.importorskip(f"arch.data.{name}").load()
    market = load_market(name)
    assert market.bars == len(raw) == 5031
    for column in (*OHLC, "volume"):
        np.testing.assert_array_equal(getattr(market, column)[:, 0], raw[column.capitalize()])
    assert (market.index.tz_localize(None) == raw.index).all()
    assert market.bars_per_year == 252


def test_what_the_documentation_says_about_the_samples() -> None:
    """The figures in data/README.md and data/catalogue.toml."""
    sp500, nasdaq = load_market("sp500"), load_market("nasdaq")
    frame = sp500.to_frame()
    copied = frame["open"] == frame["close"].shift()
    yearly = copied.groupby(frame.index.year).mean()
    assert copied.sum() == 2004
    assert yearly.loc[1999:2005].between(0.945, 0.985).all()
    empty = nasdaq.index[nasdaq.volume[:, 0] == 0].strftime("%Y-%m-%d").tolist()
    assert empty == ["2015-05-12", "2018-01-09"]
    assert (
        describe_market(sp500)["longest_gap_days"]
        == describe_market(nasdaq)["longest_gap_days"]
        == 7
    )
    assert [f.rule for f in market_warnings(sp500)] == ["open_copies_close"]
    assert [f.rule for f in market_warnings(nasdaq)] == ["no_volume"]


def test_a_missing_sample_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    for found in (None, spec):
        monkeypatch.setattr(
            samples.importlib.util, "find_spec", lambda _, found=found: found
        )  # fmt: skip
        with pytest.raises(MarketDataError, match="pip install --force-reinstall arch"):
            load_market("sp500")


# The generator


def autocorrelation(x: np.ndarray, lag: int) -> float:
    x = x - x.mean(axis=0)
    return float(((x[lag:] * x[:-lag]).sum(axis=0) / (x * x).sum(axis=0)).mean())


def returns(regime: str, seed: int = 11) -> np.ndarray:
    market = load_market("synthetic", regime=regime, seed=seed, bars=4096, assets=16)
    return np.diff(np.log(market.close), axis=0)


def trend_following(regime: str, bars: int = 20, cost: float = 2e-4) -> float:
    """Annual Sharpe ratio of holding the sign of the last `bars` bars' return, after costs."""
    r = returns(regime)
    past = np.lib.stride_tricks.sliding_window_view(r, bars, axis=0).sum(axis=-1)
    sign = np.sign(past[:-1])
    net = sign * r[bars:] - cost * np.abs(np.diff(sign, axis=0, prepend=0))
    return float(net.mean() / net.std() * 252**0.5)


def test_momentum_pays_trend_followers() -> None:
    r = returns("momentum")
    assert 0.009 < r.std() < 0.012
    assert autocorrelation(r, 1) > 0.05
    assert autocorrelation(r, 10) > 0.03
    assert trend_following("momentum") > 1.5


def test_mean_reversion_punishes_trend_followers() -> None:
    r = returns("mean_reversion")
    assert autocorrelation(r, 1) < -0.02
    assert trend_following("mean_reversion") < -1.0


def test_jumps_have_fat_tails_and_a_drift_after_them() -> None:
    r = returns("jumps")
    z = (r - r.mean()) / r.std()
    assert 8 < (z**4).mean() < 20
    jumped = np.abs(r[:-10]) > 0.035
    after = sum(r[k : len(r) - 10 + k] for k in range(1, 11))
    follow = (np.sign(r[:-10]) * after)[jumped]
    assert follow.mean() > 4 * follow.std() / len(follow) ** 0.5
    assert 0.01 < jumped.mean() < 0.03


def test_volatility_clusters_and_calm_times_pay() -> None:
    r = returns("volatility_clustering")
    z = (r - r.mean()) / r.std()
    assert autocorrelation(r**2, 1) > 0.15
    assert autocorrelation(r**2, 20) > 0.05
    assert abs(autocorrelation(r, 1)) < 0.03
    assert (z**4).mean() > 5
    recent = np.lib.stride_tricks.sliding_window_view(r**2, 20, axis=0).mean(axis=-1)[:-1]
    calm = recent < np.median(recent)
    assert r[20:][calm].mean() > 0 > r[20:][~calm].mean()


def test_regimes_are_fair_without_skill() -> None:
    for regime in REGIMES:
        r = returns(regime)
        per_asset = r.mean(axis=0)
        assert abs(per_asset.mean()) < 4 * per_asset.std() / 16**0.5, regime


@pytest.mark.parametrize("regime", [*REGIMES, "mixed"])
def test_an_asset_depends_on_seed_and_its_number_only(regime: str) -> None:
    small = synthetic(seed=4, bars=100, assets=5, regime=regime)  # type: ignore[arg-type]
    large = synthetic(seed=4, bars=150, assets=9, regime=regime)  # type: ignore[arg-type]
    assert large.select(small.symbols).rows(0, 100).sha256 == small.sha256
    other = synthetic(seed=5, bars=100, assets=5, regime=regime)  # type: ignore[arg-type]
    assert (other.close != small.close).all()
    assert len({small.close[50, i] for i in range(5)}) == 5


def test_mixed_holds_every_regime() -> None:
    mixed = synthetic(seed=1, bars=50, assets=8, regime="mixed")
    for i, regime in enumerate([*REGIMES, *REGIMES]):
        pure = synthetic(seed=1, bars=50, assets=8, regime=regime)  # type: ignore[arg-type]
        np.testing.assert_array_equal(mixed.close[:, i], pure.close[:, i])


def test_synthetic_hashes_are_stable() -> None:
    """Seeds in papers and results must mean the same data tomorrow."""
    expected = {
        "momentum": "75f0d04cfe0487ad",
        "mean_reversion": "ef251512137e1edc",
        "jumps": "4e327d7407f6a165",
        "volatility_clustering": "4e4aed79d7eb0f92",
    }
    got = {r: synthetic(seed=1, bars=64, assets=2, regime=r).sha256[:16] for r in REGIMES}  # type: ignore[arg-type]
    assert got == expected


def test_opens_gap_and_ranges_are_brownian() -> None:
    market = synthetic(seed=2, bars=4096, assets=8)
    gap = np.log(market.open[1:] / market.close[:-1])
    assert 0.0015 < gap.std() < 0.0025
    spread = np.log(market.high / market.low).mean() / 0.01
    assert 1.5 < spread < 1.75  # sqrt(8 / pi) = 1.596 for a Brownian motion
    assert (market.volume > 0).all()


def test_long_paths_switch_to_hours_and_stay_in_range() -> None:
    market = synthetic(seed=0, bars=120_000, assets=1)
    assert market.bars_per_year == 8760
    assert 0.5 < market.close.min() < market.close.max() < 20_000
    assert synthetic(bars=50_000, assets=1).bars_per_year == 252


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"bars": 1}, "bars is 1; expected at least 2"),
        ({"assets": 0}, "assets is 0"),
        ({"regime": "momentun"}, "Unknown regime 'momentun'. Did you mean 'momentum'"),
    ],
)
def test_bad_generator_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        load_market("synthetic", **options)


# Specs and names


def test_spec_options_and_keywords_agree() -> None:
    spec = load_market("synthetic: seed=3, bars=64, assets=2, regime=jumps")
    assert spec.sha256 == load_market("synthetic", seed=3, bars=64, assets=2, regime="jumps").sha256
    assert load_market("synthetic:seed=3,bars=64,assets=2", bars=32).bars == 32
    assert load_market(spec.source).sha256 == spec.sha256


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sp50", "Unknown market 'sp50'. Did you mean 'sp500'"),
        ("", "Unknown market ''"),
        ("synthetic:sed=3", "Unknown option 'sed'. Did you mean 'seed'"),
        ("synthetic:seed=x", "option seed is 'x'; expected a whole number"),
        ("synthetic:3", "too many positional arguments.*Options: seed=0"),
        ("sp500:start=2000", "Unknown option 'start'.*Known: none"),
        ("missing.csv", "does not exist"),
        ("missing.parquet", "does not exist"),
    ],
)
def test_bad_specs(spec: str, message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        load_market(spec)


def test_drop_in_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    market = synthetic(bars=20, assets=1)
    (tmp_path / "data").mkdir()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADINGHF_DATA", str(tmp_path / "mine"))
    save_market(market, tmp_path / "data" / "alpha.csv")
    save_market(market, tmp_path / "mine" / "beta.parquet")
    assert [p.stem for p in drop_in_files()][:2] == ["beta", "alpha"]
    assert load_market("alpha").sha256 == load_market("beta").sha256 == market.sha256
    assert load_market("data/alpha.csv").name == "alpha"
    assert {"alpha", "beta"} <= {entry.name for entry in catalogue()}
    with pytest.raises(MarketDataError, match="Did you mean 'alpha'"):
        load_market("alhpa")


def test_a_source_is_one_decorated_function() -> None:
    @source("test_ramp", help="A ramp: test_ramp:step=2")
    def ramp(*, step: float = 1.0) -> MarketData:
        close = 10 + step * np.arange(5.0)
        frame = pd.DataFrame(dict.fromkeys(OHLC, close), index=pd.date_range("2020", periods=5))
        return MarketData.from_frame(frame)

    try:
        assert load_market("test_ramp:step=2").close[-1, 0] == 18
        assert any(e.name == "test_ramp" and e.kind == "plug-in" for e in catalogue())
        assert SOURCES["test_ramp"].usage == "step=1.0"
        with pytest.raises(MarketDataError, match="registered already"):
            source("test_ramp", help="again")(lambda: ramp())
    finally:
        SOURCES._items.pop("test_ramp")


# Vendors, with stand-ins for the network


class FakeYahoo(ModuleType):
    """Two symbols; bars stamped with their start in New York, the last still forming."""

    exceptions = SimpleNamespace(YFException=type("YFException", (Exception,), {}))

    def Ticker(self, symbol: str) -> Any:  # noqa: N802
        def history(interval: str, actions: bool, **span: str) -> pd.DataFrame:
            assert not actions
            self.span = span
            if symbol == "DOWN":
                raise ConnectionError("Could not resolve host")
            if symbol == "LIMIT":
                raise self.exceptions.YFException("Too Many Requests")
            if symbol == "NONE":
                logging.getLogger("yfinance").error("$NONE: possibly delisted")
                return pd.DataFrame()
            now = pd.Timestamp.now(tz="America/New_York")
            last = now.normalize() if interval == "1d" else now.floor("h")
            bars = 3 if symbol == "NEW" else 5
            freq = {"1d": "D", "1h": "h"}[interval]
            index = pd.date_range(end=last, periods=bars, freq=freq)
            close = np.arange(10.0, 10 + bars)
            fields = {c.capitalize(): close for c in OHLC}
            return pd.DataFrame({**fields, "Volume": 1}, index=index)

        return SimpleNamespace(history=history)


@pytest.fixture
def yahoo(monkeypatch: pytest.MonkeyPatch) -> FakeYahoo:
    fake = FakeYahoo("yfinance")
    monkeypatch.setitem(sys.modules, "yfinance", fake)
    return fake


def test_yahoo_daily_bars_keep_their_date_and_drop_today(yahoo: FakeYahoo) -> None:
    market = load_market("yfinance:SPY,start=2010,end=2012-05")
    today = pd.Timestamp.now(tz="America/New_York").tz_localize(None).normalize()
    assert yahoo.span == {"start": "2010-01-01", "end": "2012-05-02"}
    assert market.bars == 4
    assert market.timestamps[-1] == (today - pd.Timedelta(days=1)).to_datetime64()
    assert "yfinance:SPY, interval 1d, fetched 20" in market.source
    load_market("yfinance:SPY")
    assert yahoo.span == {"period": "max"}


def test_yahoo_intraday_bars_are_stamped_with_their_close(yahoo: FakeYahoo) -> None:
    market = load_market("yfinance:SPY,interval=1h")
    now = pd.Timestamp.now(tz="UTC")
    assert market.bars == 4
    assert pd.Timedelta(0) <= now - market.index[-1] < pd.Timedelta(hours=1)


def test_yahoo_assets_of_different_age(yahoo: FakeYahoo) -> None:
    with pytest.raises(MarketDataError, match=r"'NEW' lacks 2 of 4 times.*join='inner'"):
        load_market("yfinance:SPY,NEW")
    assert load_market("yfinance:SPY,NEW,join=inner").symbols == ("SPY", "NEW")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("yfinance", "no symbol. Write for example yfinance:SPY"),
        ("yfinance:DOWN", r"no bars of 'DOWN' came \(Could not resolve host\).*network"),
        ("yfinance:LIMIT", r"\(Too Many Requests\)"),
        ("yfinance:NONE", r"\(\$NONE: possibly delisted\).*Check the symbol"),
        ("yfinance:SPY,start=soon", "'soon' is no date"),
        ("yfinance:SPY,interval=7x", "Interval '7x' is unknown"),
    ],
)
def test_yahoo_errors(
    yahoo: FakeYahoo, spec: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MarketDataError, match=message):
        load_market(spec)
    assert capfd.readouterr().err == ""


class FakeExchange:
    """Hourly candles from 2024-01-01, 1000 a page; now is 2024-03-01 00:30 UTC."""

    symbols = ("BTC/USDT", "BTC/USDT:USDT")
    START, HOUR = 1_704_067_200_000, 3_600_000
    NOW = 1_709_253_000_000

    def __init__(self, config: dict[str, Any]) -> None:
        assert config["enableRateLimit"]
        self.pages = 0

    def milliseconds(self) -> int:
        return self.NOW

    def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None = None, limit: int = 500
    ) -> list[list[float]]:
        if symbol not in self.symbols:
            raise FakeCcxt.BadSymbol(symbol)
        if symbol == "BTC/USDT:USDT":
            raise FakeCcxt.BaseError("GET https://exchange")
        step = {"1h": self.HOUR, "1d": 24 * self.HOUR}[timeframe]
        assert self.pages < 10
        self.pages += 1
        first = max(since or 0, self.NOW - limit * step if since is None else 0, self.START)
        first = -(-(first - self.START) // step) * step + self.START
        stamps = range(first, self.NOW, step)[:limit]
        return [[s, 10.0, 12.0, 9.0, 10 + (s // step) % 2, 1.0] for s in stamps]


class FakeCcxt(ModuleType):
    class BaseError(Exception):
        """As in ccxt."""

    class BadSymbol(BaseError):  # noqa: N818
        """As in ccxt."""

    exchanges = ("binance", "kraken")
    binance = FakeExchange


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt", FakeCcxt("ccxt"))


@pytest.mark.usefixtures("exchange")
def test_exchange_pages_until_the_last_finished_bar() -> None:
    market = load_market("ccxt:binance:BTC/USDT:1h,start=2024-01-01")
    assert market.bars == 60 * 24
    assert str(market.timestamps[0])[:16] == "2024-01-01T01:00"
    assert str(market.timestamps[-1])[:16] == "2024-03-01T00:00"
    assert set(np.diff(market.timestamps).astype("m8[h]").astype(int)) == {1}
    part = load_market("ccxt:binance:BTC/USDT:1h,start=2024-01-05,end=2024-01-06")
    assert part.bars == 25
    assert load_market("ccxt:binance:BTC/USDT:1h").bars == 999  # a page less the forming bar


@pytest.mark.usefixtures("exchange")
def test_exchange_days_keep_their_date() -> None:
    market = load_market("ccxt:binance:BTC/USDT,start=2024-01-01")
    assert str(market.timestamps[0])[:10] == "2024-01-01"
    assert market.bars == 60
    assert market.bars_per_year == 365


@pytest.mark.usefixtures("exchange")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ccxt:binance", "is not EXCHANGE:SYMBOL:INTERVAL"),
        ("ccxt", "missing a required argument.*ccxt:binance:BTC/USDT:1d"),
        ("ccxt:binanse:BTC/USDT", "Unknown exchange 'binanse'. Did you mean 'binance'"),
        ("ccxt:binance:BTC/USD:1h", "Unknown symbol 'BTC/USD'. Did you mean 'BTC/USDT'"),
        ("ccxt:binance:BTC/USDT:USDT:1h", r"no bars of .*\(GET https://exchange\).*network"),
        ("ccxt:binance:BTC/USDT:1h,start=2030", "no candles in this span"),
        ("ccxt:binance:BTC/USDT:9q", "Interval '9q' is unknown"),
    ],
)
def test_exchange_errors(spec: str, message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        load_market(spec)


@pytest.mark.parametrize("package", ["yfinance", "ccxt"])
def test_missing_extra_says_how_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    spec = {"yfinance": "yfinance:SPY", "ccxt": "ccxt:binance:BTC/USDT"}[package]
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*pip install 'tradinghf\[data\]'"):
        load_market(spec)


def test_intervals() -> None:
    lengths = {"5m": "5min", "2h": "2h", "1d": "1D", "1wk": "7D", "1M": "30D", "3mo": "90D"}
    for text, length in lengths.items():
        assert vendors._interval(text) == pd.Timedelta(length)


# The catalogue, and what quality checks say


def test_catalogue_is_true() -> None:
    entries = {entry.name: entry for entry in packaged_catalogue()}
    assert set(entries) == set(SOURCES)
    for entry in entries.values():
        assert entry.licence
        assert entry.units
        assert entry.notes
        if not entry.sha256:
            assert entry.kind in ("download", "file")
            continue
        if entry.package:
            continue  # test_real_samples.py
        market = load_market(entry.name)
        assert entry.available
        assert (entry.sha256, entry.bars) == (market.sha256, market.bars)
        first, last = (str(t)[:10] for t in market.timestamps[[0, -1]])
        assert entry.span == f"{first} to {last}"


def test_readme_table_is_generated(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(root / "scripts")
    refresh_readme = importlib.import_module("data_catalogue").refresh_readme
    text = (resource_dir("data") / "README.md").read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(text, encoding="utf-8")
    assert not refresh_readme(copy), "run: python scripts/data_catalogue.py"
    copy.write_text(text.replace("S&P 500 index", "S&P 400 index"), encoding="utf-8")
    assert refresh_readme(copy)
    assert copy.read_text(encoding="utf-8") == text
    copy.write_text("no markers", encoding="utf-8")
    with pytest.raises(MarketDataError, match="catalogue: begin"):
        refresh_readme(copy)


def test_users_bars_stay_out_of_the_repository() -> None:
    ignored = (resource_dir("data") / ".gitignore").read_text().split()
    assert {"*.csv", "*.tsv", "*.parquet", "*.pq"} <= set(ignored)


@pytest.mark.parametrize("text", ["", "[[set]]\nnam = 1", "not toml", "[[set]]\nname = 'x'"])
def test_a_damaged_catalogue_says_so(text: str, tmp_path: Path) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    with pytest.raises(MarketDataError, match="catalogue is damaged"):
        packaged_catalogue(path)


def test_catalogue_knows_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_module, "_installed", lambda package: not package)
    available = {entry.name: entry.available for entry in packaged_catalogue()}
    assert available["sp500"]
    assert not available["ccxt"]


def odd_market() -> MarketData:
    index = pd.date_range("2020-01-01", periods=120, freq="D")
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 120)))
    close[60:] /= 2  # an unadjusted 2:1 split
    opened = np.concatenate([close[:1], close[:-1]]) * 1.001
    opened[60] = close[60]
    frame = pd.DataFrame({"open": opened, "close": close, "volume": 1.0}, index=index)
    frame["high"] = frame[["open", "close"]].max(axis=1)
    frame["low"] = frame[["open", "close"]].min(axis=1)
    frame.iloc[20:32] = frame.iloc[20].to_numpy()
    frame.iloc[5, 2] = 0.0
    return MarketData.from_frame(frame.drop(index=frame.index[90:105]))


def test_oddities_are_warned_about() -> None:
    found = {finding.rule: finding for finding in market_warnings(odd_market())}
    assert set(found) == {"gap", "jump", "stale", "no_volume"}
    assert all(finding.severity == "warning" for finding in found.values())
    assert "bar 60 (2020-03-01)" in found["jump"].place
    assert "unadjusted 2:1 split" in found["jump"].problem
    assert "16.0 days" in found["gap"].problem
    assert "12 bars in a row" in found["stale"].problem
    assert "0 in 1 of 105 bars" in found["no_volume"].problem


def test_clean_data_has_no_warnings() -> None:
    for regime in ("momentum", "mean_reversion", "volatility_clustering"):
        assert market_warnings(synthetic(bars=1000, assets=4, regime=regime)) == []  # type: ignore[arg-type]


def test_describe_known_answers() -> None:
    prices = np.array([100.0, 110.0, 99.0, 121.0])
    frame = pd.DataFrame(dict.fromkeys(OHLC, prices), index=pd.bdate_range("2020", periods=4))
    facts = describe_market(MarketData.from_frame(frame, symbol="X"))
    stats = facts["per_asset"]["X"]
    assert (facts["bars"], facts["assets"], facts["bars_per_year"]) == (4, 1, 252)
    assert (facts["first"], facts["last"]) == (
        "2020-01-01T00:00:00+00:00",
        "2020-01-06T00:00:00+00:00",
    )
    assert stats["total_return_pct"] == pytest.approx(21)
    assert stats["max_drawdown_pct"] == pytest.approx(10)
    assert stats["worst_bar_pct"] == pytest.approx(-10)
    assert stats["best_bar_pct"] == pytest.approx(22.2222222)
    assert stats["annual_return_pct"] == pytest.approx(100 * (1.21 ** (252 / 3) - 1))
    logs = np.log([1.1, 0.9, 121 / 99])
    assert stats["annual_volatility_pct"] == pytest.approx(100 * logs.std(ddof=1) * 252**0.5)
    assert stats["kurtosis"] is None
    two = describe_market(MarketData.from_frame(frame.iloc[:2], symbol="X"))["per_asset"]["X"]
    assert two["annual_volatility_pct"] is None


def test_documentation_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every Python block of docs/data.md, in one session."""
    text = (root / "docs" / "data.md").read_text(encoding="utf-8")
    code = "\n".join(part.split("```", 1)[0] for part in text.split("```python\n")[1:])
    monkeypatch.chdir(tmp_path)
    try:
        exec(compile(code, "docs/data.md", "exec"), {"__name__": "docs"})
    finally:
        SOURCES._items.pop("ramp", None)
        FEATURES._items.pop("gap_up", None)
    said = capsys.readouterr().out
    assert "5031 bars x 1 assets" in said
    assert "looks ahead in" in said
