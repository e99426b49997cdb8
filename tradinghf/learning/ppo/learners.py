"""S actor-critics of one shape, trained side by side: forward, minibatch gradient, step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from tradinghf.errors import check_setting
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy.networks import ActorCritic
from tradinghf.learning.ppo.blocked import SHARE, Blocked, covers
from tradinghf.learning.ppo.distributed import ALONE, Group
from tradinghf.learning.ppo.flat import Adam, FlatParameters
from tradinghf.learning.ppo.minibatches import Experience
from tradinghf.learning.ppo.passes import passes_of
from tradinghf.learning.ppo.replayed import Replayed
from tradinghf.learning.ppo.surrogate import Batch, Weights, policy_gradients, value_gradients

CHUNK_ROWS = 4096  # decisions that the critics judge at once: more fall out of the cache
PART_ROWS = 4096  # the same of a minibatch, whose activations are kept for the way back


class Learners:
    """S networks in one tensor of parameters, with their optimiser.

    Rows of observations are ordered by learner: rows [s*N, (s+1)*N) belong to learner s.

    Args:
        networks: S actor-critics of one shape on one device; their parameters become views of
            the stack, so they follow the training.
        config: of PPO.
        group: processes whose gradients are averaged.

    Raises:
        ConfigError: graphs are asked for in a group of several processes.

    """

    def __init__(
        self, networks: Sequence[ActorCritic], config: PPOConfig, group: Group = ALONE
    ) -> None:
        first = networks[0]
        self.networks, self.config, self.group = list(networks), config, group
        self.head, self.actions = first.head, first.actions
        self.flat = FlatParameters(networks)
        self.adam = Adam(self.flat, config.max_gradient_norm)
        self._passes = passes_of(networks, self.flat, config.precision)
        compiled = covers(first, config) and not config.graphs
        self._blocked = Blocked(first, self.flat) if compiled else None
        self._replayed = self._recording() if config.graphs else None
        self.log_std = self.flat.view(self.flat.data, "log_std").unsqueeze(1)
        self._log_std_grad = self.flat.view(self.flat.grad, "log_std").unsqueeze(1)

    def __len__(self) -> int:
        return len(self.networks)

    def stacked(self, rows: Tensor) -> Tensor:
        """[S*N, ..] as [S, N, ..]."""
        count = len(self)
        return rows.view(count, rows.shape[0] // count, *rows.shape[1:])

    # ------------------------------------------------------------------ acting

    def policy_out(self, obs: Tensor) -> Tensor:
        """[S*N, D] to [S*N, O]; the result lasts until the next call."""
        return self._passes.policy_out(self.stacked(obs)).contiguous().flatten(0, 1)

    def value_out(self, obs: Tensor) -> Tensor:
        """[S*N, D] to the critics [S*N, C]; the result lasts until the next call."""
        return self._passes.value_out(self.stacked(obs)).contiguous().flatten(0, 1)

    def value_outs(self, obs: Tensor) -> Tensor:
        """[L, S*N, D] to the critics [L, S*N, C]; small steps of a single learner go together."""
        steps = max(CHUNK_ROWS // obs.shape[1], 1) if len(self) == 1 else 1
        parts = [
            self.value_out(part.flatten(0, 1)).unflatten(0, part.shape[:2]).clone()
            for part in obs.split(steps)
        ]
        return torch.cat(parts)

    def draw(self, out: Tensor, noise: Tensor) -> Tensor:
        """Raw actions of [S*N] rows."""
        return self.head.draw(self.stacked(out), self.stacked(noise), self.log_std).flatten(0, 1)

    def log_prob(self, out: Tensor, raw: Tensor) -> Tensor:
        """[L, S*N] log-probabilities of raw actions [L, S*N, ..] given outputs [L, S*N, A]."""
        out, raw = (x.unflatten(1, (len(self), -1)) for x in (out, raw))
        return self.head.log_prob(out, raw, self.log_std).flatten(1, 2)

    # ------------------------------------------------------------------ learning

    def _recording(self) -> Replayed:
        alone = self.group.size == 1
        check_setting(alone, "PPOConfig.graphs", True, "False where processes share gradients")
        kept = (self.flat.data, self.flat.grad, *self.adam.state().values())
        return Replayed(self.step, kept)

    def updating(self) -> AbstractContextManager[None]:
        """Around the steps of an iteration: threads go to whoever does the arithmetic."""
        return nullcontext() if self._blocked is None else self._blocked.alone()

    def epoch(
        self, order: Tensor, size: int, table: Experience, weights: Weights, rate: float
    ) -> tuple[Tensor, int]:
        """One gradient step of every learner on each minibatch of B rows.

        Args:
            order: [S, R] rows of the table in the order of minibatches; a rest is left out.
            size: B.
            table: what the policies saw, did, and what came of it.
            weights: of the loss's terms.
            rate: step size.

        Returns:
            Sums of `step`'s statistics [6, S], and the number of minibatches.

        """
        starts = range(0, order.shape[1] - size + 1, size)
        blocked = self._kernel(table)
        if blocked is not None and self.group.size == 1 and size < 2 * SHARE:
            return blocked.epoch(order, size, table, weights, self.adam, rate), len(starts)
        if self._replayed is not None:
            self._replayed.load(size, table, weights, rate)
            steps = [self._replayed(order[:, i : i + size]) for i in starts]
        else:
            steps = [self.step(order[:, i : i + size], table, weights, rate) for i in starts]
        return torch.stack(steps).sum(0), len(starts)

    @torch.no_grad()
    def step(
        self, rows: Tensor, table: Experience, weights: Weights, rate: float | Tensor
    ) -> Tensor:
        """One gradient step of every learner.

        Args:
            rows: [S, B] of the minibatch, in the table.
            table: what the policies saw, did, and what came of it.
            weights: of the loss's terms.
            rate: step size.

        Returns:
            [6, S] policy loss, entropy, KL(old || new), share of clipped ratios, value loss, and
            whether the gradient was not finite.

        """
        blocked = self._kernel(table)
        if blocked is not None:
            stats = blocked.gradients(rows, table, weights)
        else:
            stats = self._in_parts(rows, table, weights)
        self.group.mean_(self.flat.grad)
        skipped = self.adam.step(rate)
        return torch.cat([stats, skipped[None]]).nan_to_num_()

    def _kernel(self, table: Experience) -> Blocked | None:
        """What computes gradients from such a table; it knows of no reference policy."""
        return self._blocked if table.reference_log_std is None else None

    def _in_parts(self, rows: Tensor, table: Experience, weights: Weights) -> Tensor:
        """[5, S] statistics; puts gradients in their place."""
        parts = self._parts(rows)
        stats = self._gradients(*table.pick(parts[0]), weights, None)
        if len(parts) > 1:
            stats *= (share := parts[0].shape[1] / rows.shape[1])
            self.flat.grad *= share
        for part in parts[1:]:
            share = part.shape[1] / rows.shape[1]
            stats += share * self._gradients(*table.pick(part), weights, share)
        return stats

    def _parts(self, rows: Tensor) -> Sequence[Tensor]:
        """A minibatch's rows [S, B] as parts [S, B'], whose gradients add up to the whole's.

        On a processor, the activations of a part of a single learner's rows stay in the cache.
        Several learners share one product per layer, and a GPU wants all rows at once.
        """
        whole = len(self) > 1 or rows.is_cuda or rows.shape[1] <= PART_ROWS
        return (rows,) if whole else rows.split(PART_ROWS, 1)

    def _gradients(
        self, obs: Tensor, batch: Batch, weights: Weights, share: float | None
    ) -> Tensor:
        """[5, S] statistics; puts gradients in their place, or adds a `share` of them."""
        found: dict[str, Tensor] = {}

        def judge_values(values: Tensor) -> Tensor:
            found["values"], to_values = value_gradients(values, batch.target, weights.value)
            return to_values if share is None else to_values.mul_(share)

        def judge_policy(out: Tensor) -> Tensor:
            found["policy"], to_out, to_log_std = policy_gradients(
                self.head, out, self.log_std, batch, weights
            )
            if to_log_std is not None and share is None:
                self._log_std_grad.copy_(to_log_std)
            elif to_log_std is not None and share is not None:
                self._log_std_grad.add_(to_log_std, alpha=share)
            return to_out if share is None else to_out.mul_(share)

        self._passes.gradients(obs, judge_policy, judge_values, add=share is not None)
        return torch.cat([found["policy"], found["values"][None]])
