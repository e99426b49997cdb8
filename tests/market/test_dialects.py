"""Bar files as vendors, spreadsheets and languages write them load."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.dialects import languages, layouts, vendors
from support.dialects.writing import BARS, VOLUMES, assert_bars, write

from tradinghf import load_market
from tradinghf.market import check_market_file

DIALECTS = {**vendors.FILES, **languages.FILES, **layouts.FILES}
PLAIN_DIALECTS = {**vendors.PLAIN_FILES, **languages.PLAIN_FILES, **layouts.PLAIN_FILES}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_load(tmp_path: Path, name: str) -> None:
    text, times, bars = DIALECTS[name]
    path = write(tmp_path, text)
    assert_bars(load_market(path), times, bars)
    assert not [f for f in check_market_file(path) if f.severity == "error"]


@pytest.mark.parametrize("name", PLAIN_DIALECTS)
def test_further_dialects_load(tmp_path: Path, name: str) -> None:
    text, times = PLAIN_DIALECTS[name]
    market = load_market(write(tmp_path, text))
    assert_bars(market, times, BARS)
    if name not in ("ruled", "units below the header"):
        assert market.volume[0, 0] == VOLUMES[0]


@pytest.mark.parametrize(
    ("name", "volume"),
    [("metatrader 5", 1000), ("kraken interface", 1000), ("kraken files", 1000),
     ("investing", 1500), ("investing german", 1500), ("chinese investing", 15_000),
     ("nasdaq without quotes", 1_000_017), ("cryptodatadownload", 1000), ("binance us", 1000)],
)  # fmt: skip
def test_volumes_of_dialects(tmp_path: Path, name: str, volume: float) -> None:
    assert load_market(write(tmp_path, DIALECTS[name][0])).volume[0, 0] == volume
