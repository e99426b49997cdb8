"""Checks of a backtest: proof of look-ahead, and warnings about what makes it look too good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules, settings_of
from tradinghf.evaluation._backtest import decisions, trade_tables
from tradinghf.evaluation._order_tables import OrderTables
from tradinghf.evaluation._report import Report
from tradinghf.evaluation._sources import TOO_GOOD, reading, timing_score, wanted
from tradinghf.evaluation._terms import as_terms
from tradinghf.market import Floats, MarketData, MarketLike, as_market, leaks
from tradinghf.strategies import Strategy, fresh, load_strategy

_CASH = 100_000.0


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
    market: MarketLike,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    rules: TradingRules | None = None,
    margin: Margin | None = None,
    brackets: Brackets | None = None,
    member: Any = None,
    points: int = 20,
    seed: int = 0,
    **params: Any,
) -> list[StrategyFinding]:
    """Faults of a strategy's backtest and reasons to doubt it; an empty list when there are none.

    Look-ahead is tested, not guessed: the future is removed, and separately replaced, after
    random bars, after bars with an order and at the ends of periods, and every weight, order and
    price up to there must stay exactly the same. The strategy's file is run anew each time, so
    that nothing is kept from one call to the next. Files that it reads while it decides are named:
    what they hold cannot be tested, and where its timing is then better than the bars can teach,
    that is an error.

    Args:
        strategy: name, file or `@strategy`, of weights, signals, orders or an event-driven rule.
        market: bars to test on; longer than the longest memory of the strategy.
        costs: what the backtest charges.
        fill: when the backtest fills.
        rules, margin, brackets, member: as for `backtest`; a membership as a file.
        points: bars of each kind in the look-ahead test.
        seed: of their choice.
        params: parameters of the strategy.

    Raises:
        StrategyError: unknown strategy or parameter, or malformed weights.

    """
    market = as_market(market)
    found = load_strategy(strategy)
    costs = settings_of(CostModel, costs, "costs")
    terms = as_terms(rules=rules, margin=margin, brackets=brackets, member=member)

    def decide(m: MarketData) -> OrderTables:
        return decisions(
            fresh(found), m, costs=costs, fill=fill, cash=_CASH, terms=terms, **params
        ).orders

    first, read = reading(lambda: decide(market))
    if not np.array_equal(first.stacked(), decide(market).stacked(), equal_nan=True):
        message = "two calls on the same bars gave different orders; draw from a fixed seed."
        return [StrategyFinding("not repeatable", "error", message)]
    findings = []
    leaked = leaks(lambda m: decide(m).stacked(), market, points=points, seed=seed)
    if leaked:
        bars = len({leak.bar for leak in leaked})
        where = f"at {bars} bars" if bars > 1 else "at one bar"
        message = f"{leaked[0]} (found {where}). Row t may use bars 0 to t only."
        findings.append(StrategyFinding("look-ahead", "error", message))
    report = trade_tables(first, market, costs=costs, fill=fill, cash=_CASH, terms=terms)
    findings += _source_findings(read, wanted(first), market)
    known = market.listed is not None or member is not None
    return [*findings, *_setting_findings(market, costs, fill, known), *_result_findings(report)]


def _source_findings(read: list[str], weights: Floats, market: MarketData) -> list[StrategyFinding]:
    """What was read beside the bars, and timing that is too good to be true."""
    z = timing_score(weights, market)
    if read:
        names = ", ".join(read[:3])
        if z > TOO_GOOD:
            message = (
                f"it reads {names} while it decides, and its orders foresee the next bars {z:.0f} "
                "standard errors better than chance: the file holds what was not yet known. Trade "
                "on its rows only after the day that they were published."
            )
            return [StrategyFinding("answers from a file", "error", message)]
        message = (
            f"it reads {names} while it decides; whether that was known at the time cannot be "
            "tested here. Check when each row was published."
        )
        return [StrategyFinding("reads files", "warning", message)]
    if z > TOO_GOOD:
        message = (
            f"its orders foresee the next bars {z:.0f} standard errors better than chance, without "
            "look-ahead in the bars: look for answers in its code, and at the data."
        )
        return [StrategyFinding("too good to be true", "warning", message)]
    return []


def _setting_findings(
    market: MarketData, costs: CostModel, fill: Fill, members_known: bool
) -> list[StrategyFinding]:
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
    if market.assets > 1 and not members_known:
        message = (
            f"all {market.assets} assets have bars from the first day to the last; if they were "
            "picked today, losers that disappeared are missing. Use the members of each date, "
            "or bars of all that were ever listed (join='outer')."
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
