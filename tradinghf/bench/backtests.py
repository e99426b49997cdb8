"""How fast backtests are."""

from __future__ import annotations

from typing import Any

from tradinghf.bench.core import Row, agree, benchmark, timed


@benchmark("backtest", help="bars per second of both backtest engines")
def backtest_speed(quick: bool) -> list[Row]:
    """SMA cross and daily rebalancing of A assets through vectorbt and the simulator.

    The rate counts bar-assets: bars x assets of one backtest, by its time, from weights to equity;
    then bars x columns of sweeps, from weights to Sharpe ratios.
    """
    import numpy as np

    from tradinghf.config import CostModel
    from tradinghf.evaluation.engines import run
    from tradinghf.evaluation.sweep_speed import sweep_speed
    from tradinghf.market.synthetic import synthetic
    from tradinghf.strategies import load_strategy

    rows = []
    bars, repeats = (120, 1) if quick else (5_000, 7)
    costs = CostModel(fee_bps=1.0, slippage_bps=1.0)
    for assets in (2,) if quick else (1, 16, 64):
        market = synthetic(seed=0, bars=bars, assets=assets)
        rng = np.random.default_rng(0)
        cases = {
            "sma_cross": load_strategy("sma_cross").orders(market),
            "rebalance": rng.uniform(0, 1.0 / assets, size=(bars, assets)),
        }
        for case, orders in cases.items():
            accounts = {
                engine: run(engine, market, orders, costs, "next_open", 1e5)
                for engine in ("vectorbt", "simulator")
            }
            agree(case, accounts["vectorbt"].equity, accounts["simulator"].equity, 1e-9)
            for engine in accounts:

                def work(engine: str = engine, orders: Any = orders, market: Any = market) -> None:
                    run(engine, market, orders, costs, "next_open", 1e5)

                rate = timed(work, bars * assets, "bar-assets/s", repeats=repeats)
                about = {"case": f"A={assets}, {case}, {engine}", "bars": bars, "assets": assets}
                rows.append(about | rate)
    return rows + sweep_speed(timed, agree, quick)
