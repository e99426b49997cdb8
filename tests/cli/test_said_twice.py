"""Options that contradict themselves, and events at times that are no bars."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tradinghf import MarketData
from tradinghf.cli._options import event_tables, parse_settings
from tradinghf.errors import ConfigError, StrategyError
from tradinghf.strategies import load_strategy

DAYS = pd.bdate_range("2021-03-01", periods=6)
FRAME = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 10.0), DAYS)
MARKET = MarketData.from_frame(FRAME, symbol="A")


def test_a_setting_that_is_said_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="--set: 'fast' is there twice"):
        parse_settings(("fast=10", "slow=50", "fast=20"))
    with pytest.raises(StrategyError, match="'fast' is there twice"):
        load_strategy("sma_cross:fast=10,fast=20")
    assert parse_settings(("fast=10", "slow=50")) == {"fast": "10", "slow": "50"}


def test_an_event_on_a_day_without_a_bar_is_not_lost_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "dividend.csv"
    path.write_text("date,A\n2020-12-01,0.5\n2021-03-03,0.2\n2021-03-06,0\n2022-01-01,1\n")
    table = event_tables({"dividend": path}, MARKET)["dividend"]
    assert table["A"].tolist() == [0, 0, 0.2, 0, 0, 0]  # others are before and after the bars
    path.write_text("date,A\n2021-03-06,0.2\n")  # a Saturday
    with pytest.raises(ConfigError, match=r"2021-03-06 .* is no bar of"):
        event_tables({"dividend": path}, MARKET)
    for text in ("date,A\n03/04/2021,0.2\n", "date,A\n2021-03-03,0.2\n2021-03-03,0.2\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"no table of times|none twice"):
            event_tables({"dividend": path}, MARKET)
