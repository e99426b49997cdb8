"""`tradinghf backtest` and `tradinghf strategies`."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from tradinghf.cli import _output as output
from tradinghf.cli._options import (
    End,
    OpenSealed,
    OptionalFile,
    Settings,
    Start,
    StrategyFolder,
    TrialStore,
    parse_settings,
)
from tradinghf.errors import ConfigError

if TYPE_CHECKING:
    from tradinghf.evaluation import BacktestResult


def strategies_list(*, strategies: StrategyFolder = None) -> None:
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
    strategies: StrategyFolder = None,
    fee_bps: float = 1.0,
    fixed_fee: float = 0.0,
    slippage_bps: float = 1.0,
    fill: Literal["next_open", "close"] = "next_open",
    engine: Literal["vectorbt", "simulator"] = "vectorbt",
    cash: float = 100_000.0,
    store: TrialStore = None,
    open_sealed: OpenSealed = None,
    report: OptionalFile = None,
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
    from tradinghf.evaluation import backtest as run
    from tradinghf.evaluation import judge, load_tradable, open_study, trial_name

    costs = CostModel(fee_bps=fee_bps, fixed_fee=fixed_fee, slippage_bps=slippage_bps)
    rule = load_tradable(strategy, strategies)
    name = trial_name(rule)
    what = f"backtest {name}"
    with open_study(
        data, start, end, store=store, open_sealed=open_sealed, purpose=what, notify=output.line
    ) as study:
        settings: dict[str, Any] = dict(parse_settings(params))
        for taken in settings.keys() & signature(run).parameters.keys():
            raise ConfigError(
                f"--set got {taken!r}, which is no parameter of {name}; see the options of "
                "`tradinghf backtest --help`."
            )
        how: dict[str, Any] = {"costs": costs, "fill": fill, "engine": engine, "cash": cash}
        result = run(rule, study.market, record=study, **how, **settings)
        standing, counted = study.standing(name), study.trials_text()
    held = result.buy_and_hold()
    print_numbers(result, held, every_metric=all)
    output.verdict(judge(result, held, trials=result.trials, draws=200), counted)
    if report is not None:
        output.line(f"Report: {result.save(report, standing=standing)}")


def print_numbers(result: BacktestResult, held: BacktestResult, *, every_metric: bool) -> None:
    """The headline numbers next to buy and hold and to cash, and perhaps every metric."""
    from tradinghf.evaluation import grouped, headline

    output.table(
        ["after costs", result.name, "buy and hold", "cash"],
        headline(result, held),
        title=f"{result.name} on {result.market.name}, {output.span(result.market)}",
        numeric=True,
    )
    if every_metric:
        rows = [(group, key, output.number(value)) for group, key, value in grouped(result.metrics)]
        output.table(["", "metric", "value"], rows)
