"""Reward streams: functions of a rollout that PPO is paid by; [L, N] each."""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.ppo._rollout import RewardStream, Rollout
from tradinghf.learning.reward import Reward, growth


def env_reward(rollout: Rollout) -> Tensor:
    """[L, N] the environment's own reward."""
    return rollout.rewards


def sparse_pnl(rollout: Rollout) -> Tensor:
    """[L, N] profit in the bar in which a round trip closes, fraction of starting equity."""
    return rollout.info["realised_pnl"]


def learned_stream(model: Reward) -> RewardStream:
    """[L, N] the reward model's reward of each bar."""
    return lambda rollout: model.rewards(rollout.paths()).T


def utility_stream(trader: SyntheticTrader, stride: int = 4) -> RewardStream:
    """[L, N] growth of a trader's true utility, every `stride` bars; sums to the utility.

    The baseline that knows what the reward model has to learn.
    """

    def reward(rollout: Rollout) -> Tensor:
        paid = growth(trader.utilities, rollout.paths().batch(), stride).T
        return torch.as_tensor(paid, dtype=rollout.rewards.dtype, device=rollout.rewards.device)

    return reward
