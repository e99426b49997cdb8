"""Several seeds as one policy: an ordinary network that puts out the mean of its members."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from tradinghf.cli import main
from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.evaluation import backtest
from tradinghf.learning.policy import ActorCritic, Policy, ensemble
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=1, bars=200, assets=3)
PLAIN = EnvConfig(lookback=2, horizon=16, features=("log_return", "momentum_5"))
BOOK = dataclasses.replace(PLAIN, portfolio=True)


def policy(seed: int, config: EnvConfig, hidden: tuple[int, ...], **options: Any) -> Policy:
    """An untrained policy whose actor is not close to doing nothing."""
    env = MarketEnv(MARKET, num_envs=2, config=config)
    torch.manual_seed(seed)
    actions = options.pop("actions", len(config.levels))
    discrete = config.actions == "discrete"
    network = ActorCritic(env.obs_dim, actions, 2, hidden, discrete, **options)
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return Policy.trained(network, env, f"seed {seed}")


def assets(levels: int) -> dict[str, Any]:
    """Options of a network whose weights are shared by three assets."""
    env = MarketEnv(MARKET, num_envs=2, config=BOOK)
    features = (env.obs_dim - 1 - 3 * 3) // (3 * 2)
    return {"actions": 3, "assets": (2, features, levels)}


CONTINUOUS = dataclasses.replace(PLAIN, actions="continuous")
KINDS: dict[str, tuple[EnvConfig, dict[str, Any]]] = {
    "levels": (PLAIN, {}),
    "shared": (PLAIN, {"shared": True}),
    "gaussian": (CONTINUOUS, {"actions": 1}),
    "beta": (CONTINUOUS, {"actions": 1, "head": "beta", "shared": True}),
    "assets": (BOOK, assets(len(BOOK.levels))),
    "assets, any number": (
        dataclasses.replace(BOOK, actions="continuous"),
        assets(0) | {"shared": True},
    ),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_it_puts_out_the_mean_of_its_members(kind: str) -> None:
    config, options = KINDS[kind]
    members = [
        policy(seed, config, hidden, **options)
        for seed, hidden in enumerate([(8, 6), (5, 7), (4, 4)])
    ]
    joint = ensemble(members, "three")
    assert joint.name == "three"
    assert joint.network.shape["hidden"] == [17, 17]
    obs = torch.randn(11, joint.network.shape["inputs"])
    with torch.no_grad():
        for part in ("policy_out", "value_out"):
            want = torch.stack([getattr(m.network, part)(obs) for m in members]).mean(0)
            torch.testing.assert_close(getattr(joint.network, part)(obs), want)
    want = torch.stack([m.network.log_std for m in members]).mean(0)
    torch.testing.assert_close(joint.network.log_std, want)


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_of_one_layer_or_none(hidden: tuple[int, ...]) -> None:
    members = [policy(seed, PLAIN, hidden) for seed in range(2)]
    joint, obs = ensemble(members), torch.randn(5, members[0].network.shape["inputs"])
    want = torch.stack([m.network.policy_out(obs) for m in members]).mean(0)
    torch.testing.assert_close(joint.network.policy_out(obs), want)


def test_a_file_holds_it_and_it_trades(tmp_path: Path) -> None:
    members = [policy(seed, PLAIN, (8,)) for seed in range(3)]
    joint = ensemble(members)
    joint.save(tmp_path / "joint.safetensors")
    again = Policy.load(tmp_path / "joint.safetensors")
    assert again.fingerprint == joint.fingerprint
    assert again.seen_share(MARKET) == 1.0
    one, two = (backtest(each, MARKET, record=False).equity for each in (again, joint))
    assert one.equals(two)
    assert one.nunique() > 1
    # Three times the same is the same.
    same, alone = ensemble(members[:1] * 3), members[0]
    obs = torch.randn(50, alone.network.shape["inputs"])
    assert torch.equal(same.act(obs), alone.act(obs))


def test_the_command_joins_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = [policy(seed, PLAIN, (4,)) for seed in range(2)]
    (tmp_path / "run").mkdir()
    members[0].save(tmp_path / "run" / "policy.safetensors")
    members[1].save(tmp_path / "one.safetensors")
    out = tmp_path / "joint.safetensors"
    files = [str(tmp_path / name) for name in ("run", "one.safetensors")]
    assert main(["ensemble", *files, "--out", str(out), "--name", "both"]) == 0
    assert "2 policies as one" in capsys.readouterr().out
    found = Policy.load(out)
    assert found.name == "both"
    assert found.fingerprint == ensemble(members).fingerprint
    assert main(["ensemble", files[0], "--out", str(out)]) == 2
    assert "expected at least two" in capsys.readouterr().err


def test_what_does_not_belong_together_is_refused() -> None:
    first = policy(0, PLAIN, (8,))
    with pytest.raises(ConfigError, match="got 1 policy; expected at least two"):
        ensemble([first])
    with pytest.raises(ConfigError, match="has another kind of network than 'seed 0'"):
        ensemble([first, policy(1, PLAIN, (8, 8))])
    other = dataclasses.replace(PLAIN, horizon=20)
    with pytest.raises(ConfigError, match="has another task"):
        ensemble([first, policy(1, other, (8,))])
    elsewhere = dataclasses.replace(first, seen=first.seen | {"symbols": ["X"]})
    with pytest.raises(ConfigError, match="has another set of bars than"):
        ensemble([first, elsewhere])
    scaled = policy(1, PLAIN, (8,))
    scaled.scaler = MarketEnv(synthetic(seed=2, bars=200), num_envs=1, config=PLAIN).scaler
    with pytest.raises(ConfigError, match="scaled by other bars"):
        ensemble([first, scaled])
    attentive = policy(1, PLAIN, (8,), window=(2, 2))
    with pytest.raises(ConfigError, match="cannot be joined"):
        ensemble([first, attentive])
