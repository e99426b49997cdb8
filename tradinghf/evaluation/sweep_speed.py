"""How fast a sweep is, next to vectorbt's own `from_orders` on the same matrix of orders."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.config import CostModel
from tradinghf.evaluation.columns import column_metrics, run_columns
from tradinghf.evaluation.engines import order_rows
from tradinghf.evaluation.sweep import sweep
from tradinghf.market.data import MarketData
from tradinghf.market.rules import Floats
from tradinghf.market.synthetic import synthetic
from tradinghf.strategies import load_strategy

Way = Callable[[], Floats | None]
CASH = 1e5


def sweep_speed(
    timed: Callable[..., dict[str, Any]],
    agree: Callable[[str, Floats, Floats, float], None],
    quick: bool,
) -> list[dict[str, Any]]:
    """Rates from matrices of orders to Sharpe ratios, ours and vectorbt's.

    Args:
        timed: `tradinghf.bench.timed`.
        agree: raises where two results differ; nothing is timed then.
        quick: 9 columns over 120 bars, instead of 260 over 5,000.

    Returns:
        one row per way: case, and what `timed` measured [bars x columns per second].

    """
    rows = []
    for matrix, amount, ways in _cases(quick):
        results = {way: work() for way, work in ways.items()}
        first, *others = [found for found in results.values() if found is not None]
        for other in others:
            agree(f"sweep, {matrix}", first, other, 1e-9)
        for way, work in ways.items():
            rate = timed(work, amount, "bar-assets/s", repeats=1 if quick else 2)
            rows.append({"case": f"N={len(first):,}, {matrix}, {way}"} | rate)
    return rows


def _cases(quick: bool) -> list[tuple[str, int, dict[str, Way]]]:
    """Name of each matrix, bars x columns, and the ways from it to [N] Sharpe ratios."""
    bars = 120 if quick else 5_000
    fast, slow = (
        (range(2, 5), range(10, 40, 10)) if quick else (range(2, 51, 4), range(55, 251, 10))
    )
    grid = {"fast": list(fast), "slow": list(slow)}
    market, costs = synthetic(seed=0, bars=bars, assets=1), CostModel(fee_bps=1, slippage_bps=1)
    rule = load_strategy("sma_cross")
    crosses = [rule.orders(market, fast=f, slow=s) for f in grid["fast"] for s in grid["slow"]]
    rng = np.random.default_rng(0)
    daily = list(rng.uniform(0, 1, (len(crosses), bars, 1)))

    def ours(tables: list[Floats]) -> Floats:
        done = run_columns(market, tables, costs=costs, fill="next_open", cash=CASH)
        return column_metrics(done, market.bars_per_year)["sharpe_annual"]

    def both(tables: list[Floats]) -> dict[str, Way]:
        matrix = np.concatenate(tables, axis=1)

        def alone() -> None:
            # Equity, returns and ratios are computed when they are asked for.
            from_orders(market, matrix, costs)

        found: dict[str, Way] = {
            "columns": lambda: ours(tables),
            "vectorbt": lambda: vectorbt_sharpe(from_orders(market, matrix, costs)),
            "vectorbt, orders alone": alone,
        }
        if find_spec("vectorbt_rust") is not None:
            found["vectorbt rust"] = lambda: vectorbt_sharpe(
                from_orders(market, matrix, costs, "rust")
            )
        return found

    def whole() -> Floats:
        return sweep(rule, market, grid, costs=costs, cash=CASH).table["sharpe_annual"].to_numpy()

    work = bars * len(crosses)
    return [
        ("sma_cross", work, {**both(crosses), "columns and signals": whole}),
        ("an order every bar", work, both(daily)),
    ]


def from_orders(market: MarketData, orders: Floats, costs: CostModel, engine: str = "numba") -> Any:
    """`vectorbt.Portfolio.from_orders` on [T, N] target weights of one asset."""
    import vectorbt

    size, price = order_rows(market, orders, "next_open")
    return vectorbt.Portfolio.from_orders(
        pd.Series(market.close[:, 0], index=market.index),
        size=pd.DataFrame(size, market.index),
        size_type="targetpercent",
        price=price,
        fees=costs.fee_bps / 1e4,
        slippage=costs.slippage_bps / 1e4,
        init_cash=CASH,
        freq=pd.Timedelta(days=365) / market.bars_per_year,
        engine=engine,
    )


def vectorbt_sharpe(portfolio: Any) -> Floats:
    """[N] annual Sharpe ratios of a vectorbt portfolio."""
    ratios: Floats = portfolio.sharpe_ratio().to_numpy(np.float64)
    return ratios


__all__ = ["sweep_speed"]
