"""`tradinghf backtest` and `tradinghf strategies`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from tyro.conf import Positional

from tradinghf.cli import output
from tradinghf.cli.options import End, Folder, Ledger, Opening, Output, Settings, Start, settings
from tradinghf.cli.research import print_verdict
from tradinghf.cli.study import label, study, tradable


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
    store: Ledger = None,
    open_sealed: Opening = None,
    report: Output = None,
    all: bool = False,  # noqa: A002 (the option's name)
) -> None:
    """Trade a strategy or a trained policy on past bars, and print what came of it.

    Each different backtest counts as a trial in the store, and the verdict is deflated by all.

    Example: `tradinghf backtest sma_cross --data sp500 --set fast=10 slow=100`

    Example: `tradinghf backtest runs/first/policy.safetensors --start 2015 --report out.html`

    Args:
        strategy: A strategy's name (`tradinghf strategies list`), FILE.py, FILE.py:function, a
            policy.safetensors, or a run directory with one.
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
        store: Where trials are counted and raters' opinions are: a folder, a .db file, or a URL.
        open_sealed: Use sealed bars too; this reason is logged.
        report: Write a tear sheet with charts to this HTML file.
        all: Print every metric (docs/metrics.md), not only the headline numbers.

    """
    from tradinghf.config import CostModel
    from tradinghf.evaluation.backtest import backtest as run
    from tradinghf.evaluation.headline import grouped, headline
    from tradinghf.evaluation.verdict import hold_report, judge

    costs = CostModel(fee_bps=fee_bps, fixed_fee=fixed_fee, slippage_bps=slippage_bps)
    rule = tradable(strategy, strategies)
    name = label(rule)
    with study(data, start, end, store, open_sealed=open_sealed, what=f"backtest {name}") as job:
        result = run(
            rule, job.market, costs=costs, fill=fill, engine=engine, cash=cash, **settings(params)
        )
        variant = {"params": result.params, "costs": asdict(costs), "fill": fill, "engine": engine}
        trials = job.count("backtest", name, [variant])
        standing, counted = job.standing(name), job.counted
    span = f"{job.market.index[0]:%Y-%m-%d} to {job.market.index[-1]:%Y-%m-%d}"
    held = hold_report(result)
    output.table(
        ["after costs", result.name, "buy and hold", "cash"],
        headline(result, held),
        title=f"{result.name} on {job.market.name}, {span}",
        numeric=True,
    )
    if all:
        rows = [(group, key, output.number(value)) for group, key, value in grouped(result.metrics)]
        output.table(["", "metric", "value"], rows)
    print_verdict(judge(result, held, trials=trials, draws=200), counted)
    if report is not None:
        output.line(f"Report: {result.save(report, trials=trials, standing=standing)}")
