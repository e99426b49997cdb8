"""The Python program that gives a report again, as its page shows it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tradinghf.config import CostModel
from tradinghf.evaluation._result import BacktestResult
from tradinghf.market import SOURCES, MarketData, catalogue

_MOST_NAMED = 8


def program(report: BacktestResult, trials: int) -> str:
    """Lines to paste; what has no name, such as a table of one's own, is asked for in a comment."""
    market, call = report.market, _arguments(report)
    needed = (
        []
        if not report.expression.isidentifier()
        else [(report.expression, "the object that was backtested")]
    )
    needed += [(name, "the table that was given") for name, text in call.items() if text == name]
    imports = "".join(f", {type(v).__name__}" for v in report.terms.named.values())
    head = ["from tradinghf import CostModel, backtest, load_market"]
    head += [f"from tradinghf.config import {imports[2:]}"] if imports else []
    head += [f"# {name}: {what}" for name, what in needed]
    arguments = ",\n    ".join(f"{name}={text}" for name, text in call.items())
    bars = _loading(market)
    head += [] if bars else ["# market: the bars that were given"]
    return "\n".join(
        [
            *head,
            "",
            *bars,
            f'market = market.between("{report.metrics["start"]}", "{report.metrics["end"]}")',
            f'assert market.sha256 == "{market.sha256}"',
            f"report = backtest({report.expression}, market,\n    {arguments},\n)",
            f'report.save("report.html", trials={trials})',
        ]
    )


def _arguments(report: BacktestResult) -> dict[str, str]:
    """The keyword arguments of `backtest` as Python; a name stands for what only the caller has."""
    defaults = asdict(CostModel())
    chosen = {k: v for k, v in asdict(report.costs).items() if v != defaults[k]}
    costs = ", ".join(f"{k}={v!r}" for k, v in chosen.items())
    given = {**report.terms.events, **report.given}
    return {
        "costs": f"CostModel({costs})",
        "fill": f'"{report.fill}"',
        "engine": f'"{report.engine}"',
        "cash": f"{report.cash:g}"
        if float(f"{report.cash:g}") == report.cash
        else repr(report.cash),
        **{k: repr(v) for k, v in report.terms.named.items()},
        **{k: _named(k, v) for k, v in sorted(given.items())},
        **{k: repr(v) for k, v in report.params.items()},
    }


def _named(name: str, value: Any) -> str:
    """A number, file or data set as it is written, anything else by the argument's name."""
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return repr(list(value))
    if isinstance(value, int | float):
        return repr(value)
    return repr(str(value)) if isinstance(value, str | Path) else name


def _loading(market: MarketData) -> list[str]:
    """The lines that load these bars: from a source with options, or a file; none from memory."""
    source = market.source.partition("; ")[0]
    head, colon, _ = source.partition(":")
    spelt = bool(colon) and head in {market.name, *SOURCES}
    named = spelt or (market.name not in SOURCES and bool(Path(head).suffix))
    if not named and market.name not in {entry.name for entry in catalogue()}:
        return []
    lines = [f"market = load_market({(source if named else market.name)!r})"]
    if market.assets <= _MOST_NAMED:  # of a source with more assets they were perhaps chosen
        lines.append(f"market = market.select({list(market.symbols)!r})")
    return lines
