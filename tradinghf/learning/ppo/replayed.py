"""PPO's minibatch step on tables that stay where they are, for a CUDA graph to replay."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from tradinghf.learning.ppo.graphs import Captured, accelerate
from tradinghf.learning.ppo.minibatches import Experience
from tradinghf.learning.ppo.surrogate import Weights

Step = Callable[[Tensor, Experience, Weights, Tensor], Tensor]


class Replayed:
    """A step whose table, step size and entropy weight are copied to where a graph reads them.

    It is recorded anew when anything changes that a graph takes down as it is: shapes, and the
    other weights of the loss. The table costs its memory a second time.

    Args:
        step: of rows [S, B], table, weights and step size, to statistics.
        changes: what it updates in place.

    """

    def __init__(self, step: Step, changes: Sequence[Tensor]) -> None:
        self._step, self._changes = step, tuple(changes)
        device = self._changes[0].device
        # The optimiser's kernel reads 32 bits on a GPU; elsewhere the number stays as it is.
        precise = torch.float32 if device.type == "cuda" else torch.float64
        self._rate = torch.zeros((), dtype=precise, device=device)
        self._entropy = torch.zeros((), dtype=torch.float64, device=device)
        self._recorded: object = None
        self._table: Experience | None = None
        self._source: Callable[[], Experience | None] = lambda: None
        self._captured: Captured | None = None

    def load(self, size: int, table: Experience, weights: Weights, rate: float) -> None:
        """Make these what the next steps, of B rows, work on; the same table is copied once."""
        fixed = (weights.clip, weights.value, weights.reference_kl)
        recorded = (size, fixed, _layout(table))
        if recorded != self._recorded:
            self._record(table, weights)
            self._recorded = recorded
        assert self._table is not None
        if self._source() is not table:
            for name, held in _tensors(self._table).items():
                held.copy_(getattr(table, name))
            self._source = weakref.ref(table)
        self._rate.fill_(rate)
        self._entropy.fill_(weights.entropy)

    def _record(self, table: Experience, weights: Weights) -> None:
        """Make room for such a table; the next step is recorded."""
        self._captured = self._table = None  # frees their memory first
        like: dict[str, Any] = {name: torch.empty_like(x) for name, x in _tensors(table).items()}
        held = replace(table, **like)
        weights = replace(weights, entropy=self._entropy)

        def step(rows: Tensor) -> Tensor:
            return self._step(rows, held, weights, self._rate)

        self._captured = accelerate(step, self._rate.device, self._changes)
        self._table, self._source = held, lambda: None

    def __call__(self, rows: Tensor) -> Tensor:
        """Statistics of a step on rows [S, B] of the loaded table, in memory of their own."""
        assert self._captured is not None
        stats = self._captured(rows)
        assert isinstance(stats, Tensor)
        return stats.clone()


def _tensors(table: Experience) -> dict[str, Tensor]:
    found = {f.name: getattr(table, f.name) for f in fields(table)}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _layout(table: Experience) -> tuple[object, ...]:
    """Everything about a table but the contents of its tensors."""
    values = (getattr(table, f.name) for f in fields(table))
    return tuple((v.shape, v.dtype, v.device) if isinstance(v, Tensor) else v for v in values)
