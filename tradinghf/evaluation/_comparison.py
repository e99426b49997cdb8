"""Several backtests side by side, and what the reward model learned: the page of `make demo`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tradinghf.errors import ConfigError
from tradinghf.evaluation import _sections as sections
from tradinghf.evaluation import _tables as tables
from tradinghf.evaluation._export import write_page
from tradinghf.evaluation._page import (
    code,
    interval_text,
    number,
    page,
    pair,
    section,
    spaced,
    span_of,
    table,
    verdict_card,
)
from tradinghf.evaluation._page import facts as fact_list
from tradinghf.evaluation._people import held_out_section, values_section
from tradinghf.evaluation._report import Report
from tradinghf.evaluation._result import BacktestResult
from tradinghf.evaluation._track_record import excess_growth
from tradinghf.evaluation._verdict import judge
from tradinghf.resources import code_version

_COLUMNS = (
    ("return", "total_return_pct", 1, " %"),
    ("a year", "cagr_pct", 1, " %"),
    ("deepest fall", "max_drawdown_pct", 1, " %"),
    ("volatility", "volatility_annual_pct", 1, " %"),
    ("Sharpe", "sharpe_annual", 2, ""),
    ("turnover a year", "turnover_per_year", 1, "×"),
    ("invested", "exposure_pct", 0, " %"),
    ("costs", "costs_pct_of_start", 2, " %"),
)
_AFTER_SHARPE = 5


def comparison_report(
    path: Path | str,
    *,
    title: str,
    verdict: str,
    reports: Mapping[str, Report],
    values: Sequence[Mapping[str, Any]],
    held_out: Mapping[str, Any],
    facts: Mapping[str, Any],
    provenance: Mapping[str, Any],
    trials: int = 1,
    became: str = "",
) -> Path:
    """Write one self-contained page that compares backtests over the same bars.

    Args:
        path: where to; .html, or .pdf or .png where Chromium is installed.
        title: of the page.
        verdict: the conclusion in one sentence; empty: judged from the first report. On a
            synthetic market it is a rehearsal, and never passes.
        reports: display name to backtest. The first is the subject; the benchmark is the one
            with "hold" in its name, else the last.
        values: what the reward model learned (`RewardModel.explain`): name, sentence, weight, low,
            high, and perhaps probability.
        held_out: its scores on rankings it was not fitted to: accuracy, precision, recall, f1 ...
            with `NAME_interval` (low, high), and the number of pairs and held_out_rankings.
        facts: names and values worth knowing (rankings given, S, G ...); short sentences.
        provenance: names and values that reproduce the run (seed, data hash, command ...).
        trials: how many variants were tried until the first report was chosen.
        became: what the policy does, in a sentence (`policy.json` of a run); empty if unknown.

    Returns:
        The path written.

    Raises:
        ConfigError: no reports, they do not cover the same bars, or `write_page` cannot write.

    """
    named = _ordered(reports)
    subject, benchmark = named[0], named[-1]
    judged = judge(subject, benchmark, trials=trials)
    body = [
        verdict_card(verdict or judged.headline, judged.reasons, judged.passed, label=judged.label),
        _comparison_section(named),
        sections.equity_section(named),
        values_section(values, became),
        pair(held_out_section(held_out), _facts_section(facts)),
        pair(sections.timing_section(judged), sections.rolling_sharpe_section(named)),
        pair(sections.exposure_section([subject]), tables.costs_section(subject)),
        sections.monthly_section(subject),
        tables.regime_section(named),
        tables.trades_section(subject),
        tables.metrics_section(named, judged),
        _provenance_section(subject, provenance),
    ]
    market = subject.market
    what = ", ".join(market.symbols) if market.assets <= 4 else f"{market.assets} assets"
    subtitle = f"{what} ({market.name}); {span_of(subject.metrics)}"
    return write_page(page(title, subtitle, body), path)


def difference_section(report: BacktestResult, other: BacktestResult) -> str:
    """What the first has earned more than the second: a year with its interval, and over time."""
    gap = excess_growth(
        report.returns.to_numpy(), other.returns.to_numpy(), report.market.bars_per_year
    )
    known = "too few bars for an interval"
    if gap.low is not None and gap.high is not None:
        clear = "clear of" if gap.low > 0 or gap.high < 0 else "not told apart from"
        known = f"95 % interval {interval_text(gap.low, gap.high)}, {clear} no difference"
    ahead = report.equity.to_numpy() / report.cash - other.equity.to_numpy() / other.cash
    title = f"{report.name} less {other.name}"
    chart = sections.curve(report, ahead, title)
    more = number(gap.value, 2)
    return section(title, chart, note=f"Growth a year: {more} percentage points more ({known}).")


def compare_page(path: Path | str, reports: Sequence[Report], *, trials: int = 1) -> Path:
    """Write one page about two or more backtests of the same bars: numbers side by side.

    Args:
        path: where to; .html, or .pdf or .png where Chromium is installed.
        reports: the first is compared with each other one.
        trials: how many variants were tried until the first was chosen.

    Raises:
        ConfigError: fewer than two, of different bars or of the same name.

    """
    named = {report.name: report for report in reports}
    if len(named) < 2 or len(named) < len(reports):
        raise ConfigError("compare_page needs two or more reports with different names.")
    same = _ordered(named, same_order=True)
    subject = same[0]
    judged = judge(subject, same[1], trials=trials)
    body = [
        verdict_card(judged.headline, judged.reasons, judged.passed, label=judged.label),
        *(difference_section(subject, other) for other in same[1:]),
        _comparison_section(same),
        sections.equity_section(same),
        tables.metrics_section(same, judged),
        *(tables.reproduce_section(report, trials) for report in same),
    ]
    market = subject.market
    subtitle = f"{market.name}; {span_of(subject.metrics)}"
    return write_page(page(" against ".join(named), subtitle, body), path)


def _ordered(reports: Mapping[str, Report], *, same_order: bool = False) -> list[Report]:
    """Renamed by their display names, the benchmark last, unless they are to stay as they come."""
    if not reports:
        raise ConfigError("comparison_report needs at least one report.")
    first = next(iter(reports.values()))
    for name, report in reports.items():
        if not report.market.index.equals(first.market.index):
            raise ConfigError(
                f"comparison_report: {name!r} covers {span_of(report.metrics)}; expected the bars "
                f"of the first report, {span_of(first.metrics)}."
            )
    names = list(reports)
    if same_order:
        return [reports[n].renamed(n) for n in names]
    benchmark = next((n for n in names[1:] if "hold" in n.lower()), names[-1])
    names = [*(n for n in names if n != benchmark), benchmark]
    return [reports[n].renamed(n) for n in names]


def _comparison_section(named: Sequence[Report]) -> str:
    rows = []
    for report in named:
        sharpe = report.sharpe_interval
        cells = [number(report.metrics[key], digits, unit) for _, key, digits, unit in _COLUMNS]
        cells.insert(_AFTER_SHARPE, interval_text(sharpe.low, sharpe.high))
        rows.append([report.name, *cells])
    head = [title for title, *_ in _COLUMNS]
    head.insert(_AFTER_SHARPE, "95 % interval")
    note = "After fees and slippage. Invested: share of bars with a position. Costs: share of the "
    return section("Side by side", table(["", *head], rows), note=f"{note}starting equity.")


def _facts_section(items: Mapping[str, Any]) -> str:
    if not items:
        return ""
    rows = [(spaced(name), _minus(_shown(value))) for name, value in items.items()]
    html = table(["", ""], rows, text_columns=(0,)).replace("<thead>", "<thead hidden>")
    html = html.replace('<th scope="row" class="text">', '<th scope="row" class="wrap">')
    return section("The experiment in numbers", html.replace("<td>", '<td class="wrap end">'))


def _minus(text: str) -> str:
    """Negative numbers with a typographic minus; dates and names as they are."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", text)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}".replace("-", "−")
    return number(value) if isinstance(value, int) else str(value)


def _provenance_section(subject: Report, provenance: Mapping[str, Any]) -> str:
    market, costs = subject.market, subject.costs
    known = {
        "data": f"{market.name} ({market.source}), sha256 {market.sha256}",
        "fills": "next bar's open" if subject.fill == "next_open" else "same bar's close",
        "costs": ", ".join(f"{k} {v}" for k, v in vars(costs).items() if v) or "none",
        "engine": subject.engine,
        "code": code_version(),
    }
    items = {**known, **provenance}
    command = str(items.pop("command", ""))
    return section(
        "To reproduce this page",
        fact_list([(spaced(k), _shown(v)) for k, v in items.items()]),
        code(command) if command else "",
    )
