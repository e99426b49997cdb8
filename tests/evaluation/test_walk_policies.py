"""Walk-forward of policies whose accounts have waiting orders and exits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tradinghf.config import Brackets, CostModel, EnvConfig
from tradinghf.evaluation import backtest, walk_forward_policy
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv, simulate

MARKET = synthetic(seed=3, bars=110, assets=1)
ORDERS = ("market", "limit0.7", "stop0.6")
COSTS = CostModel(fee_bps=3, slippage_bps=4)
LONG = 12  # the highest of five levels, at market
WALK: dict[str, Any] = {"train_bars": 40, "test_bars": 30, "costs": COSTS, "record": False}


class Does:
    """A policy whose action depends on what it sees in an odd way, or never changes."""

    def __init__(self, config: EnvConfig, action: int | None = None) -> None:
        self.config, self.action = config, action
        self.scaler = MarketEnv(MARKET.rows(0, 40), config=config).scaler

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        if self.action is not None:
            return torch.full((len(obs),), self.action)
        return (obs.double().abs().sum(-1) * 1000).long() % 15


def asked(policy: Does, first: int, test: slice) -> dict[str, np.ndarray]:
    """Its orders on test bars, in an account that began at bar `first`; the first one anew."""
    bars = MARKET.rows(first, test.stop)
    task = replace(
        policy.config, horizon=bars.bars - 2, review=policy.config.horizon, dtype="float64"
    )
    env = MarketEnv(bars, config=task, costs=COSTS, scaler=policy.scaler)
    tables = {name: np.full((bars.bars, 1), np.nan) for name in ("size", "limit", "stop")}
    obs, _ = env.reset(seed=0, options={"start": 1, "asset": 0})
    for bar in range(1, bars.bars - 1):
        action = policy.act(env.dense(obs))
        told = env.priced_orders(action)
        for name, table in tables.items():
            table[bar] = getattr(told, name)
        if bar == test.start - first:
            tables["size"][bar] = env.targets(action)
        obs, *_ = env.step(action)
    return {name: table[test.start - first :] for name, table in tables.items()}


@pytest.mark.parametrize("rebalance", [False, True])
def test_orders_with_prices_are_those_of_the_windows_own_accounts(rebalance: bool) -> None:
    policy = Does(EnvConfig(lookback=2, horizon=16, orders=ORDERS, rebalance=rebalance))
    walked = walk_forward_policy(lambda *_: policy, MARKET, **WALK)
    windows = [slice(40, 70), slice(70, 100), slice(100, 110)]
    parts = [asked(policy, max(w.start - 256, 0), w) for w in windows]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    oracle = simulate(MARKET.rows(40, 110), joined.pop("size"), **joined, costs=COSTS)
    np.testing.assert_allclose(walked.report.equity, oracle.equity, rtol=1e-9)
    assert len(walked.report.trades) > 8


def test_an_order_that_was_given_before_a_window_is_given_again() -> None:
    """Who always wants to be long is long in every window, and pays for it once."""
    policy = Does(EnvConfig(lookback=2, horizon=16, orders=ORDERS), LONG)
    walked = walk_forward_policy(lambda *_: policy, MARKET, **WALK)
    size = np.full((70, 1), np.nan)
    size[[0, 30, 60]] = 1.0
    held = backtest(pd.DataFrame(size), MARKET.rows(40, 110), costs=COSTS, record=False)
    np.testing.assert_allclose(walked.report.equity, held.equity, rtol=1e-12)
    assert walked.windows["return_pct"].abs().min() > 0


def test_exits_travel_with_the_policies() -> None:
    exits = Brackets(stop_loss=0.01, take_profit=0.02)
    task = EnvConfig(lookback=2, horizon=16, orders=ORDERS, brackets=exits, rebalance=True)
    own = walk_forward_policy(lambda *_: Does(task, LONG), MARKET, **WALK).report
    size = np.ones((70, 1))
    size[-1] = np.nan  # nothing is decided at the last bar
    held = backtest(
        pd.DataFrame(size), MARKET.rows(40, 110), costs=COSTS, brackets=exits, record=False
    )
    np.testing.assert_allclose(own.equity, held.equity, rtol=1e-9)
    assert len(own.trades) > 5
