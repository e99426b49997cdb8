"""`tradinghf backtest` and `tradinghf strategies`."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import TYPE_CHECKING, Any

from tyro.conf import OmitArgPrefixes, Positional

from tradinghf.cli import _output as output
from tradinghf.cli._files import write_files
from tradinghf.cli._options import (
    End,
    InputFile,
    OpenSealed,
    OutputFile,
    Settings,
    Start,
    StrategyFolder,
    TrialStore,
    event_tables,
    parse_settings,
)
from tradinghf.cli._terms import CostOptions, RunOptions, TermOptions
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
    costs: OmitArgPrefixes[CostOptions] = CostOptions(),  # noqa: B008 (frozen)
    terms: OmitArgPrefixes[TermOptions] = TermOptions(),  # noqa: B008 (frozen)
    run: OmitArgPrefixes[RunOptions] = RunOptions(),  # noqa: B008 (frozen)
    intrabar: str | None = None,
    benchmark: str = "buy_and_hold",
    split: InputFile = None,
    dividend: InputFile = None,
    store: TrialStore = None,
    open_sealed: OpenSealed = None,
    report: OutputFile = None,
    trades: OutputFile = None,
    json: OutputFile = None,
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
        costs: What trading and holding costs.
        terms: Exits, margin and order rules.
        run: How the account is traded, and what it is held against.
        intrabar: Finer bars of the same assets and span, in whose order stops and targets are met.
        benchmark: What to compare with: a strategy, or a data set or file of one asset's prices.
        split: Table of new shares per old one, for raw prices.
        dividend: Table of dividends per share, for raw prices.
        store: Where trials are counted and raters' opinions are: a folder, a .db file, or a URL.
        open_sealed: Use sealed bars too; this reason is logged.
        report: Write a tear sheet with charts to this HTML file.
        trades: Write one row per round trip to this CSV file.
        json: Write every number, note and trade to this JSON file.
        all: Print every metric (docs/metrics.md), not only the headline numbers.

    """
    from tradinghf.evaluation import backtest as trade
    from tradinghf.evaluation import judge, load_tradable, open_study, trial_name
    from tradinghf.strategies import Strategy

    tables = {"split": split, "dividend": dividend}
    rule = load_tradable(strategy, strategies)
    name = trial_name(rule)
    what = f"backtest {name}"
    with open_study(
        data, start, end, store=store, open_sealed=open_sealed, purpose=what, notify=output.line
    ) as study:
        settings: dict[str, Any] = dict(parse_settings(params))
        for taken in settings.keys() & signature(trade).parameters.keys():
            raise ConfigError(
                f"--set got {taken!r}, which is no parameter of {name}; see the options of "
                "`tradinghf backtest --help`."
            )
        events = event_tables(tables, study.market)
        how: dict[str, Any] = {"costs": costs.model, "intrabar": intrabar, **run.options}
        how |= terms.options_for(rule) | events
        how["benchmark"] = None if benchmark == "buy_and_hold" else benchmark
        result = trade(rule, study.market, record=study, **how, **settings)
        if not isinstance(rule, Strategy):
            result = replace(result, expression=repr(strategy))
        standing, counted = study.standing(name), study.trials_text()
    held = result.benchmark()
    verdict = judge(result, held, trials=result.trials, draws=200)
    # Files first: a reader of the output may be gone before its end.
    written = write_files(result, verdict, trades=trades, json=json)
    if report is not None:
        page = result.save(report, standing=standing)
        written.append(f"Report: {page}")
    print_numbers(result, held, every_metric=all)
    output.verdict(verdict, counted)
    for text in (*result.remarks, *written):
        output.line(text)


def print_numbers(result: BacktestResult, held: BacktestResult, *, every_metric: bool) -> None:
    """The headline numbers next to those of a benchmark and of cash, and perhaps every metric."""
    from tradinghf.evaluation import grouped, headline

    output.table(
        ["after costs", result.name, held.name, "cash"],
        headline(result, held),
        title=f"{result.name} on {result.market.name}, {output.span(result.market)}",
        numeric=True,
    )
    if every_metric:
        rows = [(group, key, output.number(value)) for group, key, value in grouped(result.metrics)]
        output.table(["", "metric", "value"], rows)
