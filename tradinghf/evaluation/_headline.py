"""The few numbers that a reader wants first, next to buy and hold and to cash; and all of them."""

from __future__ import annotations

from collections.abc import Mapping

from tradinghf.evaluation._metrics import Metrics
from tradinghf.evaluation._page import interval_text, number
from tradinghf.evaluation._result import BacktestResult

_ROWS = (
    ("growth a year", "cagr_pct", 1, " %"),
    ("return in all", "total_return_pct", 1, " %"),
    ("Sharpe ratio", "sharpe_annual", 2, ""),
    ("volatility a year", "volatility_annual_pct", 1, " %"),
    ("deepest fall", "max_drawdown_pct", 1, " %"),
    ("invested, of bars", "exposure_pct", 0, " %"),
    ("turnover a year", "turnover_per_year", 1, "×"),
    ("closed trades", "trades", 0, ""),
    ("costs, of the start", "costs_pct_of_start", 2, " %"),
)
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Returns": ("total_return_pct", "cagr_pct", "final_equity", "best_bar_pct", "worst_bar_pct"),
    "Risk": (
        "volatility_annual_pct",
        "max_drawdown_pct",
        "average_drawdown_pct",
        "longest_drawdown_bars",
        "value_at_risk_95_pct",
        "expected_shortfall_95_pct",
        "skewness",
        "kurtosis",
    ),
    "Return per risk": ("sharpe_annual", "sortino_annual", "calmar", "omega", "tail_ratio"),
    "Positions": (
        "exposure_pct",
        "gross_exposure_pct",
        "net_exposure_pct",
        "turnover_per_year",
        "fills",
    ),
    "Trades": (
        "trades",
        "open_trades",
        "hit_rate_pct",
        "payoff_ratio",
        "profit_factor",
        "average_trade_pct",
        "average_holding_bars",
    ),
    "Costs": ("fees", "slippage", "financing", "costs_pct_of_start"),
    "Window": ("bars", "start", "end"),
}
"""Every key of `Report.metrics`, by what it is about."""


def headline(report: BacktestResult, held: BacktestResult) -> list[tuple[str, str, str, str]]:
    """(name, the strategy's, buy and hold's, cash's) of each headline number.

    Args:
        report: the backtest.
        held: `report.benchmark()`.

    """
    rows = []
    for name, key, digits, unit in _ROWS:
        cash = "n/a" if key == "sharpe_annual" else number(0.0, digits, unit)
        own, other = (number(r.metrics[key], digits, unit) for r in (report, held))
        rows.append((name, own, other, cash))
        if key == "sharpe_annual":
            a, b = report.sharpe_interval, held.sharpe_interval
            own, other = interval_text(a.low, a.high), interval_text(b.low, b.high)
            rows.append(("... 95 % interval", own, other, ""))
    return rows


def grouped(metrics: Metrics) -> list[tuple[str, str, float | int | str | None]]:
    """(group, key, value) of all metrics; the group is named in its first row only."""
    ours = {key for keys in GROUPS.values() for key in keys}
    own = {"Your own": tuple(key for key in metrics if key not in ours)}
    return [
        (group if k == 0 else "", key, metrics[key])
        for group, keys in {**GROUPS, **own}.items()
        for k, key in enumerate(keys)
    ]
