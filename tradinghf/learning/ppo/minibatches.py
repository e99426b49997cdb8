"""A rollout as one table per learner, from which shuffled minibatches are picked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.learning.ppo.rollout import Rollout
from tradinghf.learning.ppo.surrogate import Batch


@dataclass(frozen=True, eq=False)
class Experience:
    """What S learners experienced, one row per decision: R each.

    Attributes:
        obs: [L*S*N, D].
        columns: [E, L*S*N] action, log-probability, advantage, targets and reference outputs, in
            rows of memory of their own, so that a minibatch is two gathers.
        rows: R = L*N decisions of each learner.
        learners: S.
        envs: N of each learner.
        action_size: rows of `columns` that hold the action.
        discrete: actions are indices.
        critics: C.
        reference_log_std: [S, 1, A] of reference policies.

    """

    obs: Tensor
    columns: Tensor
    rows: int
    learners: int
    envs: int
    action_size: int
    discrete: bool
    critics: int
    reference_log_std: Tensor | None

    @classmethod
    def of(
        cls,
        rollout: Rollout,
        advantages: Tensor,
        targets: Tensor,
        learners: int,
        reference: tuple[Tensor, Tensor] | None,
    ) -> Experience:
        """From a rollout [L, S*N], its advantages and the critics' targets [L, S*N, C]."""
        discrete = not rollout.actions.is_floating_point()
        actions = rollout.actions[..., None] if discrete else rollout.actions
        parts = [actions, rollout.log_probs[..., None], advantages[..., None], targets]
        if reference is not None:
            parts.append(reference[0])
        flat = [part.flatten(0, 1).T.to(rollout.obs) for part in parts]
        length, envs = rollout.rewards.shape
        return cls(
            obs=rollout.obs.flatten(0, 1),
            columns=torch.cat(flat),
            rows=length * envs // learners,
            learners=learners,
            envs=envs // learners,
            action_size=len(flat[0]),
            discrete=discrete,
            critics=len(flat[3]),
            reference_log_std=None if reference is None else reference[1],
        )

    def shuffled(self, generators: Sequence[torch.Generator]) -> Tensor:
        """[S, R] rows of the table in random order, each learner's own by its generator."""
        orders = [torch.randperm(self.rows, generator=g) for g in generators]
        if self.learners == 1:
            return orders[0][None].to(self.obs.device)
        order = torch.stack(orders)
        step, env = order // self.envs, order % self.envs
        first = torch.arange(self.learners)[:, None] * self.envs
        return (step * (self.learners * self.envs) + first + env).to(self.obs.device)

    def pick(self, rows: Tensor) -> tuple[Tensor, Batch]:
        """Observations [S, B, D] and the rest of a minibatch of rows [S, B]."""
        flat = rows.flatten()
        shape = (self.learners, -1)
        obs = self.obs.index_select(0, flat).unflatten(0, shape)
        columns = self.columns.index_select(1, flat).unflatten(1, shape)
        size, critics = self.action_size, self.critics
        actions = columns[0].long() if self.discrete else columns[:size].movedim(0, -1)
        targets = columns[size + 2 : size + 2 + critics].movedim(0, -1)
        with_reference = self.reference_log_std is not None
        return obs, Batch(
            actions=actions,
            log_prob=columns[size],
            advantage=columns[size + 1],
            target=targets,
            reference=columns[size + 2 + critics :].movedim(0, -1) if with_reference else None,
            reference_log_std=self.reference_log_std,
        )
