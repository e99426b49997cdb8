"""Networks whose weights are shared by the assets of a portfolio."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tradinghf import backtest
from tradinghf.config import CostModel, EnvConfig
from tradinghf.evaluation import signal
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic, Policy, export_onnx
from tradinghf.learning.ppo import PPO, Stream, env_reward
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(3, 260, 6)
TASK = EnvConfig(horizon=12, lookback=3, portfolio=True, actions="continuous")
SMALL = PPOConfig(hidden=(8, 8), minibatches=2, epochs=2)
KINDS = [("continuous", "gaussian"), ("continuous", "beta"), ("discrete", "gaussian")]


def network(actions: str, head: str, shared: bool = True, assets: int = 6) -> ActorCritic:
    torch.manual_seed(5)
    levels = 5 if actions == "discrete" else 0
    inputs = 3 * assets * 6 + 3 * assets + 1
    made = ActorCritic(inputs, assets, 2, (8, 8), bool(levels), shared, head, assets=(3, 6, levels))
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.3 * torch.randn(value.shape))
    return made


def observations(rows: int, assets: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Parts of observations: [N, W, A, F'] features with the listing last, [N, 3, A] account."""
    generator = torch.Generator().manual_seed(0)
    market = torch.randn(rows, 3, assets, 6, generator=generator)
    market[..., -1] = 1.0
    return market, torch.randn(rows, 3, assets, generator=generator)


def joined(market: torch.Tensor, account: torch.Tensor) -> torch.Tensor:
    drawdown = torch.full((len(market), 1), 0.2)
    return torch.cat([market.flatten(1), account.flatten(1), drawdown], 1)


@pytest.mark.parametrize(("actions", "head"), KINDS)
def test_the_order_of_the_assets_does_not_matter(actions: str, head: str) -> None:
    own, order = network(actions, head), torch.tensor([4, 0, 5, 2, 1, 3])
    market, account = observations(7, 6)
    first = joined(market, account)
    second = joined(market[:, :, order], account[:, :, order])
    torch.testing.assert_close(own.act(second), own.act(first)[:, order])
    torch.testing.assert_close(own.value_out(second), own.value_out(first))


@pytest.mark.parametrize(("actions", "head"), KINDS)
@pytest.mark.parametrize("assets", [2, 6, 40])
def test_one_network_trades_any_number_of_assets(actions: str, head: str, assets: int) -> None:
    own = network(actions, head)
    act = own.act(joined(*observations(3, assets)))
    assert act.shape == (3, assets)
    assert own.value_out(joined(*observations(3, assets))).shape == (3, 2)


@pytest.mark.parametrize(("actions", "head"), KINDS)
def test_assets_that_are_not_listed_change_nothing_for_the_others(actions: str, head: str) -> None:
    own = network(actions, head)
    market, account = observations(4, 6)
    market[:, :, 4:], account[:, :, 4:] = 0.0, 0.0
    larger, smaller = joined(market, account), joined(market[:, :, :4], account[:, :, :4])
    torch.testing.assert_close(own.act(larger)[:, :4], own.act(smaller))
    torch.testing.assert_close(own.value_out(larger), own.value_out(smaller))
    out, less, std = own.policy_out(larger), own.policy_out(smaller), own.log_std
    uniform = torch.rand(4, own.actions, generator=torch.Generator().manual_seed(1))
    raw = own.head.draw(out, own.head.noise(uniform), std)
    if actions == "continuous":
        assert bool((own.head.to_env(raw)[:, 4:] == 0).all())
    alike = [own.head.log_prob(o, r, std) for o, r in ((out, raw), (less, raw[:, :4]))]
    torch.testing.assert_close(alike[0], alike[1])
    torch.testing.assert_close(own.head.entropy(out, std), own.head.entropy(less, std))
    torch.testing.assert_close(
        own.head.divergence(out, std, out * 0.5 + 0.5 * out.round(), std),
        own.head.divergence(less, std, less * 0.5 + 0.5 * less.round(), std),
    )


@pytest.mark.parametrize(("actions", "head"), KINDS)
@pytest.mark.parametrize("shared", [False, True])
def test_training_saving_and_trading(actions: str, head: str, shared: bool, tmp_path: Path) -> None:
    task = replace(TASK, actions=actions)  # type: ignore[arg-type]
    env = MarketEnv(MARKET, num_envs=8, config=task)
    config = replace(SMALL, head=head, shared=shared)  # type: ignore[arg-type]
    agent = PPO(env, {"env": Stream(env_reward)}, config, seed=1)
    before = {k: v.clone() for k, v in agent.network.state_dict().items()}
    history = agent.train(3)
    assert all(row["bad_gradients"] == 0 for row in history)
    assert abs(history[0]["kl"]) < 1, "the first epoch starts from the policy that acted"
    moved = [k for k, v in agent.network.state_dict().items() if not torch.equal(v, before[k])]
    assert len(moved) == len(before) - (0 if head == "gaussian" and actions != "discrete" else 1)
    policy = Policy(agent.network, task, env.scaler, "set")
    policy.save(tmp_path / "set.safetensors")
    loaded = Policy.load(tmp_path / "set.safetensors")
    assert loaded.fingerprint == policy.fingerprint
    for market in (MARKET, MARKET.select(MARKET.symbols[:3]), synthetic(4, 260, 11)):
        report = backtest(loaded, market, engine="simulator")
        assert np.isfinite(report.equity).all()
        assert report.positions.abs().sum(axis=1).max() < 1.1
        assert len(signal(loaded, market)) == market.assets


@pytest.mark.extra("onnxruntime", "onnxscript")
def test_the_exported_graph_decides_as_the_policy_does(tmp_path: Path) -> None:
    runtime = importlib.import_module("onnxruntime")
    env = MarketEnv(MARKET, num_envs=4, config=TASK)
    own = network("continuous", "gaussian")
    path = export_onnx(Policy(own, TASK, env.scaler, "set"), tmp_path / "set.onnx")
    obs = env.reset(seed=0)[0]
    assert isinstance(obs, torch.Tensor)
    (found,) = runtime.InferenceSession(str(path)).run(None, {"observation": obs.numpy()})
    np.testing.assert_allclose(found, own.act(obs).numpy(), atol=1e-5)


def test_gradients_are_those_of_the_loss() -> None:
    """The packed network hands the same numbers to the update as plain torch does."""
    env = MarketEnv(MARKET, num_envs=4, config=TASK)
    agent = PPO(env, {"env": Stream(env_reward)}, SMALL, seed=1)
    obs = env.reset(seed=0)[0]
    assert isinstance(obs, torch.Tensor)
    packed, net = agent._packed, agent.network
    packed.gradients(obs, lambda v: 2 * v, lambda out: 2 * out)
    grads = {n: packed.view(packed.grad, n).clone() for n, _ in net.named_parameters()}
    names = [n for n, _ in net.named_parameters() if n != "log_std"]
    loss = net.value_out(obs).square().sum() + net.policy_out(obs).square().sum()
    wanted = torch.autograd.grad(loss, [net.get_parameter(n) for n in names])
    for name, value in zip(names, wanted, strict=True):
        torch.testing.assert_close(grads[name], value)


def members_of(market: MarketData) -> np.ndarray:
    listed = np.ones((market.bars, market.assets), dtype=bool)
    listed[:80, 0] = listed[150:, 1] = False
    return listed


@pytest.mark.parametrize("actions", ["continuous", "discrete"])
def test_a_universe_whose_members_come_and_go(actions: str) -> None:
    task = replace(TASK, actions=actions, dtype="float64")  # type: ignore[arg-type]
    listed = members_of(MARKET)
    env = MarketEnv(MARKET, num_envs=6, config=task, member=listed, costs=CostModel())
    agent = PPO(env, {"env": Stream(env_reward)}, replace(SMALL, shared=True), seed=1)
    assert agent.train(2)[-1]["bad_gradients"] == 0
    obs, _ = env.reset(seed=3, options={"start": [20, 70, 75, 140, 145, 200], "asset": [0] * 6})
    rng = np.random.default_rng(0)
    for _ in range(12):
        bar = env.state.bar.numpy()
        action = agent.network.act(obs) if rng.random() < 0.5 else env.action_space.sample()
        wanted = env.targets(action)
        assert bool((wanted[~torch.as_tensor(listed[bar])] == 0).all())
        obs, *_, info = env.step(action)
        held = info["position"][~torch.as_tensor(listed[info["bar"]])]
        assert float(held.abs().max() if len(held) else 0.0) == 0
