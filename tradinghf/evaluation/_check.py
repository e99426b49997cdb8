"""Checks of a backtest: proof of look-ahead, and warnings about what makes it look too good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tradinghf.config import CostModel, Fill
from tradinghf.evaluation._backtest import trade
from tradinghf.evaluation._report import Report
from tradinghf.market import MarketData, leaks
from tradinghf.strategies import Strategy, load_strategy


@dataclass(frozen=True)
class StrategyFinding:
    """One fault, or one reason for doubt, of a strategy's backtest.

    Attributes:
        kind: short name ("look-ahead", "no costs").
        severity: "error" makes the result worthless; "warning" makes it doubtful.
        message: what was seen and what to do.

    """

    kind: str
    severity: Literal["error", "warning"]
    message: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.kind}: {self.message}"


def check_strategy(
    strategy: str | Strategy,
    market: MarketData,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    points: int = 20,
    seed: int = 0,
    **params: Any,
) -> list[StrategyFinding]:
    """Faults of a strategy's backtest and reasons to doubt it; an empty list when there are none.

    Look-ahead is tested, not guessed: at random bars the future is removed, and separately
    replaced, and every weight up to that bar must stay exactly the same.

    Args:
        strategy: name, file or `@strategy`.
        market: bars to test on; longer than the longest memory of the strategy.
        costs: what the backtest charges.
        fill: when the backtest fills.
        points: random bars of the look-ahead test.
        seed: of their choice.
        params: parameters of the strategy.

    Raises:
        StrategyError: unknown strategy or parameter, or malformed weights.

    """
    found = load_strategy(strategy)
    costs = costs or CostModel()
    first, second = found(market, **params), found(market, **params)
    if not np.array_equal(first, second, equal_nan=True):
        message = "two calls on the same bars gave different weights; draw from a fixed seed."
        return [StrategyFinding("not repeatable", "error", message)]
    findings = []
    leaked = leaks(lambda m: found(m, **params), market, points=points, seed=seed)
    if leaked:
        trials = 2 * min(points, market.bars - 2)
        findings.append(
            StrategyFinding(
                "look-ahead",
                "error",
                f"{leaked[0]} ({len(leaked)} of {trials} trials). Row t may use bars 0 to t only.",
            )
        )
    report = trade(found, market, costs=costs, fill=fill, engine="simulator", **params)
    return [*findings, *_setting_findings(market, costs, fill), *_result_findings(report)]


def _setting_findings(market: MarketData, costs: CostModel, fill: Fill) -> list[StrategyFinding]:
    found = []
    if not any((costs.fee_bps, costs.fixed_fee, costs.per_share_fee)) and not any(
        (costs.slippage_bps, costs.spread_bps, costs.impact)
    ):
        message = "every fill is free; set fees and slippage to what your broker charges."
        found.append(StrategyFinding("no costs", "warning", message))
    if fill == "close":
        message = (
            "orders fill at the close that they were decided on, which nobody can do; "
            'use fill="next_open", or fill at an auction you can name.'
        )
        found.append(StrategyFinding("same-close fill", "warning", message))
    if market.assets > 1:
        message = (
            f"all {market.assets} assets have bars from the first day to the last; if they were "
            "picked today, losers that disappeared are missing. Use the members of each date."
        )
        found.append(StrategyFinding("survivorship not controlled", "warning", message))
    return found


def _result_findings(report: Report) -> list[StrategyFinding]:
    found, market, orders = [], report.market, report.orders
    if orders.empty:
        message = f"no order in {market.bars} bars; loosen the rule or give it more bars."
        return [StrategyFinding("never trades", "warning", message)]
    if report.account.equity[-1] <= 0:
        bar = int(np.argmax(report.account.equity <= 0))
        message = f"the account was ruined at bar {bar} ({market.index[bar].date()})."
        found.append(StrategyFinding("ruin", "error", message))
    trips = len(report.trades)
    if 1 < trips < 30:
        message = f"{trips} round trips are too few to tell skill from luck; 30 is a minimum."
        found.append(StrategyFinding("few trades", "warning", message))
    share = _largest_share(report)
    if share > 0.05:
        message = (
            f"one order is {100 * share:.0f} % of its bar's volume; trade less, or set "
            'CostModel.impact with engine="simulator".'
        )
        found.append(StrategyFinding("capacity", "warning", message))
    return found


def _largest_share(report: Report) -> float:
    """Largest fraction of a bar's volume that was traded in it; bars without volume are skipped."""
    orders, market = report.orders, report.market
    traded = np.zeros((market.bars, market.assets))
    column = np.array([market.symbols.index(symbol) for symbol in orders["symbol"]])
    np.add.at(traded, (orders["bar"].to_numpy(), column), orders["size"].to_numpy())
    share = np.zeros_like(traded)
    np.divide(traded, market.volume, out=share, where=market.volume > 0)
    return float(share.max())
