"""`tradinghf backtest` and `tradinghf strategies`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from tradinghf.cli import output
from tradinghf.cli.options import End, Folder, Output, Settings, Start, settings

if TYPE_CHECKING:
    from tradinghf.strategies import Strategy


def strategies_list(*, strategies: Folder = None) -> None:
    """List the strategies, what they do, and their parameters.

    Example: `tradinghf strategies list`

    Args:
        strategies: Folder to look in.

    """
    from tradinghf.strategies import load_strategy, strategy_names

    rows = []
    for name in strategy_names(strategies):
        item = load_strategy(name, strategies)
        settings = ", ".join(f"{p.name}={p.default}" for p in item.parameters)
        rows.append((name, item.doc, settings or "-"))
    output.table(["strategy", "what it does", "parameters"], rows)


def backtest(
    strategy: Positional[str],
    /,
    *,
    data: str = "sp500",
    start: Start = None,
    end: End = None,
    params: Settings = (),
    strategies: Folder = None,
    fee_bps: float = 1.0,
    fixed_fee: float = 0.0,
    slippage_bps: float = 1.0,
    fill: Literal["next_open", "close"] = "next_open",
    engine: Literal["vectorbt", "simulator"] = "vectorbt",
    cash: float = 100_000.0,
    report: Output = None,
) -> None:
    """Trade a strategy on past bars and print what came of it.

    Example: `tradinghf backtest sma_cross --data sp500 --set fast=10 slow=100`

    Example: `tradinghf backtest mine.py --data bars.csv --fee-bps 5 --report out.html`

    Args:
        strategy: A strategy's name (`tradinghf strategies list`), or FILE.py, or FILE.py:function.
        data: A data set (`tradinghf data list`), or a CSV or Parquet file.
        start: First day or year, inclusive.
        end: Last day or year, inclusive.
        params: Parameters of the strategy, such as fast=10 slow=100.
        strategies: Folder to look the name up in.
        fee_bps: Fee per fill [basis points of the traded amount].
        fixed_fee: Fee per fill [currency].
        slippage_bps: Buys fill above and sells below the price by this much [basis points].
        fill: Fill at the open after the decision, or at the very close it was taken on.
        engine: vectorbt, or the simulator that agents are trained in.
        cash: Starting equity [currency].
        report: Write a tear sheet with charts to this HTML file.

    """
    from tradinghf.cli.market import load
    from tradinghf.config import CostModel
    from tradinghf.evaluation.backtest import backtest as run

    costs = CostModel(fee_bps=fee_bps, fixed_fee=fixed_fee, slippage_bps=slippage_bps)
    rule = find_strategy(strategy, strategies)
    market = load(data, start, end)
    result = run(rule, market, costs=costs, fill=fill, engine=engine, cash=cash, **settings(params))
    span = f"{market.index[0]:%Y-%m-%d} to {market.index[-1]:%Y-%m-%d}"
    output.pairs(result.metrics, title=f"{result.name} on {market.name}, {span}")
    if report is not None:
        output.line(f"Report: {result.save(report)}")


def find_strategy(name: str, folder: Path | None = None) -> Strategy:
    """The strategy that a command's argument names."""
    from tradinghf.strategies import load_strategy

    return load_strategy(name, folder)
