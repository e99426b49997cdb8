"""Overlays: actions that modulate strategies, of which the first is to do what they do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from support.evaluation import make_market

from tradinghf import MarketEnv, backtest, strategy
from tradinghf.config import EnvConfig, Overlay
from tradinghf.errors import ConfigError, StrategyError
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.policy import Policy
from tradinghf.learning.ppo import sparse_pnl
from tradinghf.loop import Actor, baseline_training, collect, strategy_actor
from tradinghf.market import Floats, MarketData
from tradinghf.simulation import Windows
from tradinghf.strategies import held_targets, load_strategy, strategy_names

TASK = EnvConfig(horizon=20, lookback=4, features=("log_return", "momentum_5"))
SMALL = RLHFConfig(steps=400, ppo=PPOConfig(hidden=(8,)))


def fresh(base: object, market: MarketData, **settings: object) -> Policy:
    """A policy over a base before its first step of training."""
    env = MarketEnv(market, num_envs=4, config=dataclasses.replace(TASK, **settings), base=base)  # type: ignore[arg-type]
    training, _ = baseline_training(env, "pnl", sparse_pnl, SMALL)
    return Policy(training.network, env.config, env.scaler, "overlay")


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
@pytest.mark.parametrize("name", strategy_names())
def test_an_untrained_overlay_places_the_orders_of_its_base(
    name: str, actions: str, fill: str
) -> None:
    market = make_market(260, assets=2, seed=3)
    policy = fresh(name, market, actions=actions, fill=fill)
    want = backtest(name, market, engine="simulator", fill=fill)  # type: ignore[arg-type]
    got = backtest(policy, market, engine="simulator", fill=fill)  # type: ignore[arg-type]
    np.testing.assert_array_equal(got.targets, want.targets)
    np.testing.assert_array_equal(got.account.equity, want.account.equity)
    assert np.isfinite(want.targets).any()


@pytest.mark.parametrize("name", strategy_names())
def test_an_untrained_overlays_episodes_are_those_of_its_base(name: str) -> None:
    market = make_market(260, assets=2, seed=4)
    policy = fresh(name, market)
    windows = Windows(np.array([0, 1, 0]), np.array([60, 100, 200]))
    env = MarketEnv(market, num_envs=3, config=policy.config, scaler=policy.scaler)
    actors = [strategy_actor(name, market), Actor("overlay", policy=policy)]
    for base, own in collect(market, actors, windows, env=env):
        np.testing.assert_array_equal(own.equity, base.equity)
        np.testing.assert_array_equal(own.position, base.position)


def test_parameters_and_several_bases_start_as_the_first() -> None:
    market = make_market(200, seed=5)
    several = ("sma_cross:fast=3,slow=9,short=true", "buy_and_hold", "rsi_reversion:period=5")
    want = backtest("sma_cross", market, fast=3, slow=9, short=True, engine="simulator")
    for base in (several[0], several):
        for actions in ("discrete", "continuous"):
            got = backtest(fresh(base, market, actions=actions), market, engine="simulator")
            np.testing.assert_array_equal(got.targets, want.targets)


def test_a_portfolio_starts_as_its_base() -> None:
    """Within the leverage, that is: a portfolio is brought back to it, and a rule is not."""
    market = make_market(200, assets=3, seed=6)
    base = "vol_target:target_pct=5.0,step=0.05"
    policy = fresh(base, market, portfolio=True)
    want = backtest("vol_target", market, target_pct=5.0, step=0.05, engine="simulator")
    got = backtest(policy, market, engine="simulator")
    np.testing.assert_allclose(got.targets, want.targets, rtol=1e-12)
    np.testing.assert_allclose(got.account.equity, want.account.equity, rtol=1e-12)


@pytest.mark.parametrize("engine", ["tensor", "fused"])
def test_moves_scale_cap_blend_and_wait(engine: str) -> None:
    market = make_market(120, seed=7)
    bases = ("sma_cross:fast=3,slow=9,short=true", "buy_and_hold")
    moves = ("base1", "base2", "x0.5", "x-1", "x0", "cap0.25", "blend", "wait")
    config = dataclasses.replace(TASK, overlay=Overlay(bases, moves))
    env = MarketEnv(market, num_envs=len(moves), config=config, engine=engine)  # type: ignore[arg-type]
    first, second = (
        held_targets(load_strategy(n)(market, **p))[:, 0]
        for n, p in (("sma_cross", {"fast": 3, "slow": 9, "short": True}), ("buy_and_hold", {}))
    )
    everywhere = torch.full((len(moves),), 40)
    env.reset(seed=0, options={"start": everywhere, "asset": everywhere * 0})
    for bar in range(40, 59):
        got = env.targets(torch.arange(len(moves)))[:, 0].numpy()
        a, b = first[bar], second[bar]
        want = [a, b, a / 2, -a, 0.0, np.clip(a, -0.25, 0.25), (a + b) / 2]
        np.testing.assert_allclose(got[:-1], want)
        assert np.isnan(got[-1])
        *_, info = env.step(torch.arange(len(moves)))
    assert float(info["position"][-1]) == 0.0  # who always waits never trades


def test_shares_of_continuous_actions() -> None:
    market = make_market(120, seed=8)
    bases = ("buy_and_hold", "buy_and_hold:weight=0.5")
    config = dataclasses.replace(TASK, actions="continuous")
    env = MarketEnv(market, num_envs=4, config=config, base=bases)
    env.reset(seed=0)
    actions = torch.tensor([[0.0, 0.0], [-0.5, 0.0], [-1.0, 1.0], [0.0, 1.0]])
    got = env.targets(actions)[:, 0].tolist()
    assert got == pytest.approx([1.0, 0.5, 0.5, 0.75])


def test_the_bases_targets_are_observed_and_nothing_of_the_future() -> None:
    market = make_market(200, seed=9)
    env = MarketEnv(market, config=TASK, base="sma_cross:fast=3,slow=9")
    assert env.obs_dim == MarketEnv(market, config=TASK).obs_dim + TASK.lookback * 2
    later = {n: getattr(market, n).copy() for n in ("open", "high", "low", "close")}
    for values in later.values():
        values[150:] *= 1.5
    other = MarketEnv(
        dataclasses.replace(market, **later),
        config=TASK,
        base=env.config.overlay,
        scaler=env.scaler,
    )
    bars = torch.arange(20, 150)
    same = [e.market_obs(bars * 0, bars) for e in (env, other)]
    assert torch.equal(*same)


@strategy
def half(market: MarketData, *, weight: float = 0.5) -> Floats:
    """Hold a half.

    Args:
        weight: how much.

    """
    return np.full((market.bars, market.assets), weight)


def test_files_and_strategies_of_a_script_are_bases(tmp_path: Path) -> None:
    market = make_market(120, seed=1)
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\nfrom tradinghf.strategies import strategy\n\n\n@strategy\n"
        'def rule(market, *, weight: float = 0.5):\n    """Hold.\n\n    Args:\n'
        '        weight: how much.\n    """\n'
        "    return np.full((market.bars, market.assets), weight)\n"
    )
    for base in (f"{file}:rule:weight=0.25", f"{file}:weight=0.25"):
        policy = fresh(base, market)
        policy.save(tmp_path / "policy.safetensors")
        again = Policy.load(tmp_path / "policy.safetensors")
        assert again.config == policy.config
        assert again.fingerprint == policy.fingerprint
        report = backtest(again, market)
        assert report.targets[np.isfinite(report.targets)].tolist() == [0.25]
    env = MarketEnv(market, config=TASK, base=half)
    assert env.targets is not None
    assert env.base_targets is not None
    assert float(env.base_targets[0, 0, 0]) == 0.5
    overlay = env.config.overlay
    assert overlay is not None
    gone = dataclasses.replace(overlay, bases=("here.other",))
    with pytest.raises(StrategyError, match="defined in a notebook or a script"):
        MarketEnv(market, config=TASK, base=gone)


def test_what_is_no_base_is_refused() -> None:
    market = make_market(120, seed=1)
    with pytest.raises(StrategyError, match="sma_cros"):
        MarketEnv(market, config=TASK, base="sma_cros")
    with pytest.raises(StrategyError, match="fats"):
        MarketEnv(market, config=TASK, base="sma_cross:fats=3")
    with pytest.raises(ConfigError, match="expected a strategy"):
        MarketEnv(market, config=TASK, base=3)
    with pytest.raises(ConfigError, match=r"Overlay\.moves"):
        Overlay(("sma_cross",), ("x0", "x1"))
    with pytest.raises(ConfigError, match=r"Overlay\.moves"):
        Overlay(("sma_cross",), ("x1", "base2"))
