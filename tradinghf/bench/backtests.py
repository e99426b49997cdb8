"""How fast backtests are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tradinghf.bench.core import Row, agree, benchmark, timed

if TYPE_CHECKING:
    from tradinghf.config import CostModel
    from tradinghf.market.data import MarketData


@benchmark("backtest", help="bars per second of both backtest engines")
def backtest_speed(quick: bool) -> list[Row]:
    """SMA cross and daily rebalancing of A assets through vectorbt and the simulator.

    The rate counts bar-assets: bars x assets of one backtest, by its time, from weights to equity;
    then bars x columns of sweeps, from weights to Sharpe ratios. The simulator takes the same time
    for every bar, and some 300 times vectorbt's: it is timed, and compared with it, on fewer.
    """
    from tradinghf.config import CostModel
    from tradinghf.evaluation.sweep_speed import sweep_speed
    from tradinghf.market.synthetic import synthetic

    rows = []
    lengths = {"vectorbt": 120 if quick else 5_000, "simulator": 120 if quick else 250}
    costs = CostModel(fee_bps=1.0, slippage_bps=1.0)
    for assets in (2,) if quick else (1, 16, 64):
        for case in ("sma_cross", "rebalance"):
            work = {
                engine: _backtest(case, synthetic(seed=0, bars=bars, assets=assets), costs)
                for engine, bars in lengths.items()
            }
            short = work["simulator"]
            agree(case, short("vectorbt").equity, short("simulator").equity, 1e-9)
            for engine, bars in lengths.items():
                rate = timed(
                    partial(work[engine], engine),
                    bars * assets,
                    "bar-assets/s",
                    repeats=1 if quick else 3,
                )
                about = {"case": f"A={assets}, {case}, {engine}", "bars": bars, "assets": assets}
                rows.append(about | rate)
    return rows + sweep_speed(timed, agree, quick)


def _backtest(case: str, market: MarketData, costs: CostModel) -> Callable[[str], Any]:
    """A backtest as a function of the engine's name."""
    import numpy as np

    from tradinghf.evaluation.engines import run_engine
    from tradinghf.strategies import load_strategy

    if case == "sma_cross":
        orders = load_strategy("sma_cross").orders(market)
    else:
        shape = (market.bars, market.assets)
        orders = np.random.default_rng(0).uniform(0, 1.0 / market.assets, size=shape)
    return lambda engine: run_engine(engine, market, orders, costs, "next_open", 1e5)
