"""Report sections that are tables: metrics, costs, trades, regimes, how to reproduce it."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from importlib.metadata import version

import numpy as np
import pandas as pd

from tradinghf._intervals import Interval
from tradinghf.evaluation import _metrics as metrics
from tradinghf.evaluation._page import (
    code,
    facts,
    interval_text,
    number,
    percent,
    section,
    span_of,
    table,
)
from tradinghf.evaluation._program import program
from tradinghf.evaluation._result import BacktestResult
from tradinghf.evaluation._verdict import Verdict
from tradinghf.resources import code_version


def metrics_section(reports: Sequence[BacktestResult], verdict: Verdict | None = None) -> str:
    """All metrics, one column per report; intervals for the first where there is a verdict."""
    skip = {"start", "end", "bars"}
    rows = []
    for name in reports[0].metrics:
        if name in skip:
            continue
        cells = [number(r.metrics.get(name)) for r in reports]
        if verdict is not None:
            interval = verdict.intervals.get(name, Interval(None, None, None))
            cells.insert(1, interval_text(interval.low, interval.high, missing=""))
        rows.append([name.replace("_", " ").replace(" pct", " [%]"), *cells])
    head = ["", *(r.name for r in reports)]
    if verdict is not None:
        head.insert(2, "95 % interval")
    return section(
        "All metrics",
        table(head, rows),
        note="Ratios and growth: where the true value lies, from the spread between blocks of "
        "bars. Deepest fall and Calmar: where another history of this kind and length would have "
        "them. n/a: undefined for this history. Definitions: docs/metrics.md.",
    )


def costs_section(report: BacktestResult) -> str:
    """What fees, slippage and interest took, and the cost per trade that would take all profit."""
    orders, m = report.orders, report.metrics
    notional = float((orders["size"] * orders["price"]).sum())
    fees, slippage = float(orders["fee"].sum()), float(orders["slippage"].sum())
    net = float(report.account.equity[-1]) - report.cash
    years = report.market.bars / report.market.bars_per_year

    def row(name: str, amount: float) -> list[str]:
        share = 1e4 * amount / notional if notional else None
        per_year = 100 * amount / report.cash / years
        return [name, number(amount, 0), number(share, 2), number(per_year, 2, " %")]

    carry = float(m["financing"] or 0.0)
    rows = [row("fees", fees), row("slippage and impact", slippage)]
    if carry:
        rows.append(row("interest, borrow, funding", carry))
    total = fees + slippage + carry
    rows.append(row("total", total))
    gross = net + total
    words = f"Profit before costs {number(gross, 0)}, after costs {number(net, 0)}."
    if notional and gross > 0:
        words += f" It would be gone at {1e4 * gross / notional:.1f} bps per traded notional."
    turned = f"Traded {number(notional, 0)} in {m['fills']:,} fills."
    head = ["", "currency", "bps of notional", "of starting equity, a year"]
    return section("What trading cost", table(head, rows), note=f"{turned} {words}")


def trades_section(report: BacktestResult, most: int = 5, listed: int = 200) -> str:
    """Best and worst round trips, and a list of all (at most `listed`)."""
    trades, m = report.trades, report.metrics
    if trades.empty:
        return section("Trades", note="No trades.")
    ranked = trades.sort_values("pnl", ascending=False)
    shown = ranked if len(ranked) <= 2 * most else pd.concat([ranked[:most], ranked[-most:]])
    words = (
        f"{m['trades']:,} closed and {m['open_trades']:,} open round trips; "
        f"{number(m['hit_rate_pct'], 1, ' %')} of the closed ones won; payoff "
        f"{number(m['payoff_ratio'])}; held {number(m['average_holding_bars'], 1)} bars on average."
    )
    everything = ""
    if len(trades) > len(shown):
        title = f"All {len(trades):,} trades" if len(trades) <= listed else f"First {listed} trades"
        rest = _trade_table(trades[:listed])
        everything = f"<details><summary>{title}</summary>{rest}</details>"
    title = "Trades" if len(shown) == len(trades) else f"Best and worst {most} trades"
    return section(title, f"<p>{escape(words)}</p>", _trade_table(shown), everything)


def _trade_table(trades: pd.DataFrame) -> str:
    rows = [
        [
            str(t["symbol"]),
            str(t["side"]),
            str(t["entry"].date()),
            "open" if t["open"] else str(t["exit"].date()),
            number(int(t["bars"])),
            number(float(t["pnl"]), 0),
            number(float(t["return_pct"]), 2, " %"),
        ]
        for t in trades.to_dict("records")
    ]
    head = ["asset", "side", "entry", "exit", "bars", "profit", "return"]
    return table(head, rows, text_columns=(0, 1))


def regime_section(reports: Sequence[BacktestResult]) -> str:
    """Returns in calm, normal and stormy markets, and in rising and falling ones."""
    market = reports[0].market
    if market.bars < 120:
        return ""
    moves = pd.Series((market.close[1:] / market.close[:-1] - 1).mean(axis=1))
    moves = pd.concat([pd.Series([0.0]), moves], ignore_index=True)
    risk = moves.rolling(20).std().to_numpy()
    trend = moves.rolling(60).sum().to_numpy()
    calm, stormy = np.nanquantile(risk, [1 / 3, 2 / 3])
    masks = {
        "calm (lowest third of volatility)": risk <= calm,
        "normal": (risk > calm) & (risk < stormy),
        "stormy (highest third)": risk >= stormy,
        "rising (60 bars)": trend > 0,
        "falling (60 bars)": trend <= 0,
    }
    rows = []
    for name, mask in masks.items():
        cells = [name, percent(float(mask.mean()))]
        for report in reports:
            part = report.returns.to_numpy()[mask]
            yearly = float(part.mean()) * market.bars_per_year if len(part) else None
            ratio = number(metrics.sharpe(part, market.bars_per_year))
            cells.append(number(None if yearly is None else 100 * yearly, 1, f" % ({ratio})"))
        rows.append(cells)
    return section(
        "In which markets it earned",
        table(["market", "share of bars", *(report.name for report in reports)], rows),
        note="Mean return a year, and the Sharpe ratio in brackets. Volatility and trend of the "
        "traded assets over the last 20 and 60 bars; thirds are drawn in hindsight, to describe, "
        "not to trade.",
    )


def reproduce_section(report: BacktestResult, trials: int) -> str:
    """Data hash, code version, settings, and the lines that give this report again."""
    market = report.market
    libraries = ", ".join(f"{n} {version(n)}" for n in ("numpy", "pandas", "vectorbt"))
    items = [
        ("data", f"{market.name} ({market.source}), {', '.join(market.symbols[:8])}"),
        ("data sha256", market.sha256),
        ("period", span_of(report.metrics)),
        ("fills", "next bar's open" if report.fill == "next_open" else "same bar's close"),
        ("engine", report.engine),
        ("code", f"tradinghf {code_version()}, Python {platform.python_version()}, {libraries}"),
    ]
    settings = {"costs": asdict(report.costs), "params": report.params, "cash": report.cash}
    extra = f"<details><summary>All settings</summary>{code(json.dumps(settings, indent=2))}"
    lines = code(program(report, trials))
    return section("To reproduce this page", facts(items), lines, extra + "</details>")
