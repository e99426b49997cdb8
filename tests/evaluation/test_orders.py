"""Signals and orders in a backtest: the same report as weights, with exits, margin and notes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market
from support.markets import bars_of

from tradinghf import CostModel, backtest
from tradinghf.cli import main
from tradinghf.config import Brackets, Margin, TradingRules
from tradinghf.errors import StrategyError
from tradinghf.evaluation import Orders, Signals
from tradinghf.evaluation._order_tables import scaled_targets
from tradinghf.simulation import simulate

FREE = CostModel(fee_bps=0, slippage_bps=0)
NAN = float("nan")
FLAT = (100.0, 100.0, 100.0, 100.0)


def at(length: int, *bars: int) -> np.ndarray:
    found = np.zeros(length, dtype=bool)
    found[list(bars)] = True
    return found


def test_signals_equal_from_signals_of_vectorbt() -> None:
    import vectorbt as vbt

    market = make_market(400, 1, 3)
    rng = np.random.default_rng(0)
    parts = [rng.random(400) < 0.05 for _ in range(2)]
    ours = backtest(Signals(*parts), market, costs=CostModel(), fill="close")
    close = pd.Series(market.close[:, 0])
    theirs = vbt.Portfolio.from_signals(
        close,
        *(pd.Series(p) for p in parts),
        fees=1e-4,
        slippage=1e-4,
        init_cash=100_000.0,
    )
    np.testing.assert_allclose(ours.equity.to_numpy(), theirs.value().to_numpy(), rtol=1e-9)
    assert ours.engine == "simulator"
    assert len(ours.trades) == len(theirs.trades.records)


def test_an_entry_that_repeats_itself_is_one_and_a_stopped_position_enters_again() -> None:
    rows = [FLAT, FLAT, FLAT, (100, 100, 90, 92), (92, 92, 92, 92), (92, 93, 92, 93)]
    report = backtest(
        Signals(at(6, 0, 1, 3)), bars_of(rows), costs=FREE, brackets=Brackets(stop_loss=0.05)
    )
    assert report.orders["bar"].tolist() == [1, 3, 4]
    assert report.orders["side"].tolist() == ["buy", "sell", "buy"]
    assert report.orders["price"].tolist() == [100, 95, 92]
    assert report.orders["slippage"].tolist() == [0, 0, 0]
    assert len(report.trades) == 2


def test_contradicting_signals_are_no_order() -> None:
    both = backtest(Signals(at(4, 0), at(4, 0), at(4, 0)), bars_of([FLAT] * 4))
    assert both.orders.empty


def test_an_exit_of_the_other_side_does_nothing() -> None:
    held = backtest(Signals(at(4, 0), short_exits=at(4, 1)), bars_of([FLAT] * 4), costs=FREE)
    assert len(held.orders) == 1
    left = backtest(Signals(at(4, 0), exits=at(4, 1)), bars_of([FLAT] * 4), costs=FREE)
    assert left.orders["side"].tolist() == ["buy", "sell"]


def test_orders_give_the_account_of_simulate_and_every_part_of_a_report(tmp_path: Path) -> None:
    market = make_market(300, 2, 1)
    rng = np.random.default_rng(1)
    size = np.where(rng.random((300, 2)) < 0.1, rng.normal(0, 200, (300, 2)), NAN)
    prices = {
        "limit": market.close * 0.995,
        "stop_loss": market.close * 0.98,
        "take_profit": market.close * 1.02,
    }
    report = backtest(Orders(size, "amount", **prices), market, margin=Margin(leverage=2))
    from tradinghf.config import EnvConfig

    config = EnvConfig(margin=Margin(leverage=2))
    done = simulate(market, size, kind="amount", config=config, **prices)
    np.testing.assert_array_equal(report.equity.to_numpy(), done.equity)
    assert report.account.ambiguous == int(done.ambiguous) > 0
    assert "ambiguous inside their bar" in report.remarks[-1]
    assert f"{report.account.ambiguous} of {len(done.fills)} fills" in report.remarks[-1]
    page = report.save(tmp_path / "page.html").read_text()
    assert "ambiguous inside their bar" in page
    assert "Margin(leverage=2" in page
    assert report.metrics["trades"] > 10


def test_a_function_and_a_strategy_may_return_signals() -> None:
    from tradinghf import strategy

    @strategy
    def breakout(market, *, days: int = 20):  # type: ignore[no-untyped-def]
        """Buy new highs.

        Args:
            days: of the high.
        """
        close = pd.DataFrame(market.close)
        top, low = close.rolling(days).max().shift(1), close.rolling(days).min().shift(1)
        return Signals(close > top, close < low)

    market = make_market(200, 1, 2)
    by_rule = backtest(breakout, market, days=10)
    by_function = backtest(lambda m: breakout.raw(m, days=10), market)
    assert by_rule.params == {"days": 10}
    np.testing.assert_array_equal(by_rule.equity, by_function.equity)


def test_vectorbt_refuses_what_it_cannot_do_by_name() -> None:
    market = bars_of([FLAT] * 4)
    with pytest.raises(StrategyError, match="Orders and Signals need"):
        backtest(Signals(at(4, 0)), market, engine="vectorbt")
    with pytest.raises(StrategyError, match="brackets need"):
        backtest(
            pd.DataFrame({"X": [1.0]}, index=market.index[:1]),
            market,
            engine="vectorbt",
            brackets=Brackets(stop_loss=0.1),
        )


def test_the_portfolio_of_vectorbt_is_there_where_it_can_say_the_same() -> None:
    market = make_market(50, 2, 0)
    weights = pd.DataFrame(0.5, index=market.index[:9], columns=list(market.symbols))
    report = backtest(weights, market)
    assert report.engine == "simulator"
    np.testing.assert_allclose(report.portfolio.value(), report.equity, rtol=1e-9)
    assert backtest(weights, market, costs=CostModel(borrow_rate=0.1)).portfolio is None
    assert backtest(weights, market, rules=TradingRules(lot=1)).portfolio is None


def test_wrong_tables_are_named() -> None:
    market = bars_of([FLAT] * 4)
    with pytest.raises(StrategyError, match=r"size have shape \(3,\)"):
        backtest(Orders(np.ones(3)), market)
    with pytest.raises(StrategyError, match=r"Orders\.limit has a price of 0"):
        backtest(Orders(np.ones(4), limit=np.zeros(4)), market)


# ------------------------------------------------------------------ more than an account holds


@pytest.mark.parametrize("engine", ["vectorbt", "simulator"])
def test_weights_beyond_the_equity_are_scaled_as_a_whole_and_said(engine: str) -> None:
    market = make_market(20, 4, 0)
    asked = pd.DataFrame([[0.8, 0.6, 0.4, 0.2]], market.index[:1], list(market.symbols))
    for order in (list(market.symbols), list(market.symbols)[::-1]):
        report = backtest(asked[order], market, costs=FREE, engine=engine)  # type: ignore[arg-type]
        got = report.account.shares[1] * market.open[1] / 100_000.0
        assert got == pytest.approx([0.4, 0.3, 0.2, 0.1])
        assert "asked for up to 2.00 times the equity" in report.remarks[0]
    free = backtest(asked, market, costs=FREE, margin=Margin(leverage=2))
    assert free.remarks == ()
    assert free.account.shares[1] * market.open[1] == pytest.approx(1e5 * asked.to_numpy()[0])


def test_short_sales_pay_for_longs_and_leverage_limits_both() -> None:
    neutral = np.array([[1.3, -0.3], [1.6, -0.2], [NAN, 0.5], [-2.0, NAN]])
    scaled, note = scaled_targets(neutral)
    assert scaled[0].tolist() == [1.3, -0.3]
    assert scaled[1].tolist() == pytest.approx([1.2, -0.2])
    assert scaled[3, 0] == -2.0
    assert scaled[2, 1] == 0, "the first asset still holds all that there is"
    assert note.startswith("2 of 4 orders")
    levered, note = scaled_targets(np.array([[2.0, -1.0], [1.0, -1.0]]), 2.0)
    assert levered.tolist() == [[pytest.approx(4 / 3), pytest.approx(-2 / 3)], [1.0, -1.0]]
    assert note.startswith("1 of 2 orders asked for up to 3.00")


# ------------------------------------------------------------------ on the command line


def test_the_command_line_takes_exits_margin_and_members_and_writes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from tradinghf import load_market

    spec = "synthetic:bars=300,assets=1,seed=2"
    market = load_market(spec)
    member = pd.DataFrame(
        {"date": market.index[[0, 200]].tz_localize(None), market.symbols[0]: [1, 0]}
    )
    member.to_csv("member.csv", index=False)
    line = ["backtest", "sma_cross", "--data", spec, "--set", "fast=5", "slow=20"]
    line += ["--stop-loss", "0.03", "--member", "member.csv", "--spread-bps", "4"]
    line += ["--json", "out/all.json", "--trades", "out/trades.csv", "--report", "page.html"]
    assert main(line) == 0
    found = json.loads(Path("out/all.json").read_text())
    assert found["engine"] == "simulator"
    assert found["terms"]["brackets"]["stop_loss"] == 0.03
    assert found["events"] == ["member"]
    assert found["costs"]["spread_bps"] == 4
    trades = pd.read_csv("out/trades.csv")
    assert len(trades) == len(found["trades"]) > 2
    assert (trades["exit_bar"] <= 200).all()
    assert Path("page.html").exists()
