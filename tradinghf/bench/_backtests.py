"""How fast backtests are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tradinghf.bench._core import Row, agree, benchmark, timed

if TYPE_CHECKING:
    from tradinghf.config import CostModel
    from tradinghf.market import Floats, MarketData

    Way = Callable[[], Floats | None]

_CASH = 1e5


@benchmark("backtest", help="bars per second of both backtest engines")
def backtest_speed(quick: bool) -> list[Row]:
    """SMA cross and daily rebalancing of A assets through vectorbt and the simulator.

    The rate counts bar-assets: bars x assets of one backtest, by its time, from weights to equity;
    then bars x columns of sweeps, from weights to Sharpe ratios. The simulator takes the same time
    for every bar, and some 300 times vectorbt's: it is timed, and compared with it, on fewer.
    """
    from tradinghf.config import CostModel
    from tradinghf.market import synthetic

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
    return rows + _sweep_speed(quick, costs)


def _backtest(case: str, market: MarketData, costs: CostModel) -> Callable[[str], Any]:
    """A backtest as a function of the engine's name."""
    import numpy as np

    from tradinghf.evaluation import run_engine
    from tradinghf.strategies import load_strategy

    if case == "sma_cross":
        orders = load_strategy("sma_cross").orders(market)
    else:
        shape = (market.bars, market.assets)
        orders = np.random.default_rng(0).uniform(0, 1.0 / market.assets, size=shape)
    return lambda engine: run_engine(engine, market, orders, costs, "next_open", _CASH)


def _sweep_speed(quick: bool, costs: CostModel) -> list[Row]:
    """Rates from matrices of orders to Sharpe ratios, ours and vectorbt's own `from_orders`."""
    import numpy as np

    from tradinghf.evaluation import sweep
    from tradinghf.market import synthetic
    from tradinghf.strategies import load_strategy

    bars = 120 if quick else 5_000
    market, rule = synthetic(seed=0, bars=bars, assets=1), load_strategy("sma_cross")
    grid = {"fast": list(range(2, 51, 4)), "slow": list(range(55, 251, 10))}
    if quick:
        grid = {"fast": list(range(2, 5)), "slow": list(range(10, 40, 10))}
    crosses = [rule.orders(market, fast=f, slow=s) for f in grid["fast"] for s in grid["slow"]]
    daily = np.random.default_rng(0).uniform(0, 1, (len(crosses), bars, 1))

    def whole() -> Floats:
        found = sweep(rule, market, grid, costs=costs, cash=_CASH, record=False)
        return found.table["sharpe_annual"].to_numpy()

    matrices = {
        "sma_cross": _ways(market, crosses, costs) | {"columns and signals": whole},
        "an order every bar": _ways(market, list(daily), costs),
    }
    rows = []
    for matrix, ways in matrices.items():
        first, *others = [found for way in ways.values() if (found := way()) is not None]
        for other in others:
            agree(f"sweep, {matrix}", first, other, 1e-9)
        for name, way in ways.items():
            rate = timed(way, bars * len(crosses), "bar-assets/s", repeats=1 if quick else 2)
            rows.append({"case": f"N={len(first):,}, {matrix}, {name}"} | rate)
    return rows


def _ways(market: MarketData, tables: list[Floats], costs: CostModel) -> dict[str, Way]:
    """The ways from a matrix of orders to [N] annual Sharpe ratios."""
    import numpy as np

    from tradinghf.evaluation import column_metrics, run_columns

    matrix = np.concatenate(tables, axis=1)

    def ours() -> Floats:
        done = run_columns(market, tables, costs=costs, fill="next_open", cash=_CASH)
        return column_metrics(done, market.bars_per_year)["sharpe_annual"]

    def theirs(engine: str) -> Floats:
        ratios: Floats = _from_orders(market, matrix, costs, engine).sharpe_ratio().to_numpy(float)
        return ratios

    def alone() -> None:
        # Equity, returns and ratios are computed when they are asked for.
        _from_orders(market, matrix, costs, "numba")

    found: dict[str, Way] = {
        "columns": ours,
        "vectorbt": partial(theirs, "numba"),
        "vectorbt, orders alone": alone,
    }
    if find_spec("vectorbt_rust") is not None:
        found["vectorbt rust"] = partial(theirs, "rust")
    return found


def _from_orders(market: MarketData, orders: Floats, costs: CostModel, engine: str) -> Any:
    """`vectorbt.Portfolio.from_orders` on [T, N] target weights of one asset."""
    import pandas as pd
    import vectorbt

    from tradinghf.evaluation import order_rows
    from tradinghf.numba_cache import use_unique_files

    use_unique_files()
    size, price = order_rows(market, orders, "next_open")
    return vectorbt.Portfolio.from_orders(
        pd.Series(market.close[:, 0], index=market.index),
        size=pd.DataFrame(size, market.index),
        size_type="targetpercent",
        price=price,
        fees=costs.fee_bps / 1e4,
        slippage=costs.slippage_bps / 1e4,
        init_cash=_CASH,
        freq=pd.Timedelta(days=365) / market.bars_per_year,
        engine=engine,
    )
