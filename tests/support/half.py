"""Gradients in float64 with the roundings of products in bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo._transitions import Minibatch
from tradinghf.learning.ppo._update import LossWeights, categorical_gradients, value_gradients


def rounded(x: Tensor) -> Tensor:
    """What a product reads of it."""
    return x.bfloat16().double()


def carried(layers: list[nn.Linear], x: Tensor, *, tanh_last: bool) -> list[Tensor]:
    """What every layer reads, rounded, and the last one's output."""
    read = [rounded(x)]
    for k, layer in enumerate(layers):
        z = read[-1] @ rounded(layer.weight).T + layer.bias.double()
        squashed = tanh_last or k < len(layers) - 1
        read.append(rounded(z.tanh()) if squashed else z)
    return read


def carried_back(
    layers: list[nn.Linear], read: list[Tensor], grad: Tensor, *, tanh_last: bool
) -> Tensor:
    """Put gradients into the layers' `.grad`; returns that at the input."""
    for k in range(len(layers) - 1, -1, -1):
        if tanh_last or k < len(layers) - 1:
            grad = grad * (1 - read[k + 1].square())
        layers[k].weight.grad = (rounded(grad).T @ read[k]).float()
        layers[k].bias.grad = grad.sum(0).float()
        grad = rounded(grad) @ rounded(layers[k].weight)
    return grad


@torch.no_grad()
def expected(
    network: ActorCritic, obs: Tensor, batch: Minibatch, weights: LossWeights
) -> dict[str, Tensor]:
    """The gradients of the parameters, by name, with the roundings of the kernel."""
    trunk, actor, critic = (
        [m for m in part.children() if isinstance(m, nn.Linear)]
        for part in (network.trunk, network.actor, network.critic)
    )
    below = carried(trunk, obs, tanh_last=True)
    out = carried(actor, below[-1], tanh_last=False)
    to_out = categorical_gradients(out[-1].float(), batch, weights)[1].double()
    above = carried_back(actor, out, to_out, tanh_last=False)
    values = carried(critic, below[-1], tanh_last=False)
    to_values = value_gradients(values[-1].float(), batch.target, weights.value)[1].double()
    above += carried_back(critic, values, to_values, tanh_last=False)
    carried_back(trunk, below, above, tanh_last=True)
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
