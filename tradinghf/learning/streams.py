"""Reward streams: functions of a rollout that PPO is paid by; [L, N] each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tradinghf.episodes import EpisodeBatch
from tradinghf.feedback.traders import SyntheticTrader
from tradinghf.learning.reward_model import RewardModel
from tradinghf.learning.rollout import RewardStream, Rollout


def env_reward(rollout: Rollout) -> Tensor:
    """[L, N] the environment's own reward."""
    return rollout.rewards


def sparse_pnl(rollout: Rollout) -> Tensor:
    """[L, N] profit in the bar in which a round trip closes, fraction of starting equity."""
    return rollout.info["realised_pnl"]


def learned_stream(model: RewardModel) -> RewardStream:
    """[L, N] the reward model's reward of each bar."""
    return lambda rollout: model.rewards(rollout.paths()).T


def utility_stream(trader: SyntheticTrader, stride: int = 4) -> RewardStream:
    """[L, N] growth of a trader's true utility, every `stride` bars; sums to the utility.

    The baseline that knows what the reward model has to learn.
    """

    def reward(rollout: Rollout) -> Tensor:
        batch = rollout.paths().batch()
        length = batch.position.shape[-1]
        out = torch.zeros_like(rollout.rewards)
        before = np.zeros(len(batch))
        for stop in [*range(stride, length, stride), length]:
            part = EpisodeBatch(
                batch.close[:, : stop + 1],
                batch.position[:, :stop],
                batch.equity[:, : stop + 1],
                batch.turnover[:, :stop],
                batch.costs[:, :stop],
            )
            now = trader.utilities(part)
            out[stop - 1] = torch.as_tensor(now - before, dtype=out.dtype, device=out.device)
            before = now
        return out

    return reward
