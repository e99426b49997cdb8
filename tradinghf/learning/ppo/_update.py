"""PPO's update in plain torch: the loss, its gradient, Adam, and epochs of shuffled minibatches.

This file defines what an update is. `compiled` and `graphs` do the same faster, each where it
can, and are tested against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import Categorical, Head
from tradinghf.learning.ppo._distributed import ALONE, ProcessGroup
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._transitions import Minibatch, Transitions
from tradinghf.workers import torch_threads_lent

STATISTICS = (
    *("loss/policy", "entropy", "kl", "clip_fraction", "loss/value", "bad_gradients"),
    "gradient_norm",
)
_KL = STATISTICS.index("kl")


@dataclass(frozen=True, eq=False)
class LossWeights:
    """Weights of the loss's terms; numbers, or tensors on the device.

    Attributes:
        clip: largest change of the probability ratio.
        value: of the critics' loss.
        entropy: of the entropy bonus.
        reference_kl: of KL(policy || reference).

    """

    clip: float | Tensor
    value: float
    entropy: float | Tensor
    reference_kl: float = 0.0


def policy_loss(
    head: Head, out: Tensor, log_std: Tensor, batch: Minibatch, weights: LossWeights
) -> tuple[Tensor, Tensor]:
    """The actor's loss, and [4] statistics: surrogate, entropy, KL(old || new), clipped share.

    Args:
        head: action distribution.
        out: [B, O] of the actor.
        log_std: [A].
        batch: the minibatch.
        weights: of the terms.

    Source: Schulman et al. 2017 (arXiv:1707.06347), eq. 7 and 9.

    """
    log_ratio = head.log_prob(out, batch.actions, log_std) - batch.log_prob
    ratio = log_ratio.exp()
    clipped = _clipped(ratio, weights.clip)
    gain = torch.minimum(ratio * batch.advantage, clipped * batch.advantage)
    entropy = head.entropy(out, log_std)
    loss = -(gain + weights.entropy * entropy).mean()
    if batch.reference is not None and batch.reference_log_std is not None:
        away = head.divergence(out, log_std, batch.reference, batch.reference_log_std)
        loss = loss + weights.reference_kl * away.mean()
    return loss, _statistics(gain, entropy, ratio, log_ratio, weights.clip).detach()


def _clipped(ratio: Tensor, clip: Any) -> Tensor:
    """The ratio within 1 ± clip."""
    return ratio.clamp(1 - clip, 1 + clip)


def _statistics(
    gain: Tensor, entropy: Tensor, ratio: Tensor, log_ratio: Tensor, clip: float | Tensor
) -> Tensor:
    change = ratio - 1
    # Schulman's low-variance, non-negative estimate of KL(old || new).
    kl = change - log_ratio
    far = (change.abs_() > clip).to(ratio.dtype)
    return torch.stack([-gain, entropy, kl, far]).mean(1)


def policy_gradients(
    head: Head, out: Tensor, log_std: Tensor, batch: Minibatch, weights: LossWeights
) -> tuple[Tensor, Tensor, Tensor | None]:
    """[4] statistics, and the gradients of `policy_loss` at `out` and, if any, `log_std`."""
    if isinstance(head, Categorical):
        return *categorical_gradients(out, batch, weights), None
    with torch.enable_grad():
        out, log_std = out.detach().requires_grad_(), log_std.detach().requires_grad_()
        loss, stats = policy_loss(head, out, log_std, batch, weights)
        to_out, to_log_std = torch.autograd.grad(loss, (out, log_std), allow_unused=True)
    return stats, to_out, to_log_std


@torch.no_grad()
def categorical_gradients(
    out: Tensor, batch: Minibatch, weights: LossWeights
) -> tuple[Tensor, Tensor]:
    """`policy_gradients` of a categorical head in closed form, three times as fast as autograd.

    With p = softmax(z), H its entropy and g the surrogate's derivative by log p_a:
    d log p_a / dz = onehot(a) - p, and dH / dz = -p (log p + H).
    """
    # Actions first in memory: sums over a handful of actions then run along whole rows.
    logits = out.T.contiguous()
    log_p = logits - logits.amax(0)
    total = (p := log_p.exp()).sum(0)
    log_p, p = log_p.sub_(total.log()), p.div_(total)
    chosen = batch.actions[None]
    log_ratio = log_p.gather(0, chosen)[0] - batch.log_prob
    ratio = log_ratio.exp()
    gain = ratio * batch.advantage
    bound = _clipped(ratio, weights.clip).mul_(batch.advantage)
    # Written so that a NaN stays one: the optimiser skips it, where a zero would pass unseen.
    push = torch.where(gain > bound, 0.0, gain).div_(-len(out))
    entropy = (p * log_p).sum(0).neg_()
    to_out = (log_p + entropy).mul_(weights.entropy / len(out)).sub_(push).mul_(p)
    to_out.scatter_add_(0, chosen, push[None])
    if batch.reference is not None:
        to_out.add_(_pull(logits, batch.reference), alpha=weights.reference_kl / len(out))
    stats = _statistics(torch.minimum(gain, bound), entropy, ratio, log_ratio, weights.clip)
    return stats, to_out.T


def _pull(logits: Tensor, reference: Tensor) -> Tensor:
    """[A, B] gradient of KL(p || q) at the logits of p: p (log p - log q - KL)."""
    log_p, log_q = logits.log_softmax(0), reference.T.log_softmax(0)
    p, apart = log_p.exp(), log_p - log_q
    return p * (apart - (p * apart).sum(0))


def value_gradients(values: Tensor, target: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """The critics' mean squared error, and the gradient of `weight` times it at `values` [B, C]."""
    error = values - target
    return error.square().mean(), error.mul_(2 * weight / error.numel())


class Adam:
    """Adam on one vector of parameters, with clipping and without host synchronisation.

    A gradient that is not finite skips the step: weights and moments stay.

    Args:
        data, grad: [P] parameters and gradients.
        limit: largest gradient norm; longer gradients are scaled down to it.
        eps: added to the denominator.

    Attributes:
        mean, square: [P] moving averages of the gradient and its square.
        count: steps taken.
        norm: of the last gradient, before it was scaled down.
    Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1.

    """

    def __init__(self, data: Tensor, grad: Tensor, limit: float, eps: float = 1e-5) -> None:
        self.data, self.grad, self.limit, self.eps = data, grad, limit, eps
        self.mean, self.square = torch.zeros_like(data), torch.zeros_like(data)
        self.count = torch.zeros((), device=data.device)
        self.norm = torch.zeros((), device=data.device)

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> Tensor:
        """One step with step size `rate`; returns 1 where it was skipped, else 0."""
        norm = torch.linalg.vector_norm(self.grad)
        self.norm.copy_(norm)
        skipped: Tensor = norm.isfinite().logical_not_().to(norm)
        excess = norm.add_(1e-6).div_(self.limit).clamp_(min=1)
        self.count += 1 - skipped
        # The kernel of torch.optim.Adam(fused=True); it divides the gradient by `grad_scale` and
        # leaves everything as it is where `found_inf` is 1, which the optimiser offers to mixed
        # precision only.
        torch._fused_adam_(
            [self.data],
            [self.grad],
            [self.mean],
            [self.square],
            [],
            [self.count],
            lr=rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
            grad_scale=excess,
            found_inf=skipped,
        )
        return skipped

    def state(self) -> dict[str, Tensor]:
        """Everything that a continuation needs; the tensors themselves."""
        return {"mean": self.mean, "square": self.square, "count": self.count}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`."""
        for name, own in self.state().items():
            own.copy_(state[name])


class Update:
    """Improves an actor-critic by what a rollout shows.

    Args:
        network: what is trained.
        config: of PPO.
        group: processes whose gradients are averaged.

    """

    def __init__(
        self, network: PackedActorCritic, config: PPOConfig, group: ProcessGroup = ALONE
    ) -> None:
        self.network, self.config, self.group = network, config, group
        self.adam = Adam(network.data, network.grad, config.max_gradient_norm)

    def threads(self) -> AbstractContextManager[None]:
        """Around the work on one rollout: threads go to whoever does the arithmetic."""
        # Products of parts that stay in the cache are too small to share out.
        return torch_threads_lent() if self.network.over_assets else nullcontext()

    def changes(self) -> tuple[Tensor, ...]:
        """What a step changes in place."""
        return (self.network.data, self.network.grad, *self.adam.state().values())

    def run(
        self,
        table: Transitions,
        weights: LossWeights,
        rate: float | Tensor,
        orders: Iterable[Tensor],
    ) -> Tensor:
        """All epochs, or as many as `target_kl` allows; returns [7] mean `STATISTICS`.

        Args:
            table: what the policy saw, did, and what came of it.
            weights: of the loss's terms.
            rate: step size.
            orders: [R] rows of the table as each epoch takes them.

        """
        size = self._size(table)
        sums, updates = torch.zeros(len(STATISTICS), device=table.obs.device), 0
        for order in orders:
            found = self.epoch(order, size, table, weights, rate)
            sums, updates = sums + found, updates + len(table) // size
            if self._far_enough(found[_KL] / (len(table) // size)):
                break
        return sums / updates

    def _size(self, table: Transitions) -> int:
        """Rows of a minibatch."""
        return max(len(table) // self.config.minibatches, 1)

    def _far_enough(self, kl: Tensor) -> bool:
        """Whether a pass of such a mean KL was the last one; all processes say the same."""
        most = self.config.target_kl
        return most is not None and float(self.group.mean_(kl.clone())) > most

    def epoch(
        self,
        order: Tensor,
        size: int,
        table: Transitions,
        weights: LossWeights,
        rate: float | Tensor,
    ) -> Tensor:
        """A gradient step on each minibatch of B rows; returns the sums of `step`'s statistics.

        Args:
            order: [R] rows of the table in the order of minibatches; a rest is left out.
            size: B.
            table, weights, rate: see `run`.

        """
        minibatches = order[: len(order) // size * size].split(size)
        return torch.stack([self.step(rows, table, weights, rate) for rows in minibatches]).sum(0)

    @torch.no_grad()
    def step(
        self, rows: Tensor, table: Transitions, weights: LossWeights, rate: float | Tensor
    ) -> Tensor:
        """One gradient step on the rows [B] of the table; returns [7] `STATISTICS`."""
        stats = self.gradients(rows, table, weights)
        self.group.mean_(self.network.grad)
        skipped = self.adam.step(rate)
        facts = torch.stack([skipped, self.adam.norm])
        return torch.cat([stats, facts]).nan_to_num_(posinf=0.0, neginf=0.0)

    def gradients(self, rows: Tensor, table: Transitions, weights: LossWeights) -> Tensor:
        """Put the loss's gradient into the network's; returns the first five `STATISTICS`.

        Where the rows are many, gradients of parts of them add up to the whole's.
        """
        parts: Sequence[Tensor] = (rows,)
        most = len(rows) if rows.is_cuda else self.network.part_rows(table.obs)
        if len(rows) > most:  # a GPU wants all rows at once
            parts = rows.split(most)
        stats = self._gradients(*table.pick(parts[0]), weights, None)
        if len(parts) > 1:
            stats *= (share := len(parts[0]) / len(rows))
            self.network.grad *= share
        for part in parts[1:]:
            share = len(part) / len(rows)
            stats += share * self._gradients(*table.pick(part), weights, share)
        return stats

    def _gradients(
        self, obs: Tensor, batch: Minibatch, weights: LossWeights, share: float | None
    ) -> Tensor:
        """[5] statistics; puts gradients in their place, or adds a `share` of them."""
        found: dict[str, Tensor | None] = {}
        network = self.network

        def at_values(values: Tensor) -> Tensor:
            found["value"], to_values = value_gradients(values, batch.target, weights.value)
            return to_values if share is None else to_values.mul_(share)

        def at_policy(out: Tensor) -> Tensor:
            found["policy"], to_out, found["log_std"] = policy_gradients(
                network.head, out, network.log_std, batch, weights
            )
            return to_out if share is None else to_out.mul_(share)

        network.gradients(obs, at_values, at_policy, add=share is not None)
        to_log_std = found["log_std"]
        if to_log_std is not None and share is None:
            network.log_std_grad.copy_(to_log_std)
        elif to_log_std is not None and share is not None:
            network.log_std_grad.add_(to_log_std, alpha=share)
        assert found["policy"] is not None
        assert found["value"] is not None
        return torch.cat([found["policy"], found["value"][None]])
