"""All parameters of S networks of one shape as one tensor: one optimiser step, one all-reduce."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FlatParameters:
    """Moves the parameters of S networks into one tensor; the networks go on using them there.

    Args:
        networks: S modules with the same parameter names and shapes, on one device.

    Attributes:
        data: [S, P] float32; row s holds network s, its parameters are views of it.
        grad: [S, P] gradients.
        names: parameter names in order.

    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        first = dict(networks[0].named_parameters())
        self.names = list(first)
        self._shapes = [p.shape for p in first.values()]
        sizes = [p.numel() for p in first.values()]
        self._offsets = [sum(sizes[:i]) for i in range(len(sizes))]
        like = next(iter(first.values()))
        self.data = torch.empty(len(networks), sum(sizes), device=like.device)
        self.grad = torch.zeros_like(self.data)
        for row, network in enumerate(networks):
            for name, parameter in network.named_parameters():
                view = self.view(self.data, name)[row]
                view.copy_(parameter.detach())
                parameter.data = view

    def offset(self, name: str) -> int:
        """Where a parameter begins in a network's row."""
        return self._offsets[self.names.index(name)]

    def view(self, flat: Tensor, name: str) -> Tensor:
        """[S, ...] the part of a tensor laid out as `data` that belongs to a parameter."""
        index = self.names.index(name)
        shape = self._shapes[index]
        part = flat[:, self._offsets[index] : self._offsets[index] + shape.numel()]
        return part.view(len(flat), *shape)


class Adam:
    """Adam on flat parameters, with clipping per network and without host synchronisation.

    A network whose gradient is not finite skips the step: its weights and moments stay.

    Args:
        flat: parameters and gradients of S networks.
        limit: largest gradient norm per network; longer gradients are scaled down to it.
        eps: added to the denominator.

    Attributes:
        mean, square: [S, P] moving averages of the gradient and its square.
        count: [S] steps taken.
    Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1.

    """

    def __init__(self, flat: FlatParameters, limit: float, eps: float = 1e-5) -> None:
        self.flat = flat
        self.limit, self.eps = limit, eps
        self.mean = torch.zeros_like(flat.data)
        self.square = torch.zeros_like(flat.data)
        self.count = torch.zeros(len(flat.data), device=flat.data.device)
        tensors = (flat.data, flat.grad, self.mean, self.square, self.count)
        self._rows = [[[row] for row in x.unbind()] for x in tensors]

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> Tensor:
        """One step with step size `rate`; returns [S], 1 where a network skipped it."""
        norm = torch.linalg.vector_norm(self.flat.grad, dim=1)
        skipped = norm.isfinite().logical_not_().to(norm)
        excess = norm.add_(1e-6).div_(self.limit).clamp_(min=1)
        self.count += 1 - skipped
        for row, grad, mean, square, count, found, scale in zip(
            *self._rows, skipped.unbind(), excess.unbind(), strict=True
        ):
            # The kernel of torch.optim.Adam(fused=True); it divides the gradient by `grad_scale`
            # and leaves everything as it is where `found_inf` is 1, which the optimiser offers
            # to mixed precision only.
            torch._fused_adam_(
                row,
                grad,
                mean,
                square,
                [],
                count,
                lr=rate,
                beta1=0.9,
                beta2=0.999,
                weight_decay=0.0,
                eps=self.eps,
                amsgrad=False,
                maximize=False,
                grad_scale=scale,
                found_inf=found,
            )
        passed: Tensor = skipped
        return passed

    def state(self) -> dict[str, Tensor]:
        """Everything that a continuation needs."""
        return {"mean": self.mean, "square": self.square, "count": self.count}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`."""
        for name, own in self.state().items():
            own.copy_(state[name])
