"""What tests of policies and of PPO share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, Beta, TransformedDistribution

from tradinghf.learning.ppo._transitions import Minibatch, Transitions


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
