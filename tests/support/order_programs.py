"""Random order programs against vectorbt and backtesting.py, wherever both define the case.

docs/simulation.md lists what is left out, and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tradinghf import CostModel, EnvConfig, MarketData
from tradinghf.config import Brackets
from tradinghf.simulation import simulate

NAN = float("nan")
CASH = 1_000_000.0
FREE = CostModel(fee_bps=0, slippage_bps=0)
SIZES = {"amount": "amount", "value": "value", "target_amount": "targetamount"}
SIZES |= {"target_value": "targetvalue", "target_percent": "targetpercent"}


def random_market(rng: np.random.Generator, bars: int) -> MarketData:
    """Bars with gaps, wide ranges, and prices on a grid, so that levels are touched exactly."""
    close = 100 + np.cumsum(rng.integers(-3, 4, bars)).astype(float)
    opened = np.r_[100.0, close[:-1]] + rng.integers(-2, 3, bars)
    high = np.maximum(opened, close) + rng.integers(0, 4, bars)
    low = np.minimum(opened, close) - rng.integers(0, 4, bars)
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "D")
    columns = [x[:, None] for x in (opened, high, low, close, np.full(bars, 1e9))]
    return MarketData(*columns, stamps, ("X",))


def market_orders(seed: int, programs: int) -> None:
    """Sizes of every kind, with fees and slippage, against `from_orders`."""
    import vectorbt as vbt

    rng = np.random.default_rng(seed)
    bars = 30
    market = random_market(rng, bars)
    kind = str(rng.choice(list(SIZES)))
    scale = {"amount": 100, "target_amount": 100, "target_percent": 1}.get(kind, 1e4)
    size = rng.uniform(-scale, scale, (programs, bars, 1))
    size[rng.random(size.shape) < 0.6] = NAN
    costs = CostModel(fee_bps=5, fixed_fee=1, slippage_bps=3)
    ours = simulate(market, size, kind=kind, costs=costs, cash=CASH)  # type: ignore[arg-type]
    later = np.vstack([np.full((1, programs), NAN), size[:, :-1, 0].T])
    theirs = vbt.Portfolio.from_orders(
        pd.DataFrame(np.repeat(market.close, programs, axis=1)),
        size=later,
        size_type=SIZES[kind],
        price=np.repeat(market.open, programs, axis=1),
        fees=5e-4,
        fixed_fees=1.0,
        slippage=3e-4,
        init_cash=CASH,
    )
    np.testing.assert_allclose(ours.equity.T, theirs.value().to_numpy(), rtol=1e-9)


def signal_brackets(seed: int, programs: int) -> int:
    """Entries and exits at closes with stops and targets, against `from_signals`."""
    import vectorbt as vbt

    rng = np.random.default_rng(seed)
    bars = 30
    market = random_market(rng, bars)
    enters, leaves = (rng.random((bars, programs)) < share for share in (0.15, 0.1))
    enters &= ~leaves
    stop, target = rng.choice([0.01, 0.02, 0.04]), rng.choice([0.02, 0.05])
    asked = np.where(enters, 1.0, np.where(leaves, 0.0, NAN)).T[:, :, None]
    config = EnvConfig(brackets=Brackets(stop_loss=stop, take_profit=target))
    ours = simulate(
        market, asked, kind="signal", fill="close", costs=FREE, cash=CASH, config=config
    )
    whole = {
        name: np.repeat(getattr(market, name), programs, axis=1)
        for name in ("open", "high", "low", "close")
    }
    theirs = vbt.Portfolio.from_signals(
        pd.DataFrame(whole["close"]),
        enters,
        leaves,
        open=whole["open"],
        high=whole["high"],
        low=whole["low"],
        sl_stop=stop,
        tp_stop=target,
        stop_exit_price="stoplimit",
        init_cash=CASH,
    ).value()
    compared = 0
    for s in range(programs):
        fills = ours.fills[ours.fills["account"] == s]
        at_close = fills["price"].to_numpy() == market.close[fills["bar"], 0]
        out = fills.loc[(fills["side"] < 0) & ~at_close, "bar"].to_numpy()
        out = np.union1d(out, fills.loc[fills["side"] < 0, "bar"].to_numpy())
        if enters[out, s].any():  # a position that ended in the bar: vectorbt enters no other
            continue
        if _gaps_over_target(market, fills, stop, target):
            continue
        np.testing.assert_allclose(ours.equity[s], theirs.iloc[:, s], rtol=1e-9)
        compared += 1
    return compared


def _gaps_over_target(market: MarketData, fills: pd.DataFrame, stop: float, target: float) -> bool:
    """A bar opens beyond the target and falls to the stop later: vectorbt takes the stop."""
    entry = 0.0
    for bar, side, price in fills[["bar", "side", "price"]].itertuples(index=False):
        if side > 0:
            entry = price
            continue
        gapped = market.open[bar, 0] >= entry * (1 + target)
        if gapped and market.low[bar, 0] <= entry * (1 - stop):
            return True
    return False


@dataclass(frozen=True)
class Program:
    """One entry with its levels, and when what is left of it is closed."""

    bar: int
    size: int
    limit: float
    stop: float
    stop_loss: float
    take_profit: float
    closes: int


def random_program(rng: np.random.Generator, market: MarketData) -> Program:
    """A market, limit or stop entry of either side, with or without exits."""
    bar = int(rng.integers(1, market.bars - 4))
    side = int(rng.choice([-1, 1]))
    last, away = float(market.close[bar, 0]), float(rng.integers(1, 5))
    kind = str(rng.choice(["market", "limit", "stop"]))
    limit = last - side * away if kind == "limit" else NAN
    stop = last + side * away if kind == "stop" else NAN
    price = np.nanmax([limit, stop]) if kind != "market" else last
    exits = [float(price - side * rng.integers(1, 6)), float(price + side * rng.integers(1, 6))]
    kept = [x if rng.random() < 0.7 else NAN for x in exits]
    return Program(bar, side * 10, limit, stop, *kept, int(rng.integers(bar + 1, market.bars)))


def peer_equity(market: MarketData, program: Program) -> Any:
    """[T] equity of a program in backtesting.py."""
    from backtesting import Backtest, Strategy

    def price(value: float) -> float | None:
        return None if np.isnan(value) else value

    class Rule(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            """Nothing to prepare."""

        def next(self) -> None:
            bar = len(self.data) - 1
            if bar == program.bar:
                order = self.buy if program.size > 0 else self.sell
                order(
                    size=abs(program.size),
                    limit=price(program.limit),
                    stop=price(program.stop),
                    sl=price(program.stop_loss),
                    tp=price(program.take_profit),
                )
            elif bar == program.closes:
                for waiting in self.orders:
                    waiting.cancel()
                self.position.close()

    columns = {name.title(): getattr(market, name)[:, 0] for name in ("open", "high", "low")}
    table = pd.DataFrame(columns | {"Close": market.close[:, 0], "Volume": 1.0}, market.index)
    ran = Backtest(table, Rule, cash=CASH, finalize_trades=False).run()
    return ran["_equity_curve"]["Equity"].to_numpy()


def brackets(seed: int, programs: int) -> int:
    """Market, limit and stop entries with exits, against backtesting.py."""
    rng = np.random.default_rng(seed)
    market = random_market(rng, 14)
    chosen = [random_program(rng, market) for _ in range(programs)]
    tables = {
        name: np.full((programs, market.bars, 1), NAN)
        for name in ("size", "limit", "stop", "stop_loss", "take_profit")
    }
    for s, program in enumerate(chosen):
        for name, table in tables.items():
            table[s, program.bar, 0] = getattr(program, name)
        tables["size"][s, program.closes, 0] = 0.0
    size = tables.pop("size")
    ours = simulate(market, size, kind="target_amount", costs=FREE, cash=CASH, **tables)  # type: ignore[arg-type]
    compared = 0
    for s, program in enumerate(chosen):
        if _differs(market, program, ours.fills[ours.fills["account"] == s]):
            continue
        np.testing.assert_allclose(ours.equity[s], peer_equity(market, program), rtol=1e-9)
        compared += 1
    return compared


def _differs(market: MarketData, program: Program, fills: pd.DataFrame) -> bool:
    """A limit or stop entry whose own bar reaches its exits: backtesting.py waits a bar."""
    if fills.empty or (np.isnan(program.limit) and np.isnan(program.stop)):
        return False
    bar = int(fills["bar"].iloc[0])
    worst, best = market.low[bar, 0], market.high[bar, 0]
    if program.size < 0:
        worst, best = -best, -worst
    side = np.sign(program.size)
    return bool(worst <= side * program.stop_loss or best >= side * program.take_profit)
