"""Cases of public bug reports of other backtesters, each with its value by hand.

Numbers in names are the issues: of backtesting.py, LEAN, nautilus, vectorbt or zipline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.markets import Rows
from support.orders import CALM

from tradinghf.config import Brackets, CostModel, EnvConfig, Margin, TradingRules
from tradinghf.errors import ConfigError, MarketDataError
from tradinghf.market import MarketData
from tradinghf.simulation import MarketEnv, simulate

FREE = CostModel(fee_bps=0, slippage_bps=0)
NAN = float("nan")
Fill = tuple[int, int, float, float]


def bars_of(rows: Rows, volume: Any = 1e6) -> MarketData:
    index = pd.bdate_range("2020-01-01", periods=len(rows))
    frame = pd.DataFrame(rows, index, columns=["open", "high", "low", "close"], dtype=float)
    return MarketData.from_frame(frame.assign(volume=volume), symbol="X")


def flat_bars(prices: Sequence[float]) -> Rows:
    return [(p, p, p, p) for p in prices]


def run(
    rows: Rows, asked: dict[int, float], *, volume: Any = 1e6, **options: Any
) -> tuple[list[Fill], list[float]]:
    """Orders of shares (bar -> size) with prices at the same bars; fills and equity."""
    market = bars_of(rows, volume)
    size = np.full(len(rows), NAN)
    size[list(asked)] = list(asked.values())
    for name in ("limit", "stop", "stop_loss", "take_profit"):
        if name in options:
            options[name] = np.where(np.isnan(size), NAN, options[name])
    options = {"costs": FREE, "kind": "amount"} | options
    done = simulate(market, size, **options)
    t = done.fills
    fills = [
        (int(b), int(s), round(float(q), 6), round(float(p), 6))
        for b, s, q, p in zip(t["bar"], t["side"], t["size"], t["price"], strict=True)
    ]
    return fills, [round(float(e), 4) for e in done.equity]


def exits(**levels: float) -> EnvConfig:
    return EnvConfig(brackets=Brackets(**levels))


NQ = [
    (21095.25, 21099, 21091.5, 21097),
    (21097.25, 21103.75, 21097.25, 21102),
    (21102.75, 21103.25, 21085.75, 21095.5),
    (21093, 21102.75, 21092.75, 21099.25),
    (21100, 21110, 21097, 21099.5),
]
ACROSS = [(14, 19, 13, 18), (16, 17, 10, 12), (15, 16, 14, 15), (11, 11, 11, 11)]
JUMP = [(20, 21, 19, 20), (20, 21, 19, 20), (14, 30, 13, 25), (20, 21, 19, 20)]
DOUBLED = [CALM, (100, 100, 100, 100), (200, 201, 199, 200), (200, 200, 200, 200)]
PAST = [(8, 8, 8, 8), (12, 13, 7, 8), (8, 12, 8, 8)]
HALF = [CALM, CALM, (50, 51, 46, 50)]
DROPS = [(103, 104, 102, 103), (103, 104, 95, 103), (106, 108, 105, 107), (107, 108, 106, 107)]
RISES = [(103, 104, 102, 103), (103, 106, 95, 96), (106, 108, 105, 107), (107, 108, 106, 107)]
BRIEF: dict[str, tuple[Rows, dict[int, float], dict[str, Any], list[Fill]]] = {
    "1241: opens beyond its stop, then reaches its target": (
        JUMP,
        {0: 10},
        {"stop_loss": 15, "take_profit": 28},
        [(1, 1, 10, 20), (2, -1, 10, 14)],
    ),
    "nautilus 2397: a gap beyond the trailing stop of a short": (
        DOUBLED,
        {0: -10},
        {"config": exits(trailing_stop=0.05)},
        [(1, -1, 10, 100), (2, 1, 10, 200)],
    ),
    "LEAN 4545: a stop inside the bar": (
        [(8, 8, 8, 8), (8, 13, 7, 12), (12, 13, 11, 12)],
        {0: 100},
        {"stop": 10},
        [(1, 1, 100, 10)],
    ),
    "LEAN 4545: a stop that the open jumped over": (
        PAST,
        {0: 100},
        {"stop": 10},
        [(1, 1, 100, 12)],
    ),
    "LEAN 4545: with slippage": (
        PAST,
        {0: 100},
        {"stop": 10, "costs": CostModel(fee_bps=0, slippage_bps=10)},
        [(1, 1, 100, 12.012)],
    ),
    "1157: buy stop": (ACROSS, {0: 1}, {"stop": 16}, [(1, 1, 1, 16)]),
    "1157: stop-limit": (ACROSS, {0: 1}, {"stop": 16, "limit": 12}, [(1, 1, 1, 12)]),
    "1157: sell stop": (ACROSS, {0: -1}, {"stop": 12}, [(1, -1, 1, 12)]),
    "1224: stop entry whose target its own bar reaches": (
        NQ,
        {1: -1},
        {"stop": 21097, "stop_loss": 21104.75, "take_profit": 21087},
        [(2, -1, 1, 21097), (2, 1, 1, 21087)],
    ),
    "119: stopped on the entry bar": (
        [(730, 735, 728, 731), (725, 726, 715, 720), (705, 710, 700, 706)],
        {0: 1},
        {"stop_loss": 720},
        [(1, 1, 1, 725), (1, -1, 1, 720)],
    ),
    "limit entry with its stop below the low": (
        DROPS,
        {0: 100},
        {"limit": 100, "stop_loss": 97},
        [(1, 1, 100, 100), (1, -1, 100, 97)],
    ),
    "limit entry with a bracket of 3 %": (
        DROPS,
        {0: 100},
        {"limit": 100, "config": exits(stop_loss=0.03)},
        [(1, 1, 100, 100), (1, -1, 100, 97)],
    ),
    "stop entry that closes below its stop": (
        RISES,
        {0: 100},
        {"stop": 105, "stop_loss": 100},
        [(1, 1, 100, 105), (1, -1, 100, 100)],
    ),
    "a target that gaps fills at the open": (
        [CALM, CALM, (130, 131, 129, 130)],
        {0: 10},
        {"config": exits(take_profit=0.1)},
        [(1, 1, 10, 100), (2, -1, 10, 130)],
    ),
    "a stop that gaps fills at the open": (
        [CALM, CALM, (80, 83, 78, 82)],
        {0: 10},
        {"config": exits(stop_loss=0.05)},
        [(1, 1, 10, 100), (2, -1, 10, 80)],
    ),
    "stop and target of a short in one bar": (
        [CALM, CALM, (100, 112, 88, 100)],
        {0: -10},
        {"stop_loss": 110, "take_profit": 90},
        [(1, -1, 10, 100), (2, 1, 10, 110)],
    ),
    "a split inside a bracket halves its stop": (
        [*HALF, (50, 51, 44, 46)],
        {0: 10},
        {"split": [1, 1, 2, 1], "config": exits(stop_loss=0.1)},
        [(1, 1, 10, 100), (3, -1, 20, 45)],
    ),
    "a split inside a bracket halves its target": (
        [*HALF, (50, 56, 49, 55)],
        {0: 10},
        {"split": [1, 1, 2, 1], "take_profit": 110},
        [(1, 1, 10, 100), (3, -1, 20, 55)],
    ),
    "a split while a limit waits": (
        HALF,
        {0: 10},
        {"split": [1, 1, 2], "limit": 95},
        [(2, 1, 20, 47.5)],
    ),
    "a trailing stop over a split": (
        [*HALF, (50, 51, 45.5, 50)],
        {0: 10},
        {"split": [1, 1, 2, 1], "config": exits(trailing_stop=0.1)},
        [(1, 1, 10, 100), (3, -1, 20, 45.9)],  # 10 % below 102, half of it
    ),
    "a trailing stop counts the entry bar's high from the next bar on": (
        [CALM, (100, 120, 99, 118), (118, 119, 107, 110)],
        {0: 10},
        {"config": exits(trailing_stop=0.1)},
        [(1, 1, 10, 100), (2, -1, 10, 108)],
    ),
    "an entry filled in parts leaves whole": (
        [CALM, CALM, (100, 101, 94, 95), (95, 96, 94, 95), (95, 96, 94, 95)],
        {0: 100},
        {
            "volume": 50,
            "stop_loss": 96,
            "config": EnvConfig(rules=TradingRules(participation=1.0)),
        },
        [(1, 1, 50, 100), (2, 1, 50, 100), (2, -1, 100, 96)],
    ),
    "the same with a target": (
        [CALM, CALM, (100, 106, 99, 105), (105, 106, 104, 105), (105, 106, 104, 105)],
        {0: 100},
        {
            "volume": 50,
            "take_profit": 105,
            "config": EnvConfig(rules=TradingRules(participation=1.0)),
        },
        [(1, 1, 50, 100), (2, 1, 50, 100), (2, -1, 100, 105)],
    ),
    "bars without volume fill nothing of a share of it": (
        [CALM] * 4,
        {0: 10},
        {"volume": [0, 0, 5, 5], "config": EnvConfig(rules=TradingRules(participation=1.0))},
        [(2, 1, 5, 100), (3, 1, 5, 100)],
    ),
    "1198: parts of a share": ([CALM] * 2, {0: 0.05}, {"cash": 6.0}, [(1, 1, 0.05, 100)]),
}


@pytest.mark.parametrize("name", BRIEF)
def test_fills(name: str) -> None:
    rows, asked, options, expected = BRIEF[name]
    assert run(rows, asked, **options)[0] == expected


COSTS: dict[str, tuple[Rows, dict[int, float], dict[str, Any], list[float]]] = {
    "1006: a fee on both sides": (
        flat_bars([0.2166, 0.2166, 0.2183, 0.2183]),
        {0: 1500, 1: -1500},
        {"costs": CostModel(fee_bps=40, slippage_bps=0), "cash": 500.0},
        [500, 498.7004, 499.9406, 499.9406],
    ),
    "zipline 1849: a fee per share is paid on shorts too": (
        flat_bars([10, 10, 10]),
        {0: -30, 1: 30},
        {"costs": CostModel(fee_bps=0, slippage_bps=0, per_share_fee=0.0007)},
        [100_000, 99_999.979, 99_999.958],
    ),
    "zipline 1849: no more of it in thirty parts than in one": (
        flat_bars([10] * 32),
        {0: -30},
        {
            "volume": 1,
            "costs": CostModel(fee_bps=0, slippage_bps=0, per_share_fee=0.0007),
            "config": EnvConfig(rules=TradingRules(participation=1.0)),
        },
        [100_000 - round(0.0007 * min(bar, 30), 4) for bar in range(32)],
    ),
    "1273: a fixed fee once per order": (
        flat_bars([100] * 4),
        {0: 50, 2: -50},
        {"costs": CostModel(fee_bps=0, slippage_bps=0, fixed_fee=2), "cash": 10_000.0},
        [10_000, 9_998, 9_998, 9_996],
    ),
    "a least fee of every fill": (
        [CALM] * 3,
        {0: 1, 1: -1},
        {"costs": CostModel(fee_bps=1, slippage_bps=0, min_fee=1)},
        [100_000, 99_999, 99_998],
    ),
    "a largest fee above the least one": (
        [CALM] * 3,
        {0: 1, 1: -1},
        {"costs": CostModel(fee_bps=1, slippage_bps=0, min_fee=1, max_fee_bps=50)},
        [100_000, 99_999.5, 99_999],
    ),
    "a rebate of a limit that the market came to": (
        [CALM, (100, 101, 97, 98), (98, 98, 98, 98)],
        {0: 10},
        {"costs": CostModel(fee_bps=5, slippage_bps=0, maker_fee_bps=-2.5), "limit": 98},
        [100_000, 100_000.245, 100_000.245],
    ),
    "a limit that could fill at once takes": (
        [CALM, (97, 98, 96, 97), (97, 97, 97, 97)],
        {0: 10},
        {"costs": CostModel(fee_bps=5, slippage_bps=0, maker_fee_bps=-2.5), "limit": 98},
        [100_000, 99_999.515, 99_999.515],
    ),
    "a short pays the dividend": (
        [CALM, CALM, (95, 96, 94, 95)],
        {0: -10},
        {"dividend": [0, 0, 5]},
        [100_000, 100_000, 100_000],  # 50 gained by the fall, 50 paid
    ),
    "split and dividend of a short": (
        [CALM, CALM, (50, 51, 49, 50), (50, 51, 49, 50)],
        {0: -1000},
        {"split": [1, 1, 2, 1], "dividend": [0, 0, 0, 1]},
        [100_000, 100_000, 100_000, 98_000],
    ),
    "borrowing accrues on every bar, and ends with the short": (
        flat_bars([100] * 5),
        {0: -500, 2: 500},
        {"costs": CostModel(fee_bps=0, slippage_bps=0, borrow_rate=0.252)},
        [100_000, 99_950, 99_900, 99_900, 99_900],
    ),
}


@pytest.mark.parametrize("name", COSTS)
def test_equity(name: str) -> None:
    rows, asked, options, expected = COSTS[name]
    assert run(rows, asked, **options)[1] == pytest.approx(expected, abs=1e-4)


def test_vectorbt_187_a_short_squeezed_beyond_its_equity_stays_ruined() -> None:
    market = bars_of(flat_bars([100, 100, 250, 100, 100]))
    done = simulate(market, [-1, NAN, NAN, NAN, NAN], costs=FREE)
    assert done.equity.tolist() == [100_000, 100_000, 0, 0, 0]
    assert done.owed[-1] == pytest.approx(50_000)


def test_vectorbt_517_percent_targets_compound() -> None:
    market = bars_of(flat_bars([1, 2, 3, 4, 5]))
    done = simulate(market, [1, 0, -1, 0, 1], costs=FREE, cash=100.0, fill="close")
    assert done.equity == pytest.approx([100, 200, 200, 400 / 3, 400 / 3])


def test_leverage_is_shared_by_the_assets_of_an_account() -> None:
    def flat(prices: list[float]) -> pd.DataFrame:
        index = pd.bdate_range("2020-01-01", periods=4)
        names = ("open", "high", "low", "close")
        return pd.DataFrame({**dict.fromkeys(names, prices), "volume": 1e6}, index, dtype=float)

    market = MarketData.from_frames({"A": flat([10, 10, 11, 12]), "B": flat([20, 20, 18, 16])})
    config = EnvConfig(margin=Margin(leverage=2.0, maintenance=0.25))
    none = [NAN, NAN]
    done = simulate(market, [[1.0, 1.0], none, none, none], costs=FREE, config=config)
    assert done.shares[1].tolist() == [10_000, 5_000]
    assert done.equity.tolist() == [100_000] * 4  # 10,000 won on A, as much lost on B
    listed = [[1, 1], [1, 1], [1, 0], [1, 0]]
    late = simulate(market, [[0.5, NAN], none, [NAN, 0.5], none], costs=FREE, member=listed)
    assert late.fills["asset"].tolist() == [0]  # an order for what is gone does nothing
    limit = [[NAN, 17.0], none, none, none]
    waits = simulate(market, [[NAN, 0.5], none, none, none], costs=FREE, member=listed, limit=limit)
    assert waits.fills.empty  # B fell to 16 after it had left


def test_what_needs_volumes_is_refused_where_there_are_none() -> None:
    market = bars_of([CALM] * 200, volume=0)
    impact = CostModel(impact=1.0)
    with pytest.raises(ConfigError, match=r"CostModel.impact needs the volumes.*none of 'X'"):
        simulate(market, [1.0] + [NAN] * 199, costs=impact)
    with pytest.raises(ConfigError, match=r"CostModel.impact needs the volumes"):
        MarketEnv(market, costs=impact)
    rules = EnvConfig(rules=TradingRules(participation=0.1))
    with pytest.raises(ConfigError, match=r"TradingRules.participation needs the volumes"):
        simulate(market, [1.0] + [NAN] * 199, config=rules)
    with pytest.raises(MarketDataError, match=r"column 'volume': empty"):
        bars_of([CALM] * 3, volume=[1, NAN, 1])
