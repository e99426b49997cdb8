"""`MarketEnv`: seeding, resets, rewards, observations, no look-ahead, randomisation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from tradinghf.config import Brackets, CostModel, EnvConfig, Margin, Randomisation, TradingRules
from tradinghf.errors import ConfigError
from tradinghf.market import FeatureScaler, MarketData, synthetic
from tradinghf.simulation import MarketEnv, Transition, simulate
from tradinghf.simulation._rewards import REWARDS
from tradinghf.simulation._windows import spawned

MARKET = synthetic(0, 300, 4)
SHORT = EnvConfig(horizon=12, lookback=4, dtype="float64")
FREE = CostModel(fee_bps=0, slippage_bps=0)


def rollout(env: MarketEnv, steps: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random discrete actions; each result [steps, N]."""
    generator = torch.Generator().manual_seed(seed)
    columns: dict[str, list[torch.Tensor]] = {"obs": [], "reward": [], "done": []}
    for _ in range(steps):
        actions = torch.randint(0, 5, (env.num_envs,), generator=generator)
        obs, reward, _, truncated, info = env.step(actions)
        columns["obs"].append(obs)
        columns["reward"].append(reward)
        columns["done"].append(truncated)
        for name in ("equity", "realised_pnl", "costs", "asset", "start", "bar"):
            if name in info:
                columns.setdefault(name, []).append(info[name])
    return {name: torch.stack(values) for name, values in columns.items()}


# ------------------------------------------------------------------ seeding


def test_same_seed_same_episodes() -> None:
    """REFERENCE §7, gym-trading-env: reset(seed) was ignored."""
    env = MarketEnv(MARKET, num_envs=8, config=SHORT)
    runs = []
    for _ in range(2):
        env.reset(seed=7)
        runs.append(rollout(env, 30))
    for name, values in runs[0].items():
        assert torch.equal(values, runs[1][name]), name
    env.reset(seed=8)
    assert not torch.equal(rollout(env, 30)["start"], runs[0]["start"])


@pytest.mark.parametrize("i", [0, 1, 617, 999])
def test_env_i_of_a_thousand_equals_the_same_env_alone(i: int) -> None:
    many = MarketEnv(MARKET, num_envs=1000, config=SHORT)
    alone = MarketEnv(MARKET, num_envs=1, config=SHORT)
    obs, _ = many.reset(seed=5)
    own, _ = alone.reset(seed=int(spawned(5, 1000)[i]))
    assert torch.equal(obs[i : i + 1], own)
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        actions = torch.randint(0, 5, (1000,), generator=generator)
        a, b = many.step(actions), alone.step(actions[i : i + 1])
        assert torch.equal(a[0][i : i + 1], b[0])
        assert torch.equal(a[1][i : i + 1], b[1])
        assert a[4]["start"][i] == b[4]["start"][0]


def test_permuting_environments_permutes_results() -> None:
    env = MarketEnv(MARKET, num_envs=16, config=SHORT)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    env.reset(seed=0)
    where = {"asset": env.state.asset, "start": env.state.start}
    actions = torch.randint(0, 5, (10, 16), generator=torch.Generator().manual_seed(2))
    env.reset(options=where)
    plain = [env.step(a)[:2] for a in actions]
    env.reset(options={k: v[order] for k, v in where.items()})
    mixed = [env.step(a[order])[:2] for a in actions]
    for (obs, reward), (obs2, reward2) in zip(plain, mixed, strict=True):
        assert torch.equal(obs[order], obs2)
        assert torch.equal(reward[order], reward2)


def test_random_windows_cover_the_market_evenly() -> None:
    env = MarketEnv(MARKET, num_envs=20_000, config=SHORT)
    env.reset(seed=0)
    starts, assets = env.state.start, env.state.asset
    assert int(starts.min()) == 3
    assert int(starts.max()) == MARKET.bars - 1 - 12
    assert torch.bincount(assets).float().std() < 200
    half = (starts < MARKET.bars // 2).float().mean()
    every = torch.arange(3, MARKET.bars - 12)
    expected = (every < MARKET.bars // 2).float().mean()
    assert abs(float(half - expected)) < 0.014  # four standard errors


def test_sequential_windows_walk_through_the_market() -> None:
    config = replace(SHORT, windows="sequential")
    env = MarketEnv(MARKET, num_envs=3, config=config)
    env.reset(seed=0)
    seen = [(int(a), int(s)) for a, s in zip(env.state.asset, env.state.start, strict=True)]
    for _ in range(10 * 12):
        env.step(torch.zeros(3, dtype=torch.long))
        if env._left == 12:
            pairs = zip(env.state.asset, env.state.start, strict=True)
            seen += [(int(a), int(s)) for a, s in pairs]
    expected = [(a, 3 + 12 * k) for a in range(4) for k in range(24)]
    assert seen == expected[: len(seen)]


def test_reset_options_choose_the_window() -> None:
    env = MarketEnv(MARKET, num_envs=2, config=SHORT)
    _, info = env.reset(options={"asset": torch.tensor([1, 3]), "start": torch.tensor([10, 40])})
    assert info["asset"].tolist() == [1, 3]
    assert info["start"].tolist() == [10, 40]
    with pytest.raises(ConfigError, match="expected 3 to 287"):
        env.reset(options={"start": 288})
    with pytest.raises(ConfigError, match="Unknown reset options"):
        env.reset(options={"begin": 3})


# ------------------------------------------------------------------ rewards and info


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("rebalance", [False, True])
def test_log_equity_rewards_sum_to_the_log_return_net_of_all_costs(
    fill: Any, rebalance: bool
) -> None:
    """REFERENCE §7, gym-anytrading: fees were absent from the reward."""
    costs = CostModel(fee_bps=20, fixed_fee=3, slippage_bps=10, borrow_rate=0.3)
    config = replace(SHORT, fill=fill, rebalance=rebalance)
    env = MarketEnv(MARKET, num_envs=200, config=config, costs=costs)
    env.reset(seed=0)
    r = rollout(env, 12)
    torch.testing.assert_close(r["reward"].sum(0), r["equity"][-1].log(), rtol=0, atol=1e-12)
    assert (r["costs"].sum(0) > 0).any()


@pytest.mark.parametrize("name", ["pnl", "sparse_pnl"])
def test_profit_rewards_sum_to_the_net_return(name: str) -> None:
    """REFERENCE §7, FinRL: the terminal reward was counted twice."""
    env = MarketEnv(MARKET, num_envs=200, config=SHORT, reward=name)
    env.reset(seed=0)
    r = rollout(env, 12)
    torch.testing.assert_close(r["reward"].sum(0), r["equity"][-1] - 1, rtol=0, atol=1e-12)
    torch.testing.assert_close(r["realised_pnl"].sum(0), r["equity"][-1] - 1, rtol=0, atol=1e-12)


def test_sparse_profit_is_paid_when_a_round_trip_closes() -> None:
    env = MarketEnv(MARKET, config=SHORT, reward="sparse_pnl", costs=CostModel())
    env.reset(seed=0, options={"asset": [0], "start": [50]})
    path = [4, 4, 4, 2, 2, 2, 0, 0, 4, 4, 4, 4]  # long, flat, short, long to the end
    rewards, equity = [], []
    for action in path:
        _, reward, _, _, info = env.step([action])
        rewards.append(float(reward[0]))
        equity.append(float(info["equity"][0]))
    assert [i for i, r in enumerate(rewards) if r != 0] == [3, 8, 11]
    assert rewards[3] == pytest.approx(equity[3] - 1, abs=1e-12)


def test_a_flip_pays_for_the_trip_it_closes_and_charges_the_rest_to_the_next() -> None:
    costs = CostModel(fee_bps=100, slippage_bps=0)
    env = MarketEnv(constant_market(40), config=SHORT, costs=costs, reward="sparse_pnl")
    env.reset(seed=0)
    shares = 1 / 1.01  # of the starting equity, at a price of 1
    env.step([4])
    _, closed, _, _, _ = env.step([0])  # sells twice the shares; half of the fee closes the long
    assert float(closed[0]) == pytest.approx(-0.01 * shares - 0.01 * shares, rel=1e-9)
    _, rest, _, _, info = env.step([2])
    assert float(closed[0] + rest[0]) == pytest.approx(float(info["equity"][0]) - 1, rel=1e-9)


def test_flip_on_a_flat_price_costs_its_fees() -> None:
    """REFERENCE §7, gym-anytrading: reward 0 while the profit fell to 0.49."""
    market = constant_market(40)
    costs = CostModel(fee_bps=100, slippage_bps=0)
    env = MarketEnv(market, config=SHORT, costs=costs)
    env.reset(seed=0)
    total = 0.0
    for action in [4, 0] * 6:
        _, reward, _, _, info = env.step([action])
        total += float(reward[0])
    assert total == pytest.approx(float(info["equity"][0].log()), abs=1e-12)
    assert float(info["equity"][0]) < 0.85


def constant_market(bars: int, price: float = 1.0) -> MarketData:
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "D")
    flat = np.full((bars, 1), price)
    return MarketData(flat, flat, flat, flat, flat * 100, stamps, ("X",))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**40), st.floats(0, 100), st.sampled_from(["next_open", "close"]))
def test_doing_nothing_keeps_the_equity(seed: int, fee: float, fill: Any) -> None:
    costs = CostModel(fee_bps=fee, fixed_fee=fee, slippage_bps=fee, borrow_rate=0.5)
    env = MarketEnv(MARKET, num_envs=20, config=replace(SHORT, fill=fill), costs=costs)
    env.reset(seed=seed)
    for _ in range(12):
        _, reward, _, _, info = env.step(torch.full((20,), 2))
        assert (reward == 0).all()
        assert (info["equity"] == 1).all()


def test_an_indicator_of_one_blocks_no_trade() -> None:
    """REFERENCE §7, FinRL: an indicator equal to 1.0 silently blocked that bar's trade."""
    own = np.ones((40, 1))
    env = MarketEnv(constant_market(40), config=SHORT, own_features=own)
    env.reset(seed=0)
    _, _, _, _, info = env.step([4])
    assert float(info["position"][0]) == pytest.approx(1.0, abs=1e-9)


def test_trades_do_not_happen_at_the_observed_close() -> None:
    """REFERENCE §7, FinRL: trades at the close whose value is in the observation."""
    env = MarketEnv(MARKET, config=SHORT, costs=FREE)
    env.reset(options={"asset": [0], "start": [20]})
    _, _, _, _, info = env.step([4])
    assert float(info["price"][0]) == MARKET.open[21, 0] != MARKET.close[20, 0]
    close = MarketEnv(MARKET, config=replace(SHORT, fill="close"), costs=FREE)
    close.reset(options={"asset": [0], "start": [20]})
    assert float(close.step([4])[4]["price"][0]) == MARKET.close[20, 0]


def test_info_describes_the_transition_by_hand() -> None:
    env = MarketEnv(MARKET, config=SHORT, costs=CostModel(fee_bps=10, slippage_bps=5))
    env.reset(options={"asset": [1], "start": [30]})
    _, reward, _, _, info = env.step([3])
    price = MARKET.open[31, 1] * 1.0005
    shares = 0.5 * 100_000 / MARKET.open[31, 1]
    cash = 100_000 - shares * price * 1.001
    equity = cash + shares * MARKET.close[31, 1]
    assert float(info["price"][0]) == pytest.approx(price, rel=1e-12)
    assert float(info["equity"][0]) == pytest.approx(equity / 1e5, rel=1e-12)
    assert float(info["position"][0]) == pytest.approx(
        shares * MARKET.close[31, 1] / equity, rel=1e-12
    )
    costs = shares * price * 0.001 + shares * MARKET.open[31, 1] * 0.0005
    assert float(info["costs"][0]) == pytest.approx(costs / 1e5, rel=1e-9)
    assert float(info["turnover"][0]) == pytest.approx(shares * price / 1e5, rel=1e-12)
    assert float(info["close"][0]) == MARKET.close[31, 1]
    assert int(info["bar"][0]) == 31
    assert float(reward[0]) == pytest.approx(np.log(equity / 1e5), rel=1e-9)
    held = env.step([3])[4]
    assert float(held["turnover"][0]) == 0, "an unchanged target is no order"
    assert bool(held["price"].isnan()[0])


def test_rebalance_trades_the_drift_back() -> None:
    env = MarketEnv(MARKET, config=replace(SHORT, rebalance=True))
    env.reset(seed=0)
    env.step([3])
    assert float(env.step([3])[4]["turnover"][0]) > 0


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_every_reward_is_finite_through_ruin(name: str) -> None:
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(30) * np.timedelta64(1, "D")
    close = np.full((30, 1), 100.0)
    close[10:] = 350.0
    market = MarketData(close, close, close, close, close, stamps, ("X",))
    env = MarketEnv(market, config=SHORT, reward=name)
    env.reset(options={"asset": [0], "start": [5]})
    rewards = []
    for action in [0] * 8 + [4] * 4:
        _, reward, terminated, _, info = env.step([action])
        rewards.append(float(reward[0]))
        assert not bool(terminated[0])
    assert np.isfinite(rewards).all()
    assert float(info["equity"][0]) == 0
    assert float(info["position"][0]) == 0
    assert float(info["debt"][0]) > 1
    if name == "log_equity":
        assert sum(rewards) == pytest.approx(np.log(SHORT.ruin))
        assert rewards[6:] == [0.0] * 6, "ruin is absorbing"


def test_differential_sharpe_by_hand() -> None:
    """Moody & Saffell's formula, one bar at a time."""
    env = MarketEnv(MARKET, config=SHORT, reward="differential_sharpe")
    env.reset(options={"asset": [0], "start": [40]})
    a = b = 0.0
    last = 1.0
    for step in range(12):
        _, reward, _, _, info = env.step([4])
        equity = float(info["equity"][0])
        change = equity / last - 1
        variance = b - a * a
        if variance > 1e-12:
            raw = (b * (change - a) - 0.5 * a * (change**2 - b)) / variance**1.5
            assert float(reward[0]) == pytest.approx(np.clip(raw, -10, 10), rel=1e-6), step
        a, b, last = a + (change - a) / 64, b + (change**2 - b) / 64, equity


def test_drawdown_penalty_and_a_reward_of_ones_own() -> None:
    def mine(t: Transition) -> torch.Tensor:
        return t.equity - t.previous - 0.5 * t.turnover

    env = MarketEnv(MARKET, num_envs=3, config=SHORT, reward=mine)
    env.reset(seed=0)
    before = torch.ones(3, dtype=torch.float64)
    for action in ([4, 0, 2], [2, 4, 0]):
        _, reward, _, _, info = env.step(action)
        expected = info["equity"] - before - 0.5 * info["turnover"]
        torch.testing.assert_close(reward, expected, rtol=0, atol=1e-12)
        before = info["equity"]
    penalised = MarketEnv(MARKET, num_envs=50, config=SHORT, reward="drawdown_penalised")
    plain = MarketEnv(MARKET, num_envs=50, config=SHORT)
    sums = []
    for env in (penalised, plain):
        env.reset(seed=0)
        sums.append(rollout(env, 12)["reward"].sum(0))
    assert (sums[0] <= sums[1] + 1e-12).all()
    assert (sums[0] < sums[1]).any()


# ------------------------------------------------------------------ autoreset


def test_same_step_autoreset_returns_the_next_episode_and_the_final_observation() -> None:
    env = MarketEnv(MARKET, num_envs=3, config=SHORT)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    env.reset(seed=0)
    for _ in range(11):
        *_, truncated, info = env.step([2, 3, 4])
        assert not truncated.any()
        assert "final_obs" not in info
    obs, _, terminated, truncated, info = env.step([2, 3, 4])
    assert truncated.all()
    assert not terminated.any()
    assert info["_final_obs"].all()
    assert (info["bar"] - info["start"] == 12).all(), "info is about the transition"
    torch.testing.assert_close(obs, env.observe(env.state))
    assert (env.state.bar == env.state.start).all()
    assert not torch.equal(obs, info["final_obs"])


def test_next_step_autoreset_ignores_the_action_after_the_end() -> None:
    env = MarketEnv(MARKET, num_envs=3, config=replace(SHORT, autoreset="next_step"))
    env.reset(seed=0)
    for _ in range(12):
        obs, _, _, truncated, _ = env.step([4, 4, 4])
    assert truncated.all()
    assert (env.state.bar - env.state.start == 12).all()
    obs, reward, _, truncated, _ = env.step([0, 0, 0])
    assert not truncated.any()
    assert (reward == 0).all()
    assert (env.state.bar == env.state.start).all()
    assert torch.equal(obs, env.observe(env.state))


def test_disabled_autoreset_needs_a_reset_and_takes_a_mask() -> None:
    env = MarketEnv(MARKET, num_envs=3, config=replace(SHORT, autoreset="disabled"))
    with pytest.raises(ResetNeeded):
        env.step([2, 2, 2])
    env.reset(seed=0)
    for _ in range(12):
        *_, truncated, _ = env.step([2, 2, 2])
    assert truncated.all()
    with pytest.raises(ResetNeeded, match="autoreset is disabled"):
        env.step([2, 2, 2])
    env.reset(options={"reset_mask": np.array([True, False, True])})
    _, reward, _, truncated, _ = env.step([4, 4, 4])
    assert truncated.tolist() == [False, True, False]
    assert float(reward[1]) == 0
    assert (env.state.bar - env.state.start).tolist() == [1, 12, 1]


@pytest.mark.parametrize("mode", ["same_step", "next_step"])
def test_masked_resets_keep_every_environment_on_its_own_clock(mode: Any) -> None:
    """After a masked reset each environment goes on as if it had been alone."""
    config = replace(SHORT, autoreset=mode)
    env = MarketEnv(MARKET, num_envs=2, config=config)
    alone = MarketEnv(MARKET, num_envs=1, config=config)
    env.reset(seed=3)
    alone.reset(seed=3)
    actions = torch.randint(0, 5, (40, 2), generator=torch.Generator().manual_seed(0))
    for t, action in enumerate(actions):
        if t == 5:
            env.reset(options={"reset_mask": torch.tensor([False, True])})
        a, b = env.step(action), alone.step(action[:1])
        assert torch.equal(a[0][:1], b[0]), t
        assert torch.equal(a[1][:1], b[1]), t
        assert torch.equal(a[3][:1], b[3]), t


def test_a_saved_state_continues_identically() -> None:
    env = MarketEnv(MARKET, num_envs=4, config=SHORT)
    env.reset(seed=0)
    rollout(env, 7)
    saved = env.state
    one = rollout(env, 20, seed=1)
    env.state = saved
    two = rollout(env, 20, seed=1)
    assert all(torch.equal(v, two[k]) for k, v in one.items())


# ------------------------------------------------------------------ observations


def test_observation_is_the_window_and_the_account() -> None:
    env = MarketEnv(MARKET, num_envs=2, config=SHORT)
    env.reset(options={"asset": [2, 3], "start": [50, 60]})
    obs, *_ = env.step([4, 2])
    assert obs.shape == (2, env.obs_dim) == (2, 4 * 5 + 4)
    assert obs.dtype == torch.float32
    from tradinghf.market import features

    scaled = env.scaler.apply(features(MARKET, SHORT.features))
    np.testing.assert_allclose(obs[0, :20].numpy(), scaled[48:52, 2].reshape(-1).astype(np.float32))
    position, profit, since, drawdown = obs[0, 20:].tolist()
    assert position == pytest.approx(1, abs=0.05)
    assert profit != 0
    assert since == 0
    assert 0 <= drawdown < 0.2
    assert obs[1, 20:].tolist() == pytest.approx([0, 0, 1 / 12, 0])
    torch.testing.assert_close(
        obs[:, :20], env.market_obs(torch.tensor([2, 3]), torch.tensor([51, 61]))
    )


def test_dict_observations_have_the_same_parts() -> None:
    flat = MarketEnv(MARKET, num_envs=3, config=SHORT)
    parts = MarketEnv(MARKET, num_envs=3, config=replace(SHORT, observation="dict"))
    a, _ = flat.reset(seed=0)
    b, _ = parts.reset(seed=0)
    assert torch.equal(a, torch.cat([b["market"], b["account"]], dim=1))
    for _ in range(13):
        a, *_ = flat.step([4, 0, 1])
        b, *_ = parts.step([4, 0, 1])
    assert torch.equal(a, torch.cat([b["market"], b["account"]], dim=1))


def test_own_features_join_the_observation() -> None:
    own = pd.DataFrame({"mine": np.linspace(-1, 1, MARKET.bars)}, index=MARKET.index)
    config = replace(SHORT, features=())
    env = MarketEnv(MARKET, num_envs=1, config=config, own_features=own)
    env.reset(options={"asset": [1], "start": [100]})
    expected = env.scaler.apply(own.to_numpy()[97:101])[:, 0]
    np.testing.assert_allclose(env.observe(env.state)[0, :4].numpy(), expected, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"lacks 1 of the 300 bars .* Reindex it"):
        MarketEnv(MARKET, config=config, own_features=own.iloc[1:])


def test_what_was_given_follows_to_other_bars() -> None:
    """Tables by time anywhere they reach, arrays to bars among their own; never silently lost."""
    past, later = MARKET.rows(0, 200), MARKET.rows(200, 300)
    listed = pd.DataFrame(True, MARKET.index, MARKET.symbols)
    listed.iloc[250:, 1] = False
    own = pd.DataFrame({"mine": np.linspace(-1, 1, MARKET.bars)}, index=MARKET.index)
    costs = CostModel(fee_bps=7.0)
    env = MarketEnv(past, num_envs=3, config=SHORT, own_features=own, member=listed, costs=costs)
    other = env.like(later, num_envs=2)
    assert (other.num_envs, other.config, other.costs) == (2, env.config, env.costs)
    assert other.scaler is env.scaler
    assert other.dynamics.windows.allowed is not None
    assert other.obs_dim == env.obs_dim

    arrays = {"own_features": np.random.default_rng(0).normal(size=(200, 4, 2))}
    arrays["funding"] = np.arange(800.0).reshape(200, 4) / 1e6
    env = MarketEnv(past, num_envs=1, config=SHORT, **arrays)
    part = env.like(past.rows(50, 150).select(past.symbols[2:]), num_envs=1)
    told = part.dynamics.bars.rows[:, part.dynamics.bars.columns.index("funding"), 0].numpy()
    np.testing.assert_allclose(told.reshape(2, 100).T, arrays["funding"][50:150, 2:], rtol=1e-6)
    with pytest.raises(ConfigError, match=r"own_features .*says nothing about others"):
        env.like(later, num_envs=1)


def test_normalisation_is_that_of_the_training_window() -> None:
    train, test = MARKET.rows(0, 200), MARKET.rows(200, 300)
    env = MarketEnv(train, config=SHORT)
    later = MarketEnv(test, config=SHORT, scaler=env.scaler)
    assert later.scaler is env.scaler
    louder = replace(test, close=test.close * 1.0)
    assert MarketEnv(louder, config=SHORT, scaler=env.scaler).scaler == env.scaler
    assert MarketEnv(test, config=SHORT).scaler != env.scaler


def test_the_review_period_bounds_drawdown_on_long_runs() -> None:
    """A run as long as the market shows the agent what short episodes showed it."""
    long = replace(SHORT, horizon=200, review=12)
    env = MarketEnv(MARKET, config=long)
    env.reset(options={"asset": [0], "start": [20]})
    equity = [1.0]
    for t in range(1, 60):
        obs, *_, info = env.step([4])
        equity.append(float(info["equity"][0]))
        begin = t - t % 12
        peak = max(equity[begin : t + 1])
        assert float(obs[0, -1]) == pytest.approx(1 - equity[-1] / peak, abs=1e-6)


# ------------------------------------------------------------------ no look-ahead

MODES = {
    "plain": SHORT,
    "close": replace(SHORT, fill="close"),
    "dict": replace(SHORT, observation="dict"),
    "rebalance": replace(SHORT, rebalance=True),
    "brackets": replace(SHORT, brackets=Brackets(0.02, 0.03, 0.04)),
    "volume": replace(SHORT, rules=TradingRules(participation=0.05)),
    "margin": replace(SHORT, actions="continuous", margin=Margin(3, 0.1, 50)),
    "portfolio": replace(SHORT, actions="continuous", portfolio=True),
}


@pytest.mark.parametrize("mode", sorted(MODES))
def test_the_future_changes_nothing_that_was_seen_or_paid(mode: str) -> None:
    """Perturbing the bars after t leaves everything up to t equal, bit for bit."""
    config = MODES[mode]
    rng = np.random.default_rng(0)
    scaler = MarketEnv(MARKET, config=config).scaler
    costs = CostModel(impact=0.3, borrow_rate=0.2)
    before = play(MARKET, config, scaler, costs, start=100)
    for cut in rng.integers(101, 112, 4):
        other = perturbed(MARKET, int(cut), int(cut))
        after = play(other, config, scaler, costs, start=100)
        seen = int(cut) - 100  # steps whose bars are all known
        for name, values in before.items():
            assert np.array_equal(values[:seen], after[name][:seen], equal_nan=True), (name, cut)
        assert not np.array_equal(before["equity"], after["equity"])


def perturbed(market: MarketData, cut: int, seed: int) -> MarketData:
    """Other bars from `cut` + 1 on."""
    rng = np.random.default_rng(seed)
    factor = np.ones(market.close.shape)
    factor[cut + 1 :] = np.exp(rng.normal(0, 0.05, factor[cut + 1 :].shape))
    changed = {n: getattr(market, n) * factor for n in ("open", "high", "low", "close", "volume")}
    return replace(market, **changed)


def play(
    market: MarketData, config: EnvConfig, scaler: FeatureScaler, costs: CostModel, start: int
) -> dict[str, np.ndarray]:
    """Observations [1 + L], and [1 + L] rewards and equity, of fixed actions."""
    env = MarketEnv(market, num_envs=2, config=config, scaler=scaler, costs=costs)
    where = {"start": start} if config.portfolio else {"asset": [0, 2], "start": start}
    obs, _ = env.reset(seed=0, options=where)
    rng = np.random.default_rng(9)
    rows: dict[str, list[Any]] = {"obs": [], "reward": [], "equity": []}

    def keep(obs: Any, reward: torch.Tensor, equity: torch.Tensor) -> None:
        parts = obs.values() if isinstance(obs, dict) else [obs]
        rows["obs"].append(torch.cat(list(parts), 1).numpy())
        rows["reward"].append(reward.numpy())
        rows["equity"].append(equity.numpy())

    keep(obs, torch.zeros(2), torch.ones(2))
    for _ in range(config.horizon):
        if config.actions == "continuous":
            actions = rng.uniform(-1, 1, (2, env.dynamics.observer.assets))
        else:
            actions = rng.integers(0, 5, 2)
        obs, reward, _, truncated, info = env.step(actions)
        keep(info["final_obs"] if truncated.any() else obs, reward, info["equity"])
    return {name: np.array(values) for name, values in rows.items()}


# ------------------------------------------------------------------ env = simulate


@pytest.mark.parametrize("mode", ["plain", "close", "brackets", "volume", "margin"])
def test_an_episode_equals_the_open_loop_backtest(mode: str) -> None:
    config = replace(MODES[mode], horizon=200)
    costs = CostModel(fee_bps=3, fixed_fee=1, slippage_bps=2, borrow_rate=0.1)
    weights = np.random.default_rng(0).choice([-1.0, -0.5, 0.0, 0.7, np.nan], (300, 1))
    weights[:10] = np.nan  # the account is flat until the episode starts
    env = MarketEnv(MARKET, config=config, costs=costs)
    env.reset(options={"asset": [1], "start": [10]})
    steps = [env.step_weights(weights[t])[4] for t in range(10, 210)]
    one = MARKET.select([MARKET.symbols[1]])
    result = simulate(one, weights, costs=costs, fill=config.fill, config=config)
    if config.fill == "close":
        # simulate's equity of bar t is after the fills at its close: compare shares' values before.
        moved = (
            result.cash[:-1] + (result.shares[:-1] * one.close[1:]).sum(1) - result.financing[1:]
        )
        ours = moved[10:210]
    else:
        ours = result.equity[11:211]
    equity = np.array([float(info["equity"][0]) for info in steps])
    np.testing.assert_allclose(equity, ours / 100_000, rtol=1e-9)
    assert len(result.fills) > 50


# ------------------------------------------------------------------ randomisation


def test_costs_are_drawn_per_episode_and_environment() -> None:
    config = replace(SHORT, randomise=Randomisation(fee_bps=(0, 50), slippage_bps=(5, 5)))
    env = MarketEnv(MARKET, num_envs=500, config=config, costs=CostModel(spread_bps=4))
    env.reset(seed=0)
    fees = env.state.fee
    assert fees is not None
    assert 0 <= float(fees.min()) < 0.0005
    assert 0.0045 < float(fees.max()) < 0.005
    assert env.state.slippage is not None
    torch.testing.assert_close(env.state.slippage, torch.full((500, 1), 7e-4, dtype=torch.float64))
    _, _, _, _, info = env.step(torch.full((500,), 4))
    expected = (fees + 7e-4 / (1 + 7e-4))[:, 0]
    shown = info["costs"] / info["turnover"]
    torch.testing.assert_close(shown, expected, rtol=1e-6, atol=0)
    rollout(env, 11)
    assert not torch.equal(env.state.fee, fees)


def test_bootstrap_paths_are_more_assets() -> None:
    config = replace(SHORT, randomise=Randomisation(bootstrap_paths=3, bootstrap_block=10))
    env = MarketEnv(MARKET, num_envs=400, config=config, seed=1)
    assert env.market.assets == 16
    env.reset(seed=0)
    assert set(env.state.asset.tolist()) == set(range(16))
    with pytest.raises(ConfigError, match="resamples bars only"):
        MarketEnv(MARKET, config=config, own_features=np.zeros((300, 1)))


def test_single_asset_episodes_stay_within_their_listing() -> None:
    member = np.ones((300, 4), dtype=bool)
    member[:150, 0] = False
    member[100:, 1] = False
    member[:, 2] = False
    env = MarketEnv(MARKET, num_envs=2000, config=SHORT, member=member)
    env.reset(seed=0)
    s = env.state
    assert not (s.asset == 2).any()
    assert int(s.start[s.asset == 0].min()) >= 150
    assert int(s.start[s.asset == 1].max()) + 12 < 100


# ------------------------------------------------------------------ portfolio, margin, exits


def test_portfolio_actions_are_weights_of_a_shared_purse() -> None:
    config = replace(SHORT, actions="continuous", portfolio=True)
    env = MarketEnv(MARKET, num_envs=3, config=config, costs=FREE)
    assert env.single_action_space.shape == (4,)
    env.reset(seed=0)
    _, _, _, _, info = env.step(np.tile([0.4, 0.4, -0.2, 0.0], (3, 1)))
    torch.testing.assert_close(
        info["position"].sum(1), torch.full((3,), 0.6, dtype=torch.float64), atol=0.1, rtol=0
    )
    assert info["position"].shape == info["close"].shape == (3, 4)


def test_an_exit_frees_the_target_for_a_new_order() -> None:
    close = np.r_[np.full(20, 100.0), 80.0, np.full(20, 80.0)][:, None]
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(41) * np.timedelta64(1, "D")
    opened = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    market = MarketData(opened, high, low, close, close, stamps, ("X",))
    config = replace(SHORT, brackets=Brackets(stop_loss=0.1))
    env = MarketEnv(market, config=config, costs=FREE)
    env.reset(options={"asset": [0], "start": [16]})
    positions = [float(env.step([4])[4]["position"][0]) for _ in range(6)]
    assert positions == pytest.approx([1, 1, 1, 0, 1, 1])
    assert float(env.state.ledger.equity[0, 0]) == pytest.approx(90_000)


# ------------------------------------------------------------------ compiled and on a GPU


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # inductor's own imports
@pytest.mark.parametrize("mode", ["plain", "margin"])
def test_compiled_steps_equal_eager_ones_bit_for_bit(mode: str) -> None:
    config = MODES[mode]
    envs = [MarketEnv(MARKET, num_envs=67, config=config, engine=e) for e in ("tensor", "compiled")]
    rng = np.random.default_rng(0)
    for env in envs:
        env.reset(seed=0)
    for _ in range(14):
        discrete = config.actions == "discrete"
        actions = rng.integers(0, 5, 67) if discrete else rng.uniform(-1, 1, 67)
        a, b = (env.step(actions) for env in envs)
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])
        assert torch.equal(a[4]["equity"], b[4]["equity"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", sorted(MODES))
def test_gpu_equals_cpu(mode: str) -> None:
    config = MODES[mode]
    envs = [MarketEnv(MARKET, num_envs=33, config=config, device=d) for d in ("cpu", "cuda")]
    for env in envs:
        env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(30):
        if config.actions == "continuous":
            actions = rng.uniform(-1, 1, (33, envs[0].dynamics.observer.assets))
        else:
            actions = rng.integers(0, 5, 33)
        a, b = (env.step(actions) for env in envs)
        torch.testing.assert_close(a[1], b[1].cpu(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(a[4]["equity"], b[4]["equity"].cpu(), rtol=1e-9, atol=0)
        assert torch.equal(a[4]["start"], b[4]["start"].cpu())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_on_the_gpu_never_waits_for_it() -> None:
    env = MarketEnv(MARKET, num_envs=33, config=SHORT, device="cuda")
    env.reset(seed=0)
    actions = torch.randint(0, 5, (33,), device="cuda")
    env.step(actions)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(20):
            env.step(actions)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="an episode needs lookback \\+ horizon"):
        MarketEnv(MARKET.rows(0, 20), config=replace(SHORT, horizon=30))
    with pytest.raises(ConfigError, match="Did you mean 'log_equity'"):
        MarketEnv(MARKET, reward="log_equty")
    with pytest.raises(ConfigError, match="below 1/leverage"):
        Margin(leverage=5, maintenance=0.3)
    with pytest.raises(ConfigError, match="num_envs"):
        MarketEnv(MARKET, num_envs=0)


def test_sequential_windows_keep_to_the_listing() -> None:
    member = np.ones((300, 4), dtype=bool)
    member[:150, 0] = False
    member[:, 1:] = False
    env = MarketEnv(MARKET, num_envs=4, config=replace(SHORT, windows="sequential"), member=member)
    env.reset(seed=0)
    assert env.state.start.tolist() == [150, 162, 174, 186]
    with pytest.raises(ConfigError, match="no asset is listed for 13 bars"):
        MarketEnv(MARKET, config=SHORT, member=np.zeros((300, 4), dtype=bool))


# ------------------------------------------------------------------ what reset may be given


@pytest.mark.parametrize(
    "seeds",
    [np.array([5, 9]), torch.tensor([5, 9]), (np.int64(5), 9), range(5, 10, 4)],
    ids=["array", "tensor", "tuple", "range"],
)
def test_seeds_may_come_as_an_array_or_any_sequence(seeds: Any) -> None:
    expected, _ = MarketEnv(MARKET, num_envs=2, config=SHORT).reset(seed=[5, 9])
    obs, _ = MarketEnv(MARKET, num_envs=2, config=SHORT).reset(seed=seeds)
    assert torch.equal(obs, expected)
    one, _ = MarketEnv(MARKET, config=SHORT).reset(seed=np.int64(9))
    assert torch.equal(obs[1:], one)


BAD_SEEDS = [-1, 2**70, 2**63, 1.5, 3.0, "7", b"7", np.nan, np.array([1.0, 2.0]), [1, -2]]
BAD_SEEDS += [[1, 2, 3], np.array([7]), [], np.zeros((2, 2), int), [1, None], {"seed": 1}]


@pytest.mark.parametrize("seed", BAD_SEEDS, ids=map(str, BAD_SEEDS))
def test_seeds_that_do_not_fit_are_refused_by_name(seed: Any) -> None:
    env = MarketEnv(MARKET, num_envs=2, config=SHORT)
    with pytest.raises(ConfigError, match=r"reset.*seed.*expected"):
        env.reset(seed=seed)
    if not isinstance(seed, list | np.ndarray):
        with pytest.raises(ConfigError, match=r"seed is .*expected a whole number from 0"):
            MarketEnv(MARKET, config=SHORT, seed=seed)


BAD_OPTIONS: list[tuple[Any, str]] = [
    ({"start": "early"}, "'start' is 'early'; expected a whole number, or 2"),
    ({"start": 10.5}, "'start' is 10.5; expected a whole number"),
    ({"start": np.nan}, "'start' is nan"),
    ({"start": [10, 20, 30]}, "expected a whole number, or 2: one for each environment"),
    ({"start": [[10, 20]]}, "expected a whole number"),
    ({"start": 2**70}, "expected a whole number"),
    ({"start": 288}, r"runs from 288 to 288; expected 3 to 287 \(300 bars, lookback 4, horizon 12"),
    ({"asset": [0, -1]}, "'asset' runs from -1 to 0; expected 0 to 3"),
    ({"reset_mask": [True, False, True]}, "'reset_mask'"),
    ({"reset_mask": [1, 2]}, "'reset_mask' runs from 1 to 2; expected 0 to 1"),
    ({"begin": 3, 4: 5}, r"Unknown reset options \['4', 'begin'\]"),
    ([("start", 3)], "expected a dict such as"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=[m for _, m in BAD_OPTIONS])
def test_options_that_do_not_fit_are_refused_by_name(options: Any, message: str) -> None:
    env = MarketEnv(MARKET, num_envs=2, config=SHORT)
    env.reset(seed=0)
    before = env.state.start
    with pytest.raises(ConfigError, match=message):
        env.reset(options=options)
    assert torch.equal(env.state.start, before)


def test_options_take_whole_numbers_of_any_type() -> None:
    env = MarketEnv(MARKET, num_envs=2, config=SHORT)
    _, info = env.reset(options={"start": np.array([10.0, 20.0]), "asset": 1, "reset_mask": None})
    assert info["start"].tolist() == [10, 20]
    assert info["asset"].tolist() == [1, 1]
