"""A strategy file run as a script: its parameters become options, the result a table and a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from rich.console import Console
from rich.table import Table

from tradinghf.config import CostModel
from tradinghf.errors import TradingHFError
from tradinghf.evaluation.backtest import backtest
from tradinghf.evaluation.headline import grouped, headline
from tradinghf.evaluation.page import number
from tradinghf.evaluation.result import Report
from tradinghf.evaluation.verdict import hold_report
from tradinghf.strategies import Strategy


def script_parser(strategy: Strategy) -> argparse.ArgumentParser:
    """Options of a strategy run as a script: data, costs, and the strategy's own parameters."""
    parser = argparse.ArgumentParser(
        prog=f"{strategy.name}.py",
        description=strategy.doc,
        epilog=f"example: python strategies/{strategy.name}.py --data sp500 --report out.html",
    )
    parser.add_argument("--data", default="sp500", help="source name or file (default: sp500)")
    parser.add_argument("--start", help="first date, e.g. 2005-01-01 or 2005")
    parser.add_argument("--end", help="last date")
    parser.add_argument("--fill", default="next_open", choices=["next_open", "close"])
    parser.add_argument("--engine", default="vectorbt", choices=["vectorbt", "simulator"])
    parser.add_argument("--report", help="write the tear sheet to this HTML file")
    parser.add_argument("--all", action="store_true", help="print every metric")
    parser.add_argument("--trials", type=int, default=1, help="variants tried before this one")
    for cost in fields(CostModel):
        flag = "--" + cost.name.replace("_", "-")
        parser.add_argument(flag, type=float, default=cost.default, help=f"({cost.default})")
    own = parser.add_argument_group(f"parameters of {strategy.name}")
    for parameter in strategy.parameters:
        flag = "--" + parameter.name.replace("_", "-")
        text = f"{parameter.doc} (default: {parameter.default})".replace("%", "%%")
        own.add_argument(flag, dest=f"p_{parameter.name}", default=parameter.default, help=text)
    return parser


def main(strategy: Strategy, argv: Sequence[str] | None = None) -> Report:
    """Backtest `strategy` with options from the command line and print what came of it.

    Exits with status 2 and one line on bad input.
    """
    options = script_parser(strategy).parse_args(argv)
    console = Console(highlight=False)
    try:
        from tradinghf.market.sources import load_market

        market = load_market(options.data)
        if options.start or options.end:
            market = market.between(options.start, options.end)
        report = backtest(
            strategy,
            market,
            costs=CostModel(**{f.name: getattr(options, f.name) for f in fields(CostModel)}),
            fill=options.fill,
            engine=options.engine,
            **{p.name: getattr(options, f"p_{p.name}") for p in strategy.parameters},
        )
        console.print(headline_table(report))
        if options.all:
            console.print(all_metrics(report))
        if options.report:
            console.print(f"Report: {report.save(options.report, trials=options.trials)}")
    except TradingHFError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False)
        sys.exit(2)
    return report


def headline_table(report: Report) -> Table:
    """The headline numbers of a report, next to buy and hold and to cash, for the terminal."""
    period = f"{report.metrics['start']} to {report.metrics['end']}"
    table = Table(title=f"{report.name} on {report.market.name}, {period}")
    for k, column in enumerate(("after costs", report.name, "buy and hold", "cash")):
        table.add_column(column, justify="right" if k else "left")
    for row in headline(report, hold_report(report)):
        table.add_row(*row)
    return table


def all_metrics(report: Report) -> Table:
    """Every metric of a report, grouped."""
    table = Table("", "metric", "value")
    for group, name, value in grouped(report.metrics):
        table.add_row(group, name, number(value))
    return table
