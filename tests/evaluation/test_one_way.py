"""Weights, signals, orders and event-driven rules give the same on every route."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market
from support.markets import bars_of

from tradinghf import CostModel, MarketData, backtest, strategy
from tradinghf.config import Brackets
from tradinghf.errors import StrategyError
from tradinghf.evaluation import (
    Orders,
    Signals,
    check_strategy,
    cross_validate_parameters,
    signal,
    sweep,
    trade,
    walk_forward,
)

MARKET = make_market(60, 1, 5)
FREE = CostModel(fee_bps=0, slippage_bps=0)
FLAT = (100.0, 100.0, 100.0, 100.0)
NAN = float("nan")


@strategy
def weights(market: MarketData, *, bars: int = 5) -> Any:
    """Hold after a rise.

    Args:
        bars: of the rise.
    """
    close = pd.Series(market.close[:, 0])
    return (close > close.shift(bars)).astype(float).to_numpy()


@strategy
def signals(market: MarketData, *, bars: int = 5) -> Any:
    """Buy a rise with a stop, leave after a fall.

    Args:
        bars: of the rise.
    """
    close = pd.Series(market.close[:, 0])
    up = (close > close.shift(bars)).to_numpy()
    return Signals(up, ~up, stop_loss=0.98 * market.close[:, 0])


@strategy
def orders(market: MarketData, *, bars: int = 5) -> Any:
    """Bid below the close now and then.

    Args:
        bars: between two orders.
    """
    close = market.close[:, 0]
    size = np.where(np.arange(market.bars) % bars == 0, 10.0, np.nan)
    return Orders(size, "amount", limit=0.995 * close, take_profit=1.02 * close)


@strategy
class Events:
    """Buy a rise while flat, leave after some bars.

    Args:
        bars: of the rise.
    """

    bars: int = 5

    def init(self, market: MarketData) -> None:
        self.since = 0

    def next(self, bar: Any, account: Any) -> None:
        past = bar.past("close", self.bars + 1)
        self.since += 1
        if not account.shares and bar.close > past[0]:
            account.target(1.0, stop_loss=0.97 * bar.close)
            self.since = 0
        elif account.shares and self.since >= self.bars:
            account.close()


KINDS = [weights, signals, orders, Events]


@pytest.mark.parametrize("rule", KINDS, ids=lambda rule: rule.name)
def test_every_kind_takes_every_route(rule: Any) -> None:
    report = backtest(rule, MARKET, record=False)
    assert len(report.orders) > 0
    swept = sweep(rule, MARKET, {"bars": [3, 8]}, brackets=[Brackets(), Brackets(stop_loss=0.01)])
    assert len(swept.table) == 4
    assert swept.table["stop_loss"].tolist() == [0, 0, 0.01, 0.01]
    for row, params in enumerate(swept.params):
        alone = trade(rule, MARKET, costs=swept.costs[row], terms=swept.terms[row], **params)
        for name in ("total_return_pct", "turnover_per_year", "fills", "fees"):
            assert swept.table[name][row] == pytest.approx(alone.metrics[name], rel=1e-9), name
    walked = walk_forward(rule, MARKET, {"bars": [3, 8]}, train_bars=30, test_bars=15)
    assert len(walked.windows) == 2
    assert len(walked.report.equity) == 30
    folds = cross_validate_parameters(rule, MARKET, {"bars": [3, 8]}, folds=3, test_folds=1)
    assert folds.paths.shape == (60, 1)
    row = signal(rule, MARKET).iloc[0]
    assert row["order"] == bool(np.isfinite(report.targets[-1, 0]))
    if rule is not weights:
        assert row["kind"] == (report.kind if isinstance(report.kind, str) else report.kind[-1])


@pytest.mark.parametrize("rule", [signals, orders], ids=lambda rule: rule.name)
def test_check_takes_orders_and_finds_their_leaks(rule: Any) -> None:
    assert [f for f in check_strategy(rule, MARKET, points=3) if f.severity == "error"] == []

    @strategy
    def leaky(market: MarketData, *, bars: int = 5) -> Any:
        """Only the price of the order knows tomorrow.

        Args:
            bars: of the rise.
        """
        made = rule.raw(market, bars=bars)
        low = np.append(market.low[1:, 0], NAN)
        prices = {name: getattr(made, name) for name in ("stop_loss", "take_profit")}
        if isinstance(made, Signals):
            return Signals(made.entries, made.exits, limit=low, **prices)
        return Orders(made.size, made.kind, limit=low, **prices)

    found = check_strategy(leaky, MARKET, points=3)
    assert "look-ahead" in [f.kind for f in found if f.severity == "error"]


class Dip:
    """Not decorated: attributes are parameters."""

    depth = 0.03
    size = 1.0

    def next(self, bar: Any, account: Any) -> None:
        if bar.number == 0:
            price = bar.close * (1 - self.depth)
            account.buy(10, limit=price, stop_loss=price - 2, take_profit=price + 4)


def test_an_event_rule_trades_as_the_same_orders_do() -> None:
    rows = [FLAT, (100, 100, 96, 98), (98, 102, 98, 101), (101, 101, 101, 101)]
    market = bars_of(rows)
    stepped = backtest(Dip, market, costs=FREE, record=False)
    assert stepped.orders[["bar", "price"]].to_numpy().tolist() == [[1, 97], [2, 101]]
    by_hand = backtest(
        Orders([10, NAN, NAN, NAN], "amount", [97.0] * 4, None, [95.0] * 4, [101.0] * 4),
        market,
        costs=FREE,
        record=False,
    )
    np.testing.assert_array_equal(stepped.equity, by_hand.equity)
    deeper = backtest(Dip, market, costs=FREE, record=False, depth=0.05)
    assert deeper.orders.empty
    with pytest.raises(StrategyError, match="Did you mean 'depth'"):
        backtest(Dip, market, record=False, deph=1)


class Rotate:
    """Weights by symbol; what is not named stays."""

    def next(self, bar: Any, account: Any) -> dict[str, float] | None:
        assert account.equity == pytest.approx(account.cash + (account.shares * bar.close).sum())
        return {0: {"A0": 1.0}, 5: {"A0": 0.0, "A1": 0.5}}.get(bar.number)


def test_what_an_event_rule_returns_is_what_it_wants_to_hold() -> None:
    report = backtest(Rotate(), make_market(12, 2, 1), costs=FREE, record=False)
    held = report.positions.to_numpy()
    assert held[3].tolist() == pytest.approx([1, 0])
    assert held[6] == pytest.approx([0, 0.5], abs=0.05)
    assert report.orders["bar"].tolist() == [1, 6, 6]


def test_mixed_kinds_in_one_bar_are_refused_by_name() -> None:
    class Mixed:
        def next(self, bar: Any, account: Any) -> None:
            account.target(0.5, "A0")
            account.buy(1, "A1")

    with pytest.raises(StrategyError, match="'target_percent' and 'amount'"):
        backtest(Mixed, make_market(12, 2, 1), record=False)


def test_rows_that_ask_too_much_are_scaled_on_every_route() -> None:
    market = make_market(60, 3, 2)

    @strategy
    def over(market: MarketData, *, each: float = 0.8) -> Any:
        """The same in every asset.

        Args:
            each: weight.
        """
        return np.full(market.close.shape, each)

    swept = sweep(over, market, {"each": [0.8]}, costs=FREE)
    alone = backtest(over, market, costs=FREE, record=False)
    assert swept.table["total_return_pct"][0] == pytest.approx(alone.metrics["total_return_pct"])
    assert alone.positions.iloc[1].to_numpy() == pytest.approx(np.full(3, 1 / 3), abs=0.02)
    assert "scaled down as a whole" in alone.remarks[0]


def test_entries_that_ask_too_much_are_scaled_as_a_whole_too() -> None:
    market = make_market(20, 2, 2)
    entries = np.zeros((20, 2), dtype=bool)
    entries[3] = True
    report = backtest(Signals(entries), market, costs=FREE, record=False)
    assert report.positions.iloc[4].tolist() == pytest.approx([0.5, 0.5], abs=0.02)
    assert "1 of 1 orders asked for up to 2.00 times the equity" in report.remarks[0]
    half = backtest(Signals(entries, size=0.5), market, costs=FREE, record=False)
    assert half.remarks == ()
    np.testing.assert_allclose(half.equity, report.equity, rtol=1e-12)


def test_a_row_is_scaled_to_what_the_assets_it_leaves_alone_still_hold() -> None:
    market = make_market(40, 3, 2)
    table = pd.DataFrame(NAN, index=market.index, columns=list(market.symbols))
    table.iloc[1], table.iloc[9] = [1.2, 1.2, 0], [NAN, 0.6, 0.6]
    report = backtest(table, market, costs=FREE, record=False)
    assert report.targets[1].tolist() == pytest.approx([0.5, 0.5, 0])
    assert report.targets[9, 1:].tolist() == pytest.approx([0.25, 0.25])
    assert "2 of 2 orders" in report.remarks[0]


def test_purchases_cut_because_others_grew_are_said() -> None:
    flat = [(100.0,) * 4] * 6
    grown = [FLAT, FLAT, FLAT, (200.0,) * 4, (200.0,) * 4, (200.0,) * 4]
    frames = {
        name: pd.DataFrame(
            dict(zip(("open", "high", "low", "close"), zip(*rows, strict=True), strict=True)),
            index=pd.bdate_range("2020-01-01", periods=6),
        )
        for name, rows in {"A": grown, "B": flat, "C": flat}.items()
    }
    market = MarketData.from_frames(frames)
    table = pd.DataFrame(NAN, index=market.index, columns=list(market.symbols))
    table.iloc[0], table.iloc[3] = [0.5, 0, 0], [NAN, 0.25, 0.25]
    report = backtest(table, market, costs=FREE, record=False)
    assert "At 1 bar, first 2020-01-07" in report.remarks[0]
    assert "cut to the cash" in report.remarks[0]
