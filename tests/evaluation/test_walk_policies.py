"""Walk-forward of policies whose accounts have waiting orders and exits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tradinghf.config import Brackets, CostModel, EnvConfig
from tradinghf.evaluation import backtest, walk_forward_policy
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv, simulate

MARKET = synthetic(seed=3, bars=400, assets=1)
ORDERS = ("market", "limit0.7", "stop0.6")
COSTS = CostModel(fee_bps=3, slippage_bps=4)
LONG = 12  # the highest of five levels, at market
WALK: dict[str, Any] = {"train_bars": 150, "test_bars": 100, "costs": COSTS, "record": False}


class Does:
    """A policy whose action depends on what it sees in an odd way, or never changes."""

    def __init__(self, config: EnvConfig, action: int | None = None) -> None:
        self.config, self.action = config, action
        self.scaler = MarketEnv(MARKET.rows(0, 150), config=config).scaler

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        if self.action is not None:
            return torch.full((len(obs),), self.action)
        return (obs.double().abs().sum(-1) * 1000).long() % 15


def asked(policy: Does, first: int, test: slice) -> dict[str, np.ndarray]:
    """Its orders on test bars, in an account that began at bar `first`; the first one anew."""
    task = replace(policy.config, horizon=test.stop - 2 - first, dtype="float64")
    env = MarketEnv(MARKET, config=task, costs=COSTS, scaler=policy.scaler)
    tables = {name: np.full((MARKET.bars, 1), np.nan) for name in ("size", "limit", "stop")}
    obs, _ = env.reset(seed=0, options={"start": first + 1, "asset": 0})
    for bar in range(first + 1, test.stop - 1):
        action = policy.act(env.dense(obs))
        told = env.priced_orders(action)
        for name, table in tables.items():
            table[bar] = getattr(told, name)
        if bar == test.start:
            tables["size"][bar] = env.targets(action)
        obs, *_ = env.step(action)
    return {name: table[test] for name, table in tables.items()}


@pytest.mark.parametrize("rebalance", [False, True])
def test_orders_with_prices_are_those_of_the_windows_own_accounts(rebalance: bool) -> None:
    policy = Does(EnvConfig(lookback=2, orders=ORDERS, rebalance=rebalance))
    walked = walk_forward_policy(lambda *_: policy, MARKET, **WALK)
    windows = [slice(150, 250), slice(250, 350), slice(350, 400)]
    parts = [asked(policy, max(w.start - 256, 0), w) for w in windows]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    oracle = simulate(MARKET.rows(150, 400), joined.pop("size"), **joined, costs=COSTS)
    np.testing.assert_allclose(walked.report.equity, oracle.equity, rtol=1e-9)
    assert len(walked.report.trades) > 20


def test_an_order_that_was_given_before_a_window_is_given_again() -> None:
    """Who always wants to be long is long in every window, and pays for it once."""
    policy = Does(EnvConfig(lookback=2, orders=ORDERS), LONG)
    walked = walk_forward_policy(lambda *_: policy, MARKET, **WALK)
    size = np.full((250, 1), np.nan)
    size[[0, 100, 200]] = 1.0
    held = backtest(size, MARKET.rows(150, 400), costs=COSTS, record=False)
    np.testing.assert_allclose(walked.report.equity, held.equity, rtol=1e-12)
    assert walked.windows["return_pct"].abs().min() > 0


@pytest.mark.parametrize("orders", [("market",), ORDERS])
def test_exits_travel_with_the_policies(orders: tuple[str, ...]) -> None:
    exits = Brackets(stop_loss=0.01, take_profit=0.02)
    action = 4 if orders == ("market",) else LONG
    policy = Does(EnvConfig(lookback=2, orders=orders, brackets=exits, rebalance=True), action)
    own = walk_forward_policy(lambda *_: policy, MARKET, **WALK).report
    size = np.ones((250, 1))
    size[-1] = np.nan  # nothing is decided at the last bar
    held = backtest(size, MARKET.rows(150, 400), costs=COSTS, brackets=exits, record=False)
    np.testing.assert_allclose(own.equity, held.equity, rtol=1e-9)
    assert len(own.trades) > 10
    without = walk_forward_policy(lambda *_: policy, MARKET, **WALK, brackets=Brackets()).report
    assert len(without.trades) < len(own.trades)
