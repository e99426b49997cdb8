"""Options of any data set: exchange=, every=, currency= and rates=; and `futures:`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, MarketData, backtest, load_market
from tradinghf.cli import main
from tradinghf.errors import MarketDataError
from tradinghf.evaluation._program import program
from tradinghf.market import (
    check_market_file,
    in_account_currency,
    roll_contracts,
    save_market,
)
from tradinghf.market._longer_bars import in_session, longer_bars


def _frame(index: pd.DatetimeIndex, seed: int = 0, level: float = 100.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = level * np.exp(np.cumsum(rng.normal(0, 0.01, len(index))))
    open_ = close * np.exp(rng.normal(0, 0.002, len(index)))
    high = np.maximum(open_, close) * 1.003
    low = np.minimum(open_, close) * 0.997
    volume = rng.integers(1, 100, len(index)).astype(float)
    columns = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    return pd.DataFrame(columns, index)


def _contracts(folder: Path) -> dict[str, MarketData]:
    """Three contracts as files, and as they were."""
    days = pd.bdate_range("2024-01-01", periods=30)
    spans = {"H24": slice(0, 14), "M24": slice(6, 24), "U24": slice(15, 30)}
    made = {}
    for number, (name, span) in enumerate(spans.items()):
        frame = _frame(days, level=50.0 + 5 * number)[span]
        made[name] = MarketData.from_frame(frame, name=name, symbol=name)
        save_market(made[name], folder / f"{name}.csv")
    return made


RULES = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


@pytest.mark.parametrize(("every", "rule"), [("week", "W"), ("month", "ME"), ("quarter", "QE")])
def test_longer_bars_are_those_of_pandas(every: str, rule: str) -> None:
    frame = _frame(pd.bdate_range("2023-01-02", periods=300).drop("2023-06-30"))
    made = longer_bars(MarketData.from_frame(frame), every)
    expected = frame.resample(rule).agg(RULES)
    np.testing.assert_allclose(made.to_frame().to_numpy(), expected.to_numpy())
    # A bar is known at its last session, not at the end of its calendar period.
    last = frame.index.to_series().resample(rule).last()
    assert list(made.index.tz_localize(None)) == list(last)


def test_minutes_join_by_their_close_and_days_by_the_exchange() -> None:
    closes = pd.date_range("2024-01-02 14:35", "2024-01-02 21:00", freq="5min", tz="UTC")
    frame = pd.concat([_frame(closes, k).shift(freq=f"{k}D") for k in range(3)])
    market = MarketData.from_frame(frame)
    half = longer_bars(market, "30min")
    expected = frame.resample("30min", closed="right", label="right").agg(RULES).dropna()
    np.testing.assert_allclose(half.to_frame().to_numpy(), expected.to_numpy())
    assert list(half.index) == list(expected.index)  # the last bar closes at 21:00, as it should
    day = longer_bars(market, "day", zone="America/New_York")
    assert [str(t)[:10] for t in day.index] == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert day.bars_per_year == 252
    # 23:30 in New York is the next day in UTC, and belongs to the day of New York.
    late = pd.DatetimeIndex(["2024-01-03 04:30", "2024-01-03 05:30", "2024-01-04 05:30"], tz="UTC")
    split = longer_bars(MarketData.from_frame(_frame(late)), "day", zone="America/New_York")
    assert [str(t)[:10] for t in split.index] == ["2024-01-02", "2024-01-03", "2024-01-04"]


def test_a_bar_that_closes_at_midnight_belongs_to_the_day_before() -> None:
    hours = pd.date_range("2024-01-01 01:00", periods=48, freq="h", tz="UTC")
    made = longer_bars(MarketData.from_frame(_frame(hours)), "day")
    assert made.bars == 2
    assert made.close[0, 0] == _frame(hours)["close"].iloc[23]


def test_hours_of_an_exchange_follow_its_clocks(tmp_path: Path) -> None:
    # New York's clocks change on 10 March 2024: 09:30 is 14:30 UTC before and 13:30 after.
    every = pd.date_range("2024-03-08 12:00", "2024-03-11 23:00", freq="30min", tz="UTC")
    market = MarketData.from_frame(_frame(every))
    kept = in_session(market, "XNYS")
    of_day = {day: times for day, times in kept.index.groupby(kept.index.date).items()}
    assert [str(t)[11:16] for t in next(iter(of_day.values()))[[0, -1]]] == ["15:00", "21:00"]
    assert [str(t)[11:16] for t in list(of_day.values())[-1][[0, -1]]] == ["14:00", "20:00"]
    # A file of local times needs no further zone.
    local = every.tz_convert("America/New_York").tz_localize(None)
    _frame(local).rename_axis("timestamp").to_csv(tmp_path / "bars.csv")
    np.testing.assert_array_equal(
        load_market(f"{tmp_path}/bars.csv:exchange=XNYS").timestamps, kept.timestamps
    )


def test_currencies_by_option_are_those_of_python(tmp_path: Path) -> None:
    days = pd.bdate_range("2024-01-01", periods=40)
    frames = {"TM": _frame(days, 1), "SPY": _frame(days, 2)}
    market = MarketData.from_frames(frames)
    save_market(market, tmp_path / "two.csv")
    rates = pd.DataFrame({"JPY": np.linspace(0.006, 0.008, 40)}, days)
    rates.rename_axis("date").to_csv(tmp_path / "fx.csv")
    spec = f"{tmp_path}/two.csv:currency=TM=JPY,rates={tmp_path}/fx.csv"
    expected = in_account_currency(market, {"TM": "JPY"}, rates)
    assert load_market(spec).sha256 == expected.sha256
    every = load_market(f"{tmp_path}/two.csv", currency="JPY", rates=rates)
    both = in_account_currency(market, {"TM": "JPY", "SPY": "JPY"}, rates)
    assert every.sha256 == both.sha256
    assert not check_market_file(tmp_path / "two.csv", currency="TM=JPY", rates=rates)


@pytest.mark.parametrize("method", ["ratio", "difference"])
def test_futures_are_the_contracts_rolled(tmp_path: Path, method: str) -> None:
    contracts = _contracts(tmp_path)
    rolls = ["2024-01-15", "2024-01-29"]
    files = ",".join(str(tmp_path / f"{name}.csv") for name in contracts)
    spec = f"futures:{files},rolls={';'.join(rolls)},method={method},name=ZW"
    expected = roll_contracts(contracts, rolls, method=method, name="ZW").adjusted  # type: ignore[arg-type]
    market = load_market(spec)
    assert market.sha256 == expected.sha256
    assert market.symbols == ("ZW",)


def test_contracts_of_a_folder_are_left_before_they_end(tmp_path: Path) -> None:
    contracts = _contracts(tmp_path)
    market = load_market(f"futures:{tmp_path},days=3")
    ends = [contracts[name].index[-3] for name in ("H24", "M24")]
    expected = roll_contracts(contracts, ends).adjusted
    assert market.sha256 == expected.sha256
    assert f"held from {str(ends[0])[:10]}, {str(ends[1])[:10]}" in market.source


def test_weights_earn_on_adjusted_bars_what_they_earn_through_the_rolls(tmp_path: Path) -> None:
    contracts, rolls = _contracts(tmp_path), ["2024-01-15", "2024-01-29"]
    files = ",".join(str(tmp_path / f"{name}.csv") for name in contracts)
    adjusted = load_market(f"futures:{files},rolls={';'.join(rolls)},name=ZW")
    quoted = roll_contracts(contracts, rolls, name="ZW")
    weights = pd.DataFrame({"ZW": np.resize([1.0, np.nan, np.nan, -0.5, 0.3], 30)}, adjusted.index)
    costs = CostModel(fee_bps=3, slippage_bps=2)
    one = backtest(weights, adjusted, costs=costs, record=False)
    two = backtest(weights, quoted.quoted, costs=costs, record=False, **quoted.events)
    np.testing.assert_allclose(one.equity, two.equity, rtol=1e-12)


@pytest.mark.parametrize("offset", [False, True])
def test_days_of_a_file_with_a_zone_end_at_its_midnight(offset: bool, tmp_path: Path) -> None:
    """10:00 to 16:00 in Sydney is 23:00 to 05:00 UTC: two UTC days, one session."""
    days = pd.bdate_range("2023-10-16", "2023-10-18")
    hours = [day + pd.Timedelta(hours=hour) for day in days for hour in range(11, 17)]
    times = pd.DatetimeIndex(hours)
    frame = _frame(times.tz_localize("Australia/Sydney") if offset else times)
    frame.rename_axis("timestamp").to_csv(tmp_path / "syd.csv")
    made = load_market(f"{tmp_path / 'syd.csv'}:zone=Australia/Sydney,every=day")
    assert made.index.strftime("%Y-%m-%d").tolist() == days.strftime("%Y-%m-%d").tolist()
    np.testing.assert_array_equal(made.close[:, 0], frame["close"].to_numpy()[5::6])


@pytest.mark.parametrize(
    "spec",
    [
        "sp500:every=week",
        "eurusd_1h:every=day",
        "synthetic:seed=3,bars=300,assets=1,every=week",
        "futures:H24.csv,M24.csv,days=3,every=week",
        "M24.csv:currency=JPY,rates=fx.csv",
    ],
)
def test_the_page_loads_the_same_bars_again(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if spec.startswith("eurusd"):
        pytest.importorskip("backtesting")
    monkeypatch.chdir(tmp_path)
    _contracts(tmp_path)
    rates = pd.DataFrame({"JPY": [0.007, 0.008]}, pd.DatetimeIndex(["2024-01-01", "2024-01-20"]))
    rates.rename_axis("date").to_csv("fx.csv")
    market = load_market(spec)
    lines = program(backtest("buy_and_hold", market, record=False), 1)
    load = next(line for line in lines.splitlines() if line.startswith("market = load_market("))
    names: dict[str, MarketData] = {}
    exec(f"from tradinghf import load_market\n{load}", {}, names)
    assert names["market"].sha256 == market.sha256


def test_every_command_takes_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _contracts(tmp_path)
    spec = "futures:H24.csv,M24.csv,U24.csv,days=3,name=ZW"
    assert main(["data", "check", spec]) == 0
    assert main(["data", "show", spec, "--rows", "0"]) == 0
    for words in (["backtest", "buy_and_hold"], ["compare", "buy_and_hold", "vol_target"]):
        assert main([*words, "--data", spec]) == 0, capsys.readouterr()
    assert "ZW" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sp500:every=fortnight", "every is 'fortnight'; expected day, week, month"),
        ("sp500:every=15min", "the bars are daily already"),
        ("sp500:exchange=XNYS", "keeps bars within its hours; these are daily"),
        ("sp500:exchange=NYSE", "Unknown exchange 'NYSE'. Did you mean 'XNYS'"),
        ("sp500:currency=JPY", "currency= needs rates= too"),
        ("sp500:rates=fx.csv", "rates= needs currency= too"),
        ("sp500:currency=JPY,rates=none.csv", "rates none.csv: no table of times and currencies"),
        ("sp500:currency=JPY;EUR=,rates=fx.csv", "is not JPY, nor SYMBOL=JPY;SYMBOL=EUR"),
        ("futures:", "no bar file was named"),
        ("futures:H24.csv,H24.csv", "'H24' comes twice"),
        ("futures:H24.csv,M24.csv,days=0", "days is 0; expected 1 or more"),
        ("futures:H24.csv,M24.csv,days=99", "'H24' has 14 bars, not more than days=99"),
        ("futures:H24.csv,M24.csv,rolls=2024-01-02", "needs a close of both"),
        ("futures:H24.csv,M24.csv,methods=ratio", "Unknown option 'methods'"),
    ],
)
def test_what_cannot_be_done_says_why(
    spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _contracts(tmp_path)
    pd.DataFrame({"date": ["2020-01-01"], "JPY": [0.007]}).to_csv("fx.csv", index=False)
    with pytest.raises(MarketDataError, match=message.replace("(", r"\(")):
        load_market(spec)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("sp500:every=week,every=month", "'every' is there twice"),
        ("sp500:currency=SPX=JPY;SPX=EUR,rates=fx.csv", "'SPX' is there twice"),
    ],
)
def test_what_is_said_twice_is_refused(spec: str, said: str) -> None:
    with pytest.raises(MarketDataError, match=said):
        load_market(spec)


def test_a_roll_that_is_no_time_is_named() -> None:
    days = pd.bdate_range("2024-01-01", periods=20)
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 10.0), days)
    both = {name: MarketData.from_frame(frame, symbol=name) for name in ("H", "M")}
    for roll in ("soon", "1000-01-01", "9999-01-01", float("nan"), 10**30):
        with pytest.raises(MarketDataError, match=r"is no time|has no bar|needs a close"):
            roll_contracts(both, [roll])
