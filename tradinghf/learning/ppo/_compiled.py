"""PPO's update through a kernel that numba compiles, for perceptrons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic, Categorical
from tradinghf.learning.ppo._distributed import ALONE, ProcessGroup
from tradinghf.learning.ppo._forward import blas, kernel_of, layer_tables
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._transitions import Transitions
from tradinghf.learning.ppo._update import LossWeights, Update
from tradinghf.workers import Team, has_matrix_unit, torch_threads_lent


def covers(network: ActorCritic, config: PPOConfig) -> bool:
    """Whether the kernel computes the gradient of such a network."""
    return (
        network.head.closed_form
        and network.by_hand
        and next(network.parameters()).device.type == "cpu"
        and (config.precision == "float32" or has_matrix_unit())
    )


class CompiledUpdate(Update):
    """`Update` of networks that the kernel covers.

    Rows are dealt to shares by their number alone, and shares added up in their order: results do
    not depend on how many threads work on them.

    Args:
        network: what is trained.
        config: of PPO.
        group: processes whose gradients are averaged.

    """

    _rows_per_share = 1024  # that are worth a thread of their own

    def __init__(
        self, network: PackedActorCritic, config: PPOConfig, group: ProcessGroup = ALONE
    ) -> None:
        super().__init__(network, config, group)
        self._kernel = kernel_of(network)
        self._layers, self._widest = layer_tables(network)
        self._share_grads = network.grad[None]
        choices = isinstance(network.head, Categorical)
        log_std = -1 if choices else network.offset("log_std")
        self._head = np.array([1 if choices else network.actions, log_std], np.int64)
        self._team = Team()

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Take over torch's threads for a while.

        Those that torch has started wait busily for its next operation, on cores that are needed
        here: it gets one thread meanwhile.
        """
        # Products of blocks are too small to share out, and threads share out blocks.
        with torch_threads_lent(), blas().limit(limits=1):
            yield

    def gradients(self, rows: Tensor, table: Transitions, weights: LossWeights) -> Tensor:
        """See `Update`."""
        size = len(rows)
        shares = max(size // self._rows_per_share, 1)
        grads = self.network.grad[None] if shares == 1 else self._room(shares)
        stats = torch.empty(shares, self._kernel.STATS, dtype=torch.float64)
        self._team.share(
            self._kernel.gradients,
            shares,
            1,
            *(x.numpy() for x in (self.network.data, grads, stats)),
            *(*self._arrays(table), self._in_order(rows.contiguous().numpy())),
            *(self._layers, self._widest, self._head, _loss_numbers(size, table, weights)),
        )
        if shares > 1:
            torch.sum(grads, 0, out=self.network.grad)
        total = stats.sum(0) / size
        total[4] /= table.critics
        return total.float()

    def epoch(
        self,
        order: Tensor,
        size: int,
        table: Transitions,
        weights: LossWeights,
        rate: float | Tensor,
    ) -> Tensor:
        """See `Update`; where a minibatch is too small to share out, all is one call."""
        shared = self.group.size > 1 or size >= 2 * self._rows_per_share
        if shared:
            return super().epoch(order, size, table, weights, rate)
        stats = torch.empty(self._kernel.STATS + 2, dtype=torch.float64)
        adam = self.adam
        written = (adam.data, adam.grad, adam.mean, adam.square, adam.count.view(1), stats)
        self._kernel.epoch(
            *(size, float(rate), adam.limit, np.float32(adam.eps)),
            *(*(x.numpy() for x in written), *self._arrays(table), order.numpy()),
            *(self._layers, self._widest, self._head, _loss_numbers(size, table, weights)),
        )
        stats[4] /= table.critics
        return stats.float()

    def _arrays(self, table: Transitions) -> tuple[Any, Any]:
        """Observations and columns as the kernel reads them."""
        return table.obs.numpy(), table.columns.numpy()

    def _in_order(self, rows: Any) -> Any:
        """Rows of a minibatch in the order in which they are summed up."""
        return rows

    def _room(self, shares: int) -> Tensor:
        if len(self._share_grads) != shares:
            self._share_grads = self.network.grad.new_empty(shares, len(self.network.grad))
        return self._share_grads


class HalfUpdate(CompiledUpdate):
    """`CompiledUpdate` on the processor's matrix unit, with the products of bfloat16."""

    _rows_per_share = 4096

    def __init__(
        self, network: PackedActorCritic, config: PPOConfig, group: ProcessGroup = ALONE
    ) -> None:
        from tradinghf.learning.ppo._matrix_unit import STEP

        super().__init__(network, config, group)
        self._multiple = STEP
        self._table: Transitions | None = None
        self._narrow: tuple[Any, Any] = np.empty((0, 0), np.uint16), None

    def _arrays(self, table: Transitions) -> tuple[Any, Any]:
        """Half the memory, and what belongs to a row side by side: rows are read in no order."""
        if table is not self._table:
            obs = table.obs.numpy()
            width = -(-obs.shape[1] // self._multiple) * self._multiple
            there = self._narrow[0]
            if there.shape != (len(obs), width):  # new memory costs more than filling it again
                there = np.zeros((len(obs), width), np.uint16)
            self._team.share(self._kernel.narrow, len(obs), self._rows_per_share, obs, there)
            self._table, self._narrow = table, (there, table.columns.T.contiguous().numpy())
        return self._narrow

    def _in_order(self, rows: Any) -> Any:
        """As they lie in memory, where they are read faster; sums differ in their last digits."""
        return np.sort(rows)


def _loss_numbers(size: int, table: Transitions, weights: LossWeights) -> Any:
    """See `_compiled_kernel.gradients`."""
    reference = table.reference_log_std
    pull = 0.0 if reference is None else weights.reference_kl / size
    clip = float(weights.clip)
    bounds = (1.0, 1 - clip, 1 + clip, 1 / size)
    terms = (2 * weights.value / (size * table.critics), float(weights.entropy) / size, pull)
    return np.array([*bounds, *terms, *([] if reference is None else reference)], np.float32)
