"""Report sections that are pictures: each takes reports and returns one card of HTML."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tradinghf.evaluation._charts import Series, histogram, line_chart
from tradinghf.evaluation._page import heat_cell, heat_table, number, percent, section
from tradinghf.evaluation._result import BacktestResult
from tradinghf.evaluation._verdict import Verdict
from tradinghf.market import Floats

_PALETTE = (1, 2, 4)
_MOST_NAMES = 20  # of the best, and of the worst, in a table of contributions
_HALF = 500.0  # width of a chart that stands beside another
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _coloured(reports: Sequence[BacktestResult]) -> list[tuple[BacktestResult, int, int]]:
    """Reports with colour and line style; the last of several is the benchmark, grey and dashed."""
    looks = [(_PALETTE[k % 3], (0, 2, 3)[k // 3 % 3]) for k in range(len(reports))]
    if len(reports) > 1:
        looks[-1] = (3, 1)
    return [(report, *look) for report, look in zip(reports, looks, strict=True)]


def equity_section(reports: Sequence[BacktestResult], note: str = "") -> str:
    """Growth of 1, and drawdowns underneath; the last report is drawn as the benchmark."""
    index = reports[0].market.index
    growth = [
        Series(
            r.name,
            r.equity.to_numpy() / r.cash,
            colour,
            style=style,
            last=number(r.metrics["total_return_pct"], 1, " %"),
        )
        for r, colour, style in _coloured(reports)
    ]
    falls = [
        Series(
            r.name,
            -r.drawdown.to_numpy(),
            colour,
            fill=k == 0,
            style=style,
            last=number(_negative(r.metrics["max_drawdown_pct"]), 1, " %"),
        )
        for k, (r, colour, style) in enumerate(_coloured(reports))
    ]
    stacked = np.concatenate([s.values for s in growth])
    log = bool(stacked.min() > 0 and stacked.max() / stacked.min() > 4)
    scale = "logarithmic axis" if log else "linear axis"
    return section(
        f"Growth of 1, after costs ({scale})",
        line_chart(
            index, growth, label="Equity over time", show=lambda v: number(v, 2), log=log, include=1
        ),
    ) + section(
        "Drawdown: fall from the highest equity so far",
        line_chart(index, falls, label="Drawdown over time", show=percent, height=170, include=0),
        note=note,
    )


def curve(report: BacktestResult, values: Floats, label: str) -> str:
    """One line over a report's bars, in shares of the starting equity."""
    line = Series(label, values, _PALETTE[0], fill=True, last=percent(float(values[-1])))
    return line_chart(report.market.index, [line], label=label, show=percent, height=230, include=0)


def _negative(value: object) -> float | None:
    return -float(value) if isinstance(value, (int, float)) else None


def timing_section(verdict: Verdict) -> str:
    """Histogram of the random-timing baseline."""
    title = "Against random timing"
    if verdict.timing.percentile is None or verdict.timing.sharpe is None:
        return section(title, note="No timing decisions were taken, so there is nothing to shift.")
    return section(
        title,
        histogram(
            verdict.timing.shifted,
            [(verdict.timing.sharpe, f"this strategy {number(verdict.timing.sharpe)}")],
            label="Sharpe ratios of the shifted positions",
            show=lambda v: number(v, 2),
        ),
        note="Annual Sharpe ratios of the same positions taken at every other time (circular "
        f"shifts, same turnover and costs). Percentile {verdict.timing.percentile:.1f}.",
    )


def rolling_sharpe_section(reports: Sequence[BacktestResult]) -> str:
    """Sharpe ratio over a moving window of one year, or a quarter of a shorter history."""
    market = reports[0].market
    window = max(2, round(min(market.bars_per_year, market.bars / 4)))
    lines = []
    for report, colour, style in _coloured(reports):
        rolling = report.returns.rolling(window)
        deviation = rolling.std().to_numpy()
        values = np.full(market.bars, np.nan)
        np.divide(rolling.mean().to_numpy(), deviation, out=values, where=deviation > 1e-12)
        lines.append(
            Series(report.name, values * np.sqrt(market.bars_per_year), colour, style=style)
        )
    if not any(np.isfinite(line.values).any() for line in lines):
        return section("Rolling Sharpe ratio", note="Undefined: the equity does not move.")
    chart = line_chart(
        market.index,
        lines,
        label="Rolling Sharpe ratio",
        show=lambda v: number(v, 1),
        width=_HALF,
        height=230,
        include=0,
    )
    return section(f"Sharpe ratio over the last {window} bars", chart)


def exposure_section(reports: Sequence[BacktestResult]) -> str:
    """Net position over time."""
    lines = [
        Series(
            r.name,
            r.positions.sum(axis=1).to_numpy(),
            colour,
            fill=k == 0,
            style=style,
            last=f"{number(r.metrics['turnover_per_year'], 1)} turnover a year",
        )
        for k, (r, colour, style) in enumerate(_coloured(reports))
    ]
    chart = line_chart(
        reports[0].market.index,
        lines,
        label="Net exposure",
        show=percent,
        width=_HALF,
        height=230,
        include=0,
    )
    return section("Net exposure (share of equity)", chart)


def contribution_section(report: BacktestResult) -> str:
    """What each asset earned, as bars from the best to the worst; empty for one asset.

    Of more assets than have room, the best and the worst are shown.
    """
    if report.market.assets < 2:
        return ""
    earned = 100 * report.contributions.sum(axis=0) / report.cash
    ordered = earned.sort_values(ascending=False, kind="stable")
    if len(ordered) > 2 * _MOST_NAMES:
        ordered = pd.concat([ordered[:_MOST_NAMES], ordered[-_MOST_NAMES:]])
    scale = max(float(ordered.abs().max()), 0.1)
    weights = report.positions.abs()
    rows = [
        (
            name,
            [
                heat_cell(float(value), scale),
                heat_cell(100 * float(weights[name].mean()), 100.0),
                heat_cell(100 * float(weights[name].max()), 100.0),
            ],
        )
        for name, value in ordered.items()
    ]
    left = report.market.assets - len(ordered)
    note = "Profit of each asset after its fees, from the best to the worst."
    return section(
        "Contributions by asset [%]",
        heat_table("", ("of the starting equity", "mean weight", "largest weight"), rows),
        note=f"{note} {left} in between are left out." if left else note,
    )


def monthly_section(report: BacktestResult) -> str:
    """Heat map of calendar-month returns; empty for less than three months."""
    period = pd.PeriodIndex(report.market.index.tz_localize(None), freq="M")
    growth = np.log1p(np.maximum(report.returns.to_numpy(), -1 + 1e-12))
    monthly = 100 * np.expm1(pd.Series(growth, index=period).groupby(level=0).sum())
    yearly = 100 * np.expm1(pd.Series(growth).groupby(pd.Series(period.year)).sum())
    if len(monthly) < 3:
        return ""
    scale = max(float(np.quantile(np.abs(monthly), 0.95)), 0.1)
    of_month = {(p.year, p.month): float(v) for p, v in zip(period.unique(), monthly, strict=True)}
    rows = []
    for year in sorted(set(period.year)):
        cells = [heat_cell(of_month.get((year, month)), scale) for month in range(1, 13)]
        rows.append((year, [*cells, heat_cell(yearly[year], 3 * scale, "year")]))
    grid = heat_table("", (*_MONTHS, "Year"), rows)
    return section("Monthly returns, after costs [%]", grid)
