"""`tradinghf compare`: two or more strategies or policies on the same bars."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tyro.conf import OmitArgPrefixes, Positional

from tradinghf.cli import _output as output
from tradinghf.cli._options import (
    End,
    OpenSealed,
    OutputFile,
    Start,
    StrategyFolder,
    TrialStore,
)
from tradinghf.cli._terms import CostOptions, RunOptions, TermOptions
from tradinghf.errors import ConfigError

_SHOWN = {
    "growth a year [%]": "cagr_pct",
    "Sharpe ratio": "sharpe_annual",
    "deepest fall [%]": "max_drawdown_pct",
    "volatility [%]": "volatility_annual_pct",
    "turnover a year": "turnover_per_year",
    "trades": "trades",
    "costs [% of start]": "costs_pct_of_start",
}


def compare(
    names: Positional[tuple[str, ...]],
    /,
    *,
    data: str = "sp500",
    start: Start = None,
    end: End = None,
    strategies: StrategyFolder = None,
    costs: OmitArgPrefixes[CostOptions] = CostOptions(),  # noqa: B008 (frozen)
    terms: OmitArgPrefixes[TermOptions] = TermOptions(),  # noqa: B008 (frozen)
    run: OmitArgPrefixes[RunOptions] = RunOptions(),  # noqa: B008 (frozen)
    store: TrialStore = None,
    open_sealed: OpenSealed = None,
    report: OutputFile = None,
) -> None:
    """Trade two or more strategies or policies on the same bars, and say how far apart they are.

    The first is compared with each other one: growth a year more, with its 95 % interval. Each
    counts as a trial in the store.

    Example: `tradinghf compare sma_cross:fast=10,slow=50 sma_cross --data sp500 --report c.html`

    Example: `tradinghf compare runs/new runs/old --data bars.csv --start 2020`

    Args:
        names: Strategies with or without parameters, FILE.py:function, policy files or runs.
        data: A data set, or a CSV or Parquet file.
        start: First day or year, inclusive.
        end: Last day or year, inclusive.
        strategies: Folder to look names up in.
        costs: What trading and holding costs.
        terms: Exits, margin and order rules.
        run: How each account is traded, and what it is held against.
        store: Where trials are counted: a folder, a .db file, or a URL.
        open_sealed: Use sealed bars too; this reason is logged.
        report: Write the page, metrics side by side, to this HTML file.

    """
    from tradinghf.evaluation import (
        backtest,
        compare_page,
        excess_growth,
        load_tradable,
        open_study,
    )

    if len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError(
            f"compare got {', '.join(names) or 'nothing'}; expected two or more names."
        )
    how: dict[str, Any] = {"costs": costs.model, **run.options}
    with open_study(
        data,
        start,
        end,
        store=store,
        open_sealed=open_sealed,
        purpose="compare",
        notify=output.line,
    ) as study:
        found = []
        for name in names:
            rule = load_tradable(name, strategies)
            own = how | terms.options_for(rule)
            found.append(backtest(rule, study.market, record=study, **own).renamed(name))
        counted, market = study.trials_text(), study.market
    trials = max(each.trials for each in found)
    page = None
    if report is not None:
        named = [replace(each, expression=repr(each.name)) for each in found]
        page = compare_page(report, named, trials=trials)
    own = {name: name for name in found[0].own_metrics}
    rows = [(text, *(r.metrics[key] for r in found)) for text, key in (_SHOWN | own).items()]
    output.table(["", *names], rows, title=f"On {market.name}, {output.span(market)}, after costs")
    first = found[0].returns.to_numpy()
    for other in found[1:]:
        gap = excess_growth(first, other.returns.to_numpy(), market.bars_per_year)
        ends = "too few bars for an interval"
        if gap.low is not None and gap.high is not None:
            ends = f"95 % interval {gap.low:+.2f} to {gap.high:+.2f}"
        output.line(
            f"{names[0]} less {other.name}: {gap.value:+.2f} points of growth a year ({ends})."
        )
    output.line(counted)
    if page is not None:
        output.line(f"Report: {page}")
