"""PPO's update of networks with a memory: minibatches are environments, whole rollouts of them.

Gradients go back through time from every decision to the rollout's first one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.learning.ppo._remembered import begins_of, memory_of
from tradinghf.learning.ppo._transitions import Minibatch, Transitions
from tradinghf.learning.ppo._update import LossWeights, Update, policy_gradients, value_gradients


class SequenceUpdate(Update):
    """`Update` over sequences; by tensors."""

    def remember(self, first: Tensor, ended: Tensor) -> None:
        """Tell where the next table's L steps of N environments come from.

        Args:
            first: [N, H] the memory before the first step.
            ended: [L, N] where episodes ended.

        """
        self._first, self._begins = first, begins_of(ended)

    def _size(self, table: Transitions) -> int:
        steps, envs = self._begins.shape
        return max(envs // self.config.minibatches, 1) * steps

    def epoch(
        self,
        order: Tensor,
        size: int,
        table: Transitions,
        weights: LossWeights,
        rate: float | Tensor,
    ) -> Tensor:
        """See `Update.epoch`; the first N rows of `order` that come stand for environments."""
        steps, envs = self._begins.shape
        # Places of rows 0 to N - 1 among all, in order: no shape depends on values.
        rank = torch.arange(len(order), device=order.device)
        place = torch.empty_like(order).index_copy_(0, order, rank)
        each, shuffled = size // steps, place[:envs].argsort()
        time = torch.arange(steps, device=order.device)[:, None] * envs
        groups = shuffled[: envs // each * each].split(each)
        rows = [(time + chosen).flatten() for chosen in groups]
        return torch.stack([self.step(part, table, weights, rate) for part in rows]).sum(0)

    def gradients(self, rows: Tensor, table: Transitions, weights: LossWeights) -> Tensor:
        """See `Update.gradients`; `rows` are all steps of some environments, step by step."""
        steps = len(self._begins)
        obs, batch = table.pick(rows)
        chosen = rows[: len(rows) // steps]
        return self._through(
            obs.unflatten(0, (steps, -1)),
            self._first.index_select(0, chosen),
            self._begins.index_select(1, chosen),
            batch,
            weights,
        )

    def _through(
        self, obs: Tensor, first: Tensor, begins: Tensor, batch: Minibatch, weights: LossWeights
    ) -> Tensor:
        """[5] statistics of sequences [L, B, D]; puts gradients in their place."""
        packed, network = self.network, self.network.network
        packed.grad.zero_()
        with torch.enable_grad():
            memory = memory_of(packed).through(obs, first, begins).flatten(0, 1)
            features = network.trunk(memory)
            out, values = network.actor(features), network.critic(features)
            lost, to_values = value_gradients(values.detach(), batch.target, weights.value)
            stats, to_out, to_log_std = policy_gradients(
                packed.head, out.detach(), packed.log_std, batch, weights
            )
            torch.autograd.backward([out, values], [to_out, to_values])
        if to_log_std is not None:
            packed.log_std_grad.copy_(to_log_std)
        return torch.cat([stats, lost[None]])
