"""`backtest`: known answers by hand, vectorbt as oracle, and everything it must refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.evaluation import from_closes, make_market

from tradinghf import CostModel, MarketData, backtest
from tradinghf.errors import StrategyError
from tradinghf.evaluation._engines import ENGINES
from tradinghf.strategies import Floats, load_strategy

FREE = CostModel(fee_bps=0, fixed_fee=0, slippage_bps=0)


def table(market: MarketData, rows: dict[int, list[float]]) -> pd.DataFrame:
    """Weights on the given bars, NaN elsewhere."""
    weights = pd.DataFrame(np.nan, index=market.index, columns=list(market.symbols))
    for bar, values in rows.items():
        weights.iloc[bar] = values
    return weights


def test_five_line_script() -> None:
    report = backtest("sma_cross", make_market(), fast=5, slow=20)
    assert report.equity.index.equals(make_market().index)
    assert str(report.equity.index.tz) == "UTC"
    assert report.params == {"fast": 5, "slow": 20, "short": False}
    assert report.metrics["fills"] == len(report.orders) > 4
    assert "sma_cross on walk" in str(report)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_next_open_by_hand(engine: str) -> None:
    market = from_closes([100.0, 100.0, 110.0, 121.0])
    # Decided at close 0, bought at open 1 = 100 * 1.001, fee 0.2 % + 5: sized from 10,000 / 100,
    # cut to what the cash pays: (10,000 - 5) / 1.002 / 100.1 units.
    costs = CostModel(fee_bps=20, fixed_fee=5, slippage_bps=10)
    report = backtest(table(market, {0: [1.0]}), market, costs=costs, cash=10_000.0, engine=engine)
    units = (10_000 - 5) / 1.002 / 100.1
    np.testing.assert_allclose(
        report.equity, [10_000, units * 100, units * 110, units * 121], rtol=1e-12
    )
    (order,) = report.orders.to_dict("records")
    assert (order["bar"], order["side"], order["symbol"]) == (1, "buy", "A")
    assert order["price"] == pytest.approx(100.1, rel=1e-12)
    assert order["fee"] == pytest.approx(10_000 - units * 100.1, rel=1e-9)
    assert order["slippage"] == pytest.approx(units * 0.1, rel=1e-9)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_close_fill_by_hand_and_a_flip(engine: str) -> None:
    market = from_closes([100.0, 120.0, 90.0, 90.0])
    weights = table(market, {0: [0.5], 1: [-0.5], 3: [0.0]})
    report = backtest(weights, market, costs=FREE, cash=1_000.0, fill="close", engine=engine)
    # 5 units; 1,100 at bar 1; flip to -550/120 units; fall of 30 each; flat at the end.
    short = -550 / 120
    expected = [1000, 1100, 1100 + short * -30, 1100 + short * -30]
    np.testing.assert_allclose(report.equity, expected, rtol=1e-12)
    first, second = report.trades.to_dict("records")
    assert (first["side"], first["bars"], first["open"]) == ("long", 1, False)
    assert first["pnl"] == pytest.approx(100.0)
    assert first["return_pct"] == pytest.approx(20.0)
    assert (second["side"], second["entry_bar"], second["exit_bar"]) == ("short", 1, 3)
    assert second["pnl"] == pytest.approx(-short * 30)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_an_order_on_the_last_bar_never_fills_at_the_next_open(engine: str) -> None:
    market = from_closes([100.0, 101.0, 102.0])
    weights = table(market, {2: [1.0]})
    assert backtest(weights, market, engine=engine).orders.empty
    assert len(backtest(weights, market, fill="close", engine=engine).orders) == 1


def test_next_open_does_not_earn_the_overnight_gap() -> None:
    market = MarketData(
        open=np.array([[100.0], [150.0], [150.0]]),
        high=np.array([[100.0], [150.0], [150.0]]),
        low=np.array([[100.0], [150.0], [150.0]]),
        close=np.array([[100.0], [150.0], [150.0]]),
        volume=np.ones((3, 1)),
        timestamps=np.arange(3).astype("datetime64[D]").astype("datetime64[ns]"),
        symbols=("A",),
    )
    weights = table(market, {0: [1.0]})
    assert backtest(weights, market, costs=FREE).metrics["total_return_pct"] == 0
    late = backtest(weights, market, costs=FREE, fill="close")
    assert late.metrics["total_return_pct"] == pytest.approx(50.0)


def test_a_table_is_literal_and_a_strategy_orders_only_on_change() -> None:
    market = make_market(60)
    constant = pd.DataFrame(0.5, index=market.index, columns=["A0"])
    assert len(backtest(constant, market).orders) > 50
    assert len(backtest(lambda m: np.full(m.bars, 0.5), market).orders) == 1
    assert len(backtest("buy_and_hold", market, weight=0.5).orders) == 1


def test_functions_get_parameters_and_may_return_tables() -> None:
    market = make_market(60)

    def share(market: MarketData, size: float) -> pd.DataFrame:
        return pd.DataFrame(size, index=market.index, columns=list(market.symbols))

    report = backtest(share, market, size=0.25)
    assert report.name == "share"
    assert report.params == {"size": 0.25}
    assert report.metrics["gross_exposure_pct"] == pytest.approx(25, abs=1.5)
    with pytest.raises(StrategyError, match="cannot be called"):
        backtest(share, market, sise=0.25)


def test_tables_align_by_timestamp_and_symbol() -> None:
    market = make_market(50, assets=2)
    weights = table(market, {10: [0.5, np.nan], 20: [0.0, 0.5]})
    whole = backtest(weights, market)
    few = weights.dropna(how="all")[["A1", "A0"]].tz_localize(None)
    np.testing.assert_array_equal(backtest(few, market).equity, whole.equity)
    anonymous = pd.DataFrame(weights.to_numpy())
    np.testing.assert_array_equal(backtest(anonymous, market).equity, whole.equity)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda w: w.rename(columns={"A0": "XX"}), "'XX'"),
        (lambda w: w.shift(freq="1h"), "not a bar"),
        (lambda w: pd.concat([w, w[:1]]), "twice"),
        (lambda w: w.reset_index(drop=True)[:10], "10 rows"),
        (lambda w: w.fillna(np.inf), "infinity"),
    ],
)
def test_malformed_tables_are_refused(change: object, match: str) -> None:
    market = make_market(30, assets=2)
    weights = table(market, {3: [0.5, 0.5]})
    with pytest.raises(StrategyError, match=match):
        backtest(change(weights), market)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"engine": "vektorbt"}, "Did you mean 'vectorbt'"),
        ({"fill": "open"}, "next_open"),
        ({"cash": 0.0}, "positive"),
        ({"cash": float("nan")}, "positive"),
        ({"speed": 3}, "parameter of buy_and_hold"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], match: str) -> None:
    with pytest.raises(StrategyError, match=match):
        backtest("buy_and_hold", make_market(30), **settings)  # type: ignore[arg-type]
    with pytest.raises(StrategyError, match="cannot trade a int"):
        backtest(3, make_market(30))  # type: ignore[arg-type]


def test_vectorbt_refuses_what_it_cannot_express() -> None:
    market = make_market(30)
    with pytest.raises(StrategyError, match=r"borrow_rate.*simulator"):
        backtest("buy_and_hold", market, costs=CostModel(borrow_rate=0.1), engine="vectorbt")
    half_spread = backtest("buy_and_hold", market, costs=CostModel(slippage_bps=1, spread_bps=4))
    same = backtest("buy_and_hold", market, costs=CostModel(slippage_bps=3))
    np.testing.assert_array_equal(half_spread.equity, same.equity)


def test_ruin_is_refused_by_vectorbt_and_final_in_the_simulator() -> None:
    market = from_closes([100.0, 100.0, 350.0, 50.0, 50.0])
    weights = table(market, {0: [-1.0]})
    with pytest.raises(StrategyError, match="ruined at bar 2"):
        backtest(weights, market, engine="vectorbt")
    report = backtest(weights, market)
    np.testing.assert_allclose(report.equity[2:], 0.0, atol=1e-9)
    m = report.metrics
    assert m["total_return_pct"] == pytest.approx(-100)
    assert m["max_drawdown_pct"] == pytest.approx(100)
    assert all(v is None or isinstance(v, str) or np.isfinite(v) for v in m.values())


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("name", ["sma_cross", "rsi_reversion", "vol_target"])
def test_account_and_trades_equal_vectorbts_own(name: str, fill: str) -> None:
    market = make_market(500, assets=3, seed=4)
    costs = CostModel(fee_bps=5, fixed_fee=0.5, slippage_bps=5)
    report = backtest(name, market, costs=costs, fill=fill)  # type: ignore[arg-type]
    theirs = report.portfolio
    np.testing.assert_allclose(report.equity, theirs.value(), rtol=1e-11)
    np.testing.assert_allclose(report.account.cash, theirs.cash(), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(report.account.shares, theirs.assets(), atol=1e-9)
    trips, records = report.trades, theirs.positions.records
    assert len(trips) == len(records)
    np.testing.assert_allclose(np.sort(trips["pnl"]), np.sort(records["pnl"]), rtol=1e-9)
    assert trips["pnl"].sum() == pytest.approx(report.equity.iloc[-1] - report.cash, rel=1e-9)
    assert report.metrics["fees"] == pytest.approx(theirs.orders.records["fees"].sum())


def test_turnover_counts_both_sides_against_equity() -> None:
    market = from_closes([100.0, 100.0, 100.0, 100.0])
    weights = table(market, {0: [1.0], 1: [-1.0], 2: [0.0]})
    report = backtest(weights, market, costs=FREE, fill="close")
    np.testing.assert_allclose(report.turnover, [1, 2, 1, 0])
    assert report.metrics["turnover_per_year"] == pytest.approx(4 * 252 / 4)


def test_bars_and_trades_sum_to_the_same_profit_with_a_flip_inside_one_fill() -> None:
    market = make_market(80, seed=9)
    weights = table(market, {5: [0.7], 20: [-0.4], 40: [0.9], 60: [0.0], 70: [0.3]})
    report = backtest(weights, market, costs=CostModel(10, 1.0, 10))
    assert list(report.trades["side"]) == ["long", "short", "long", "long"]
    assert list(report.trades["open"]) == [False, False, False, True]
    profit = report.equity.iloc[-1] - report.cash
    assert report.trades["pnl"].sum() == pytest.approx(profit, rel=1e-9)
    assert report.trades["fees"].sum() == pytest.approx(report.orders["fee"].sum(), rel=1e-9)


def test_plot_shows_equity_and_fills() -> None:
    report = backtest("sma_cross", make_market(), fast=5, slow=20)
    figure = report.plot()
    assert [trace.name for trace in figure.data][:2] == ["sma_cross", "buy and hold, before costs"]
    np.testing.assert_array_equal(figure.data[0].y, report.equity)
    buys = next(trace for trace in figure.data if trace.name == "buy")
    assert len(buys.x) == (report.orders["side"] == "buy").sum()


def test_a_strategy_that_never_trades_has_a_report() -> None:
    report = backtest(lambda m: np.zeros(m.bars), make_market(60))
    assert report.orders.empty
    assert report.trades.empty
    m = report.metrics
    assert (m["total_return_pct"], m["sharpe_annual"], m["hit_rate_pct"]) == (0.0, None, None)
    assert "nothing" in str(report) or "undefined" in str(report)


def test_imports_stay_light(python: object) -> None:
    done = python(
        "-c",
        "import sys, tradinghf; tradinghf.backtest; "  # type: ignore[operator]
        "print({'torch', 'vectorbt', 'plotly', 'arch'} & set(sys.modules))",
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_strategy_weights_equal_orders_for_the_loader(root: object) -> None:
    found = load_strategy("momentum")
    market = make_market(300)
    by_name, by_object = backtest("momentum", market), backtest(found, market)
    np.testing.assert_array_equal(by_name.equity, by_object.equity)
    weights: Floats = by_name.targets
    np.testing.assert_array_equal(weights, found.orders(market))
