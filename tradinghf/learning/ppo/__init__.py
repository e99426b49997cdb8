"""PPO over vector environments: rollout, advantages, update."""

from __future__ import annotations

from tradinghf.learning.ppo._adapters import GymnasiumEnv
from tradinghf.learning.ppo._rollout import RewardStream, Rollout
from tradinghf.learning.ppo._schedule import Callback
from tradinghf.learning.ppo._streams import env_reward, learned_stream, sparse_pnl, utility_stream
from tradinghf.learning.ppo._trainer import PPO, Metrics, Stream

__all__ = [
    "PPO",
    "Callback",
    "GymnasiumEnv",
    "Metrics",
    "RewardStream",
    "Rollout",
    "Stream",
    "env_reward",
    "learned_stream",
    "sparse_pnl",
    "utility_stream",
]
