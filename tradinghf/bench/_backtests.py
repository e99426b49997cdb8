"""How fast backtests are."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tradinghf.bench._core import Row, agree, benchmark, timed
from tradinghf.durable import write_atomic

if TYPE_CHECKING:
    from tradinghf.config import CostModel
    from tradinghf.market import Floats, MarketData

    Way = Callable[[], Floats | None]

_CASH = 1e5
_HOURS = 100_000  # so many bars are no days
_SMALL = ((150, 2),)
_LARGE = ((500_000, 1), (2_500, 2_000), (5_000, 500))
_SIZES = ((5_000, 1), (5_000, 16), (5_000, 64), *_LARGE)


@benchmark("backtest", help="bars per second of both backtest engines")
def backtest_speed(quick: bool) -> list[Row]:
    """SMA cross and daily rebalancing of A assets through vectorbt and the simulator.

    The rate counts bar-assets: bars x assets of one backtest, by its time, from weights to equity;
    then bars x columns of sweeps, from weights to Sharpe ratios and to their page; accounts with
    rules, exits and margin; frames read; and whole reports and pages of large data.
    """
    from tradinghf.config import CostModel
    from tradinghf.market import synthetic

    rows = []
    costs = CostModel(fee_bps=1.0, slippage_bps=1.0)
    for bars, assets in _SMALL if quick else _SIZES:
        small = bars < _HOURS and bars * assets < 1e6
        for case in ("sma_cross", "rebalance") if small else ("monthly",):
            work = _backtest(case, synthetic(seed=0, bars=bars, assets=assets), costs)
            agree(case, work("vectorbt").equity, work("simulator").equity, 1e-9)
            for engine in ("vectorbt", "simulator"):
                rate = timed(
                    partial(work, engine),
                    bars * assets,
                    "bar-assets/s",
                    repeats=1 if quick else 3,
                )
                size = f"A={assets:,}" if bars == 5_000 else f"T={bars:,}, A={assets:,}"
                about = {"case": f"{size}, {case}, {engine}", "bars": bars, "assets": assets}
                rows.append(about | rate)
    rows += _terms_speed(quick) + _loading_speed(quick)
    rows += _sweep_speed(quick, costs) + _page_speed(quick, costs)
    return rows + _report_speed(quick, costs)


def _backtest(case: str, market: MarketData, costs: CostModel) -> Callable[[str], Any]:
    """A backtest as a function of the engine's name."""
    import numpy as np

    from tradinghf.evaluation import run_engine
    from tradinghf.strategies import load_strategy

    if case == "sma_cross":
        orders = load_strategy("sma_cross").orders(market)
    elif case == "monthly":
        orders = _monthly_ranks(market)
    else:
        shape = (market.bars, market.assets)
        orders = np.random.default_rng(0).uniform(0, 1.0 / market.assets, size=shape)
    return lambda engine: run_engine(engine, market, orders, costs, "next_open", _CASH)


def _monthly_ranks(market: MarketData) -> Floats:
    """Every month the better half by the last 100 bars, or all of one asset where it rose.

    Half a million bars are taken for hours: ordering every 21 of them would ruin the account.
    """
    import numpy as np

    month = 21 if market.bars < _HOURS else 21 * 24
    orders = np.full((market.bars, market.assets), np.nan)
    for bar in range(100, market.bars, month):
        grown = market.close[bar] / market.close[bar - 100]
        best = grown >= np.median(grown) if market.assets > 1 else grown > 1
        orders[bar] = best / max(best.sum(), 1)
    return orders


def _terms_speed(quick: bool) -> list[Row]:
    """Rates of one account of many bars with rules, margin or costs that no plain account has."""
    from tradinghf.config import Brackets, CostModel, EnvConfig, Margin, TradingRules
    from tradinghf.market import synthetic
    from tradinghf.simulation import simulate

    bars, assets = _SMALL[0] if quick else (500_000, 1)
    market = synthetic(seed=0, bars=bars, assets=assets)
    orders = _monthly_ranks(market)
    terms: dict[str, tuple[EnvConfig, CostModel]] = {
        "least fee and impact": (EnvConfig(), CostModel(min_fee=1.0, impact=1.0)),
        "lots, volume": (EnvConfig(rules=TradingRules(lot=1.0, participation=0.1)), CostModel()),
        "margin": (EnvConfig(margin=Margin(leverage=2.0, maintenance=0.25)), CostModel()),
        "exits": (EnvConfig(brackets=Brackets(0.02, 0.04, 0.03)), CostModel()),
    }
    rows = []
    for name, (config, costs) in terms.items():
        work = partial(simulate, market, orders, config=config, costs=costs)
        rate = timed(work, bars * assets, "bar-assets/s", repeats=1 if quick else 2)
        about = {"case": f"T={bars:,}, A={assets:,}, monthly, simulator, {name}"}
        rows.append(about | {"bars": bars, "assets": assets} | rate)
    return rows


def _loading_speed(quick: bool) -> list[Row]:
    """Rates of `MarketData.from_frame` from a wide frame, and of `from_frames` from one per asset.

    Ours are joined, sorted and checked; vectorbt's `Data.from_data` joins and aligns them.
    """
    import pandas as pd

    from tradinghf.market import MarketData, synthetic

    bars, assets = _SMALL[0] if quick else (2_500, 2_000)
    wide = synthetic(seed=0, bars=bars, assets=assets).to_frame()
    frames = {str(symbol): pd.DataFrame(wide[symbol]) for symbol in wide.columns.unique(0)}

    def joined() -> Floats:
        return MarketData.from_frames(frames).close

    def theirs() -> Floats:
        import vectorbt

        # Its own columns: joining them by field is part of what it is asked for.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas tells it of the future
            found = vectorbt.Data.from_data(frames, missing_index="nan", download_kwargs={})
        closes: Floats = found.get("close").to_numpy(float)
        return closes

    agree("frames joined", joined(), theirs(), 0.0)
    size = f"T={bars:,}, A={assets:,}"
    ways: dict[str, Way] = {
        "a wide frame read and checked": lambda: MarketData.from_frame(wide).close,
        "a frame per asset joined and checked": joined,
        "a frame per asset joined, vectorbt": theirs,
    }
    rows = []
    for name, way in ways.items():
        rate = timed(way, bars * assets, "bar-assets/s", repeats=1 if quick else 2)
        rows.append({"case": f"{size}, {name}", "bars": bars, "assets": assets} | rate)
    return rows


def _report_speed(quick: bool, costs: CostModel) -> list[Row]:
    """Rates from weights to a saved page: backtest, benchmark, verdict and charts."""
    import pandas as pd

    from tradinghf.evaluation import backtest
    from tradinghf.market import synthetic

    rows = []
    for bars, assets in _SMALL if quick else _LARGE:
        market = synthetic(seed=0, bars=bars, assets=assets)
        weights = pd.DataFrame(_monthly_ranks(market), market.index, list(market.symbols))

        def page(market: MarketData = market, weights: pd.DataFrame = weights) -> None:
            with TemporaryDirectory() as folder:
                report = backtest(weights, market, costs=costs, record=False)
                report.save(Path(folder) / "report.html")

        rate = timed(page, bars * assets, "bar-assets/s", repeats=1 if quick else 2)
        about = {"case": f"T={bars:,}, A={assets:,}, monthly, report with its page"}
        rows.append(about | {"bars": bars, "assets": assets} | rate)
    return rows


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


def _page_speed(quick: bool, costs: CostModel) -> list[Row]:
    """Rates from a strategy and its grid to a saved page with a heatmap, ours and vectorbt's.

    vectorbt's page is the heatmap alone; ours has the verdict and the best account too.
    """
    import numpy as np

    from tradinghf.evaluation import sweep, sweep_page
    from tradinghf.market import synthetic
    from tradinghf.strategies import load_strategy

    bars = 120 if quick else 5_000
    market, rule = synthetic(seed=0, bars=bars, assets=1), load_strategy("sma_cross")
    grid = {"fast": list(range(2, 52, 2)), "slow": list(range(55, 255, 5))}  # 25 x 40
    if quick:
        grid = {"fast": [2, 3], "slow": [10, 20]}
    pairs = [(f, s) for f in grid["fast"] for s in grid["slow"]]

    def ours() -> Floats:
        found = sweep(rule, market, grid, costs=costs, cash=_CASH, record=False)
        with TemporaryDirectory() as folder:
            sweep_page(Path(folder) / "sweep.html", [found])
        return found.table["sharpe_annual"].to_numpy()

    def theirs() -> Floats:
        import plotly.graph_objects as go

        tables = [rule.orders(market, fast=f, slow=s) for f, s in pairs]
        account = _from_orders(market, np.concatenate(tables, axis=1), costs, "numba")
        ratios: Floats = account.sharpe_ratio().to_numpy(float)
        account.total_return()
        account.max_drawdown()
        shape = (len(grid["fast"]), len(grid["slow"]))
        heat = go.Heatmap(x=grid["slow"], y=grid["fast"], z=ratios.reshape(shape))
        with TemporaryDirectory() as folder:
            write_atomic(Path(folder) / "sweep.html", go.Figure(heat).to_html().encode())
        return ratios

    agree("sweep with its page", ours(), theirs(), 1e-9)
    rows = []
    for name, way in {"tradinghf": ours, "vectorbt": theirs}.items():
        rate = timed(way, bars * len(pairs), "bar-assets/s", repeats=1 if quick else 2)
        rows.append({"case": f"N={len(pairs):,}, sma_cross, sweep with its page, {name}"} | rate)
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
