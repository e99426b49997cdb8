"""Portfolio actions become weights whose gross sum stays within the leverage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tradinghf import CostModel, EnvConfig, MarketEnv, backtest
from tradinghf.config import Margin
from tradinghf.market import synthetic
from tradinghf.simulation._actions import ActionMap

MARKET = synthetic(0, 300, 5)
TASK = EnvConfig(horizon=16, portfolio=True, actions="continuous", dtype="float64")
FREE = CostModel(fee_bps=0, slippage_bps=0)


def action_map(leverage: float = 1.0, levels: tuple[float, ...] = (-1.0, 0.0, 1.0)) -> ActionMap:
    config = replace(TASK, margin=Margin(leverage=leverage), levels=levels)
    return ActionMap.of(config, 2, 3, torch.zeros(1, dtype=torch.float64))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    st.sampled_from([1.0, 1.5, 4.0]),
)
def test_weights_keep_the_actions_direction_and_never_exceed_the_leverage(
    numbers: list[float], leverage: float
) -> None:
    mapping = action_map(leverage)
    actions = np.clip(np.array(numbers).reshape(2, 3), -1, 1)
    weights = mapping.weights(mapping.read(numbers)).numpy()
    gross = np.abs(actions).sum(1, keepdims=True)
    np.testing.assert_allclose(weights, leverage * actions / np.maximum(1, gross), atol=1e-12)
    assert np.abs(weights).sum(1).max() <= leverage * (1 + 1e-12)


def test_discrete_levels_share_the_cap_too() -> None:
    config = replace(TASK, actions="discrete", levels=(-1.0, 0.0, 1.0))
    env = MarketEnv(MARKET, num_envs=2, config=config, costs=FREE)
    weights = env.targets([[0, 0, 0, 0, 0], [2, 0, 1, 1, 1]])
    np.testing.assert_allclose(weights, [[-0.2] * 5, [0.5, -0.5, 0, 0, 0]])


@pytest.mark.parametrize("leverage", [1.0, 2.0])
@pytest.mark.parametrize("rebalance", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_gross_exposure_exceeds_the_cap_by_one_bars_drift_at_most(
    leverage: float, rebalance: bool, seed: int
) -> None:
    """Long and short, whatever is done: at each fill the positions fit under the cap."""
    task = replace(TASK, rebalance=rebalance, margin=Margin(leverage=leverage))
    env = MarketEnv(MARKET, num_envs=4, config=task, costs=FREE)
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    moves = np.abs(np.diff(np.log(MARKET.close), axis=0)).max()
    for step in range(16):
        actions = rng.uniform(-1, 1, (4, 5))
        actions[0], actions[1] = -1.0, 1.0  # all short and all long, all the time
        actions[2] = np.sign(actions[2]) if step % 4 == 0 else np.nan  # and mostly no order
        *_, info = env.step(actions)
        gross = info["position"].abs().sum(1)
        bound = leverage * (1 + moves) / (1 - leverage * moves)
        assert float(gross.max()) <= bound


def test_the_default_portfolio_is_capped_long_and_short() -> None:
    for sign in (-1, 1):
        env = gymnasium.make("tradinghf/Portfolio-v0", market="synthetic:bars=600", horizon=16)
        env.reset(seed=0)
        size = env.action_space.shape[0]  # type: ignore[index]
        *_, info = env.step(sign * np.ones(size, np.float32))
        np.testing.assert_allclose(info["position"], sign / size, rtol=0.05)


def test_targets_of_strategies_are_capped_as_well() -> None:
    env = MarketEnv(MARKET, num_envs=1, config=TASK, costs=FREE)
    env.reset(seed=0)
    *_, info = env.step_weights(np.full((1, 5), -1.0))
    assert float(info["position"].abs().sum()) == pytest.approx(1, abs=0.05)
    *_, info = env.step_weights([[1.0, np.nan, np.nan, np.nan, np.nan]])
    assert float(info["position"].abs().sum()) == pytest.approx(1, abs=0.1)


class Sways:
    """Goes from all short to a mixed book and back; a policy of one environment."""

    config, scaler, name, fingerprint = TASK, None, "sways", "sways"

    def __init__(self) -> None:
        self.step = 0

    def act(self, obs: torch.Tensor, deterministic: bool = True, uniform: Any = None) -> Any:
        self.step += 1
        row = [-1.0] * 5 if self.step % 60 < 40 else [0.5, -0.2, 0.9, -0.9, 0.1]
        return torch.tensor([row])


def test_a_backtest_of_a_portfolio_policy_trades_as_the_environment_does() -> None:
    report = backtest(Sways(), MARKET, costs=FREE, engine="simulator")
    start = TASK.lookback - 1
    whole = replace(TASK, horizon=MARKET.bars - 1 - start, autoreset="disabled", review=16)
    env = MarketEnv(MARKET, num_envs=1, config=whole, costs=FREE)
    obs, _ = env.reset(seed=0, options={"start": [start], "asset": [0]})
    policy, equity = Sways(), [1.0]
    for _ in range(whole.horizon):
        obs, *_, info = env.step(policy.act(obs))
        equity.append(float(info["equity"][0]))
    np.testing.assert_allclose(report.equity.to_numpy()[start:] / 100_000, equity, rtol=1e-9)
