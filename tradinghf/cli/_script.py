"""A strategy file run as a script: its parameters become options, the result a table and a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tradinghf.cli import _output as output
from tradinghf.cli._backtests import print_numbers
from tradinghf.cli._terms import CostOptions
from tradinghf.errors import TradingHFError

if TYPE_CHECKING:
    from tradinghf.strategies import Strategy

_COSTS: dict[str, float | None] = vars(CostOptions())


def run_script(strategy: Strategy, argv: Sequence[str] | None = None) -> None:
    """Backtest `strategy` with options from the command line and print what came of it.

    The last line of a strategy file: `if __name__ == "__main__": tradinghf.run_script(rule)`.
    Exits with status 2 and one line on bad input.

    Args:
        strategy: what to run.
        argv: the options; by default those the script was started with.

    """
    from tradinghf.evaluation import backtest, open_study

    options = _parser(strategy).parse_args(argv)
    try:
        with open_study(
            options.data,
            options.start,
            options.end,
            store=options.store,
            open_sealed=options.open_sealed,
            purpose=f"backtest {strategy.name}",
            notify=output.line,
        ) as study:
            report = backtest(
                strategy,
                study.market,
                costs=CostOptions(**{name: getattr(options, name) for name in _COSTS}).model,
                fill=options.fill,
                engine=options.engine,
                record=study,
                **{p.name: getattr(options, f"p_{p.name}") for p in strategy.parameters},
            )
        print_numbers(report, report.buy_and_hold(), every_metric=options.all)
        if options.report:
            output.line(f"Report: {report.save(options.report, trials=options.trials)}")
    except TradingHFError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def _parser(strategy: Strategy) -> argparse.ArgumentParser:
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
    parser.add_argument("--engine", default="auto", choices=["auto", "vectorbt", "simulator"])
    parser.add_argument("--report", help="write the tear sheet to this HTML file")
    parser.add_argument("--all", action="store_true", help="print every metric")
    parser.add_argument("--trials", type=int, default=0, help="variants tried, if not counted")
    parser.add_argument("--store", help="where trials are counted (default: ./store, if it exists)")
    parser.add_argument("--open-sealed", metavar="WHY", help="use sealed bars too; it is logged")
    for name, default in _COSTS.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=float, default=default, help=f"({default})")
    own = parser.add_argument_group(f"parameters of {strategy.name}")
    for parameter in strategy.parameters:
        flag = "--" + parameter.name.replace("_", "-")
        text = f"{parameter.doc} (default: {parameter.default})".replace("%", "%%")
        own.add_argument(flag, dest=f"p_{parameter.name}", default=parameter.default, help=text)
    return parser
