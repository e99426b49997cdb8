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
from tradinghf.config import Allocation, Margin
from tradinghf.errors import ConfigError
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


# ------------------------------------------------------------------ limits of an allocation


def limits_hold(
    weights: torch.Tensor, rules: Allocation, leverage: float, *, drift: float = 0.0
) -> None:
    """Gross, net and single weights [N, A] are within their limits."""
    slack = 1e-5 + drift
    assert float(weights.abs().sum(1).max()) <= leverage + slack
    if rules.most:
        assert float(weights.abs().max()) <= rules.most + slack
    if rules.net is not None:
        assert float(weights.sum(1).abs().max()) <= rules.net + rules.band + slack
    if rules.mapping == "softmax":
        assert float(weights.min()) >= -slack


allocations = st.builds(
    Allocation,
    mapping=st.sampled_from(["scaled", "scaled", "softmax"]),
    most=st.sampled_from([0.0, 0.1, 0.3]),
    names=st.sampled_from([0, 1, 3]),
    band=st.sampled_from([0.0, 0.02, 0.2]),
)


@settings(max_examples=40, deadline=None)
@given(
    allocations,
    st.sampled_from([None, 0.0, 0.25]),
    st.sampled_from([1.0, 2.0]),
    st.booleans(),
    st.sampled_from(["continuous", "discrete"]),
    st.integers(0, 2**31),
)
def test_every_limit_holds_for_random_actions(
    rules: Allocation, net: float | None, leverage: float, rebalance: bool, kind: str, seed: int
) -> None:
    """At every fill, whatever is done, also where members of the universe come and go."""
    rules = replace(rules, net=net if rules.mapping == "scaled" else None)
    task = replace(
        TASK,
        actions=kind,
        allocation=rules,
        rebalance=rebalance,
        margin=Margin(leverage=leverage),
        fill="close",
        horizon=16,
    )
    rng = np.random.default_rng(seed)
    listed = rng.random((MARKET.bars // 10 + 1, 5)).repeat(10, axis=0)[: MARKET.bars] < 0.9
    env = MarketEnv(MARKET, num_envs=3, config=task, costs=FREE, member=listed)
    env.reset(seed=seed % 1000)
    actions: Any = rng.uniform(-1, 1, (3, 5))
    for step in range(16):
        before = actions
        if kind == "discrete":
            actions = rng.integers(0, 5, (3, 5))
        else:
            actions = rng.uniform(-1, 1, (3, 5))
            actions[0] = actions[0] if step % 3 == 0 else before[0]
            actions[1] = np.where(rng.random(5) < 0.3, np.nan, actions[1])
            actions[2] = np.sign(actions[2])
        wanted = env.targets(actions)
        held, orders = env._standing()[0], env.orders(actions)
        now = torch.as_tensor(listed[env.state.bar.numpy()])
        after = torch.where(orders.isnan(), held, orders)
        limits_hold(torch.where(wanted.isnan(), 0.0, wanted), rules, leverage)
        whole = now.all(1)  # elsewhere the step itself closes what is delisted
        if bool(whole.any()):
            limits_hold(after[whole], rules, leverage)
        assert bool((wanted[~now] == 0).all())
        if rules.names:
            assert int((wanted.nan_to_num(0) != 0).sum(1).max()) <= rules.names
        env.step(actions)


def test_softmax_shares_the_account_out_with_cash_as_one_more_asset() -> None:
    config = replace(TASK, allocation=Allocation(mapping="softmax"))
    env = MarketEnv(MARKET, num_envs=4, config=config, costs=FREE)
    env.reset(seed=0)
    scores = np.array([[0.0] * 5, [-1.0] * 5, [1.0] * 5, [1.0, 0, 0, 0, 0]])
    weights = env.targets(scores).numpy()
    np.testing.assert_allclose(weights[0], 0.1, atol=1e-9)
    assert weights[1].sum() < 0.01
    assert weights[2].sum() > 0.99
    np.testing.assert_allclose(weights[3, 0] / weights[3, 1], np.exp(5), rtol=1e-9)


def test_a_dollar_neutral_book_ranks_assets_against_each_other() -> None:
    rules = Allocation(net=0.0, names=2)
    env = MarketEnv(MARKET, num_envs=1, config=replace(TASK, allocation=rules), costs=FREE)
    env.reset(seed=0)
    weights = env.targets([[0.9, 0.8, 0.7, 0.6, 0.1]]).numpy()[0]
    np.testing.assert_allclose(weights[[0, 4]], [0.4, -0.4], atol=1e-9)
    np.testing.assert_allclose(weights[1:4], 0)
    capped = replace(TASK, allocation=Allocation(net=0.0, most=0.1))
    env = MarketEnv(MARKET, num_envs=1, config=capped, costs=FREE)
    env.reset(seed=0)
    weights = env.targets([[1.0, 0.0, 0.0, 0.0, 0.0]]).numpy()[0]
    np.testing.assert_allclose(weights, [0.1, -0.025, -0.025, -0.025, -0.025], atol=1e-9)


def test_within_the_band_nothing_is_traded() -> None:
    turnovers = []
    for band in (0.0, 0.05):
        task = replace(TASK, rebalance=True, allocation=Allocation(band=band))
        env = MarketEnv(MARKET, num_envs=1, config=task, costs=FREE)
        env.reset(seed=0)
        steps = [env.step([[0.15] * 5])[-1]["turnover"] for _ in range(16)]
        turnovers.append(float(torch.stack(steps[1:]).sum()))
    assert turnovers[0] > 0.01
    assert turnovers[1] == 0
    env.step([[0.0] * 5])
    assert float(env.state.ledger.account.shares.abs().max()) == 0, "closing is always an order"


def test_impossible_allocations_are_refused() -> None:
    with pytest.raises(ConfigError, match="longs only"):
        Allocation(mapping="softmax", net=0.0)
    with pytest.raises(ConfigError, match=">= 0"):
        Allocation(net=-0.1)
    with pytest.raises(ConfigError, match="mapping"):
        Allocation(mapping="projected")  # type: ignore[arg-type]
    assert EnvConfig(allocation={"most": 0.2}).allocation == Allocation(most=0.2)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("leverage", [1.0, 2.0])
def test_compiled_orders_of_portfolios_are_the_same_bits(dtype: Any, leverage: float) -> None:
    config = replace(TASK, margin=Margin(leverage=leverage))
    like, rng = torch.zeros(1, dtype=dtype), np.random.default_rng(0)
    plain = ActionMap.of(config, 400, 5, like)
    quick = replace(plain, compiled=True)
    wanted = rng.uniform(-1.2, 1.2, (400, 5)) * rng.choice([0.1, 1.0, 3.0], (400, 1))
    wanted[rng.random(wanted.shape) < 0.2] = np.nan
    held = rng.uniform(-1, 1, (400, 5)) * rng.choice([0.05, 0.4, 2.0], (400, 1))
    last = np.where(rng.random(wanted.shape) < 0.4, wanted, 0.3)
    wanted, held, last = (torch.as_tensor(x, dtype=dtype) for x in (wanted, held, last))
    assert torch.equal(*(m.weights(wanted).nan_to_num(9) for m in (plain, quick)))
    for before in (None, last):
        orders = [m.orders(wanted, held.T.contiguous().T, before) for m in (plain, quick)]
        assert torch.equal(orders[0].isnan(), orders[1].isnan())
        assert torch.equal(orders[0].nan_to_num(9), orders[1].nan_to_num(9))
        assert 0 < int(orders[0].isnan().sum()) < orders[0].numel()
