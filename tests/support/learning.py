"""Minibatches as the tables that PPO's update picks them from."""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.learning.ppo.transitions import Minibatch, Transitions


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
