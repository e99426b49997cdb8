"""Reward model, policy networks, PPO, the RLHF loop, and checkpoints."""

from __future__ import annotations

from tradinghf.learning._config import (
    ATTENTION_HEADS,
    AspectConfig,
    PPOConfig,
    ResidualConfig,
    RewardConfig,
    RLHFConfig,
)

__all__ = [
    "ATTENTION_HEADS",
    "AspectConfig",
    "PPOConfig",
    "RLHFConfig",
    "ResidualConfig",
    "RewardConfig",
]
