"""Assets that are listed later, halted or gone: one time axis, membership, and accounts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, MarketData, backtest
from tradinghf.errors import MarketDataError
from tradinghf.evaluation import Orders
from tradinghf.market import load_market, membership, save_market

DAYS = pd.bdate_range("2021-03-01", periods=6)
FREE = CostModel(fee_bps=0, slippage_bps=0)


def _frame(prices: list[float]) -> pd.DataFrame:
    columns = ("open", "high", "low", "close", "volume")
    return pd.DataFrame({c: prices for c in columns}, index=DAYS, dtype=float)


def _universe(form: str) -> MarketData:
    """OLD goes after its third bar, NEW comes at the third, GAP misses the fourth."""
    nan = np.nan
    frames = {
        "ALL": _frame([10, 10, 10, 10, 10, 10]),
        "OLD": _frame([20, 20, 15, nan, nan, nan]),
        "NEW": _frame([nan, nan, 30, 33, 33, 36]),
        "GAP": _frame([40, 41, 42, nan, 44, 45]),
    }
    if form == "rows":
        frames = {symbol: frame.dropna() for symbol, frame in frames.items()}
    return MarketData.from_frames(frames, join="outer")


@pytest.mark.parametrize("form", ["rows", "empty cells"])
def test_an_outer_join_keeps_every_bar_and_says_who_was_listed(form: str) -> None:
    market = _universe(form)
    assert market.listed is not None
    assert market.listed.astype(int).T.tolist() == [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
    ]
    assert market.close[:, 1].tolist() == [20, 20, 15, 15, 15, 15]
    assert market.open[:, 2].tolist() == [30, 30, 30, 33, 33, 36]
    assert (market.close[3, 3], market.volume[3, 3]) == (42, 0)
    assert "1 listed later, 1 gone before the end, 1 missing bars" in market.source
    assert market.rows(2, 5).listed.shape == (3, 4)  # type: ignore[union-attr]
    assert market.select(["OLD"]).listed[:, 0].sum() == 3  # type: ignore[index]


def test_a_frame_with_half_a_bar_is_still_refused() -> None:
    broken = _frame([20, 20, 15, np.nan, 15, 15])
    broken.loc[DAYS[3], "open"] = 15.0
    with pytest.raises(MarketDataError, match="empty; expected a number"):
        MarketData.from_frames({"A": _frame([1] * 6), "B": broken}, join="outer")
    with pytest.raises(MarketDataError, match="join='outer'"):
        MarketData.from_frames({"A": _frame([1] * 6), "B": _frame([1] * 6).iloc[:4]})


@pytest.mark.parametrize("route", ["weights", "orders"])
@pytest.mark.parametrize("fill", ["next_open", "close"])
def test_what_is_gone_becomes_cash_at_its_last_close(route: str, fill: str) -> None:
    market = _universe("rows")
    asked = np.full((6, 4), np.nan)
    asked[0] = [0.25, 0.25, 0.25, 0.0]  # NEW is not listed yet
    asked[3, 1] = 0.5  # OLD is gone
    table = pd.DataFrame(asked, market.index, market.symbols)
    what = table if route == "weights" else Orders(asked)
    report = backtest(what, market, costs=FREE, fill=fill, record=False)
    assert report.account.shares[:, 2].max() == 0.0
    assert report.account.shares[2, 1] == 1250.0
    assert report.account.shares[3:, 1].tolist() == [0, 0, 0]
    assert report.account.equity[-1] == pytest.approx(100_000 - 1250 * 5)
    assert any("1 were listed later and 1 gone" in remark for remark in report.remarks)
    held = report.buy_and_hold().account.shares
    assert (held[-1, :3] > 0).tolist() == [True, False, False]


def test_a_universe_survives_its_file(tmp_path: Path) -> None:
    market = _universe("rows")
    save_market(market, tmp_path / "all.csv")
    again = load_market(f"{tmp_path / 'all.csv'}:join=outer")
    assert again.symbols == market.symbols
    np.testing.assert_array_equal(again.listed, market.listed)
    np.testing.assert_array_equal(again.close, market.close)


def test_membership_comes_from_a_file(tmp_path: Path) -> None:
    frames = {"A": _frame([10] * 6), "B": _frame([20] * 6)}
    market, path = MarketData.from_frames(frames), tmp_path / "members.csv"
    path.write_text("symbol,first,last\nA,,\nB,2021-03-02,2021-03-04\nC,,2020-01-01\n")
    assert membership(path, market)[:, 1].tolist() == [False, True, True, True, False, False]
    half = pd.DataFrame(0.5, market.index, market.symbols)
    report = backtest(half, market, costs=FREE, member=path, record=False)
    assert (report.account.shares[:, 1] > 0).tolist() == [False, True, True, True, False, False]
    path.write_text("day,A,B\n2021-03-01,1,0\n2021-03-03,1,1\n2021-03-05,0,1\n")
    assert membership(path, market).T.astype(int).tolist() == [
        [1, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 1],
    ]
    path.write_text("symbol,first,last\nA,soon,\n")
    with pytest.raises(MarketDataError, match="row 2: 'soon' is no day"):
        membership(path, market)
    path.write_text("symbol,first,last\nA,,\n")
    with pytest.raises(MarketDataError, match="no row for B"):
        membership(path, market)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("day,A,B\n01/03/2021,1,1\n03/05/2021,0,1\n", "no table of dates"),
        ("day,A,B\n2021-03-01,1,1\n2021-03-01,0,1\n", "no day twice"),
        ("day,A,B\n2021-03-01,1,0.5\n", "1 or 0 for every symbol"),
        ("day,A,B\n2021-03-01,1,nan\n", "1 or 0 for every symbol"),
        ("day,A,B\n2021-03-01,1,-1\n", "1 or 0 for every symbol"),
        ("day,A,B\n,1,1\n", "'nan' is no time"),
        ("symbol,first,last\nA,2021-03-04,2021-03-02\nB,,\n", "row 2: .* is before"),
        ("symbol,first,last,Last\nA,,,2021-03-02\nB,,,\n", "'last' is there twice"),
    ],
)
def test_what_a_membership_leaves_open_or_says_twice_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    market = MarketData.from_frames({"A": _frame([10] * 6), "B": _frame([20] * 6)})
    (tmp_path / "members.csv").write_text(text)
    with pytest.raises(MarketDataError, match=said):
        membership(tmp_path / "members.csv", market)
