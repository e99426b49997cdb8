"""One cancels the other, and time in force: fills by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, MarketData, backtest
from tradinghf.config import TradingRules
from tradinghf.errors import StrategyError
from tradinghf.evaluation import Orders, Signals, signal

FREE = CostModel(fee_bps=0, slippage_bps=0)
NAN = float("nan")
FLAT = (100.0,) * 4


def bars(*rows: tuple[float, ...], symbol: str = "A", volume: float = 1e6) -> MarketData:
    frame = pd.DataFrame(rows, columns=["open", "high", "low", "close"], dtype=float)
    frame["volume"] = volume
    frame.index = pd.bdate_range("2024-01-01", periods=len(frame))
    return MarketData.from_frame(frame, symbol=symbol)


def breakout(count: int, size: float = 10.0, **first: Any) -> Orders:
    """At bar 0: buy at 105 or sell at 95, whichever comes first."""

    def once(value: float) -> np.ndarray:
        return np.array([value] + [NAN] * (count - 1))

    other = Orders(once(-size), "amount", stop=once(95.0))
    return Orders(once(size), "amount", stop=once(105.0), other=other, **first)


def traded(orders: Orders, market: MarketData, **options: Any) -> Any:
    return backtest(orders, market, costs=FREE, record=False, **options)


@pytest.mark.parametrize(
    ("bar", "price", "side"),
    [
        ((100, 106, 99, 104), 105, 1),
        ((100, 101, 94, 96), 95, -1),
        ((110, 112, 94, 100), 110, 1),  # opens beyond the one, falls to the other later
        ((90, 106, 89, 100), 90, -1),
        ((100, 106, 94, 97), 105, 1),  # both: long loses 80 by the close, short 20
        ((100, 106, 94, 104), 95, -1),  # both: short loses 90, long 10
    ],
)
def test_the_leg_that_is_reached_first_cancels_the_other(
    bar: tuple[float, ...], price: float, side: int
) -> None:
    market = bars(FLAT, bar, (100, 120, 80, 100), FLAT)
    report = traded(breakout(4), market)
    said = "buy" if side > 0 else "sell"
    assert report.orders[["price", "side", "size"]].values.tolist() == [[price, said, 10]]
    assert report.equity.iloc[-1] == pytest.approx(100_000 + 10 * side * (100 - price))


def test_a_bar_with_both_is_read_pessimistically_counted_and_resolved_by_finer_bars() -> None:
    market = bars(FLAT, (100, 106, 94, 97))
    report = traded(breakout(2), market)
    assert report.equity.iloc[-1] == 100_000 - 80
    assert (report.account.ambiguous, report.account.optimistic_gain) == (1, 60)
    hours = pd.DataFrame(
        [FLAT, (100, 100, 94, 95), (95, 106, 95, 97)], columns=["open", "high", "low", "close"]
    )
    hours.index = pd.to_datetime(["2024-01-01 12:00", "2024-01-02 11:00", "2024-01-02 15:00"])
    finer = MarketData.from_frame(hours, symbol="A")
    inside = traded(breakout(2), market, intrabar=finer)
    assert inside.equity.iloc[-1] == 100_000 - 20
    assert inside.account.ambiguous == 0


def test_exits_belong_to_the_leg_and_short_rules_turn_both_round() -> None:
    market = bars(FLAT, (100, 106, 99, 104), (104, 104, 90, 92))
    one = np.array([10.0, NAN, NAN])

    def at(price: float) -> np.ndarray:
        return np.array([price, NAN, NAN])

    other = Orders(-one, "amount", stop=at(95.0), stop_loss=at(103.0))
    pair = Orders(one, "amount", stop=at(105.0), stop_loss=at(97.0), other=other)
    report = traded(pair, market)
    assert report.orders["price"].tolist() == [105, 97]
    # With side="short" a positive size sells: the first leg sells, at a stop above the market.
    turned = traded(pair, market, rules=TradingRules(side="short"))
    assert turned.orders["price"].iloc[0] == 100
    assert turned.orders["side"].iloc[0] == "sell"


@pytest.mark.parametrize(("good_for", "filled"), [(1, []), (2, [95.0]), (NAN, [95.0])])
def test_an_order_lapses_after_its_bars(good_for: float, filled: list[float]) -> None:
    market = bars(FLAT, (100, 101, 96, 100), (100, 101, 94, 99), FLAT)
    size = np.array([10.0, NAN, NAN, NAN])
    limit = np.array([95.0, NAN, NAN, NAN])
    report = traded(Orders(size, "amount", limit=limit, good_for=good_for), market)
    assert report.orders["price"].tolist() == filled


def test_a_pair_lapses_as_a_whole_and_a_new_order_has_its_own_time() -> None:
    market = bars(FLAT, FLAT, (100, 106, 99, 104), (104, 104, 94, 95), FLAT)
    assert len(traded(breakout(5, good_for=1), market).orders) == 0
    assert traded(breakout(5, good_for=2), market).orders["price"].tolist() == [105]
    size = np.array([10.0, 10.0, NAN, NAN, NAN])
    stop = np.array([103.0, 105.0, NAN, NAN, NAN])
    renewed = Orders(size, "amount", stop=stop, good_for=np.array([1, 2, NAN, NAN, NAN]))
    assert traded(renewed, market).orders["price"].tolist() == [105]


def test_of_targets_of_several_assets_only_the_one_that_lapsed_is_taken_back() -> None:
    frames = {name: bars(FLAT, FLAT, (100, 100, 90, 90), FLAT).to_frame() for name in ("A", "B")}
    market = MarketData.from_frames(frames)
    size = np.full((4, 2), NAN)
    size[0], size[1, 1] = 0.4, 0.2
    limit = np.full((4, 2), NAN)
    limit[0, 0] = 95.0
    report = traded(Orders(size, limit=limit, good_for=1), market)
    assert report.orders["symbol"].unique().tolist() == ["B"]
    assert report.positions.iloc[-1].tolist() == pytest.approx([0, 0.2], abs=0.03)
    both = traded(Orders(size, limit=limit, good_for=2), market)
    assert both.orders.query("symbol == 'A'")["price"].tolist() == [95.0]


def test_an_entry_signal_lapses_and_what_is_held_stays() -> None:
    market = bars(FLAT, (100, 101, 96, 100), (100, 101, 94, 99), FLAT)
    entries = np.array([True, False, False, False])
    limit = np.full(4, 95.0)
    assert len(traded(Signals(entries, limit=limit, good_for=1), market).orders) == 0
    kept = traded(Signals(entries, limit=limit, good_for=2), market)
    assert kept.orders["price"].tolist() == [95]
    assert kept.account.shares[:, 0].tolist() == [0, 0, 1000, 1000]


def test_what_volume_left_unfilled_lapses_too() -> None:
    market = bars(*[FLAT] * 6, volume=100.0)
    size = np.array([30.0] + [NAN] * 5)
    rules = TradingRules(participation=0.1)
    assert traded(Orders(size, "amount", good_for=2), market, rules=rules).orders[
        "size"
    ].tolist() == [10, 10]
    assert traded(Orders(size, "amount"), market, rules=rules).orders["size"].sum() == 30


def test_a_signal_says_both_legs_and_what_is_taken_back() -> None:
    market = bars(FLAT, (100, 101, 99, 100), (100, 101, 99, 100))

    def last(value: float) -> np.ndarray:
        return np.array([NAN, NAN, value])

    other = Orders(last(-10), "amount", stop=last(95.0))
    told = signal(Orders(last(10), "amount", stop=last(105.0), other=other), market)
    assert told[["size", "stop", "order"]].values.tolist() == [[10, 105, True], [-10, 95, True]]
    waits = np.array([NAN, 10.0, NAN])
    lapsing = Orders(waits, "amount", limit=np.array([NAN, 95.0, NAN]), good_for=1)
    told = signal(lapsing, market)
    assert (told["size"][0], told["order"][0]) == (0, True)
    assert told[["limit", "stop"]].isna().all(axis=None)


def test_a_signal_says_prices_as_they_are_quoted() -> None:
    """Oil at 10 with an offset of 100: a limit at 95 is one at -5."""
    frame = pd.DataFrame([(10.0,) * 4] * 3, columns=["open", "high", "low", "close"])
    frame.index = pd.bdate_range("2024-01-01", periods=3)
    oil = MarketData.from_frame(frame, symbol="CL", offset=100.0)
    told = signal(Orders([NAN, NAN, 1], "amount", limit=[NAN, NAN, 95.0]), oil)
    assert told[["close", "limit"]].values.tolist() == [[10, -5]]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Orders([0.5, NAN], other=Orders([-0.5, NAN])), "'target_percent'"),
        (lambda: Orders([1, NAN], "amount", other=Orders([NAN, 1], "amount")), "no first one"),
        (lambda: Orders([1, NAN], "amount", good_for=0), "good_for is 0"),
        (lambda: Orders([1, NAN], "amount", good_for=1.5), "good_for is 1.5"),
        (
            lambda: Orders([1, NAN], "amount", other=Orders([1, NAN], "amount", good_for=1)),
            "of its own",
        ),
    ],
)
def test_wrong_pairs_and_times_are_named(made: Any, said: str) -> None:
    with pytest.raises(StrategyError, match=said):
        traded(made(), bars(FLAT, FLAT))


def test_a_split_keeps_the_order_of_the_legs() -> None:
    """Prices halve at bar 2: the sell stop at 95 is one at 47.5, the buy stop one at 52.5."""
    market = bars(FLAT, FLAT, (50, 51, 48, 50), (50, 53, 49, 52), (52, 52, 40, 40))
    split = np.array([1, 1, 2, 1, 1.0])[:, None]
    report = traded(breakout(5), market, split=split)
    assert report.orders[["price", "size"]].values.tolist() == [[52.5, 20]]
