"""What tests of policies and of PPO share."""

from __future__ import annotations

from typing import Any

import torch
from support.episodes import window_groups
from torch import Tensor, nn
from torch.distributions import AffineTransform, Beta, TransformedDistribution

from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.ppo._transitions import Minibatch, Transitions
from tradinghf.learning.reward import RewardModel


def table_of(obs: Tensor, batch: Minibatch) -> Transitions:
    """Rows [R, ..] as a table."""
    discrete = batch.actions.ndim == 1
    actions = batch.actions[:, None] if discrete else batch.actions
    parts = [actions, batch.log_prob[:, None], batch.advantage[:, None], batch.target]
    parts += [] if batch.reference is None else [batch.reference]
    return Transitions(
        obs=obs,
        columns=torch.cat([part.T.to(obs) for part in parts]),
        action_size=actions.shape[1],
        discrete=discrete,
        critics=batch.target.shape[1],
        reference_log_std=batch.reference_log_std,
    )


def torchs_beta(out: Tensor) -> tuple[TransformedDistribution, Beta]:
    """The distribution of three of the environment's actions, and of the raw ones, as torch has."""
    shapes = 1 + nn.functional.softplus(out)
    raw = Beta(shapes[..., :3], shapes[..., 3:])
    return TransformedDistribution(raw, AffineTransform(-1.0, 2.0)), raw


def taught(model: Any = None, taste: str = "drawdown") -> Any:
    """A reward, our model if none is given, that a simulated trader taught by twelve rankings."""
    model = RewardModel() if model is None else model
    trader, groups = SyntheticTrader(taste), window_groups(12, length=12)
    answers = [trader.rank(group, f"q{i}") for i, group in enumerate(groups)]
    return model.fit(answers, {e.id: e for group in groups for e in group})
