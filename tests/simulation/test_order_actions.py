"""Limit and stop orders as actions: equal to `simulate` on the same orders, and trained on."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig, Overlay
from tradinghf.errors import ConfigError
from tradinghf.evaluation import backtest, signal
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic, Policy
from tradinghf.learning.ppo import PPO, Stream, env_reward
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv, simulate

MARKET = synthetic(seed=3, bars=300, assets=1)
ORDERS = ("market", "limit0.7", "stop0.6")
COSTS = CostModel(fee_bps=3, slippage_bps=4)
Table = dict[str, Any]


def acted(env: MarketEnv, first: int, bars: int) -> tuple[Table, Any]:
    """Orders [T, 1] of random actions, every second one repeated, and equity after each bar."""
    generator, last = torch.Generator().manual_seed(0), None
    tables = {name: np.full((env.market.bars, 1), np.nan) for name in ("size", "limit", "stop")}
    env.reset(seed=0, options={"start": first, "asset": 0})
    equity = [1.0]
    for bar in range(first, first + bars):
        draw = torch.rand((1, 2), generator=generator) * 2 - 1
        action = torch.randint(15, (1,), generator=generator)
        action = action if env.config.actions == "discrete" else draw
        last = action if last is None or bool(draw[0, 0] > 0) else last
        asked = env.priced_orders(last)
        for name, table in tables.items():
            table[bar] = getattr(asked, name).numpy()
        equity.append(float(env.step(last)[4]["equity"]))
    return tables, np.array(equity)


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
@pytest.mark.parametrize("rebalance", [False, True])
@pytest.mark.parametrize("fill", ["next_open", "close"])
def test_the_account_is_that_of_simulate_on_the_same_orders(
    fill: Any, rebalance: bool, actions: Any
) -> None:
    config = EnvConfig(
        horizon=290, lookback=4, actions=actions, orders=ORDERS, dtype="float64",
        fill=fill, rebalance=rebalance,
    )  # fmt: skip
    # At a close, the environment's equity is that before what is decided there has filled.
    costs = COSTS if fill == "next_open" else CostModel(fee_bps=0, slippage_bps=0, spread_bps=0)
    env = MarketEnv(MARKET, config=config, costs=costs)
    tables, equity = acted(env, 3, 290)
    size, prices = tables["size"], {name: tables[name] for name in ("limit", "stop")}
    oracle = simulate(MARKET, size, **prices, costs=costs, fill=fill, config=config)
    np.testing.assert_allclose(equity, oracle.equity[3:294] / config.cash, rtol=0, atol=1e-12)
    asked = np.isfinite(size)
    assert len(oracle.fills) >= 100
    assert all(np.isfinite(table).sum() >= 60 for table in prices.values())
    assert asked.sum() == 290 if rebalance else 130 < asked.sum() < 160


def market_of(fields: Table, times: Any) -> MarketData:
    """One asset's."""
    return MarketData(
        **{name: column[:, None] for name, column in fields.items()},
        timestamps=times,
        symbols=("X",),
    )


def bars(open_: float, high: float, low: float, close: float) -> MarketData:
    """Quiet bars at 100 with a volatility that is known, then one bar, then quiet ones."""
    wave = 100 * np.exp(0.01 * np.array([(-1) ** t for t in range(40)]))
    o, h, lo, c = (wave.copy() for _ in range(4))
    o[30], h[30], lo[30], c[30] = open_, high, low, close
    h, lo = np.maximum(h, np.maximum(o, c)), np.minimum(lo, np.minimum(o, c))
    times = np.datetime64("2020-01-01") + np.arange(40)
    fields = {"open": o, "high": h, "low": lo, "close": c, "volume": np.full(40, 1e6)}
    return market_of(fields, times)


def stepped(market: MarketData, action: int, *, more: int = 0) -> tuple[float, float, float]:
    """The fill of an order that was decided at bar 29, its close and the volatility seen there."""
    config = EnvConfig(
        horizon=8, lookback=2, orders=("market", "limit1", "stop1"), levels=(-1.0, 0.0, 1.0),
        dtype="float64",
    )  # fmt: skip
    costs = CostModel(fee_bps=0, slippage_bps=0, spread_bps=0)
    env = MarketEnv(market, config=config, costs=costs)
    _, told = env.reset(seed=0, options={"start": 29, "asset": 0})
    width = float(env.state.volatility)
    info = env.step([action])[4]
    for _ in range(more):
        info = env.step([action])[4]
    return float(info["price"]), float(told["close"]), width


LONG_LIMIT, LONG_STOP, SHORT_LIMIT, SHORT_STOP = 7, 8, 1, 2  # level * 3 + order


def test_a_price_is_so_many_volatilities_from_the_close_on_the_side_that_waits() -> None:
    wide = bars(99.0, 120.0, 80.0, 99.0)  # reaches everything, opens at the last close
    for action, side in ((LONG_LIMIT, -1), (LONG_STOP, 1), (SHORT_LIMIT, 1), (SHORT_STOP, -1)):
        price, close, width = stepped(wide, action)
        assert price == pytest.approx(close * np.exp(side * width), rel=1e-12), action
        assert width > 0.005


def test_an_order_that_is_not_reached_waits_and_the_same_action_leaves_it_there() -> None:
    quiet = bars(99.0, 99.1, 98.9, 99.0)
    assert np.isnan(stepped(quiet, LONG_LIMIT)[0])
    deep = 99.0049  # of bar 29
    price, close, width = stepped(quiet, LONG_STOP, more=1)  # bar 31 opens above it
    assert close == pytest.approx(deep, rel=1e-4)
    assert np.isnan(price) or price >= close * np.exp(width)


def test_what_waits_is_observed_and_a_market_order_at_what_is_held_takes_it_away() -> None:
    config = EnvConfig(
        horizon=8, lookback=2, orders=("market", "limit3"), levels=(0.0, 1.0), time_left=True
    )
    env = MarketEnv(MARKET, num_envs=1, config=config, costs=COSTS)
    plain = MarketEnv(MARKET, num_envs=1, config=EnvConfig(horizon=8, lookback=2, time_left=True))
    assert env.obs_dim == plain.obs_dim + 3
    env.reset(seed=0)
    obs, *_, info = env.step([3])
    assert torch.isnan(info["price"]).all()
    waits = obs[0, -4:-1]
    state = env.state
    assert state.ledger.working is not None
    close, limit = float(state.ledger.close), float(state.ledger.working.limit)
    away = np.log(limit / close) / float(state.volatility)
    assert waits.tolist() == pytest.approx([1.0, np.clip(away, -5, 5), 0.0], abs=2e-2)
    assert obs[0, -1] == pytest.approx(1 - 1 / 8)
    obs, *_ = env.step([0])
    assert obs[0, -4:-1].tolist() == [0.0, 0.0, 0.0]


def test_orders_at_prices_of_ones_own() -> None:
    config = EnvConfig(horizon=20, lookback=4, orders=ORDERS, dtype="float64")
    env = MarketEnv(MARKET, num_envs=1, config=config, costs=COSTS)
    env.reset(seed=0, options={"start": 50, "asset": 0})
    size, limit = np.full((300, 1), np.nan), np.full((300, 1), np.nan)
    size[50], limit[50] = 0.8, MARKET.close[50] * 0.99
    equity = [float(env.step_orders(size[50], limit=limit[50])[4]["equity"])]
    equity += [float(env.step_orders([np.nan])[4]["equity"]) for _ in range(18)]
    oracle = simulate(MARKET, size, limit=limit, costs=COSTS, config=config)
    np.testing.assert_allclose(equity, oracle.equity[51:70] / config.cash, atol=1e-12)
    assert len(oracle.fills) == 1


def test_many_environments_out_of_step_and_gymnasium_take_the_same_actions() -> None:
    env: Any = gymnasium.make_vec(
        "tradinghf/Market-v0", 6, market=MARKET, orders=ORDERS, horizon=9, autoreset="same_step"
    )
    assert env.single_action_space == spaces.Discrete(15)
    env.reset(seed=1)
    env.reset(options={"reset_mask": np.array([1, 0, 0, 1, 0, 0])})
    env.action_space.seed(0)
    ended = 0
    for _ in range(30):
        obs, reward, _, cut, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(obs)
        assert np.isfinite(reward).all()
        ended += int(cut.sum())
    assert ended == 18 + 2 * (30 % 9 >= 9)
    single = gymnasium.make("tradinghf/MarketContinuous-v0", market=MARKET, orders=ORDERS)
    assert single.action_space.shape == (2,)
    single.reset(seed=0)
    single.step(single.action_space.sample())


class Chosen(ActorCritic):
    """A network whose best action depends on what it sees in a way that uses all of them."""

    def act(self, obs: Tensor, deterministic: bool = True, uniform: Tensor | None = None) -> Tensor:
        return (obs.double().abs().sum(-1) * 1000).long() % 15


def test_a_policy_with_prices_trades_in_a_backtest_what_it_trades_in_its_environment() -> None:
    config = EnvConfig(horizon=295, lookback=4, orders=ORDERS, dtype="float64")
    env = MarketEnv(MARKET, num_envs=1, config=config, costs=COSTS)
    network = Chosen(env.obs_dim, 15, 1, (4,), discrete=True)
    policy = Policy(network, config, env.scaler, "orders")
    obs, _ = env.reset(seed=0, options={"start": 3, "asset": 0})
    equity = []
    for _ in range(295):
        obs, *_, info = env.step(policy.act(env.dense(obs)))
        equity.append(float(info["equity"]))
    report = backtest(policy, MARKET, costs=COSTS, record=False)
    np.testing.assert_allclose(equity, report.equity[4:299] / config.cash, rtol=1e-9)
    assert len(report.trades) > 30
    told = signal(policy, MARKET, costs=COSTS)
    assert {"limit", "stop"} <= set(told.columns)


class Dips:
    """Pays for what a limit below the close earns: bars fall by a volatility and come back."""

    def market(self) -> MarketData:
        count, rng = 400, np.random.default_rng(0)
        close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-4, count)))
        open_ = np.concatenate([close[:1], close[:-1]])
        low, high = np.minimum(open_, close) * 0.99, np.maximum(open_, close) * 1.0001
        times = np.datetime64("2020-01-01") + np.arange(count)
        fields = {"open": open_, "high": high, "low": low, "close": close}
        fields["volume"] = np.full(count, 1e6)
        return market_of(fields, times)


def test_ppo_learns_to_buy_below_the_close_where_every_bar_dips() -> None:
    config = EnvConfig(
        horizon=16, lookback=2, levels=(0.0, 1.0), orders=("market", "limit20"),
        features=("log_return", "range"),
    )  # fmt: skip
    costs = CostModel(fee_bps=1, slippage_bps=1)
    env = MarketEnv(Dips().market(), num_envs=64, config=config, costs=costs, seed=0)
    settings = PPOConfig(hidden=(16,), minibatches=4, learning_rate=3e-3, entropy=0.01)
    agent = PPO(env, {"env": Stream(env_reward)}, config=settings, seed=0)
    history = agent.train(15)
    first, last = history[0]["reward/env"], history[-1]["reward/env"]
    assert last > 3 * max(first, 0.0)
    assert last > 0.005  # a market order earns nothing here
    choices = agent.network.act(env.dense(env.reset(seed=5)[0]))
    assert float((choices == 3).double().mean()) > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"orders": ("limit",)}, "limit0.5"),
        ({"orders": ()}, "limit0.5"),
        ({"orders": ("market", "market")}, "different"),
        ({"orders": ("market", "limit1", "limit2"), "actions": "continuous"}, "at most one limit"),
        ({"orders": ORDERS, "portfolio": True}, "portfolios"),
        ({"orders": ORDERS, "overlay": Overlay(("sma_cross",))}, "overlays"),
    ],
)
def test_other_orders_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MarketEnv(MARKET, config=EnvConfig(**settings))


def test_actions_and_engines_that_do_not_fit_are_refused() -> None:
    task = EnvConfig(orders=ORDERS)
    env = MarketEnv(MARKET, num_envs=2, config=task)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="expected 0 to 14"):
        env.step([0, 15])
    with pytest.raises(ConfigError, match="market orders"):
        MarketEnv(MARKET, config=task, engine="fused")
    plain = MarketEnv(MARKET)
    plain.reset(seed=0)
    with pytest.raises(ConfigError, match="orders="):
        plain.step_orders([0.5], limit=[99.0])
    one = MarketEnv(MARKET, config=EnvConfig(orders=ORDERS, actions="continuous"))
    one.reset(seed=0)
    with pytest.raises(ConfigError, match="2 for each of 1"):
        one.step([0.5])
