"""Tanh networks of S learners, forward and backward by hand into buffers that stay.

Automatic differentiation allocates every activation afresh and visits every parameter by itself;
at PPO's sizes that costs more than the arithmetic. Here a minibatch is a dozen matrix products
into memory that is already in the cache, and a CUDA graph can capture it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Scratch:
    """Memory for activations and their gradients, by shape; networks that take turns share it."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int, torch.Size], Tensor] = {}

    def get(self, kind: str, layer: int, shape: torch.Size, like: Tensor) -> Tensor:
        """The same memory for the same kind, layer and shape."""
        key = (kind, layer, shape)
        if key not in self._held:
            self._held[key] = torch.empty(shape, dtype=like.dtype, device=like.device)
        return self._held[key]


class StackedPerceptron:
    """Linear layers with tanh in between, S at once.

    Args:
        weights: per layer [S, out, in].
        biases: per layer [S, out].
        weight_grads: where gradients go, as `weights`.
        bias_grads: where gradients go, as `biases`.
        scratch: shared with networks that are not between their `forward` and `backward` now.
        last: whether tanh also follows the last layer (a trunk).

    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        weight_grads: Sequence[Tensor],
        bias_grads: Sequence[Tensor],
        scratch: Scratch,
        *,
        last: bool = False,
    ) -> None:
        self.weights, self.weight_grads = list(weights), list(weight_grads)
        self.biases = [b.unsqueeze(1) for b in biases]
        self.bias_grads = [b.unsqueeze(1) for b in bias_grads]
        self._squashed = len(self.weights) - (0 if last else 1)
        self._scratch = scratch
        self._outputs: list[Tensor] = []
        self._inputs: list[Tensor] = []

    def _room(self, kind: str, layer: int, rows: int) -> Tensor:
        """[S, rows, out] memory for a layer's output or its gradient."""
        weight = self.weights[layer]
        shape = torch.Size((weight.shape[0], rows, weight.shape[1]))
        return self._scratch.get(kind, layer, shape, weight)

    def forward(self, x: Tensor) -> Tensor:
        """[S, B, in] to [S, B, out]; the result lasts until the scratch memory's next use."""
        self._inputs, self._outputs = [], []
        for layer, weight in enumerate(self.weights):
            self._inputs.append(x)
            if layer < self._squashed:
                out = self._room("value", layer, x.shape[1])
                torch.baddbmm(self.biases[layer], x, weight.mT, out=out)
                x = torch.tanh(out, out=out)
                self._outputs.append(x)
            else:
                # A handful of outputs: rows of them, [S, out, B], are twice as fast to compute.
                out = self._room("last", layer, x.shape[1]).view(*weight.shape[:2], -1)
                x = torch.baddbmm(self.biases[layer].mT, weight, x.mT, out=out).mT
        return x

    def backward(self, grad: Tensor, *, to_input: Tensor | None = None, add: bool = False) -> None:
        """Gradients of the last `forward` from the loss's gradient at its output [S, B, out].

        Args:
            grad: overwritten where tanh follows the last layer.
            to_input: [S, B, in], receives the gradient at the input; None saves that product.
            add: to the gradients that are there, instead of writing over them.

        """
        for layer in reversed(range(len(self.weights))):
            if layer < self._squashed:
                y = self._outputs[layer]
                torch.ops.aten.tanh_backward.grad_input(grad, y, grad_input=grad)
            to_weight, to_bias = self.weight_grads[layer], self.bias_grads[layer]
            if add:
                to_weight.baddbmm_(grad.mT, self._inputs[layer])
                to_bias += grad.sum(1, keepdim=True)
            else:
                torch.bmm(grad.mT, self._inputs[layer], out=to_weight)
                torch.sum(grad, 1, keepdim=True, out=to_bias)
            below = self._room("grad", layer - 1, grad.shape[1]) if layer else to_input
            if below is not None:
                grad = torch.bmm(grad, self.weights[layer], out=below)
