"""PPO as a whole: iterations, resuming, learning, and tasks of Gymnasium."""

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
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tradinghf.config import EnvConfig
from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo import PPO, GymnasiumEnv, Stream, _fastest, env_reward, sparse_pnl
from tradinghf.learning.ppo._schedule import StepRates
from tradinghf.learning.runs import RunDirectory
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=600, assets=4)
SMALL = PPOConfig(hidden=(16, 16), minibatches=4, epochs=2)


def market_env(count: int, **config: object) -> MarketEnv:
    return MarketEnv(MARKET, num_envs=count, config=EnvConfig(horizon=16, **config))  # type: ignore[arg-type]


# ---------------------------------------------------------------------- whole iterations


def rewards() -> dict[str, Stream]:
    return {"env": Stream(env_reward), "pnl": Stream(sparse_pnl, 0.3)}


def test_what_observations_look_like_does_not_change_the_training() -> None:
    weights = []
    for kind in ("flat", "index", "dict"):
        agent = PPO(market_env(8, observation=kind), {"env": Stream(env_reward)}, SMALL)
        agent.train(2)
        weights.append(agent.state()["network"])
    for other in weights[1:]:
        for name, value in weights[0].items():
            assert torch.equal(value, other[name]), name


def test_a_reference_policy_holds_the_learner_back() -> None:
    def distance(weight: float) -> float:
        agent = PPO(market_env(32), rewards(), PPOConfig((16, 16), reference_kl=weight), seed=0)
        agent.freeze_reference()
        agent.train(4)
        first = PPO(market_env(32), rewards(), PPOConfig((16, 16)), seed=0).network
        obs, _ = market_env(32).reset(seed=1)
        assert first is not None
        out, before = agent.network.policy_out(obs), first.policy_out(obs)
        away = agent.network.head.divergence(out, agent.network.log_std, before, first.log_std)
        return float(away.mean().detach())

    assert distance(5.0) < 0.2 * distance(0.0)


def test_rewards_that_are_not_finite_stop_training_with_good_weights() -> None:
    good = [True]
    broken = {"env": Stream(lambda rollout: rollout.rewards * (1.0 if good[0] else torch.nan))}
    agent = PPO(market_env(8), broken, SMALL)
    agent.train(1)
    good[0] = False
    before = copy.deepcopy(agent.network.state_dict())
    with pytest.raises(CheckpointError, match="not finite in 3 iterations"):
        agent.train(5)
    after = agent.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("paid", "found"),
    [
        (lambda r: 1.0, "a float"),
        (lambda r: r.rewards.T, r"shape \[8, 16\]"),
        (lambda r: r.rewards.sum(0), r"shape \[8\]"),
        (lambda r: r.rewards / 0, "at step . of environment"),
    ],
)
def test_a_stream_that_pays_nonsense_is_named_at_the_first_rollout(paid: Any, found: str) -> None:
    agent = PPO(market_env(8), {"mine": Stream(paid)}, SMALL)
    with pytest.raises(ConfigError, match=f"'mine' paid .*{found}.*expected a tensor"):
        agent.train(1)


def test_the_critic_of_a_cut_episode_sees_its_last_state_not_the_next_episodes_first() -> None:
    agent = PPO(market_env(4), rewards(), SMALL)
    rollout = agent._act(agent._draws(StepRates.at(agent.config, 0.0)))
    with torch.no_grad():
        inside = agent.network.value_out(rollout.obs[1:])
    torch.testing.assert_close(rollout.next_values[:-1], inside, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(rollout.values[1:], inside, rtol=1e-5, atol=1e-6)
    following = agent.network.value_out(agent._obs)
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


def test_levels_of_a_portfolio_need_weights_that_its_assets_share() -> None:
    with pytest.raises(ConfigError, match="continuous"):
        PPO(market_env(4, portfolio=True), rewards(), replace(SMALL, network="mlp"))
    agent = PPO(market_env(4, portfolio=True), rewards(), SMALL)
    assert agent.network.shape["assets"] is not None
    assert agent.train(1)[0]["bad_gradients"] == 0
    with pytest.raises(ConfigError, match="trades one asset"):
        PPO(market_env(4), rewards(), replace(SMALL, network="assets"))
    with pytest.raises(ConfigError, match="float32"):
        PPO(market_env(4, portfolio=True), rewards(), replace(SMALL, precision="bfloat16"))


# ---------------------------------------------------------------------- killed and resumed

KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from test_trainer import SMALL, market_env, rewards
from tradinghf.learning.runs import RunDirectory
from tradinghf.learning.ppo import PPO
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
        for ours, theirs in zip(
            resumed.network.parameters(), straight.network.parameters(), strict=True
        ):
            assert torch.equal(ours, theirs)
        for name, value in resumed.state()["optimiser"].items():
            assert torch.equal(value, straight.state()["optimiser"][name])
    for line in log.read_text().splitlines()[:3]:
        json.loads(line)


def test_restoring_a_copy_undoes_what_was_learned_since() -> None:
    agent, straight = (PPO(market_env(8), rewards(), config=SMALL, seed=4) for _ in range(2))
    for each in (agent, straight):
        each.train(2, total=6)
    before = copy.deepcopy(agent.state())
    agent.train(2, total=6)
    agent.restore(before | {"iteration": agent.iteration})
    straight.iteration = 4  # as if the two iterations in between had never been
    for each in (agent, straight):
        each.train(1, total=6)
    assert torch.equal(agent.scale, straight.scale)
    for kind in ("network", "optimiser"):
        learned, expected = agent.state()[kind], straight.state()[kind]
        assert all(torch.equal(learned[name], value) for name, value in expected.items())
        assert not any(
            torch.equal(learned[name], value)
            for name, value in before[kind].items()
            if name != "log_std"
        )


# ---------------------------------------------------------------------- learning


def planted(precision: Any, seed: int) -> list[float]:
    """Profit per episode of each iteration on a market with a trend to be found."""
    market = synthetic(seed=0, bars=1024, assets=8, regime="momentum")
    env = MarketEnv(market, num_envs=64, config=EnvConfig(horizon=32))
    config = PPOConfig(hidden=(32, 32), minibatches=8, learning_rate=3e-3, precision=precision)
    agent = PPO(env, {"env": Stream(env_reward)}, config, seed=seed)
    return [row["pnl"] for row in agent.train(20)]


def test_a_planted_signal_is_learned_in_seconds() -> None:
    pnl = planted("float32", seed=0)
    assert sum(pnl[:5]) / 5 < 0.003
    assert sum(pnl[-8:]) / 8 > 0.01


@pytest.mark.slow
def test_half_precision_learns_as_much() -> None:
    late: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for precision, found in late.items():
        found += [sum(planted(precision, seed)[-8:]) / 8 for seed in range(4)]
    full, half = (torch.tensor(found) for found in late.values())
    error = ((full.var() + half.var()) / 4) ** 0.5
    assert min(map(min, late.values())) > 0.01
    assert abs(full.mean() - half.mean()) < 3 * error + 0.05 * full.mean(), late


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
    raw = again.vector.step(torch.full((3, 1), 2.0).numpy())
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
    before = copy.deepcopy(agent.state()["network"])
    agent.train(1)
    moved = [v != before[k] for k, v in agent.state()["network"].items() if "weight" in k]
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
    monkeypatch.setattr(_fastest, "covers", lambda *_: False)  # the processor's own way, as is
    agent = PPO(env, streams, config)
    agent._forward = None  # this one
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
