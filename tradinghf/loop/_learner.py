"""The learner that `RLHF` makes from an environment: PPO, and the rewards that it is paid by."""

from __future__ import annotations

from tradinghf.learning.config import RLHFConfig
from tradinghf.learning.ppo import PPO, Stream, env_reward, learned_stream, sparse_pnl
from tradinghf.learning.reward import Reward
from tradinghf.simulation import MarketEnv


def learner(env: MarketEnv, model: Reward, config: RLHFConfig) -> PPO:
    """PPO on the learned reward and sparse profit, and on a reward that the environment was given.

    Args:
        env: training environment.
        model: the learned reward.
        config: weights of the rewards, PPO's settings, the seed.

    """
    streams = {
        "learned": Stream(learned_stream(model), 1.0),
        "pnl": Stream(sparse_pnl, config.pnl_weight),
    }
    if env.own_reward:
        streams["env"] = Stream(env_reward, config.env_weight)
    return PPO(env, streams, config=config.ppo, seed=config.seed)
