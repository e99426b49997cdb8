"""The loop on environments of every kind: portfolios, rewards of one's own."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.ppo._schedule import StepRates
from tradinghf.learning.reward import RewardModel, TradePaths
from tradinghf.loop import RLHF, collect, constant_actor
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv, random_windows

MARKET = synthetic(seed=3, bars=400, assets=3)
TINY = RLHFConfig(
    rankings=4, rounds=2, steps=512, windows=6, ppo=PPOConfig(hidden=(8,), minibatches=2)
)
PORTFOLIO = EnvConfig(horizon=16, portfolio=True, actions="continuous")


def test_a_portfolio_goes_through_the_whole_loop() -> None:
    env = MarketEnv(MARKET, num_envs=8, config=PORTFOLIO)
    agent = RLHF(env, RewardModel(), trader="drawdown", config=TINY).train()
    assert len(agent.rankings) == 4
    assert agent.reward_model.fitted
    found = agent.evaluate(rankings=6, windows=16)
    assert 0.5 < found["accuracy"] <= 1
    assert np.isfinite(found["mean_return"])
    for episode in agent.episodes.values():
        episode.check()
        assert np.abs(episode.position).max() < 1.1, "net exposure within the cap"
        assert episode.symbol == "3 assets of synthetic"


def test_a_portfolios_episode_is_what_its_rollout_is_paid_for() -> None:
    """Traders see, and the reward model prices, one and the same account."""
    env = MarketEnv(MARKET, num_envs=4, config=PORTFOLIO)
    agent = RLHF(env, RewardModel(), trader="drawdown", config=TINY).agent
    rollout = agent._act(agent._draws(StepRates.at(agent.config, 0.0)))
    paths = rollout.paths()
    windows = random_windows(MARKET, PORTFOLIO, 1, seed=0)
    start = int(windows.start[0])
    ((episode,),) = collect(MARKET, [constant_actor(MARKET, 1.0)], windows, config=PORTFOLIO)
    relative = MARKET.close[start : start + 17] / MARKET.close[start]
    np.testing.assert_allclose(episode.close, relative.mean(1), rtol=1e-5)
    assert episode.position == pytest.approx(1, abs=0.02), "all assets alike, fully invested"
    fees = 1 - 2e-4
    bought = MARKET.open[start + 1] / MARKET.close[start]
    grown = (relative[1:] / bought).mean(1) * fees
    np.testing.assert_allclose(episode.equity[1:], grown, atol=2e-4)
    shown = TradePaths.from_episodes([episode])
    assert paths.position.shape[1:] == shown.position.shape[1:] == (16,)
    assert paths.close.shape[1:] == shown.close.shape[1:] == (17,)
    assert (paths.close[:, 0] == 1).all()


def test_a_reward_of_the_environment_pays_in_the_loop() -> None:
    rewards = (None, "log_equity", "drawdown_penalised", lambda t: -t.turnover)
    trained, streams = [], []
    for reward in rewards:
        env = MarketEnv(MARKET, num_envs=8, config=EnvConfig(horizon=16), reward=reward)
        agent = RLHF(env, RewardModel(), trader="drawdown", config=TINY).train()
        trained.append(agent.policy.fingerprint)
        streams.append(list(agent.agent.streams))
    assert len(set(trained)) == len(rewards)
    assert streams == [["learned", "pnl"], *[["learned", "pnl", "env"]] * 3]


def test_settings_about_asking_may_change_between_rounds() -> None:
    env = MarketEnv(MARKET, num_envs=8, config=EnvConfig(horizon=16))
    agent = RLHF(env, RewardModel(), trader="drawdown", config=TINY)
    agent.train(rankings=3, rounds=1, size=3, steps=256)
    assert len(agent.rankings) == 3
    assert {len(r.episodes) for r in agent.rankings} == {3}
    with pytest.raises(ConfigError, match="seed must be known before"):
        agent.train(seed=3)


def test_environments_made_by_gymnasium_are_learned_like_our_own() -> None:
    made = gymnasium.make_vec("tradinghf/Market-v0", num_envs=8, market=MARKET, horizon=16)
    env = MarketEnv(MARKET, num_envs=8, config=EnvConfig(horizon=16))
    trained = [RLHF(e, trader="drawdown", config=TINY).train().policy for e in (made, env)]
    assert trained[0].fingerprint == trained[1].fingerprint
    obs, _ = made.reset(seed=0)
    assert obs.shape[0] == 8, "what the caller holds still works"


def test_a_network_of_ones_own_is_the_reward() -> None:
    env = MarketEnv(MARKET, num_envs=8, config=EnvConfig(horizon=16))
    own = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(-2))
    before = [p.clone() for p in own.parameters()]
    agent = RLHF(env, own, trader="drawdown", config=TINY).train()
    assert agent.reward_model.fitted
    assert 0.5 < agent.evaluate(rankings=10, windows=16)["accuracy"] <= 1
    assert all(torch.equal(a, b) for a, b in zip(before, own.parameters(), strict=True))


def test_what_cannot_be_used_says_what_can() -> None:
    env = MarketEnv(MARKET, num_envs=8, config=EnvConfig(horizon=16))
    with pytest.raises(ConfigError, match=r"a MarketData as environment; expected a MarketEnv"):
        RLHF(MARKET, trader="drawdown")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"reward_model is .*has no blank.*torch.nn.Module"):
        RLHF(env, lambda episodes: 0.0, trader="drawdown")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"agent is Linear.*; expected .*PPO"):
        RLHF(env, trader="drawdown", agent=nn.Linear(2, 1))  # type: ignore[arg-type]
