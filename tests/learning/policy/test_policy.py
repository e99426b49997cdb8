"""Beta actions and attention policies, against torch's own distributions and attention."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from support.learning import table_of
from torch import Tensor, nn
from torch.distributions import AffineTransform, Beta, TransformedDistribution, kl_divergence

from tradinghf.config import EnvConfig
from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy.heads import BETA, CATEGORICAL, GAUSSIAN
from tradinghf.learning.policy.networks import ActorCritic, WindowAttention
from tradinghf.learning.policy.saved import Policy
from tradinghf.learning.ppo.adapters import GymnasiumEnv
from tradinghf.learning.ppo.network import PackedActorCritic
from tradinghf.learning.ppo.streams import env_reward, sparse_pnl
from tradinghf.learning.ppo.trainer import PPO, Stream
from tradinghf.learning.ppo.transitions import Minibatch
from tradinghf.learning.ppo.update import LossWeights, Update
from tradinghf.market.synthetic import synthetic
from tradinghf.simulation.env import MarketEnv

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
NONE = torch.zeros(3)


def market_env(count: int, actions: str = "discrete", **config: object) -> MarketEnv:
    task = EnvConfig(horizon=16, actions=actions, **config)  # type: ignore[arg-type]
    return MarketEnv(MARKET, num_envs=count, config=task)


def rewards() -> dict[str, Stream]:
    return {"env": Stream(env_reward), "pnl": Stream(sparse_pnl, 0.3)}


# ---------------------------------------------------------------------- Beta


def torchs(out: Tensor) -> tuple[TransformedDistribution, Beta]:
    """The distribution of the environment's action, and of the raw one, as torch has them."""
    shapes = 1 + nn.functional.softplus(out)
    raw = Beta(shapes[..., :3], shapes[..., 3:])
    return TransformedDistribution(raw, AffineTransform(-1.0, 2.0)), raw


def test_beta_equals_torchs_distribution() -> None:
    g = torch.Generator().manual_seed(0)
    out, other = (4 * torch.randn(500, 6, generator=g, dtype=torch.float64) for _ in range(2))
    raw = torch.rand(500, 3, generator=g, dtype=torch.float64).clamp(1e-6, 1 - 1e-6)
    ours, base = torchs(out)
    log_prob = ours.log_prob(BETA.to_env(raw)).sum(-1)
    torch.testing.assert_close(BETA.log_prob(out, raw, NONE), log_prob)
    # torch has no entropy of the stretched distribution: that of [0, 1] plus log 2 each.
    entropy = (base.entropy() + np.log(2)).sum(-1)
    torch.testing.assert_close(BETA.entropy(out, NONE), entropy)
    divergence = kl_divergence(base, torchs(other)[1]).sum(-1)
    torch.testing.assert_close(BETA.divergence(out, NONE, other, NONE), divergence)
    assert float(BETA.divergence(out, NONE, out, NONE).abs().max()) < 1e-12


def test_the_mode_of_a_beta_is_its_likeliest_action() -> None:
    out = 2 * torch.randn(200, 6, generator=torch.Generator().manual_seed(1))
    best = BETA.log_prob(out, BETA.mode(out), NONE)
    for step in (-1e-2, 1e-2):
        near = (BETA.mode(out) + step).clamp(1e-6, 1 - 1e-6)
        assert (BETA.log_prob(out, near, NONE) <= best + 1e-5).all()
    extreme = BETA.mode(torch.tensor([[-200.0, -200.0], [200.0, -200.0], [-200.0, 200.0]]))
    torch.testing.assert_close(extreme, torch.tensor([[0.5], [1.0], [0.0]]))


@pytest.mark.parametrize("shapes", [(1.0001, 1.0001), (1.0, 4.0), (2.5, 1.7), (60.0, 30.0)])
def test_draws_follow_the_beta_distribution(shapes: tuple[float, float]) -> None:
    rows = 50_000
    excess = torch.tensor(shapes) - 1
    out = (excess + torch.log(-torch.expm1(-excess.clamp(min=1e-4)))).repeat_interleave(2)
    uniform = torch.rand(rows, 2, generator=torch.Generator().manual_seed(2))
    raw = BETA.draw(out.expand(rows, 4), BETA.noise(uniform), NONE)
    assert raw.shape == (rows, 2)
    a, b = (float(1 + nn.functional.softplus(out[i])) for i in (0, 2))
    for column in raw.double().T:
        assert stats.kstest(column.numpy(), stats.beta(a, b).cdf).pvalue > 1e-3
    assert abs(float(np.corrcoef(raw.T.numpy())[0, 1])) < 0.02
    again = BETA.draw(out.expand(rows, 4), BETA.noise(uniform), NONE)
    assert torch.equal(raw, again), "a draw is a function of its uniform number"


def test_beta_gradients_stay_finite_at_the_bounds() -> None:
    out = torch.tensor([[-60.0, 60.0], [60.0, -60.0], [60.0, 60.0], [-60.0, -60.0]])
    out.requires_grad_()
    raw = BETA.draw(out.detach(), BETA.noise(torch.tensor([[0.0], [0.5], [0.99], [1.0]])), NONE)
    assert ((raw > 0) & (raw < 1)).all()
    total = BETA.log_prob(out, raw, NONE) + BETA.entropy(out, NONE)
    (gradient,) = torch.autograd.grad(total.sum(), out)
    assert total.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("head", [CATEGORICAL, GAUSSIAN])
def test_draws_follow_the_distribution_that_log_prob_states(head: object) -> None:
    g = torch.Generator().manual_seed(0)
    out, log_std = torch.tensor([0.3, -0.8, 1.1]), torch.tensor([-0.3, 0.2, 0.0])
    rows = 200_000
    uniform = torch.rand(rows, 3, generator=g)
    raw = head.draw(out.expand(rows, 3), head.noise(uniform), log_std)  # type: ignore[attr-defined]
    if head is CATEGORICAL:
        share = torch.bincount(raw, minlength=3) / rows
        assert torch.allclose(share, out.softmax(-1), atol=5e-3)
    else:
        assert torch.allclose(raw.mean(0), out, atol=1e-2)
        assert torch.allclose(raw.std(0), log_std.exp(), atol=1e-2)
    # E[1/p] over draws is the number of actions.
    if head is CATEGORICAL:
        log_prob = CATEGORICAL.log_prob(out.expand(rows, 3), raw, log_std)
        assert float((-log_prob).exp().mean()) == pytest.approx(3, rel=0.02)
    dist = torch.distributions
    base = dist.Normal(out, log_std.exp())
    if head is GAUSSIAN:
        squashed = dist.TransformedDistribution(base, dist.TanhTransform(cache_size=1))
        near = raw[:100].clamp(-2, 2)
        expected = squashed.log_prob(near.tanh()).sum(-1)
        torch.testing.assert_close(
            GAUSSIAN.log_prob(out, near, log_std), expected, rtol=1e-3, atol=1e-3
        )


# ---------------------------------------------------------------------- attention


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


# ---------------------------------------------------------------------- learning


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
    dist, base = torchs(out)
    ratio = (dist.log_prob(2 * raw - 1).sum(-1) - old).exp()
    gain = torch.min(ratio * batch.advantage, ratio.clamp(0.8, 1.2) * batch.advantage)
    kl = kl_divergence(base, torchs(reference)[1]).sum(-1)
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


# ---------------------------------------------------------------------- files and settings


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
