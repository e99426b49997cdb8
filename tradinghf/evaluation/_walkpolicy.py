"""Walk-forward for policies: one trained on each past, judged on the bars after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules, settings_of
from tradinghf.evaluation._backtest import trade_tables
from tradinghf.evaluation._joined_orders import restarted
from tradinghf.evaluation._order_tables import Orders, OrderTables, order_tables
from tradinghf.evaluation._policies import ActingPolicy, policy_orders, terms_for
from tradinghf.evaluation._report import Report
from tradinghf.evaluation._study import Record, study_of
from tradinghf.evaluation._variants import costs_variant, terms_variant
from tradinghf.evaluation._walkforward import trade_windows, walk_forward_splits
from tradinghf.executors import ExecutorLike, as_executor, in_order
from tradinghf.market import Floats, MarketData
from tradinghf.strategies import held_targets

_WARM_BARS = 256
"""Past bars that a policy replays before a test window, for warm features and an account."""

PolicyTrainer = Callable[[MarketData, MarketData, int], ActingPolicy]
"""(training bars, validation bars, window number) to a policy."""


@dataclass(frozen=True, eq=False)
class PolicyWalk:
    """Result of a walk-forward of policies: one account over all test windows, a row about each.

    Attributes:
        report: one backtest over all test windows, each traded by the policy trained before it.
        windows: one row per window: train_start, train_end, test_start, test_end (timestamps,
            ends inclusive), and the policy's return_pct and sharpe_annual in the test window.
        policies: one per window.

    """

    report: Report
    windows: pd.DataFrame
    policies: tuple[ActingPolicy, ...]


def walk_forward_policy(
    train: PolicyTrainer,
    market: MarketData,
    *,
    train_bars: int,
    test_bars: int,
    purge: int = 0,
    anchored: bool = False,
    validation_share: float = 0.2,
    name: str = "policy",
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    cash: float = 100_000.0,
    rules: TradingRules | None = None,
    margin: Margin | None = None,
    brackets: Brackets | None = None,
    record: Record = True,
    open_sealed: str | None = None,
    executor: ExecutorLike = "local",
    progress: Callable[[int, int], None] | None = None,
) -> PolicyWalk:
    """Train a policy on each training window, trade it on the next test window.

    The account carries over: a change of policy is traded and paid for like any other order. Each
    policy first replays up to `_WARM_BARS` past bars without trading them, so that its features are
    warm and it sees the account it would have.

    Args:
        train: called once per window with the first part of its training bars, the last part for
            choosing among checkpoints, and the number of the window.
        market: the bars.
        train_bars, test_bars, purge, anchored: see `walk_forward_splits`; validation lies inside
            training, and the purge is left out before it as well.
        validation_share: of the training window.
        name: of the result.
        costs, fill, cash: of the account.
        rules, margin, brackets: of it; None: those that the first policy was trained with.
        record, open_sealed: as for `backtest`; the joined account is one trial.
        executor: where policies are trained, see `tradinghf.executors.as_executor`; `train` has to
            reach there, so it is a function or an object of a module or a file, not a closure.
        progress: called with (windows done, windows).

    Raises:
        ConfigError: windows that do not fit, or sealed bars.
        StrategyError: a policy looks further back than there are bars.

    """
    costs = settings_of(CostModel, costs, "costs")
    windows = walk_forward_splits(
        market.bars, train_bars=train_bars, test_bars=test_bars, purge=purge, anchored=anchored
    )
    past_bars = [_cut(market, past, purge, validation_share) for past, _ in windows]
    tasks = [(*bars, number) for number, bars in enumerate(past_bars)]
    trained = in_order(as_executor(executor)(_train, train, tasks))
    policies = [next(trained)]
    terms = terms_for(policies[0], rules=rules, margin=margin, brackets=brackets)
    account: dict[str, Any] = {"costs": costs, "fill": fill, "cash": cash, "terms": terms}

    def choose(number: int, _: slice, test: slice) -> tuple[OrderTables, dict[str, Any]]:
        if number:
            policies.append(next(trained))
        policy = policies[number]
        warm = max(test.start - max(_WARM_BARS, policy.config.lookback), 0)
        replayed = market.rows(warm, test.stop)
        orders = policy_orders(policy, replayed, **account, anew=test.start - warm)
        made = _among(market, orders, replayed, test)
        traded = market.rows(test.start, test.stop)
        part = trade_tables(restarted(made, test), traded, **account)
        return made, {
            "return_pct": part.metrics["total_return_pct"],
            "sharpe_annual": part.metrics["sharpe_annual"],
        }

    with study_of(market, record, open_sealed, f"walkforward {name}") as study:
        report, table = trade_windows(market, windows, choose, **account, progress=progress)
        joined = replace(study, market=report.market).fingerprint(report.targets)
        variant = {"orders": joined, "costs": costs_variant(costs), "fill": fill}
        variant |= terms_variant(terms)
        report = replace(report, trials=study.count_trials("walkforward", name, [variant]))
    return PolicyWalk(report.renamed(f"{name}, walk-forward"), table, tuple(policies))


def _cut(
    market: MarketData, past: slice, purge: int, validation_share: float
) -> tuple[MarketData, MarketData]:
    """Training and validation bars of a window."""
    cut = past.stop - max(int(validation_share * (past.stop - past.start)), 2)
    # What reaches across this seam would let training tell on the bars that choose.
    return market.rows(past.start, cut - purge), market.rows(cut, past.stop)


def _train(train: PolicyTrainer, task: tuple[MarketData, MarketData, int]) -> ActingPolicy:
    """One window's policy; runs wherever the executor puts it."""
    return train(*task)


def _among(
    market: MarketData, orders: Floats | Orders, replayed: MarketData, test: slice
) -> OrderTables:
    """Orders on the last bars up to the end of `test`, as a table of all bars of a market."""
    if isinstance(orders, Orders):
        found = order_tables(orders, replayed)
    else:
        first = len(orders) - (test.stop - test.start)
        orders = orders.copy()
        orders[first] = held_targets(orders)[first]
        found = OrderTables(orders)

    def placed(table: Floats) -> Floats:
        every = np.full(market.close.shape, np.nan)
        every[test] = table[len(table) - (test.stop - test.start) :]
        return every

    prices = {name: placed(table) for name, table in found.prices.items()}
    return OrderTables(placed(found.size), found.kind, prices)
