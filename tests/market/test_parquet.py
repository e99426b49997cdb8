"""Parquet straight into arrays: the same bars as by the careful reader, in less memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tradinghf import MarketData, load_market
from tradinghf.errors import MarketDataError
from tradinghf.market import _files as files
from tradinghf.market import check_market_file, save_market, synthetic
from tradinghf.market._parquet import plain_parquet


def _long(bars: int = 50, assets: int = 3) -> pd.DataFrame:
    return synthetic(seed=4, bars=bars, assets=assets).to_long()


def _shapes() -> dict[str, pd.DataFrame]:
    """Tables that are read without a question."""
    long = _long()
    ordered = long.sort_values(["timestamp", "symbol"], kind="stable")
    one = long[long["symbol"] == long["symbol"][0]].drop(columns="symbol")
    clock = one.assign(timestamp=pd.date_range("2024-01-02 09:31", periods=50, freq="min"))
    return {
        "asset by asset": long,
        "bar by bar": ordered,
        "naive dates": long.assign(timestamp=long["timestamp"].dt.tz_localize(None)),
        "one asset": one,
        "index": one.set_index("timestamp").rename_axis(None),
        "capitals": one.rename(columns=str.upper),
        "no volume": one.drop(columns="volume"),
        "whole volumes": one.assign(volume=one["volume"].astype("int64")),
        "minutes without a zone": clock,
        "minutes in UTC": clock.assign(timestamp=clock["timestamp"].dt.tz_localize("UTC")),
    }


@pytest.mark.parametrize("shape", list(_shapes()))
def test_the_short_way_gives_what_the_careful_one_does(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bars.parquet"
    frame = _shapes()[shape]
    frame.to_parquet(path, index=shape == "index", row_group_size=37)
    assert plain_parquet(path, "bars") is not None
    short, found = load_market(path), check_market_file(path)
    monkeypatch.setattr(files, "plain_parquet", lambda *_: None)
    careful = load_market(path)
    assert short.sha256 == careful.sha256
    assert (short.symbols, short.source, short.name) == (
        careful.symbols,
        careful.source,
        careful.name,
    )
    assert short.bars_per_year == careful.bars_per_year
    assert [str(f) for f in found] == [str(f) for f in check_market_file(path)]


def _changed(**columns: Any) -> pd.DataFrame:
    return _long().assign(**columns)


def _open_questions() -> dict[str, pd.DataFrame]:
    """Tables that the careful reader has to judge."""
    long = _long()
    late = long.drop(index=range(50, 60))
    names = long["symbol"].where(long.index != 7)
    twice = pd.concat([long, long.iloc[:50]], ignore_index=True)
    close = long["close"].where(long.index != 5)
    return {
        "an asset listed later": late,
        "a row without a symbol": _changed(symbol=names),
        "an asset twice": twice,
        "an empty close": _changed(close=close),
        "numbers as text": _changed(close=long["close"].astype(str)),
        "another column": _changed(adj_close=long["close"]),
        "another zone": _changed(timestamp=long["timestamp"].dt.tz_convert("Asia/Tokyo")),
        "newest first": long.iloc[::-1],
        "blanks around a name": _changed(symbol=long["symbol"].where(long.index != 7, " S0 ")),
    }


@pytest.mark.parametrize("case", list(_open_questions()))
def test_what_leaves_a_question_goes_to_the_careful_reader(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bars.parquet"
    _open_questions()[case].to_parquet(path, index=False)
    assert plain_parquet(path, "bars") is None

    def answer() -> str:
        try:
            return load_market(path).sha256
        except MarketDataError as error:
            return str(error)

    short = answer()
    monkeypatch.setattr(files, "plain_parquet", lambda *_: None)
    assert short == answer()


def test_a_bad_bar_is_named_with_its_row(tmp_path: Path) -> None:
    path, long = tmp_path / "bars.parquet", _long()
    long.loc[57, "low"] = -1.0
    long.to_parquet(path, index=False)
    with pytest.raises(MarketDataError, match=r"row 57 .*'low'"):
        load_market(path)
    assert check_market_file(path)[0].place.startswith("row 57")


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    save_market(synthetic(seed=1, bars=500, assets=2), path)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(MarketDataError, match="not a readable Parquet file"):
        load_market(path)


def test_symbols_keep_their_order_of_appearance(tmp_path: Path) -> None:
    path, long = tmp_path / "bars.parquet", _long()
    names = {old: new for old, new in zip(long["symbol"].unique(), ("Z", "A", "M"), strict=True)}
    table = pa.Table.from_pandas(long.assign(symbol=long["symbol"].map(names)))
    pq.write_table(table, path, row_group_size=60)
    assert load_market(path).symbols == ("Z", "A", "M")


_MEASURED = """
import sys
from pathlib import Path
from tradinghf.market import load_market
import pyarrow.parquet, pandas
load_market(sys.argv[2])
def peak():  # getrusage would count the program that started this one, too
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before = peak()
market = load_market(sys.argv[1])
print(peak() - before)
"""


def test_loading_takes_little_more_than_the_arrays(tmp_path: Path) -> None:
    bars, assets = 20_000, 100  # 80 MB
    rng = np.random.default_rng(0)
    close = np.exp(rng.normal(0, 0.1, (bars, assets)))
    stamps = np.datetime64("2000-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    market = MarketData(
        open=close,
        high=close * 1.01,
        low=close * 0.99,
        close=close,
        volume=close,
        timestamps=stamps,
        symbols=tuple(f"S{k}" for k in range(assets)),
    )
    save_market(market, tmp_path / "large.parquet")
    save_market(market.rows(0, 50), tmp_path / "small.parquet")
    paths = [str(tmp_path / name) for name in ("large.parquet", "small.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    fixed = 48 * 2**20  # what Arrow and pandas take of any file
    assert 0 < int(done.stdout) * 1024 < 1.5 * 5 * 8 * bars * assets + fixed
