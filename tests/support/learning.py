"""Minibatches as the tables that learners pick them from."""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.learning.ppo.minibatches import Experience
from tradinghf.learning.ppo.surrogate import Batch


def table_of(obs: Tensor, batch: Batch) -> Experience:
    """The rows of one learner [1, R, ..] as a table."""
    actions = batch.actions[..., None] if batch.actions.ndim == 2 else batch.actions
    parts = [actions, batch.log_prob[..., None], batch.advantage[..., None], batch.target]
    parts += [] if batch.reference is None else [batch.reference]
    return Experience(
        obs=obs[0],
        columns=torch.cat([part[0].T.to(obs) for part in parts]),
        rows=obs.shape[1],
        learners=1,
        envs=obs.shape[1],
        action_size=actions.shape[-1],
        discrete=batch.actions.ndim == 2,
        critics=batch.target.shape[-1],
        reference_log_std=batch.reference_log_std,
    )
