"""Files of rates, members and dividends whose dates carry an offset find the sessions they name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tradinghf import MarketData, backtest
from tradinghf.cli._options import event_tables
from tradinghf.errors import TradingHFError
from tradinghf.market import load_market, membership

ZONES = ["Asia/Kolkata", "Europe/Berlin", "America/New_York", "Australia/Sydney"]


def across_the_clock_change(zone: str) -> tuple[MarketData, pd.DatetimeIndex]:
    """Sessions of September to April, and their midnights in a zone."""
    days = pd.bdate_range("2022-09-01", "2023-04-28", tz=zone)
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 100.0), index=days)
    return MarketData.from_frame(frame, symbol="A"), days


@pytest.mark.parametrize("zone", ZONES)
def test_every_file_keeps_the_session(zone: str, tmp_path: Path) -> None:
    market, days = across_the_clock_change(zone)
    some = days[[0, 30, 100]]  # summer and winter time

    def written(name: str, **columns: object) -> Path:
        pd.DataFrame(columns).to_csv(tmp_path / name, index=False)
        return tmp_path / name

    rates = written("rates.csv", date=some, rate=[0.01, 0.02, 0.03])
    report = backtest("buy_and_hold", market, risk_free=str(rates), record=False)
    yearly = (1 + report.riskless) ** market.bars_per_year - 1
    assert np.flatnonzero(np.diff(yearly) > 1e-6).tolist() == [29, 99]

    paid = written("paid.csv", date=some, A=[1.0, 2.0, 3.0])
    table = event_tables({"dividend": paid}, market)["dividend"]
    assert np.flatnonzero(table["A"]).tolist() == [0, 30, 100]

    periods = written("periods.csv", symbol=["A"], first=[some[1]], last=[some[2]])
    assert np.flatnonzero(membership(periods, market)).tolist() == list(range(30, 101))
    listed = written("listed.csv", date=some, A=[0, 1, 0])
    assert np.flatnonzero(membership(listed, market)).tolist() == list(range(30, 100))

    market.to_frame().to_csv(tmp_path / "bars.csv")
    written("fx.csv", date=some, JPY=[1.0, 2.0, 4.0])
    bars = f"{tmp_path / 'bars.csv'}:currency=JPY,rates={tmp_path / 'fx.csv'}"
    closes = load_market(bars).close[:, 0]
    assert np.flatnonzero(np.diff(closes)).tolist() == [29, 99]


def test_dates_that_can_be_read_in_two_ways_are_no_times(tmp_path: Path) -> None:
    market, _ = across_the_clock_change("Europe/Berlin")
    path = tmp_path / "read.csv"
    path.write_text("date,A\n09/01/2022,0.01\n10/01/2022,0.02\n")
    with pytest.raises(TradingHFError, match="'09/01/2022' is no time"):
        event_tables({"dividend": path}, market)
    with pytest.raises(TradingHFError, match="'09/01/2022' is no time"):
        backtest("buy_and_hold", market, risk_free=str(path), record=False)
