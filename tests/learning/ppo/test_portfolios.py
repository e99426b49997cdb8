"""PPO on portfolios: a planted edge between assets is learned, also for other universes."""

from __future__ import annotations

import numpy as np
import pytest
from support.universes import cross_sectional_momentum

from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Stream, env_reward
from tradinghf.loop import Actor, trading_metrics
from tradinghf.simulation import MarketEnv

TASK = EnvConfig(horizon=16, lookback=1, portfolio=True, actions="continuous")
BRIEF = PPOConfig(
    hidden=(16,),
    shared=True,
    minibatches=8,
    gamma=0.5,
    gae_lambda=0.5,
    learning_rate=3e-3,
    final_learning_rate=1e-3,
    entropy=0.0,
)


@pytest.mark.slow
def test_a_planted_cross_sectional_momentum_is_learned() -> None:
    market, _ = cross_sectional_momentum(0)
    env = MarketEnv(market, num_envs=128, config=TASK)
    agent = PPO(env, {"env": Stream(env_reward)}, BRIEF, seed=0)
    agent.train(20)
    learned = Actor("learned", policy=agent.network)
    for seed, assets in ((1, 8), (2, 20)):  # unseen bars, and two and a half times the assets
        unseen, drifts = cross_sectional_momentum(seed, assets=assets)
        test = MarketEnv(unseen, num_envs=256, config=TASK, scaler=env.scaler)
        ahead = np.sign(np.vstack([drifts[1:], drifts[-1:]]))
        actors = learned, Actor("equal", weights=np.ones(ahead.shape)), Actor("all", weights=ahead)
        found = [trading_metrics(test, actor, 1)["mean_return"] for actor in actors]
        # Whoever knows the drift earns 16 bars of 0.2 %; equal weights earn nothing.
        assert found[2] == pytest.approx(16 * 0.002, rel=0.05)
        assert abs(found[1]) < 0.003
        assert found[0] - found[1] > 0.7 * 16 * 0.002
