"""PPO against independent restatements: gradients, optimiser, scans, learners, resuming, tasks."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tradinghf.config import EnvConfig
from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy.heads import CATEGORICAL, GAUSSIAN
from tradinghf.learning.policy.networks import ActorCritic
from tradinghf.learning.ppo.adapters import GymnasiumEnv
from tradinghf.learning.ppo.flat import Adam, FlatParameters
from tradinghf.learning.ppo.gae import discounted, gae
from tradinghf.learning.ppo.ppo import PPO, Stream
from tradinghf.learning.ppo.streams import env_reward, sparse_pnl
from tradinghf.learning.runs.checkpoints import RunDirectory
from tradinghf.market.synthetic import synthetic
from tradinghf.simulation.env import MarketEnv

MARKET = synthetic(seed=0, bars=600, assets=4)
SMALL = PPOConfig(hidden=(16, 16), minibatches=4, epochs=2)


def market_env(count: int, **config: object) -> MarketEnv:
    return MarketEnv(MARKET, num_envs=count, config=EnvConfig(horizon=16, **config))  # type: ignore[arg-type]


# ---------------------------------------------------------------------- parts


@pytest.mark.parametrize("length", [1, 2, 3, 64, 100])
def test_discounted_sums_equal_the_loop(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    values = torch.randn(length, 3, 2, generator=generator, dtype=torch.float64)
    decay = torch.rand(length, 3, 2, generator=generator, dtype=torch.float64)
    decay[torch.rand(length, 3, 2, generator=generator) < 0.2] = 0
    expected, running = torch.empty_like(values), torch.zeros(3, 2, dtype=torch.float64)
    for t in reversed(range(length)):
        running = values[t] + decay[t] * running
        expected[t] = running
    before = values.clone(), decay.clone()
    torch.testing.assert_close(discounted(values, decay), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(values, before[0])
    assert torch.equal(decay, before[1])


def test_gae_in_single_precision_stays_close_to_double() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(64, 50, generator=generator, dtype=torch.float64) for _ in range(3)]
    done = torch.rand(64, 50, generator=generator) < 0.05
    exact = gae(*parts, done, done, gamma=1.0, lam=0.95)
    single = gae(*(p.float() for p in parts), done, done, gamma=1.0, lam=0.95)
    assert float((single - exact).abs().max()) < 1e-5


def test_optimiser_equals_torchs_adam_with_clipping() -> None:
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)) for _ in range(2)]
    twins = copy.deepcopy(networks)
    flat = FlatParameters(networks)
    adam = Adam(flat, limit=0.5)
    others = [torch.optim.Adam(t.parameters(), lr=1e-2, eps=1e-5) for t in twins]
    for step in range(20):
        flat.grad.copy_(torch.randn_like(flat.grad) * (0.01 if step % 2 else 3.0))
        for row, (twin, other) in enumerate(zip(twins, others, strict=True)):
            for name, parameter in twin.named_parameters():
                parameter.grad = flat.view(flat.grad, name)[row].clone()
            nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
            for group in other.param_groups:
                group["lr"] = 1e-2 / (1 + step)
            other.step()
        adam.step(1e-2 / (1 + step))
    for network, twin in zip(networks, twins, strict=True):
        for own, theirs in zip(network.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_touches_only_its_own_count(bad: float) -> None:
    flat = FlatParameters([nn.Linear(3, 2), nn.Linear(3, 2)])
    adam = Adam(flat, limit=0.5)
    flat.grad.fill_(0.1)
    adam.step(0.1)
    before = {k: v.clone() for k, v in adam.state().items()} | {"data": flat.data.clone()}
    flat.grad.fill_(0.1)
    flat.grad[0, 1] = bad
    assert adam.step(0.1).tolist() == [1.0, 0.0]
    after = adam.state() | {"data": flat.data}
    for name, value in after.items():
        assert torch.equal(value[0], before[name][0]), name
        assert not torch.equal(value[1], before[name][1]), name


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


# ---------------------------------------------------------------------- whole iterations


def rewards() -> dict[str, Stream]:
    return {"env": Stream(env_reward), "pnl": Stream(sparse_pnl, 0.3)}


def test_what_observations_look_like_does_not_change_the_training() -> None:
    weights = []
    for kind in ("flat", "index", "dict"):
        agent = PPO(market_env(8, observation=kind), {"env": Stream(env_reward)}, SMALL)
        agent.train(2)
        weights.append(agent.state()["networks"][0])
    for other in weights[1:]:
        for name, value in weights[0].items():
            assert torch.equal(value, other[name]), name


def test_a_reference_policy_holds_the_learner_back() -> None:
    def distance(weight: float) -> float:
        agent = PPO(market_env(32), rewards(), PPOConfig((16, 16), reference_kl=weight), seed=0)
        agent.freeze_reference()
        agent.train(4)
        assert agent.network is not None
        first = PPO(market_env(32), rewards(), PPOConfig((16, 16)), seed=0).network
        obs, _ = market_env(32).reset(seed=1)
        assert first is not None
        out, before = agent.network.policy_out(obs), first.policy_out(obs)
        away = agent.network.head.divergence(out, agent.network.log_std, before, first.log_std)
        return float(away.mean().detach())

    assert distance(5.0) < 0.2 * distance(0.0)


def test_rewards_that_are_not_finite_stop_training_with_good_weights() -> None:
    broken = {"env": Stream(lambda rollout: rollout.rewards * torch.nan)}
    agent = PPO(market_env(8), broken, SMALL)
    assert agent.network is not None
    before = copy.deepcopy(agent.network.state_dict())
    with pytest.raises(CheckpointError, match="not finite in 3 iterations"):
        agent.train(5)
    after = agent.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_critic_of_a_cut_episode_sees_its_last_state_not_the_next_episodes_first() -> None:
    agent = PPO(market_env(4), rewards(), SMALL)
    rollout = agent._trainer._act([torch.Generator().manual_seed(0)])
    assert agent.network is not None
    with torch.no_grad():
        inside = agent.network.value_out(rollout.obs[1:])
    torch.testing.assert_close(rollout.next_values[:-1], inside, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(rollout.values[1:], inside, rtol=1e-5, atol=1e-6)
    following = agent.network.value_out(agent._trainer._obs)
    assert rollout.truncated[-1].all()
    assert not torch.allclose(rollout.next_values[-1], following, atol=1e-4)


def test_streams_and_critics_must_match() -> None:
    network = ActorCritic(market_env(1).obs_dim, 5, 1, (8,), True)
    with pytest.raises(ConfigError, match="one critic per stream"):
        PPO(market_env(4), rewards(), SMALL, network=network)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_iterations_on_a_gpu_equal_the_cpus(actions: str) -> None:
    histories = []
    for device in ("cpu", "cuda"):
        task = EnvConfig(horizon=16, actions=actions)  # type: ignore[arg-type]
        env = MarketEnv(MARKET, num_envs=64, config=task, device=device)
        histories.append(PPO(env, rewards(), config=SMALL, seed=0).train(3))
    for on_cpu, on_gpu in zip(*histories, strict=True):
        assert on_gpu == pytest.approx(on_cpu, rel=1e-2, abs=1e-3)


def test_a_portfolio_needs_continuous_actions() -> None:
    with pytest.raises(ConfigError, match="continuous"):
        PPO(market_env(4, portfolio=True), rewards(), SMALL)
    agent = PPO(
        market_env(4, portfolio=True, actions="continuous"), {"env": Stream(env_reward)}, SMALL
    )
    assert agent.train(1)[0]["bad_gradients"] == 0


# ---------------------------------------------------------------------- killed and resumed

KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from test_ppo import SMALL, market_env, rewards
from tradinghf.learning.runs.checkpoints import RunDirectory
from tradinghf.learning.ppo.ppo import PPO
run = RunDirectory(sys.argv[1])
agent = PPO(market_env(8), rewards(), config=SMALL, seed=4)
def after(agent, metrics):
    run.log(metrics)
    run.save(agent.iteration, agent.state())
agent.train(100_000, total=12, after=after)
"""


def test_a_run_killed_at_any_moment_continues_bit_identically(tmp_path: Path) -> None:
    straight = PPO(market_env(8), rewards(), config=SMALL, seed=4)
    straight.train(12, total=12)
    here = str(Path(__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), here])
    log = tmp_path / "metrics.jsonl"
    while not (log.exists() and len(log.read_text().splitlines()) >= 3):
        assert process.poll() is None, "the run ended by itself"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    found = RunDirectory(tmp_path).latest()
    assert found is not None
    resumed = PPO(market_env(8), rewards(), config=SMALL, seed=4)
    resumed.restore(found[1])
    assert resumed.iteration >= 2
    if resumed.iteration < 12:
        resumed.train(12 - resumed.iteration, total=12)
        assert straight.network is not None
        assert resumed.network is not None
        for ours, theirs in zip(
            resumed.network.parameters(), straight.network.parameters(), strict=True
        ):
            assert torch.equal(ours, theirs)
        for name, value in resumed.state()["optimiser"].items():
            assert torch.equal(value, straight.state()["optimiser"][name])
    for line in log.read_text().splitlines()[:3]:
        json.loads(line)


# ---------------------------------------------------------------------- learning


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_planted_signal_is_learned_in_seconds(precision: Any) -> None:
    market = synthetic(seed=0, bars=1024, assets=8, regime="momentum")
    env = MarketEnv(market, num_envs=64, config=EnvConfig(horizon=32))
    config = PPOConfig(hidden=(32, 32), minibatches=8, learning_rate=3e-3, precision=precision)
    agent = PPO(env, {"env": Stream(env_reward)}, config, seed=0)
    pnl = [row["pnl"] for row in agent.train(20)]
    early, late = sum(pnl[:5]) / 5, sum(pnl[-8:]) / 8
    assert early < 0.003
    assert late > 0.01


def test_cart_pole_balances_after_a_few_seconds() -> None:
    env = GymnasiumEnv("CartPole-v1", 16)
    config = PPOConfig(
        (32, 32), gamma=0.98, gae_lambda=0.8, bootstrap=True, minibatches=4, learning_rate=3e-3
    )
    agent = PPO(env, {"env": Stream(env_reward)}, config, steps=64, seed=0)
    agent.train(30)
    late = [value for _, value in env.returns[-20:]]
    assert sum(late) / len(late) > 200


def test_gymnasium_actions_and_observations_are_scaled_to_their_bounds() -> None:
    env = GymnasiumEnv("Pendulum-v1", 3)
    obs, _ = env.reset(seed=2**40 + 1)
    assert obs.shape == (3, 3)
    strong, reward, *_ = env.step(torch.ones(3, 1))
    again = GymnasiumEnv("Pendulum-v1", 3)
    first, _ = again.reset(seed=2**40 + 1)
    assert torch.equal(first, obs)
    raw = again._env.step(torch.full((3, 1), 2.0).numpy())
    torch.testing.assert_close(strong[:, :2], torch.from_numpy(raw[0])[:, :2])
    torch.testing.assert_close(strong[:, 2] * 8, torch.from_numpy(raw[0])[:, 2])
    torch.testing.assert_close(reward, torch.from_numpy(raw[1]).float())
    for _ in range(199):
        _, _, _, truncated, info = again.step(torch.zeros(3, 1))
    assert truncated.all()
    assert info["final_obs"].shape == (3, 3)
    assert len(again.returns) == 3
    again.close()
    env.close()


def test_half_precision_keeps_small_steps_and_is_refused_where_it_is_not_there() -> None:
    config = replace(SMALL, precision="bfloat16", learning_rate=1e-5, final_learning_rate=1e-5)
    agent = PPO(market_env(8), {"env": Stream(env_reward)}, config)
    before = copy.deepcopy(agent.state()["networks"][0])
    agent.train(1)
    moved = [v != before[k] for k, v in agent.state()["networks"][0].items() if "weight" in k]
    share = torch.cat([m.flatten() for m in moved]).float().mean()
    assert float(share) > 0.9, "bfloat16 weights would round most of these steps away"
    with pytest.raises(ConfigError, match="precision"):
        PPOConfig(precision="bfloat16", network="attention", hidden=(8,))


class HostReads(TorchDispatchMode):
    """Fails where a tensor's value is asked for: a GPU would have to be waited for."""

    def __torch_dispatch__(
        self, func: object, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        name = str(func)
        assert "_local_scalar_dense" not in name, "a value was read"
        assert "nonzero" not in name, "a shape depends on values"
        return func(*args, **(kwargs or {}))  # type: ignore[operator]


@pytest.mark.parametrize("network", ["mlp", "attention"])
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_an_iteration_reads_its_metrics_and_nothing_else(
    actions: str, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, hidden=(8, 8), network=network, reference_kl=0.1)
    env = MarketEnv(
        MARKET,
        num_envs=8,
        config=EnvConfig(horizon=16, actions=actions),  # type: ignore[arg-type]
        engine="tensor",
    )
    streams = {"env": Stream(env_reward), "pnl": Stream(sparse_pnl)}
    agent = PPO(env, streams, config)
    agent.train(1)
    agent.freeze_reference()
    agent.train(1)
    lists: list[int] = []
    tolist = Tensor.tolist

    def counted(tensor: Tensor) -> object:
        lists.append(tensor.numel())
        return tolist(tensor)

    def refused(tensor: Tensor, *args: object) -> object:
        raise AssertionError("a tensor left the device")

    monkeypatch.setattr(Tensor, "tolist", counted)
    for name in ("cpu", "numpy", "item"):
        monkeypatch.setattr(Tensor, name, refused)
    with HostReads():
        agent.train(1)
    assert len(lists) == 1, "metrics, once"
