"""A rollout as a table of decisions, from which minibatches are picked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.learning.ppo._rollout import Rollout


@dataclass(frozen=True, eq=False)
class Minibatch:
    """B decisions.

    Attributes:
        actions: [B] or [B, A] raw actions; indices of one asset, or of each, are whole numbers.
        log_prob: [B] under the policy that took them.
        advantage: [B].
        target: [B, C] of the critics.
        reference: [B, O] outputs of the reference policy; None without one.
        reference_log_std: [A] of the reference policy.

    """

    actions: Tensor
    log_prob: Tensor
    advantage: Tensor
    target: Tensor
    reference: Tensor | None = None
    reference_log_std: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Transitions:
    """A rollout as one table of R = L*N decisions, from which minibatches are picked.

    Attributes:
        obs: [R, D].
        columns: [E, R] action, log-probability, advantage, targets and reference outputs, in rows
            of memory of their own, so that a minibatch is two gathers.
        action_size: rows of `columns` that hold the action.
        discrete: actions are indices.
        single: such an action is one index, not a row of them.
        critics: C.
        reference_log_std: [A] of the reference policy; None without one.

    """

    obs: Tensor
    columns: Tensor
    action_size: int
    discrete: bool
    critics: int
    reference_log_std: Tensor | None = None
    single: bool = True

    @classmethod
    def of(
        cls,
        rollout: Rollout,
        advantages: Tensor,
        targets: Tensor,
        reference: tuple[Tensor, Tensor] | None,
    ) -> Transitions:
        """From a rollout, its advantages [L, N], the critics' targets [L, N, C], and a reference.

        Args:
            rollout: of L steps in N environments.
            advantages, targets: of each step.
            reference: outputs [L, N, O] and log standard deviations [A] of a reference policy.

        """
        discrete = not rollout.actions.is_floating_point()
        single = rollout.actions.ndim == rollout.log_probs.ndim
        actions = rollout.actions[..., None] if single else rollout.actions
        parts = [actions, rollout.log_probs[..., None], advantages[..., None], targets]
        outs, log_std = reference or (None, None)
        parts += [] if outs is None else [outs]
        columns = torch.cat([part.flatten(0, 1).T.to(rollout.obs) for part in parts])
        size, critics = actions.shape[-1], targets.shape[-1]
        obs = rollout.obs.flatten(0, 1)
        return cls(obs, columns, size, discrete, critics, log_std, single)

    def __len__(self) -> int:
        return len(self.obs)

    def pick(self, rows: Tensor) -> tuple[Tensor, Minibatch]:
        """Observations [B, D] and the rest of the rows [B]."""
        obs, columns = self.obs.index_select(0, rows), self.columns.index_select(1, rows)
        size, critics, with_reference = self.action_size, self.critics, self.reference_log_std
        return obs, Minibatch(
            actions=self._actions(columns[:size]),
            log_prob=columns[size],
            advantage=columns[size + 1],
            target=columns[size + 2 : size + 2 + critics].T,
            reference=None if with_reference is None else columns[size + 2 + critics :].T,
            reference_log_std=with_reference,
        )

    def _actions(self, columns: Tensor) -> Tensor:
        """[B] or [B, A] the actions in columns [A, B]."""
        if not self.discrete:
            return columns.T
        return columns[0].long() if self.single else columns.T.long()
