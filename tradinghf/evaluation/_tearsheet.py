"""The tear sheet: one backtest on one page, the conclusion first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradinghf.evaluation import _sections as sections
from tradinghf.evaluation import _tables as tables
from tradinghf.evaluation._page import (
    interval_text,
    kpis,
    number,
    page,
    pair,
    section,
    span_of,
    verdict_card,
)
from tradinghf.evaluation._people import preference_section
from tradinghf.evaluation._result import BacktestResult
from tradinghf.evaluation._verdict import Verdict, judge


def tear_sheet(
    report: BacktestResult, *, trials: int = 1, standing: Mapping[str, Any] | None = None
) -> str:
    """A self-contained HTML page about one backtest.

    Args:
        report: the backtest.
        trials: how many strategies or variants were tried until this one was chosen.
        standing: its row of the raters' leaderboard, for a section on what they think of it.

    """
    held = report.benchmark()
    verdict = judge(report, held, trials=trials)
    both = [report] if report.name == held.name else [report, held]
    body = [
        verdict_card(verdict.headline, verdict.reasons, verdict.passed, label=verdict.label),
        _headline_numbers(report, held, verdict),
        section("To know", note=" ".join(report.remarks)) if report.remarks else "",
        sections.equity_section(both),
        pair(sections.timing_section(verdict), sections.rolling_sharpe_section(both)),
        "" if standing is None else preference_section(standing),
        sections.monthly_section(report),
        sections.contribution_section(report),
        pair(sections.exposure_section([report]), tables.costs_section(report)),
        tables.regime_section(both),
        tables.trades_section(report),
        tables.metrics_section(both, verdict),
        tables.reproduce_section(report, trials),
    ]
    title = f"{report.name} on {', '.join(report.market.symbols[:4])}"
    if report.market.assets > 4:
        title = f"{report.name} on {report.market.assets} assets of {report.market.name}"
    settings = ", ".join(f"{k} {v}" for k, v in report.params.items())
    fills = "fills at the next open" if report.fill == "next_open" else "fills at the same close"
    subtitle = "; ".join(part for part in (span_of(report.metrics), settings, fills) if part)
    return page(title, subtitle, body)


def _headline_numbers(report: BacktestResult, held: BacktestResult, verdict: Verdict) -> str:
    """The strip of numbers under the verdict."""
    m, other = report.metrics, held.metrics

    def against(title: str, name: str) -> tuple[str, str, str]:
        own, theirs = (number(values[name], 1, " %") for values in (m, other))
        return title, own, f"{held.name} {theirs}"

    sharpe = verdict.sharpe
    interval = f"95 % interval {interval_text(sharpe.low, sharpe.high)}"
    costs = number(m["costs_pct_of_start"], 1, " %")
    return kpis(
        [
            against("Growth a year", "cagr_pct"),
            (
                "Sharpe ratio",
                number(m["sharpe_annual"]),
                "undefined" if sharpe.low is None else interval,
            ),
            against("Deepest fall", "max_drawdown_pct"),
            against("Volatility a year", "volatility_annual_pct"),
            (
                "Turnover a year",
                number(m["turnover_per_year"], 1, "×"),
                f"costs {costs} of the start",
            ),
            (
                "Invested",
                number(m["exposure_pct"], 0, " %"),
                f"of bars; {number(m['trades'])} closed trades",
            ),
        ]
    )
