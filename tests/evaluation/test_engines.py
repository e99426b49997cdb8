"""Both engines agree to 1e-9 on everything that both can express; a policy repeats its episode."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market

from tradinghf import CostModel, EnvConfig, MarketData, MarketEnv, backtest
from tradinghf.evaluation import Report
from tradinghf.strategies import strategy_names


def generated(seed: int) -> tuple[MarketData, pd.DataFrame, dict[str, object]]:
    """A market, a table of target weights and settings, all drawn from the seed."""
    rng = np.random.default_rng(seed)
    bars, assets = int(rng.integers(10, 120)), int(rng.integers(1, 6))
    market = make_market(bars, assets, seed=seed, sigma=float(rng.uniform(0.002, 0.03)))
    low = -0.6 / assets if rng.random() < 0.6 else 0.0
    high = (1.0, 1.0 / assets, 0.3)[rng.integers(3)]
    weights = rng.uniform(low, high, (bars, assets))
    weights[rng.random(weights.shape) < rng.uniform(0.1, 0.95)] = np.nan
    weights[rng.random(weights.shape) < 0.1] = 0.0
    table = pd.DataFrame(weights, index=market.index, columns=list(market.symbols))
    costs = CostModel(
        fee_bps=float(rng.choice([0, 1, 25])),
        fixed_fee=float(rng.choice([0, 1.5])),
        slippage_bps=float(rng.choice([0, 2, 50])),
        spread_bps=float(rng.choice([0, 3])),
    )
    fill = str(rng.choice(["next_open", "close"]))
    return market, table, {"costs": costs, "fill": fill, "cash": float(rng.choice([1e3, 1e5]))}


def assert_same(ours: Report, theirs: Report) -> None:
    np.testing.assert_allclose(ours.equity, theirs.equity, rtol=1e-9)
    np.testing.assert_allclose(ours.account.cash, theirs.account.cash, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(ours.account.shares, theirs.account.shares, rtol=1e-9, atol=1e-9)
    keys = ["bar", "symbol", "side"]
    a, b = (r.orders.sort_values(keys, ignore_index=True) for r in (ours, theirs))
    pd.testing.assert_frame_equal(a[keys], b[keys], check_dtype=False)
    for column in ("size", "price", "fee", "slippage"):
        np.testing.assert_allclose(a[column], b[column], rtol=1e-9, atol=1e-9, err_msg=column)


@pytest.mark.parametrize("block", range(6))
def test_engines_agree_on_generated_cases(block: int) -> None:
    fills = 0
    for seed in range(20 * block, 20 * (block + 1)):
        market, table, settings = generated(seed)
        theirs = backtest(table, market, **settings)  # type: ignore[arg-type]
        ours = backtest(table, market, engine="simulator", **settings)  # type: ignore[arg-type]
        assert_same(ours, theirs)
        fills += len(ours.orders)
    assert fills > 500


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("name", strategy_names())
def test_engines_agree_on_every_strategy(name: str, fill: str) -> None:
    market = make_market(400, assets=3, seed=21)
    theirs, ours = (
        backtest(name, market, fill=fill, engine=engine)  # type: ignore[arg-type]
        for engine in ("vectorbt", "simulator")
    )
    assert_same(ours, theirs)
    for key, value in theirs.metrics.items():
        if isinstance(value, float):
            value = pytest.approx(value, rel=1e-7, abs=1e-7)
        assert ours.metrics[key] == value, key


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("name", strategy_names())
def test_an_environment_episode_equals_the_backtest(name: str, fill: str) -> None:
    market = make_market(260, seed=22)
    report = backtest(name, market, fill=fill, engine="simulator")  # type: ignore[arg-type]
    config = EnvConfig(
        horizon=259,
        lookback=1,
        features=("log_return",),
        fill=fill,
        dtype="float64",  # type: ignore[arg-type]
    )
    env = MarketEnv(market, config=config, costs=CostModel())
    env.reset(options={"start": [0], "asset": [0]})
    equity = [1.0]
    for bar in range(259):
        info = env.step_weights(report.targets[bar])[-1]
        equity.append(float(info["equity"][0]))
    wanted = report.equity.to_numpy() / report.cash
    if fill == "close":  # the backtest charges an order on the close of its own bar
        traded = np.append(np.isfinite(report.targets[:, 0]), False)[:-1]
        np.testing.assert_allclose(np.array(equity)[~traded], wanted[~traded], rtol=1e-9)
    else:
        np.testing.assert_allclose(equity, wanted, rtol=1e-9)


class Trend:
    """A policy by hand: long after a rise, short after a fall, from the observation alone."""

    name = "trend"

    def __init__(self, config: EnvConfig) -> None:
        self.config = config
        self.scaler = None

    def act(self, obs: object, deterministic: bool = True) -> object:
        last = obs[:, self.config.lookback - 1]  # type: ignore[index]
        if self.config.actions == "continuous":
            return last.sign() * 0.5
        return (last > 0).long() * (len(self.config.levels) - 1)


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
@pytest.mark.parametrize("engine", ["vectorbt", "simulator"])
def test_a_policys_backtest_equals_its_episode(actions: str, engine: str) -> None:
    market = make_market(200, seed=23)
    config = EnvConfig(
        lookback=4,
        features=("log_return",),
        levels=(-0.5, 0.0, 1.0),
        actions=actions,  # type: ignore[arg-type]
    )
    policy, costs = Trend(config), CostModel(fee_bps=3)
    report = backtest(policy, market, costs=costs, engine=engine)  # type: ignore[arg-type]
    assert report.name == "trend"
    assert len(report.orders) > 50
    whole = replace(config, horizon=196, review=64, dtype="float64", autoreset="disabled")
    env = MarketEnv(market, config=whole, costs=costs)
    obs, _ = env.reset(options={"start": [3], "asset": [0]})
    equity = [1.0]
    for _ in range(196):
        obs, _, _, _, info = env.step(policy.act(obs))
        equity.append(float(info["equity"][0]))
    np.testing.assert_allclose(report.equity.to_numpy()[3:] / report.cash, equity, rtol=1e-9)


def test_a_policy_trades_each_of_several_assets_with_its_share() -> None:
    market = make_market(120, assets=4, seed=24)
    config = EnvConfig(lookback=2, features=("log_return",), levels=(0.0, 1.0))
    report = backtest(Trend(config), market)
    assert set(np.unique(report.targets[np.isfinite(report.targets)])) == {0.0, 0.25}
    assert report.metrics["gross_exposure_pct"] < 101
