"""Agents of other libraries learn a market from rankings, paid by the streams of our own PPO."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from tradinghf import RLHF, EnvConfig, MarketEnv, RewardModel
from tradinghf.errors import CheckpointError, ConfigError, FeedbackError
from tradinghf.learning.config import RLHFConfig
from tradinghf.learning.ppo import Rollout, Stream, env_reward, sparse_pnl
from tradinghf.loop._paid_market import PaidMarket, Recording
from tradinghf.market import synthetic

MARKET = synthetic(0, 400, 2)
TINY = RLHFConfig(rankings=4, rounds=2, steps=1024, windows=6)


def drawdown(rollout: Rollout) -> torch.Tensor:
    """[L, N] a reward of the path so far."""
    return -rollout.paths().drawdown[:, 1:].T


@pytest.mark.parametrize("portfolio", [False, True])
def test_every_step_is_paid_what_the_whole_episode_is_paid(portfolio: bool) -> None:
    config = EnvConfig(horizon=12, portfolio=portfolio, actions="continuous")
    env = MarketEnv(MARKET, num_envs=3, config=config)
    streams = {"env": Stream(env_reward, 0.5), "pnl": Stream(sparse_pnl), "own": Stream(drawdown)}
    market = PaidMarket(env, streams, seed=3)
    market.measure()
    market.remembers = True
    _, info = market.reset()
    whole = Recording(torch.as_tensor(info["close"]), 12)
    rng, paid = np.random.default_rng(0), []
    for _ in range(12):
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        _, reward, _, truncated, told = market.step(action)
        facts = {k: torch.as_tensor(v) for k, v in told.items() if k in RECORDED}
        whole.add(facts, torch.as_tensor(told["task_reward"]))
        paid.append(reward)
    assert truncated.all()
    assert told["episode"]["l"].tolist() == [12] * 3
    rollout = whole.rollout()
    parts = {name: stream.reward(rollout).double() for name, stream in streams.items()}
    units = {
        n: float(s.reward(market._explored).flip(0).cumsum(0).std()) for n, s in streams.items()
    }
    expected = sum(streams[name].weight * x / units[name] for name, x in parts.items())
    np.testing.assert_allclose(paid, expected.numpy(), rtol=1e-3, atol=1e-4)
    market.step(action)
    again = market.paid_again(13)
    np.testing.assert_allclose(again[:12], paid, rtol=1e-6)
    market.weights |= {"env": 1.0, "pnl": 0.0, "own": 0.0}
    earned = np.asarray(market.paid_again(13)[:12]) * units["env"]
    np.testing.assert_allclose(earned, rollout.rewards.numpy(), rtol=1e-3, atol=1e-6)
    assert market.earned["env"] == pytest.approx(float(rollout.rewards.sum()), abs=0.05)


RECORDED = ("equity", "position", "turnover", "costs", "realised_pnl", "close", "price")


@pytest.mark.slow
def test_ppo_of_others_learns_with_a_network_as_reward(tmp_path: Path) -> None:
    env = MarketEnv(MARKET, num_envs=4, config=EnvConfig(horizon=16), reward="log_equity")
    one = partial(gymnasium.make, "tradinghf/Market-v0", market=MARKET, horizon=16)
    ppo = sb3.PPO("MlpPolicy", DummyVecEnv([one] * 8), n_steps=16, n_epochs=1, device="cpu", seed=0)
    loop = RLHF(
        env,
        nn.Linear(8, 1),
        agent=ppo,
        trader="drawdown",
        config=TINY,
        validation_market=MARKET,
        out=tmp_path / "run",
    ).train()
    market = loop.agent.market
    assert market.num_envs == 8
    assert 1024 <= market.steps < 1400
    assert set(market.earned) == {"learned", "pnl", "env"}, "a reward that was given pays too"
    candidates = loop.training.candidates
    assert loop.training.choice["of"] == len(candidates) >= 4
    assert not torch.equal(
        *(n.state_dict()["acting.action_net.weight"] for n in candidates[::3][:2])
    )
    assert loop.agent.network.state_dict().keys() == loop.policy.network.state_dict().keys()
    assert 0 <= loop.evaluate(rankings=3, windows=8)["accuracy"] <= 1
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("reward/learned") == len(
        candidates
    )
    with pytest.raises(CheckpointError, match="cannot be resumed from checkpoints"):
        loop.resume()
    with pytest.raises(CheckpointError, match="agent of another library"):
        loop.policy.save(tmp_path / "policy.safetensors")
    # Gaming is undone by going back to what was marked.
    loop.training._chosen = None
    before = loop.policy.fingerprint
    loop.training.mark()
    loop.agent.train(24)
    assert loop.policy.fingerprint != before
    loop.training.undo()
    assert loop.policy.fingerprint == before


def test_what_a_replay_buffer_remembers_is_paid_anew() -> None:
    config = EnvConfig(horizon=8, actions="continuous", observation="dict")
    env = MarketEnv(MARKET, num_envs=4, config=config)
    loop = RLHF(env, nn.Linear(8, 1), agent=sb3.SAC, trader="drawdown", config=TINY)
    loop.train(steps=96)
    memory = loop.agent.agent.algorithm.replay_buffer
    held = memory.pos
    assert held == loop.agent.market.steps // 4
    assert loop.evaluate(rankings=2, windows=4)["mean_exposure"] >= 0
    loop.agent.weigh("pnl", 7.0)
    loop.agent.train(1)
    np.testing.assert_allclose(memory.rewards[:held], loop.agent.market.paid_again(
        loop.agent.market.steps // 4)[:held], rtol=1e-5)  # fmt: skip


def test_a_function_learns_what_traders_value() -> None:
    """Cross-entropy over five constant positions: whoever fears drawdowns holds little."""
    rising = synthetic(0, 400, 1)

    def best_of_five(envs: Any, steps: int, before: Any) -> Any:
        totals = np.zeros(5)
        for level in range(5):
            envs.reset(seed=1)
            for _ in range(8):
                totals[level] += envs.step(np.full(envs.num_envs, level))[1].sum()
        best = int(totals.argmax())
        return lambda obs: np.full(len(obs), best)

    env = MarketEnv(rising, num_envs=64, config=EnvConfig(horizon=8))
    config = RLHFConfig(rankings=8, rounds=1, steps=64 * 8 * 5, pnl_weight=0.0)
    loop = RLHF(env, RewardModel(), agent=best_of_five, trader="drawdown", config=config)
    loop.train()
    obs, _ = env.reset(seed=0)
    assert set(loop.policy.act(obs).tolist()) == {2}, "flat"


def test_mistakes_are_found_before_anything_is_asked() -> None:
    env = MarketEnv(MARKET, num_envs=4, config=EnvConfig(horizon=16))
    for network in (nn.Linear(4, 1), nn.Linear(8, 2)):
        with pytest.raises(FeedbackError, match=r"Linear .*Expected a module .*\[B, L, 8\]"):
            RLHF(env, network, trader="drawdown")
    with pytest.raises(ConfigError, match="SAC does not fit the task"):
        RLHF(env, trader="drawdown", agent=sb3.SAC)
    idle = RLHF(env, nn.Linear(8, 1), trader="drawdown", config=TINY,
                agent=lambda envs, steps, before: np.zeros_like)  # fmt: skip
    with pytest.raises(ConfigError, match="took none in its environment"):
        idle.train()
