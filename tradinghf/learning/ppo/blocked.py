"""Minibatch gradients of S learners through the compiled kernel, where it covers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy.heads import Categorical
from tradinghf.learning.policy.networks import ActorCritic
from tradinghf.learning.ppo.flat import Adam, FlatParameters
from tradinghf.learning.ppo.minibatches import Experience
from tradinghf.learning.ppo.surrogate import Weights
from tradinghf.workers import Team

SHARE = 1024  # rows that are worth a thread of their own


def covers(network: ActorCritic, config: PPOConfig) -> bool:
    """Whether the kernel computes the gradient of such a network."""
    return (
        isinstance(network.head, Categorical)
        and network.shape["window"] is None
        and config.precision == "float32"
        and next(network.parameters()).device.type == "cpu"
    )


class Blocked:
    """Gradients of S networks whose parameters are one tensor.

    Rows are dealt to shares by their number alone, and shares added up in their order: results do
    not depend on how many threads work on them.

    Args:
        network: one of the S, for its layout.
        flat: parameters and gradients of all.

    """

    def __init__(self, network: ActorCritic, flat: FlatParameters) -> None:
        from tradinghf.learning.ppo import blocks  # numba takes half a second to import

        self._flat, self._kernel = flat, blocks
        nets = (("trunk", network.trunk), ("actor", network.actor), ("critic", network.critic))
        self._layers = [self._table(name, module, name == "trunk") for name, module in nets]
        self._widest = max(int(table[:, 2:4].max(initial=1)) for table in self._layers)
        self._grads = flat.grad
        self._team, self._threads = Team(), 1

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Take over torch's threads for a while.

        Those that torch has started wait busily for its next operation, on cores that are needed
        here: it gets one thread meanwhile.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        self._threads = before
        try:
            with _one_thread_in_blas():
                yield
        finally:
            self._threads = 1
            torch.set_num_threads(before)

    def _table(self, name: str, module: nn.Module, trunk: bool) -> Any:
        """See `blocks`."""
        found = [(f"{name}.{i}", m) for i, m in module.named_children() if isinstance(m, nn.Linear)]
        rows = [
            (
                self._flat.offset(f"{layer}.weight"),
                self._flat.offset(f"{layer}.bias"),
                linear.in_features,
                linear.out_features,
                int(trunk or layer != found[-1][0]),
            )
            for layer, linear in found
        ]
        return np.array(rows, np.int64).reshape(-1, 5)

    def gradients(self, rows: Tensor, table: Experience, weights: Weights) -> Tensor:
        """Put the loss's gradient into the flat tensor.

        Args:
            rows: [S, B] of the table.
            table: what happened.
            weights: of the loss's terms.

        Returns:
            [5, S] means of surrogate, entropy, KL(old || new), clipped, squared error of critics.

        """
        learners, size = rows.shape
        shares = max(size // SHARE, 1)
        grads = self._flat.grad if shares == 1 else self._room(learners * shares)
        stats = torch.empty(learners * shares, self._kernel.STATS, dtype=torch.float64)
        self._share_out(
            self._kernel.gradients,
            learners * shares,
            self._flat.data.numpy(),
            grads.numpy(),
            stats.numpy(),
            table.obs.numpy(),
            table.columns.numpy(),
            rows.contiguous().numpy(),
            *self._layers,
            self._widest,
            self._limits(size, table.critics, weights),
        )
        if shares > 1:
            torch.sum(grads.unflatten(0, (learners, shares)), 1, out=self._flat.grad)
            stats = stats.unflatten(0, (learners, shares)).sum(1)
        stats /= size
        stats[:, 4] /= table.critics
        return stats.T.float()

    def epoch(
        self, order: Tensor, size: int, table: Experience, weights: Weights, adam: Adam, rate: float
    ) -> Tensor:
        """Gradient steps on all minibatches of B rows; the optimiser's steps too are done here.

        Args:
            order: [S, R] rows of the table in the order of minibatches.
            size: B.
            table: what happened.
            weights: of the loss's terms.
            adam: optimiser of the networks.
            rate: step size.

        Returns:
            [6, S] as `Learners.step`, summed over minibatches.

        """
        stats = torch.empty(len(order), self._kernel.STATS + 1, dtype=torch.float64)
        kept = (self._flat.data, self._flat.grad, adam.mean, adam.square, adam.count, stats)
        self._share_out(
            self._kernel.epoch,
            len(order),
            *(size, rate, adam.limit, np.float32(adam.eps)),
            *(x.numpy() for x in kept),
            *(table.obs.numpy(), table.columns.numpy(), order.numpy()),
            *(*self._layers, self._widest, self._limits(size, table.critics, weights)),
        )
        stats[:, 4] /= table.critics
        return stats.T.float()

    def _room(self, rows: int) -> Tensor:
        if len(self._grads) != rows:
            self._grads = self._flat.grad.new_empty(rows, self._flat.grad.shape[1])
        return self._grads

    def _limits(self, size: int, critics: int, weights: Weights) -> Any:
        bounds = (1.0, 1 - weights.clip, 1 + weights.clip, 1 / size)
        terms = (2 * weights.value / (size * critics), float(weights.entropy) / size)
        return np.array([*bounds, *terms], np.float32)

    def _share_out(self, function: Callable[..., None], jobs: int, *arguments: Any) -> None:
        """Call the kernel for all jobs, some in each thread."""
        threads = max(min(self._threads, jobs), 1)
        cuts = list(pairwise(jobs * t // threads for t in range(threads + 1)))
        self._team.run(function, cuts, *arguments)


@lru_cache
def _blas() -> list[Any]:
    """The BLAS that numba calls, which is SciPy's."""
    import scipy.linalg.cython_blas  # noqa: F401 - loads the library

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [library for library in found if "scipy" in (library.filepath or "")]


@contextmanager
def _one_thread_in_blas() -> Iterator[None]:
    """Products of blocks are too small to share out, and threads share out blocks."""
    before = [library.get_num_threads() for library in _blas()]
    for library in _blas():
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, count in zip(_blas(), before, strict=True):
            library.set_num_threads(count)
