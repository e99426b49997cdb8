"""A trader's own fills: files of brokers, reconciled accounts, episodes, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import fills as made

from tradinghf import MarketData
from tradinghf.errors import MarketDataError
from tradinghf.feedback import own_trades

WRITERS = (made.write_generic, made.write_interactive_brokers, made.write_metatrader5)


@pytest.mark.parametrize("block", range(10))
def test_generated_accounts_reconcile(block: int, tmp_path: Path) -> None:
    """200 accounts in all: cash, holdings and equity at every bar, and every fill is placed."""
    for seed in range(20 * block, 20 * block + 20):
        account = made.random_account(seed, assets=1 + seed % 3, long_only=seed % 4 > 0)
        rows, writer = account.rows(), WRITERS[seed % 3]
        path = writer(tmp_path / f"{seed}.csv", rows)
        cash = None if writer is not made.write_interactive_brokers else made.CASH
        short = True if seed % 4 == 0 else None
        found = own_trades(path, account.market, horizon=16, cash=cash, short=short)
        for ours, theirs in (
            (found.account.cash, account.result.cash),
            (found.account.shares, account.result.shares),
            (found.account.equity, account.result.equity),
            (found.account.fees, account.result.fees),
        ):
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * scale)
        assert [f for f in found.findings if f.rule != "cost_sign"] == []
        fills = [fill for e in found.episodes for fill in e.meta["fills"]]
        assert len(found.rows) >= len(rows)
        assert {row for row, fate in found.rows.items() if fate == "episode"} == {
            f[0] for f in fills
        }
        assert "left out" not in found.rows.values()


def test_episodes_are_the_account_in_windows(tmp_path: Path) -> None:
    account = made.random_account(3)
    path = made.write_generic(tmp_path / "fills.csv", account.rows())
    found = own_trades(path, account.market, horizon=20, trader="ann")
    assert {e.source for e in found.episodes} == {"own:ann"}
    for episode in found.episodes:
        episode.check()
        rows = slice(episode.start, episode.start + episode.bars + 1)
        equity = account.result.equity[rows]
        np.testing.assert_allclose(episode.equity, equity / equity[0], rtol=1e-9)
        worth = account.result.shares[rows, 0] * account.market.close[rows, 0]
        np.testing.assert_allclose(episode.position, (worth / equity)[1:], rtol=1e-9, atol=1e-9)
        fees = account.result.fees[rows, 0][1:] / equity[0]
        np.testing.assert_allclose(episode.costs, fees, rtol=1e-9, atol=1e-15)
        traded = np.diff(account.result.shares[rows, 0]) != 0
        assert (np.isfinite(episode.price) == traded).all()
    starts = [e.start for e in found.episodes]
    bars = account.result.fills["bar"]
    assert all(any(s < bar <= s + 20 for s in starts) for bar in bars if bar > 0)


def test_binance_pairs_units_and_order(tmp_path: Path) -> None:
    account = made.random_account(8)
    rows = account.rows()
    path = made.write_binance(tmp_path / "trades.csv", rows)
    pair = f"{account.market.symbols[0]}USDT"
    names = {pair: account.market.symbols[0]}
    found = own_trades(path, account.market, cash=made.CASH, names=names)
    assert found.dialect == "Binance trades"
    np.testing.assert_allclose(found.account.equity, account.result.equity, rtol=1e-9)
    coin = path.read_text().replace("USDT\n", "BNB\n").replace(",Fee\nBNB", ",Fee")
    path.write_text(coin)
    said = own_trades(path, account.market, cash=made.CASH, names=names).findings
    assert {f.rule for f in said} == {"fee_coin"}
    assert len(said) == sum(row["fee"] > 0 for row in rows)


def test_generated_accounts_of_binance_reconcile(tmp_path: Path) -> None:
    for seed in range(200, 220):
        account = made.random_account(seed, assets=1 + seed % 3, long_only=True)
        path = made.write_binance(tmp_path / f"{seed}.csv", account.rows())
        names = {f"{symbol}USDT": symbol for symbol in account.market.symbols}
        found = own_trades(path, account.market, horizon=16, cash=made.CASH, names=names)
        for name in ("cash", "shares", "equity", "fees"):
            ours, theirs = (getattr(x, name) for x in (found.account, account.result))
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max())
        assert "left out" not in found.rows.values()


def bars() -> MarketData:
    """Ten trading days of AAPL and MSFT from Monday 2 March 2020; the close rises by 1 a day."""
    days = pd.bdate_range("2020-03-02", periods=10)
    frames = {}
    for symbol, base in (("AAPL", 100.0), ("MSFT", 200.0)):
        close = base + np.arange(10.0)
        frames[symbol] = pd.DataFrame(
            {"open": close - 0.5, "high": close + 1, "low": close - 1, "close": close}, index=days
        )
    return MarketData.from_frames(frames)


HEAD = "date,symbol,side,quantity,price,fee,trade_id\n"
GOOD = "2020-03-03,AAPL,buy,10,101,1,a1\n2020-03-05,AAPL,sell,10,103,1,a2\n"


@pytest.mark.parametrize(
    ("line", "rule", "fate", "words"),
    [
        ("2020-03-04,TSLA,buy,1,700,1,b", "symbol", "account", "do not have 'TSLA'"),
        ("2020-03-04,AAPLE,buy,1,102,1,b", "symbol", "account", "if it is AAPL"),
        ("2020-02-28,AAPL,buy,1,99,1,b", "before", "account", "before the first bar"),
        ("2020-03-16,AAPL,buy,1,110,1,b", "after", "left out", "after the last bar"),
        ("2020-03-07,AAPL,buy,1,104,1,b", "closed", "episode", "market is closed"),
        ("2020-03-04,AAPL,buy,1,104,1,b", "price", "episode", "outside the bar of 2020-03-04"),
        ("2020-03-04,AAPL,buy,1,140,1,b", "price", "account", "by 36 %"),
        ("2020-03-04,AAPL,buy,1,204,1,b", "split", "account", "after a 2:1 split"),
        ("2020-03-03,AAPL,buy,10,101,1,a1", "duplicate", "left out", "repeats row 2"),
        ("2020-03-03,AAPL,buy,10,101,1,", None, "episode", ""),
        ("2020-03-03,AAPL,buy,7,101,1,a1", "duplicate", "episode", "with other numbers"),
        ("2020-03-06,MSFT,sell,5,204,1,b", "oversold", "account", "only 0 are held"),
        ("2020-03-06,MSFT,hold,5,204,1,b", "unreadable", "left out", "the side is 'hold'"),
        ("2020-03-06,MSFT,buy,,204,1,b", "unreadable", "left out", "the quantity is ''"),
        ("2020-03-06,MSFT,buy,5,-3,1,b", "unreadable", "left out", "the price is '-3'"),
        ("soon,MSFT,buy,5,204,1,b", "unreadable", "left out", "'soon' is no time"),
        ("2020-03-06,MSFT", "no_fill", "left out", "has 2 cells, not 7"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_lost(
    line: str, rule: str | None, fate: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "fills.csv"
    path.write_text(f"{HEAD}{GOOD}{line}\n")
    found = own_trades(path, bars(), horizon=4, cash=10_000.0)
    own = [f for f in found.findings if f.place == "row 4"]
    assert [f.rule for f in own] == ([rule] if rule else [])
    assert all(words in str(f) for f in own)
    assert found.rows[4] == fate
    assert set(found.rows) == {2, 3, 4}
    if fate == "left out":
        bare = tmp_path / "bare.csv"
        bare.write_text(HEAD + GOOD)
        alone = own_trades(bare, bars(), horizon=4, cash=10_000.0)
        np.testing.assert_array_equal(alone.account.equity, found.account.equity)


def test_answers_to_the_findings(tmp_path: Path) -> None:
    path = tmp_path / "fills.csv"
    path.write_text("date,symbol,side,quantity,price\n2020-03-03,AAPL,buy,5,202\n"
                    "2020-03-03,AAPL,buy,5,202\n2020-03-05,AAPL,sell,30,103\n")  # fmt: skip
    split = {"AAPL": [("2020-03-04", 2.0)]}
    asked = own_trades(path, bars(), cash=1e4)
    assert [f.rule for f in asked.findings] == ["duplicate", "split", "oversold"]
    told = own_trades(
        path, bars(), cash=1e4, splits=split, keep_duplicates=True, holdings={"AAPL": 10.0}
    )
    assert not told.findings
    assert told.account.shares[:, 0].tolist() == [10.0, 30.0, 30.0] + [0.0] * 7
    assert told.account.cash[-1] == pytest.approx(1e4 - 2 * 5 * 202 + 30 * 103)
    shorted = own_trades(path, bars(), cash=1e4, splits=split, short=True)
    assert shorted.account.shares[-1, 0] == -20.0


def test_reported_figures_that_differ_are_named_once(tmp_path: Path) -> None:
    rows = made.random_account(5).rows()
    for row in rows[3:]:
        row["cash"] -= 12.5  # a fee that the list of fills does not have
    rows[4]["position_after"] += 1.0
    rows = [{k: round(v, 6) if k == "cash" else v for k, v in row.items()} for row in rows]
    path = made.write_generic(tmp_path / "fills.csv", rows)
    found = own_trades(path, made.random_account(5).market, cash=made.CASH)
    said = [(f.place, f.column) for f in found.findings]
    assert said == [("row 5", "cash"), ("row 6", "position"), ("row 7", "position")]
    assert "-12.5" in found.findings[0].fix


def test_deposits_and_other_symbols_are_no_profit(tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(
        "Time,Deal,Symbol,Type,Direction,Volume,Price,Order,Commission,Swap,Profit,Balance\n"
        "2020.03.02 09:00:00,1,,balance,,,,,0.00,0.00,10000.00,10000.00\n"
        "2020.03.03 09:00:00,2,AAPL,buy,in,0.10,101,5,-1.00,0.00,0.00,9999.00\n"
        "2020.03.05 09:00:00,3,,balance,,,,,0.00,0.00,5000.00,14999.00\n"
        "2020.03.09 09:00:00,4,AAPL,sell,out,0.10,105,6,-1.00,-0.50,40.00,15037.50\n"
    )
    found = own_trades(path, bars(), horizon=8, reading={"contract": 100.0})
    assert found.dialect == "MetaTrader 5 deals"
    assert [f.rule for f in found.findings] == ["cost_sign"]
    assert found.account.cash[-1] == pytest.approx(15037.5)
    assert found.episodes[0].equity[-1] == pytest.approx(1 + (40 - 2.5) / 10_000)


def test_metatrader_positions_are_two_fills_each(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(
        "Ticket;Open Time;Type;Size;Item;Price;S / L;T / P;Close Time;Price;Commission;Taxes;"
        "Swap;Profit\n"
        "11;2020.03.03 09:00;buy;2;AAPL;101,5;0;0;2020.03.05 15:00;103,5;-1;0;0;4\n"
        "12;2020.03.06 09:00;sell;1;AAPL;104;0;0;2020.03.09 15:00;105;-1;0;0;-1\n"
    )
    found = own_trades(path, bars(), horizon=8, cash=1000.0)
    assert found.account.shares[:, 0].tolist() == [0, 2, 2, 0, -1, 0, 0, 0, 0, 0]
    assert found.account.cash[-1] == pytest.approx(1000 + 4 - 1 - 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no columns of fills"),
        ("date,symbol,side,quantity,price\n", "without a single fill"),
        ("date,symbol,side,quantity,price\n03/04/2020,AAPL,buy,1,101\n", "dayfirst=true"),
        ("date,symbol,side,quantity,price\n2020-03-03,TSLA,buy,1,101\n", "No fill is of these"),
    ],
)
def test_files_that_cannot_be_used_say_why(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "fills.csv"
    path.write_text(text)
    with pytest.raises(MarketDataError, match=message):
        own_trades(path, bars(), cash=1e4)
