"""Policies with a memory: a task that needs one, sequences, files, backtests and RLHF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.evaluation import backtest, signal
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.policy import ActorCritic, Policy, export_onnx
from tradinghf.learning.policy._memory import GatedMemory
from tradinghf.learning.ppo import PPO, Rollout, Stream, env_reward
from tradinghf.loop import RLHF
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=1, bars=300, assets=1)
LENGTH = 5


class Task:
    """The time limit, as PPO reads it."""

    horizon = LENGTH


class Cue:
    """Shows which of two actions pays at the end, but only at the first of `LENGTH` steps."""

    config = Task()
    single_action_space = spaces.Discrete(2)
    obs_dim = 2

    def __init__(self, count: int) -> None:
        self.num_envs = count

    def _begin(self) -> None:
        self.bar, self.cue = 0, torch.randint(2, (self.num_envs,), generator=self.generator)

    def _obs(self) -> Tensor:
        shown = 2.0 * self.cue - 1.0 if self.bar == 0 else torch.zeros(self.num_envs)
        return torch.stack([shown, torch.full_like(shown, self.bar / LENGTH)], 1)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Tensor, dict[str, Any]]:
        self.generator = torch.Generator().manual_seed(int(seed))
        self._begin()
        return self._obs(), {}

    def step(self, actions: Tensor) -> tuple[Any, ...]:
        self.bar += 1
        last, info = self.bar == LENGTH, {}
        reward = (actions == self.cue).float() * last
        if last:
            info["final_obs"] = self._obs()
            self._begin()
        end = torch.full((self.num_envs,), last)
        return self._obs(), reward, torch.zeros_like(end), end, info


def trained(network: Any, iterations: int, **settings: Any) -> PPO:
    config = PPOConfig(
        hidden=(16, 16), network=network, minibatches=4, learning_rate=5e-3,
        final_learning_rate=0.0, **settings,
    )  # fmt: skip
    agent = PPO(Cue(64), {"env": Stream(env_reward)}, config=config, seed=0)
    agent.train(iterations)
    return agent


def paid(agent: PPO) -> float:
    """Mean pay of the best actions over 256 episodes."""
    env, acting = Cue(256), agent.network.fresh()
    obs, _ = env.reset(seed=9)
    total = torch.zeros(256)
    for _ in range(LENGTH):
        obs, reward, *_ = env.step(acting.act(obs))
        total += reward
    return float(total.mean())


def test_a_memory_learns_what_no_other_policy_with_the_same_observations_can() -> None:
    assert paid(trained("gru", 24)) > 0.95
    assert paid(trained("mlp", 6)) == pytest.approx(0.5, abs=0.12)  # at any number of iterations


def test_a_gated_unit_is_torchs() -> None:
    unit = GatedMemory(3, 4)
    for layer in (unit.seen, unit.kept):
        torch.nn.init.normal_(layer.bias)
    cell = torch.nn.GRUCell(4, 4)
    cell.load_state_dict(
        {
            "weight_ih": unit.seen.weight,
            "weight_hh": unit.kept.weight,
            "bias_ih": unit.seen.bias,
            "bias_hh": unit.kept.bias,
        }
    )
    obs, memory = torch.randn(6, 5, 3), torch.randn(5, 4)
    begins = torch.zeros(6, 5, dtype=torch.bool)
    begins[3, 1] = True
    rows = unit.through(obs, memory, begins)
    kept = memory
    for step in range(6):
        kept = torch.where(begins[step][:, None], 0.0, kept)
        kept = cell(unit.own(obs[step]).tanh(), kept)
        torch.testing.assert_close(rows[step], kept)
        assert torch.equal(unit.step(obs[0], memory), rows[0]) or step


def test_gradients_go_through_time_and_stop_where_an_episode_begins() -> None:
    agent = trained("gru", 0)
    unit = agent.network.memory
    assert unit is not None
    obs = torch.randn(4, 2, 2, requires_grad=True)
    begins = torch.zeros(4, 2, dtype=torch.bool)
    begins[2, 1] = True
    unit.through(obs, unit.blank(2), begins)[-1].sum().backward()
    assert obs.grad is not None
    flows = obs.grad.abs().sum(-1) > 0
    assert flows.T.tolist() == [[True] * 4, [False, False, True, True]]


def test_one_minibatch_has_the_gradient_of_the_loss_written_out() -> None:
    """Of the first update: an independent forward through all episodes, by automatic gradients."""
    agent = trained("gru", 0, epochs=1)
    agent.config = agent._update.config = PPOConfig(
        hidden=(16, 16), network="gru", minibatches=1, epochs=1, learning_rate=1e-9, entropy=0.0
    )
    rollout: list[Rollout] = []
    stream = agent.streams["env"].reward
    agent.streams = {"env": Stream(lambda r: (rollout.append(r), stream(r))[1])}
    before = {k: v.clone() for k, v in agent.network.state_dict().items()}
    agent.train(1)
    (seen,) = rollout
    network = agent.network
    network.load_state_dict(before)
    cell = torch.nn.GRUCell(16, 16)
    assert network.memory is not None
    acting, out = network.fresh(), []
    for step in range(LENGTH):  # what acted is what is trained on
        acting.act(seen.obs[step])
        out.append(network.policy_out(acting._memory))
    log_prob = network.head.log_prob(torch.stack(out), seen.actions, network.log_std)
    torch.testing.assert_close(log_prob, seen.log_probs, rtol=1e-5, atol=1e-6)
    assert cell.hidden_size == network.memory.width
    assert agent._update.adam.norm > 0


def market_agent(**settings: Any) -> tuple[PPO, MarketEnv]:
    env = MarketEnv(MARKET, num_envs=8, config=EnvConfig(horizon=12, lookback=2), **settings)
    config = PPOConfig(hidden=(8,), network="gru", minibatches=2, epochs=1)
    return PPO(env, {"env": Stream(env_reward)}, config=config, seed=3), env


def test_a_file_a_backtest_and_a_signal_do_what_it_does_in_its_environment(tmp_path: Path) -> None:
    agent, env = market_agent()
    agent.train(2)
    torch.nn.init.normal_(agent.network.actor[-1].weight, 0, 3.0)  # it trades a lot
    made = Policy.trained(agent.network, env, "gru")
    made.save(tmp_path / "gru.safetensors")
    policy = Policy.load(tmp_path / "gru.safetensors")
    assert policy.fingerprint == made.fingerprint
    costs = CostModel()
    whole = MarketEnv(
        MARKET, num_envs=1, costs=costs, scaler=env.scaler,
        config=EnvConfig(horizon=298, lookback=2, review=12, dtype="float64"),
    )  # fmt: skip
    obs, _ = whole.reset(seed=0, options={"start": 1, "asset": 0})
    acting, equity = policy.fresh(), []
    for _ in range(298):
        obs, *_, info = whole.step(acting.act(whole.dense(obs)))
        equity.append(float(info["equity"]))
    report = backtest(policy, MARKET, costs=costs, record=False)
    np.testing.assert_allclose(equity, report.equity[2:300] / 1e5, rtol=1e-9)
    assert len(report.trades) > 20
    again = backtest(policy, MARKET, costs=costs, record=False)
    assert np.array_equal(report.equity, again.equity), "a run leaves a memory behind"
    assert len(signal(policy, MARKET)) >= 1
    with pytest.raises(ConfigError, match=r"policy\.fresh\(\)"):
        policy.act(torch.zeros(1, policy.network.shape["inputs"]))
    run = policy.fresh()
    run.act(torch.zeros(3, policy.network.shape["inputs"]))
    with pytest.raises(ConfigError, match="same episodes"):
        run.act(torch.zeros(2, policy.network.shape["inputs"]))
    with pytest.raises(ConfigError, match="without a memory"):
        export_onnx(policy, tmp_path / "gru.onnx")


def test_rollouts_of_parts_of_episodes_go_on_with_the_memory_and_forget_at_ends() -> None:
    agent, _ = market_agent(termination=lambda t: t.drawdown > 0.004)
    assert not agent.whole_episodes
    memories: list[Tensor] = []
    for _ in range(3):
        history = agent.train(1)
        memories.append(agent._forward.first.clone())  # type: ignore[union-attr]
        assert np.isfinite(list(history[0].values())).all()
    assert not memories[0].any()
    assert memories[1].any()
    with pytest.raises(ConfigError, match="reference_kl"):
        PPO(agent.env, agent.streams, PPOConfig(network="gru", reference_kl=0.1))


def test_a_run_continues_from_its_state_bit_by_bit() -> None:
    one, _ = market_agent()
    one.train(2, total=3)
    two, _ = market_agent()
    state = {k: v for k, v in one.state().items()}
    two.restore({**state, "network": {k: v.clone() for k, v in state["network"].items()}})
    for agent in (one, two):
        agent.train(1, total=3)
    for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_rlhf_trains_ranks_and_saves_a_policy_with_a_memory(tmp_path: Path) -> None:
    env = MarketEnv(MARKET, num_envs=16, config=EnvConfig(horizon=12, lookback=2))
    settings = RLHFConfig(
        rankings=4, rounds=2, size=3, steps=16 * 12 * 4, windows=4,
        ppo=PPOConfig(hidden=(8,), network="gru", minibatches=2, epochs=1),
    )  # fmt: skip
    loop = RLHF(env, trader="drawdown", config=settings)
    loop.train()
    network = loop.policy.network
    assert isinstance(network, ActorCritic)
    assert network.memory is not None
    loop.policy.save(tmp_path / "p.safetensors")
    assert Policy.load(tmp_path / "p.safetensors").fingerprint == loop.policy.fingerprint


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"precision": "bfloat16"}, "float32"),
        ({"graphs": "step"}, "none"),
        ({"hidden": ()}, "first width"),
    ],
)
def test_what_a_memory_does_not_do_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PPOConfig(network="gru", **settings)
