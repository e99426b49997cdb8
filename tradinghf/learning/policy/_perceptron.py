"""Tanh networks whose forward and backward passes are written by hand, into memory that stays.

Automatic differentiation allocates every activation afresh and visits every parameter by itself;
at PPO's sizes that costs more than the arithmetic. Here a minibatch is a dozen matrix products
into memory that is already in the cache, and a CUDA graph can capture it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Scratch:
    """Memory for activations and their gradients, by shape; networks that take turns share it."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int, int, int], Tensor] = {}

    def get(self, kind: str, layer: int, rows: int, width: int, like: Tensor) -> Tensor:
        """[1, rows, width] the same memory for the same kind, layer and shape."""
        key = (kind, layer, rows, width)
        if key not in self._held:
            self._held[key] = torch.empty(1, rows, width, dtype=like.dtype, device=like.device)
        return self._held[key]


class Layer(NamedTuple):
    """A linear layer, and where its gradients go.

    Attributes:
        weight, weight_grad: [1, out, in].
        bias, bias_grad: [1, 1, out].

    """

    weight: Tensor
    bias: Tensor
    weight_grad: Tensor
    bias_grad: Tensor


class Perceptron:
    """Linear layers with tanh in between.

    Inside, everything is a batch of one matrix, [1, ..]: torch then multiplies matrices of a
    handful of numbers, such as the critics of a few environments, without BLAS.

    Args:
        layers: from the input to the output.
        scratch: shared with networks that are not between their `forward` and `backward` now.
        tanh_last: whether tanh also follows the last layer.
        first: whether nothing that learns comes before, so that nobody needs the gradient at the
            input.

    """

    def __init__(
        self, layers: Sequence[Layer], scratch: Scratch, *, tanh_last: bool, first: bool
    ) -> None:
        self._layers, self._scratch, self._first = list(layers), scratch, first
        self._tanhs = len(self._layers) - (0 if tanh_last else 1)
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def forward(self, rows: Tensor) -> Tensor:
        """[B, in] to [B, out]; the result lasts until the scratch memory's next use."""
        self._inputs, self._outputs = [], []
        x = rows[None]
        for k, layer in enumerate(self._layers):
            self._inputs.append(x)
            width = layer.weight.shape[1]
            if k < self._tanhs:
                out = self._scratch.get("value", k, len(rows), width, x)
                torch.baddbmm(layer.bias, x, layer.weight.mT, out=out)
                x = torch.tanh(out, out=out)
                self._outputs.append(x)
            else:
                # A handful of outputs: rows of them, [out, B], are twice as fast to compute.
                out = self._scratch.get("last", k, width, len(rows), x)
                x = torch.baddbmm(layer.bias.mT, layer.weight, x.mT, out=out).mT
        return x[0]

    def backward(self, grad: Tensor, *, add: bool) -> Tensor | None:
        """Gradients of the last `forward` from the loss's gradient at its output [B, out].

        Args:
            grad: overwritten where tanh follows the last layer.
            add: to the gradients that are there, instead of writing over them.

        Returns:
            [B, in] the gradient at the input; None if nobody needs it.

        """
        back = grad[None]
        for k in reversed(range(len(self._layers))):
            layer, x = self._layers[k], self._inputs[k]
            if k < self._tanhs:
                torch.ops.aten.tanh_backward.grad_input(back, self._outputs[k], grad_input=back)
            if add:
                layer.weight_grad.baddbmm_(back.mT, x)
                layer.bias_grad.add_(back.sum(1, keepdim=True))
            else:
                torch.bmm(back.mT, x, out=layer.weight_grad)
                torch.sum(back, 1, keepdim=True, out=layer.bias_grad)
            if k:
                below = self._scratch.get("grad", k - 1, x.shape[1], x.shape[2], x)
                back = torch.bmm(back, layer.weight, out=below)
        return None if self._first else torch.bmm(back, self._layers[0].weight)[0]
