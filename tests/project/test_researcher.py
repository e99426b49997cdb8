"""What researchers tried with their own environments, agents, rewards and answers, as they did it.

The scripts of fifteen reports, smaller; each failed once.
"""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium.wrappers.vector import NormalizeObservation
from stable_baselines3.common.env_util import make_vec_env
from torch import nn

import tradinghf.simulation
from tradinghf import RLHF, EnvConfig, MarketEnv, RewardModel, load_market
from tradinghf.errors import FeedbackError
from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Stream, sparse_pnl
from tradinghf.loop import collect, constant_actor
from tradinghf.simulation import random_windows

ID = "tradinghf/Market-v0"
TASK: dict[str, Any] = {"market": "synthetic:bars=300", "horizon": 16}
MARKET = load_market("synthetic:bars=600,assets=2")
CONFIG = EnvConfig(horizon=16)
SMALL: dict[str, int] = {"rankings": 3, "rounds": 1, "steps": 256, "windows": 4}


@pytest.mark.slow
def test_processes_start_whatever_the_number_of_threads() -> None:
    """01: it hung where torch had threads before the fork."""
    code = (
        "import gymnasium, torch, tradinghf.simulation; torch.ones(1 << 20).sum(); "
        f"e = gymnasium.make_vec({ID!r}, num_envs=2, vectorization_mode='async', **{TASK!r}); "
        "e.reset(seed=0); e.step([4, 0]); e.close(); print('reached')"
    )
    for threads in ("2", "1"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={"OMP_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert "reached" in done.stdout, done.stderr


def test_vectors_that_others_make() -> None:
    """02, 07: `make_vec_env`, and a wrapper that asked for another way to reset."""
    assert make_vec_env(ID, 2, env_kwargs=TASK).reset().shape == (2, 44)
    env = NormalizeObservation(gymnasium.make_vec(ID, num_envs=4, **TASK))
    assert env.reset(seed=0)[0].shape == (4, 44)


def test_what_gymnasium_made_and_portfolios_are_learned() -> None:
    """03, 04."""
    made = gymnasium.make_vec(ID, num_envs=8, **TASK)
    assert len(RLHF(made, RewardModel(), trader="drawdown").train(**SMALL).rankings) == 3
    config = EnvConfig(horizon=16, portfolio=True, actions="continuous")
    env = MarketEnv(MARKET, num_envs=8, config=config)
    assert len(RLHF(env, RewardModel(), trader="drawdown").train(**SMALL).rankings) == 3


def test_a_reward_that_is_given_matters() -> None:
    """05: three rewards gave one policy."""
    rewards: tuple[Any, ...] = ("log_equity", "drawdown_penalised", lambda t: -t.equity)
    found = set()
    for reward in rewards:
        env = MarketEnv(MARKET, num_envs=16, config=CONFIG, reward=reward)
        found.add(RLHF(env, RewardModel(), trader="drawdown").train(**SMALL).policy.fingerprint)
    assert len(found) == 3


@pytest.mark.extra("torchrl")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchrl_wraps_the_vector_environment() -> None:
    """08."""
    from torchrl.envs import GymWrapper

    env = GymWrapper(gymnasium.make_vec(ID, num_envs=3, **TASK), device="cpu")
    assert tuple(env.rollout(5).batch_size) == (3, 5)


def test_an_agent_of_others_in_one_environment_and_a_network_as_reward() -> None:
    """09: one environment took minutes; its rollouts are priced as a whole now."""
    env = MarketEnv(MARKET, num_envs=8, config=CONFIG)
    with pytest.raises(FeedbackError, match=r"Linear fails.*facts of bars \[B, L, 8\]"):
        RLHF(env, nn.Linear(4, 1), trader="drawdown").train(**SMALL)
    one = gymnasium.make(ID, **TASK)
    agent = sb3.PPO("MlpPolicy", one, n_steps=256, n_epochs=1, device="cpu", seed=0)
    loop = RLHF(env, nn.Linear(8, 1), agent=agent, trader="drawdown").train(**SMALL)
    market = loop.agent.market
    assert market.late == 256
    assert market.steps == 256
    assert market.earned["learned"] != 0


def test_a_rollout_that_is_paid_late_is_paid_the_same() -> None:
    """Rewards, advantages and returns of a rollout over the ends of episodes."""
    found = []
    for late in (True, False):
        env = MarketEnv(MARKET, num_envs=2, config=CONFIG)
        settings = {"n_steps": 40, "batch_size": 40, "n_epochs": 1, "device": "cpu", "seed": 0}
        agent = sb3.PPO("MlpPolicy", make_vec_env(ID, 2, env_kwargs=TASK), **settings)
        loop = RLHF(env, nn.Linear(8, 1), agent=agent, trader="drawdown")
        if not late:
            loop.agent.market.late, loop.agent.agent._callback = 0, None
        torch.manual_seed(0)
        loop.train(**SMALL | {"steps": 64})
        buffer = agent.rollout_buffer
        found.append((buffer.rewards, buffer.advantages, buffer.returns))
        assert loop.agent.market.steps == 80
    for late_rows, rows in zip(*found, strict=True):
        assert np.abs(rows).max() > 0.1
        np.testing.assert_allclose(late_rows, rows, rtol=1e-4, atol=1e-5)


def test_a_frame_is_a_market() -> None:
    """11."""
    assert MarketEnv(MARKET.to_frame()).market.sha256 == MARKET.sha256


def test_a_portfolio_keeps_to_its_leverage() -> None:
    """14: minus one for each of sixteen assets was 16.5 times the equity."""
    for sign in (-1, 1):
        env = gymnasium.make("tradinghf/Portfolio-v0", market="synthetic:bars=600", horizon=16)
        env.reset(seed=0)
        held = env.step(sign * np.ones(16, np.float32))[4]["position"]
        np.testing.assert_allclose(held, sign / 16, atol=0.01)


def test_rankings_across_windows_are_refused_by_store_and_fit(tmp_path: Path) -> None:
    """15."""
    bars = load_market("sp500")
    windows = random_windows(bars, CONFIG, 2, seed=0)
    (a,), (b,) = collect(bars, [constant_actor(bars, 1.0)], windows, config=CONFIG)
    ranking = Ranking(uuid.uuid4().hex, (a.id, b.id), (1, 2), rater="me")
    store = Store(tmp_path / "store")
    store.add_episodes([a, b])
    with pytest.raises(FeedbackError, match="luck would be learned as taste"):
        store.submit(ranking)
    with pytest.raises(FeedbackError, match="across_windows"):
        RewardModel().fit([ranking], {e.id: e for e in (a, b)})


def test_three_questions_leave_a_wide_interval() -> None:
    """16: 1.0 (1.0, 1.0)."""
    env = MarketEnv(MARKET, num_envs=16, config=CONFIG)
    loop = RLHF(env, RewardModel(), trader="drawdown").train(**SMALL)
    found = loop.evaluate(rankings=3, windows=4)
    low, high = found["accuracy_interval"]
    assert high - low > 0.2
    assert low <= found["accuracy"] <= high


@pytest.mark.slow
def test_the_critic_knows_how_much_of_the_episode_is_left() -> None:
    """17: V(last) was 4.5 where 1.0 is true."""
    env = MarketEnv(MARKET, num_envs=64, config=CONFIG)
    settings = {"hidden": (32,), "gamma": 0.9, "learning_rate": 1e-2, "final_learning_rate": 1e-2}
    streams = {"x": Stream(lambda rollout: torch.ones_like(sparse_pnl(rollout)))}
    agent = PPO(env, streams, config=PPOConfig(**settings))  # type: ignore[arg-type]
    agent.train(150)
    obs, _ = env.reset(seed=3)
    first = float(agent.values(obs, 0).mean())
    for _ in range(15):
        obs, *_ = env.step([2] * 64)
    assert first == pytest.approx(8.15, abs=0.3)
    assert float(agent.values(obs, 15).mean()) == pytest.approx(1.0, abs=0.2)


assert tradinghf.simulation
