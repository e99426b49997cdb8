"""Limit, stop, stop-limit, stop-loss, take-profit, trailing stop: hand-computed tables.

And the same cases through `backtesting.py`, whose documented behaviour they share.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.markets import Rows, bars_of
from support.orders import CALM, backtesting_fills

from tradinghf.config import Brackets, CostModel, EnvConfig, TradingRules
from tradinghf.errors import ConfigError
from tradinghf.simulation import simulate
from tradinghf.simulation._simulate import Simulation

FREE = CostModel(fee_bps=0, slippage_bps=0)
NAN = float("nan")


def first(length: int, value: float) -> np.ndarray:
    """An order given at the first close, none later."""
    return np.array([value] + [NAN] * (length - 1))


def run(rows: Rows, size: float = 10.0, **options: Any) -> Simulation:
    """An order of `size` shares at the first close; prices of the order as scalars."""
    given = {
        name: first(len(rows), options.pop(name))
        for name in ("limit", "stop", "stop_loss", "take_profit")
        if name in options
    }
    options.setdefault("costs", FREE)
    return simulate(
        bars_of(rows), first(len(rows), size), kind="amount", cash=10_000.0, **given, **options
    )


def fills(result: Simulation) -> list[tuple[int, float, float]]:
    """(bar, signed size, price) of each fill."""
    t = result.fills
    signed = t["side"] * t["size"]
    return [
        (int(b), round(float(s), 9), round(float(p), 9))
        for b, s, p in zip(t["bar"], signed, t["price"], strict=True)
    ]


# (what, order, bars after the first, fills expected)
ENTRIES: list[tuple[str, dict[str, float], Rows, list[tuple[int, float, float]]]] = [
    ("market buys at the next open", {}, [(102, 103, 101, 102)], [(1, 10, 102)]),
    ("buy limit touched", {"limit": 98}, [CALM, (99, 100, 97, 99)], [(2, 10, 98)]),
    ("buy limit not touched", {"limit": 98}, [CALM, CALM], []),
    ("buy limit gaps below: open", {"limit": 98}, [(96, 97, 95, 96)], [(1, 10, 96)]),
    ("buy limit exactly at the low", {"limit": 99}, [CALM], [(1, 10, 99)]),
    ("sell limit touched", {"limit": 103, "size": -10}, [(100, 104, 99, 101)], [(1, -10, 103)]),
    (
        "sell limit gaps above: open",
        {"limit": 103, "size": -10},
        [(105, 106, 104, 105)],
        [(1, -10, 105)],
    ),
    ("buy stop touched", {"stop": 103}, [CALM, (101, 104, 100, 102)], [(2, 10, 103)]),
    ("buy stop gaps above: open", {"stop": 103}, [(106, 107, 105, 106)], [(1, 10, 106)]),
    ("sell stop touched", {"stop": 97, "size": -10}, [(99, 100, 96, 98)], [(1, -10, 97)]),
    ("sell stop gaps below: open", {"stop": 97, "size": -10}, [(95, 96, 94, 95)], [(1, -10, 95)]),
    (
        "stop-limit through: at the stop",
        {"stop": 103, "limit": 104},
        [(101, 105, 100, 104)],
        [(1, 10, 103)],
    ),
    (
        "stop-limit gaps past its limit, comes back",
        {"stop": 103, "limit": 104},
        [(106, 107, 105, 106), (105, 106, 103.5, 105)],
        [(2, 10, 104)],
    ),
    (
        "stop-limit, limit below stop: waits a bar",
        {"stop": 103, "limit": 101},
        [(102, 104, 100, 103), (102, 103, 100.5, 102)],
        [(2, 10, 101)],
    ),
    (
        "sell stop-limit through",
        {"stop": 97, "limit": 96, "size": -10},
        [(99, 100, 95, 96)],
        [(1, -10, 97)],
    ),
]


@pytest.mark.parametrize(
    ("what", "order", "after", "expected"), ENTRIES, ids=[e[0] for e in ENTRIES]
)
def test_entry_orders(
    what: str, order: dict[str, float], after: Rows, expected: list[tuple[int, float, float]]
) -> None:
    assert fills(run([CALM, *after], **order)) == expected, what


# Long 10 (or short 10) from bar 1's open at 100; stop-loss 95 / 105, take-profit 110 / 90.
LONG = {"stop_loss": 95.0, "take_profit": 110.0}
SHORT = {"stop_loss": 105.0, "take_profit": 90.0, "size": -10.0}
EXITS: list[tuple[str, dict[str, float], Rows, tuple[int, float] | None]] = [
    ("long stop", LONG, [CALM, (98, 99, 94, 96)], (2, 95)),
    ("long stop in the entry bar", LONG, [(100, 101, 94, 96)], (1, 95)),
    ("long stop gaps: open", LONG, [CALM, (92, 93, 91, 92)], (2, 92)),
    ("long target", LONG, [CALM, (105, 111, 104, 109)], (2, 110)),
    ("long target gaps: open", LONG, [CALM, (113, 114, 112, 113)], (2, 113)),
    ("long both in one bar: the stop", LONG, [CALM, (100, 112, 94, 100)], (2, 95)),
    ("long neither", LONG, [CALM, CALM], None),
    ("short stop", SHORT, [CALM, (102, 106, 101, 104)], (2, 105)),
    ("short stop gaps: open", SHORT, [CALM, (108, 109, 107, 108)], (2, 108)),
    ("short target", SHORT, [CALM, (95, 96, 89, 91)], (2, 90)),
    ("short both in one bar: the stop", SHORT, [CALM, (100, 106, 89, 100)], (2, 105)),
]


@pytest.mark.parametrize(("what", "order", "after", "expected"), EXITS, ids=[e[0] for e in EXITS])
def test_exits(
    what: str, order: dict[str, float], after: Rows, expected: tuple[int, float] | None
) -> None:
    size = order.get("size", 10.0)
    entry = [(1, size, 100.0)]
    out = [] if expected is None else [(expected[0], -size, float(expected[1]))]
    assert fills(run([CALM, *after], **order)) == entry + out, what


@pytest.mark.parametrize(("what", "order", "after", "expected"), EXITS, ids=[e[0] for e in EXITS])
def test_exits_agree_with_backtesting_py(
    what: str, order: dict[str, float], after: Rows, expected: tuple[int, float] | None
) -> None:
    options = {"sl": order["stop_loss"], "tp": order["take_profit"]}
    ours = fills(run([CALM, *after], **order))
    theirs = backtesting_fills([CALM, *after], order.get("size", 10.0), **options)
    assert theirs == ours, what


# backtesting.py fills a stop-limit that gaps past its stop at the stop's own price, which the
# market never traded: the one case where we differ.
SHARED = [e for e in ENTRIES if "gaps past" not in e[0]]


@pytest.mark.parametrize(("what", "order", "after", "expected"), SHARED, ids=[e[0] for e in SHARED])
def test_entries_agree_with_backtesting_py(
    what: str, order: dict[str, float], after: Rows, expected: list[Any]
) -> None:
    options = {k: v for k, v in order.items() if k != "size"}
    assert backtesting_fills([CALM, *after], order.get("size", 10.0), **options) == expected


def test_trailing_stop_follows_the_best_price_of_earlier_bars() -> None:
    config = EnvConfig(brackets=Brackets(trailing_stop=0.10))
    rows = [CALM, (100, 120, 100, 118), (118, 119, 109, 110), (110, 112, 107, 108)]
    # Best 120 after bar 1: the stop stands at 108; bar 2's low of 109 misses it, bar 3's hits.
    assert fills(run(rows, config=config)) == [(1, 10, 100), (3, -10, 108)]


def test_trailing_stop_of_a_short() -> None:
    config = EnvConfig(brackets=Brackets(trailing_stop=0.10))
    rows = [CALM, (100, 100, 80, 82), (82, 87, 81, 85), (85, 89, 84, 88)]
    assert fills(run(rows, size=-10, config=config)) == [(1, -10, 100), (3, 10, 88)]


def test_brackets_of_the_config_are_fractions_of_the_entry_price() -> None:
    config = EnvConfig(brackets=Brackets(stop_loss=0.05, take_profit=0.10))
    assert fills(run([CALM, CALM, (98, 99, 94, 96)], config=config))[1] == (2, -10, 95)
    assert fills(run([CALM, CALM, (100, 111, 99, 105)], config=config))[1] == (2, -10, 110)


def test_stop_pays_slippage_and_target_does_not() -> None:
    costs = CostModel(fee_bps=0, slippage_bps=100)
    stopped = run([CALM, CALM, (98, 99, 94, 96)], costs=costs, **LONG)
    taken = run([CALM, CALM, (105, 111, 104, 109)], costs=costs, **LONG)
    assert fills(stopped) == [(1, 10, 101), (2, -10, 94.05)]
    assert fills(taken) == [(1, 10, 101), (2, -10, 110)]


def test_volume_fills_in_parts_until_the_order_is_done() -> None:
    config = EnvConfig(rules=TradingRules(participation=0.1))
    rows = [CALM] * 6
    result = simulate(
        bars_of(rows, volume=40.0), first(6, 10.0), kind="amount", costs=FREE, config=config
    )
    assert fills(result) == [(1, 4, 100), (2, 4, 100), (3, 2, 100)]


FALL = (98, 99, 94, 96)  # through a stop at 95
PARTS: list[tuple[str, dict[str, Any], list[tuple[int, float, float]]]] = [
    (
        "the rest of the entry goes with it",
        {"size": [10.0], "rows": [CALM, FALL, CALM, CALM]},
        [(1, 4, 100), (2, 4, 98), (2, -8, 95)],
    ),
    (
        "so does that of a limit order",
        {"size": [10.0], "limit": [100.0], "rows": [CALM, FALL, CALM, CALM]},
        [(1, 4, 100), (2, 4, 98), (2, -8, 95)],
    ),
    (
        "and that of an order that was leaving",
        {"size": [8.0, NAN, -8.0], "rows": [CALM, CALM, (100, 100, 94, 96), CALM]},
        [(1, 4, 100), (2, 4, 100), (3, -4, 100), (3, -4, 95)],
    ),
    (
        "of one that turns the position only what closes it",
        {"size": [8.0, NAN, -16.0], "rows": [CALM, CALM, (100, 100, 94, 96), CALM, CALM, CALM]},
        [(1, 4, 100), (2, 4, 100), (3, -4, 100), (3, -4, 95), (4, -4, 100), (5, -4, 100)],
    ),
    (
        "an order that has not begun waits on",
        {"size": [4.0, 4.0], "limit": [NAN, 93.0], "rows": [CALM, FALL, (96, 97, 92, 93), CALM]},
        [(1, 4, 100), (2, -4, 95), (3, 4, 93)],
    ),
]


@pytest.mark.parametrize(("what", "given", "expected"), PARTS, ids=[case[0] for case in PARTS])
def test_an_exit_cancels_the_rest_of_a_begun_order(
    what: str, given: dict[str, Any], expected: list[tuple[int, float, float]]
) -> None:
    config = EnvConfig(rules=TradingRules(participation=0.1), brackets=Brackets(stop_loss=0.05))
    rows = [CALM, *given["rows"]]
    tables = {k: given[k] + [NAN] * (len(rows) - len(given[k])) for k in given if k != "rows"}
    weights = np.array(tables.pop("size"))
    prices = {name: np.array(table) for name, table in tables.items()}
    result = simulate(
        bars_of(rows, volume=40.0), weights, kind="amount", costs=FREE, config=config, **prices
    )
    assert fills(result) == expected


def test_a_new_order_replaces_the_waiting_one() -> None:
    rows = [CALM, CALM, (97, 98, 96, 97), CALM]
    size = np.array([10.0, 5.0, NAN, NAN])
    limit = np.array([98.0, 90.0, NAN, NAN])
    result = simulate(bars_of(rows), size, limit=limit, kind="amount", costs=FREE)
    assert fills(result) == []
    cancelled = simulate(
        bars_of(rows), np.array([10.0, 0.0, NAN, NAN]), limit=limit, kind="amount", costs=FREE
    )
    assert fills(cancelled) == []


def test_orders_at_the_close_fill_there_and_wait_from_the_next_bar_on() -> None:
    rows = [CALM, (101, 102, 95, 101), CALM]
    at_close = simulate(bars_of(rows), first(3, 10.0), kind="amount", fill="close", costs=FREE)
    assert fills(at_close) == [(0, 10, 100)]
    limit = first(3, 97.0)
    waits = simulate(
        bars_of(rows), first(3, 10.0), limit=limit, kind="amount", fill="close", costs=FREE
    )
    assert fills(waits) == [(1, 10, 97)]


def test_percent_orders_cannot_wait() -> None:
    with pytest.raises(ConfigError, match="percent orders cannot wait"):
        simulate(bars_of([CALM] * 3), first(3, 0.5), kind="percent", limit=first(3, 99.0))


@pytest.mark.parametrize(
    ("kind", "asked", "shares"),
    [
        ("amount", 12.0, 12.0),
        ("value", 1200.0, 12.0),
        ("percent", 0.5, 50.0),
        ("target_amount", 7.0, 7.0),
        ("target_value", -300.0, -3.0),
        ("target_percent", 0.25, 25.0),
    ],
)
def test_size_kinds(kind: Any, asked: float, shares: float) -> None:
    result = simulate(bars_of([CALM] * 2), first(2, asked), kind=kind, cash=10_000.0, costs=FREE)
    assert result.shares[-1, 0] == pytest.approx(shares, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])  # compiled, and the tensor step
@pytest.mark.parametrize(
    ("options", "kind", "filled"),
    [
        ({}, "amount", [(1, 20, 50)]),
        ({}, "target_amount", [(1, 20, 50)]),
        ({}, "value", [(1, 0.2, 50)]),
        ({"limit": 92}, "amount", [(2, 20, 46)]),
        ({"stop": 102}, "amount", [(1, 20, 51)]),
        ({"stop_loss": 90}, "amount", [(1, 20, 50), (2, -20, 45)]),
        ({"take_profit": 101}, "amount", [(1, 20, 50), (1, -20, 50.5)]),
    ],
)
def test_an_order_decided_before_a_split_is_kept_in_new_shares(
    dtype: Any, options: dict[str, float], kind: Any, filled: list[tuple[int, float, float]]
) -> None:
    """Two for one at the open of bar 1: what was decided at the close before is of old shares."""
    rows: Rows = [(100, 100, 100, 100), (50, 51, 49, 50), (50, 50, 44, 48)]
    given = {name: first(3, value) for name, value in options.items()}
    split = np.array([1, 2, 1.0])[:, None]
    how: dict[str, Any] = {"kind": kind, "split": split, "costs": FREE, "dtype": dtype}
    found = fills(simulate(bars_of(rows), first(3, 10), **how, **given))
    np.testing.assert_allclose(found, filled, rtol=1e-6)
