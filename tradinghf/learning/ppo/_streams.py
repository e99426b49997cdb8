"""Reward streams: functions of a rollout that PPO is paid by; [L, N] each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.ppo._rollout import RewardStream, Rollout
from tradinghf.learning.reward import Reward, growth


def check_stream(name: str, paid: Any, rollout: Rollout, *, finite: bool) -> None:
    """What a reward stream paid for a rollout is one number for each of its steps.

    Args:
        name: of the stream.
        paid: what its function returned.
        rollout: [L, N] steps.
        finite: whether to look for NaN and infinity as well.

    Raises:
        ConfigError: no tensor, another shape, or numbers that are not finite.

    """
    steps = list(rollout.rewards.shape)
    if not isinstance(paid, Tensor):
        found = f"a {type(paid).__name__}"
    elif list(paid.shape) != steps:
        found = f"shape {list(paid.shape)}"
    elif finite and not bool(paid.isfinite().all()):
        step, env = (~paid.isfinite()).nonzero()[0].tolist()
        found = f"{float(paid[step, env])} at step {step} of environment {env}"
    else:
        return
    raise ConfigError(
        f"The reward stream {name!r} paid {found}; expected a tensor of shape [L, N] = {steps} "
        "with a finite number for each step."
    )


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
