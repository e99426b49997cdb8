"""Attention against torch's own; training by any network and head."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from support.learning import table_of, torchs_beta
from torch import nn
from torch.distributions import kl_divergence

from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.policy._networks import WindowAttention
from tradinghf.learning.ppo import PPO, Stream, env_reward, sparse_pnl
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._transitions import Minibatch
from tradinghf.learning.ppo._update import LossWeights, Update
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


def test_attention_equals_torchs_multihead_attention() -> None:
    torch.manual_seed(3)
    own = WindowAttention(5, 4, 5 * 4 + 3, 16)
    for norm in (own.before, own.after):
        nn.init.normal_(norm.weight)
    oracle = nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        oracle.in_proj_weight.copy_(torch.cat([own.query.weight, own.key_value.weight]))
        oracle.in_proj_bias.copy_(torch.cat([own.query.bias, own.key_value.bias]))
        oracle.out_proj.load_state_dict(own.out.state_dict())
    obs = torch.randn(7, 23)
    token = own.account(obs[:, 20:])
    bars = own.before(own.bar(obs[:, :20].view(7, 5, 4)) + own.position)
    found, _ = oracle(own.before(token)[:, None], bars, bars)
    torch.testing.assert_close(own(obs), own.after(token + found[:, 0]), rtol=1e-4, atol=1e-5)
    several = own(obs.view(1, 7, 23).expand(2, 7, 23))  # any leading shape
    torch.testing.assert_close(several[1], own(obs), rtol=1e-5, atol=1e-6)


def test_attention_tells_bars_apart_and_sees_each() -> None:
    torch.manual_seed(4)
    own = WindowAttention(5, 4, 23, 16)
    obs = torch.randn(1, 23, requires_grad=True)
    (gradient,) = torch.autograd.grad(own(obs)[0, 0], obs)
    assert (gradient.abs() > 1e-6).all()
    swapped = obs.detach().clone()
    swapped[:, :4], swapped[:, 4:8] = obs.detach()[:, 4:8], obs.detach()[:, :4]
    assert not torch.allclose(own(swapped), own(obs), atol=1e-3)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("window", [None, (2, 3)])
def test_the_updates_gradient_is_that_of_the_loss(
    shared: bool, window: tuple[int, int] | None
) -> None:
    torch.manual_seed(1)
    network = ActorCritic(7, 3, 2, (8, 6), False, shared, "beta", window)
    twin = copy.deepcopy(network)
    obs, raw = torch.randn(33, 7), torch.rand(33, 3).clamp(0.05, 0.95)
    old, reference = torch.randn(33), torch.randn(33, 6)
    batch = Minibatch(raw, old, torch.randn(33), torch.randn(33, 2), reference, torch.zeros(3))
    weights = LossWeights(0.2, 0.5, 0.01, 0.3)
    out, values = twin(obs)
    dist, base = torchs_beta(out)
    ratio = (dist.log_prob(2 * raw - 1).sum(-1) - old).exp()
    gain = torch.min(ratio * batch.advantage, ratio.clamp(0.8, 1.2) * batch.advantage)
    kl = kl_divergence(base, torchs_beta(reference)[1]).sum(-1)
    loss = (-gain - 0.01 * base.entropy().sum(-1) + 0.3 * kl).mean()
    loss = loss + 0.5 * (values - batch.target).square().mean()
    named = {n: p for n, p in twin.named_parameters() if p.requires_grad}
    expected = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
    packed = PackedActorCritic(network)
    learner, table = Update(packed, PPOConfig(max_gradient_norm=1e9)), table_of(obs, batch)
    for _ in range(2):  # gradients of an earlier step leave nothing behind
        learner.step(torch.arange(33), table, weights, 0.0)
    for name, gradient in expected.items():
        got = packed.view(packed.grad, name)
        torch.testing.assert_close(got, gradient, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_continues_bit_identically(kind: str) -> None:
    config, actions = KINDS[kind]
    straight = PPO(market_env(8, actions), rewards(), config=config, seed=4)
    straight.train(2, total=4)
    resumed = PPO(market_env(8, actions), rewards(), config=config, seed=4)
    resumed.restore(copy.deepcopy(straight.state()))
    for agent in (straight, resumed):
        agent.train(2, total=4)
    for ours, theirs in zip(
        straight.network.parameters(), resumed.network.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", ["beta", "attention"])
def test_a_planted_signal_is_learned_in_seconds(kind: str) -> None:
    config, actions = KINDS[kind]
    config = replace(config, hidden=(32, 32), minibatches=8, learning_rate=3e-3)
    market = synthetic(seed=0, bars=1024, assets=8, regime="momentum")
    task = EnvConfig(horizon=32, actions=actions)  # type: ignore[arg-type]
    env = MarketEnv(market, num_envs=64, config=task)
    agent = PPO(env, {"env": Stream(env_reward)}, config, seed=0)
    pnl = [row["pnl"] for row in agent.train(20)]
    assert sum(pnl[:3]) / 3 < 0.004
    assert sum(pnl[-8:]) / 8 > 0.01
