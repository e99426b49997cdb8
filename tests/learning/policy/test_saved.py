"""Saved policies act as before; unusable files and settings are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from tradinghf.config import EnvConfig, Overlay
from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.evaluation import backtest, judge
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic, Policy
from tradinghf.learning.ppo import PPO, GymnasiumEnv, Stream, env_reward, sparse_pnl
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=600, assets=4)
SMALL = PPOConfig(hidden=(16, 16), minibatches=4, epochs=2)
KINDS = {
    "beta": (replace(SMALL, head="beta"), "continuous"),
    "attention": (replace(SMALL, network="attention"), "discrete"),
    "shared attention, beta": (
        replace(SMALL, network="attention", head="beta", shared=True),
        "continuous",
    ),
}


def market_env(count: int, actions: str = "discrete", **config: object) -> MarketEnv:
    task = EnvConfig(horizon=16, actions=actions, **config)  # type: ignore[arg-type]
    return MarketEnv(MARKET, num_envs=count, config=task)


def rewards() -> dict[str, Stream]:
    return {"env": Stream(env_reward), "pnl": Stream(sparse_pnl, 0.3)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_policy_acts_as_before(kind: str, tmp_path: Path) -> None:
    config, actions = KINDS[kind]
    env = market_env(4, actions)
    agent = PPO(env, rewards(), config=config, seed=1)
    agent.train(1)
    own = Policy(agent.network, env.config, env.scaler, kind)
    own.save(tmp_path / "policy.safetensors")
    found = Policy.load(tmp_path / "policy.safetensors")
    assert found.fingerprint == own.fingerprint
    obs = torch.randn(50, env.obs_dim, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.act(obs), own.act(obs))
    uniform = torch.rand(50, 5 if actions == "discrete" else 1)
    drawn = found.act(obs, deterministic=False, uniform=uniform)
    assert torch.equal(drawn, own.act(obs, deterministic=False, uniform=uniform))
    assert not torch.equal(drawn, own.act(obs))
    if actions == "continuous":
        assert (drawn.abs() <= 1).all()


def test_files_of_before_there_were_kinds_still_load(tmp_path: Path) -> None:
    env = market_env(2)
    network = ActorCritic(env.obs_dim, 5, 1, (8,), True)
    own = Policy(network, env.config, env.scaler)
    del network.shape["head"], network.shape["window"]
    own.save(tmp_path / "old.safetensors")
    assert Policy.load(tmp_path / "old.safetensors").fingerprint == own.fingerprint


@pytest.mark.parametrize("shape", [{"window": [9, 9]}, {"head": "gamma"}, {"window": [2, -1]}])
def test_a_file_that_lies_about_its_kind_is_refused(
    shape: dict[str, object], tmp_path: Path
) -> None:
    env = market_env(2)
    network = ActorCritic(env.obs_dim, 5, 1, (8,), False, False, "gaussian", (2, 3))
    network.shape.update(shape)
    Policy(network, env.config, env.scaler).save(tmp_path / "bad.safetensors")
    with pytest.raises(CheckpointError, match="not a usable policy"):
        Policy.load(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("config", "cash"), 10**400),
        (("config", "lookback"), 10**9),
        (("config", "horizon"), 10**30),
        (("config", "review"), 10**30),
        (("config", "margin", "leverage"), -500),
        (("config", "levels"), [float("nan"), 1.0]),
        (("name",), "\ud800"),
        (("name",), None),
        (("seen", "symbols"), [1]),
    ],
)
def test_edited_metadata_is_refused(tmp_path: Path, place: tuple[str, ...], value: object) -> None:
    env = market_env(2)
    path = tmp_path / "policy.safetensors"
    Policy.trained(ActorCritic(env.obs_dim, 5, 1, (8,), True), env, "mine").save(path)
    with safe_open(str(path), framework="pt") as file:
        about = json.loads(file.metadata()["policy"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    part = about
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    path.write_bytes(save(tensors, metadata={"policy": json.dumps(about)}))
    with pytest.raises(CheckpointError, match="not a usable policy"):
        Policy.load(path)


def test_unusable_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="network"):
        PPOConfig(network="lstm")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="head"):
        PPOConfig(head="gamma")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="divisible"):
        PPOConfig(network="attention", hidden=(6,))
    env = GymnasiumEnv("CartPole-v1", 2)
    with pytest.raises(ConfigError, match="bars of a market"):
        PPO(env, {"env": Stream(env_reward)}, PPOConfig(network="attention"), steps=8)
    env.close()


def test_a_portfolio_is_attended_to_as_a_whole() -> None:
    env = market_env(4, "continuous", portfolio=True)
    config = replace(SMALL, network="attention", head="beta")
    agent = PPO(env, {"env": Stream(env_reward)}, config)
    observer = env.dynamics.observer
    assert agent.network.shape["window"] == [observer.lookback, observer.width]
    assert agent.train(1)[0]["bad_gradients"] == 0


RULE = """
import numpy as np
from tradinghf import strategy

@strategy
def mine(market):
    '''Always long.'''
    return np.full((market.bars, market.assets), 1.0)
"""


def test_a_policy_says_when_its_base_has_changed(tmp_path: Path) -> None:
    rule = tmp_path / "mine.py"
    rule.write_text(RULE)
    task = EnvConfig(horizon=16, overlay=Overlay((f"{rule}:mine", "sma_cross:fast=5")))
    env = MarketEnv(MARKET, num_envs=2, config=task)
    network = ActorCritic(env.obs_dim, 4, 1, (8,), True)
    Policy(network, env.config, env.scaler, "over").save(tmp_path / "over.safetensors")
    Policy.load(tmp_path / "over.safetensors")  # nothing has changed: warnings are errors here
    ran = tmp_path / "ran"  # reading runs nothing of it; trading does, as SECURITY.md says
    rule.write_text(f"open({str(ran)!r}, 'w').close()\n" + RULE.replace("1.0)", "-1.0)"))
    with pytest.warns(UserWarning, match=r"mine\.py:mine changed since the policy 'over'"):
        Policy.load(tmp_path / "over.safetensors")
    assert not ran.exists()
    rule.unlink()
    Policy.load(tmp_path / "over.safetensors")  # trading says that it is gone


def test_figures_on_bars_seen_in_training_are_no_evidence(tmp_path: Path) -> None:
    """The file remembers its bars; the verdict on them is withheld, and that on later ones not."""
    bars = replace(synthetic(seed=1, bars=600, assets=2), source="mine.csv")
    past, chosen, later = bars.rows(0, 300), bars.rows(300, 400), bars.rows(400, 600)
    env = MarketEnv(past, num_envs=2, config=EnvConfig(horizon=16, lookback=4))
    network = PPO(env, {"pnl": Stream(env_reward)}, seed=0).network
    Policy.trained(network, env, "mine", chosen).save(tmp_path / "policy.safetensors")
    policy = Policy.load(tmp_path / "policy.safetensors")
    assert policy.seen_share(bars) == pytest.approx(2 / 3)
    assert policy.seen_share(replace(bars, symbols=("X", "Y"))) == 0
    made_up = [replace(bars, source=f"synthetic:seed={seed}") for seed in (1, 2)]
    told = Policy.trained(network, MarketEnv(made_up[0], config=env.config), "mine")
    assert [told.seen_share(market) for market in made_up] == [1.0, 0.0]

    reports = [backtest(policy, market, record=False) for market in (bars, later)]
    verdicts = [judge(report, report.buy_and_hold(), draws=20) for report in reports]
    assert verdicts[0].headline == "Not judged: 67% of these bars were seen in training."
    assert verdicts[0].passed is None
    assert "no evidence" in verdicts[0].reasons[0]
    assert "seen in training" not in str(verdicts[1])
    assert Policy(network, env.config, env.scaler).seen_share(bars) == 0
