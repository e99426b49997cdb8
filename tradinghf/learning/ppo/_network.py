"""An actor-critic packed for training: parameters in one vector, passes without overhead."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from tradinghf.learning.policy import ActorCritic, Layer, Perceptron, Scratch
from tradinghf.learning.ppo._asset_parts import PART_ROWS, AssetNetwork, GradientAt

_CHUNK_ROWS = 4096  # decisions that the critics judge at once: more fall out of the cache
_GPU_CHUNK_ROWS = 1 << 20


class PackedActorCritic:
    """Moves an actor-critic's parameters into one vector; the network goes on using them there.

    One vector makes an optimiser step, a sum over processes and a copy one operation each.
    Perceptrons run forward and backward by hand, and on the processor networks over assets; other
    networks by automatic differentiation. In bfloat16, products read and write half as much memory
    and add up in float32, while parameters, gradients and the loss stay in float32, where small
    steps are not lost.

    Args:
        network: whose parameters become views of the vector, so that it follows the training.
        precision: of the products, "float32" or "bfloat16".

    Attributes:
        data, grad: [P] float32 parameters and their gradients.
        log_std, log_std_grad: [A] the parts of them for continuous actions.
        by_hand: perceptrons in float32, which a kernel may carry as well.
        half: perceptrons whose products are in bfloat16.

    """

    def __init__(self, network: ActorCritic, precision: str = "float32") -> None:
        self.network, self.head, self.actions = network, network.head, network.actions
        parameters = dict(network.named_parameters())
        self._shapes = {name: p.shape for name, p in parameters.items()}
        self._offsets: dict[str, int] = {}
        total = 0
        for name, shape in self._shapes.items():
            self._offsets[name], total = total, total + shape.numel()
        self.data = torch.empty(total, device=next(iter(parameters.values())).device)
        self.grad = torch.zeros_like(self.data)
        for name, parameter in parameters.items():
            view = self.view(self.data, name)
            view.copy_(parameter.detach())
            parameter.data = view
        self.log_std, self.log_std_grad = (self.view(x, "log_std") for x in (self.data, self.grad))
        self._half = precision == "bfloat16"
        kind = torch.bfloat16 if self._half else torch.float32
        self._used = self.data.to(kind), self.grad.to(kind)
        self._automatic = not network.by_hand
        self.by_hand = network.by_hand and not self._half
        self.half = network.by_hand and self._half
        if network.memory is not None:  # it is taken through time in `_sequences`
            for inner, parameter in network.memory.named_parameters():
                parameter.grad = self.view(self.grad, f"memory.{inner}")
        self._assets: AssetNetwork | None = None
        over_assets = network.shape["assets"] is not None
        if over_assets and not self._half and self.data.device.type == "cpu":
            self._assets = AssetNetwork(network, self._views)
        scratch = Scratch()
        trunk = any(True for _ in network.trunk.children())
        self._trunk = self._part("trunk", Scratch(), first=True) if trunk else None
        self._actor = self._part("actor", scratch, first=not trunk)
        self._critic = self._part("critic", scratch, first=not trunk)

    def _views(self, name: str) -> tuple[Tensor, Tensor]:
        return self.view(self.data, name), self.view(self.grad, name)

    def _part(self, name: str, scratch: Scratch, *, first: bool) -> _Part:
        module = self.network.get_submodule(name)
        if self._automatic:
            for inner, parameter in module.named_parameters():
                parameter.grad = self.view(self.grad, f"{name}.{inner}")
            return _AutomaticPart(module, first=first)
        layers = []
        for layer in self.linear_layers(name):
            weights = (self.view(x, f"{layer}.weight")[None] for x in self._used)
            biases = (self.view(x, f"{layer}.bias")[None, None] for x in self._used)
            (weight, weight_grad), (bias, bias_grad) = weights, biases
            layers.append(Layer(weight, bias, weight_grad, bias_grad))
        return Perceptron(layers, scratch, tanh_last=name == "trunk", first=first)

    def linear_layers(self, part: str) -> list[str]:
        """Names of the linear layers of "trunk", "actor" or "critic", from input to output."""
        children = self.network.get_submodule(part).named_children()
        return [f"{part}.{name}" for name, m in children if isinstance(m, nn.Linear)]

    def offset(self, name: str) -> int:
        """Where a parameter begins in the vector."""
        return self._offsets[name]

    def view(self, vector: Tensor, name: str) -> Tensor:
        """The part of a vector laid out as `data` that belongs to a parameter, in its shape."""
        start, shape = self._offsets[name], self._shapes[name]
        return vector[start : start + shape.numel()].view(shape)

    def _features(self, obs: Tensor) -> Tensor:
        if self._half:
            self._used[0].copy_(self.data)
        obs = obs.to(self._used[0].dtype)
        return obs if self._trunk is None else self._trunk.forward(obs)

    def policy_out(self, obs: Tensor) -> Tensor:
        """[N, D] to [N, O]; the result lasts until the next call."""
        if self._assets is not None:
            return self._assets.policy_out(obs)
        return self._actor.forward(self._features(obs)).float().contiguous()

    def value_out(self, obs: Tensor) -> Tensor:
        """[N, D] to the critics [N, C]; the result lasts until the next call."""
        if self._assets is not None:
            return self._assets.value_out(obs)
        return self._critic.forward(self._features(obs)).float().contiguous()

    def value_outs(self, obs: Tensor) -> Tensor:
        """[L, N, D] to the critics [L, N, C], in chunks: on a processor they stay in its cache."""
        rows = _CHUNK_ROWS if obs.device.type == "cpu" else _GPU_CHUNK_ROWS
        steps = max(rows // obs.shape[1], 1)
        parts = [
            self.value_out(part.flatten(0, 1)).unflatten(0, part.shape[:2]).clone()
            for part in obs.split(steps)
        ]
        return torch.cat(parts)

    @property
    def over_assets(self) -> bool:
        """Whether it is a network over assets whose passes are written by hand."""
        return self._assets is not None

    def part_rows(self, obs: Tensor) -> int:
        """Of observations [.., D], as many as a processor's cache keeps for the way back."""
        return PART_ROWS if self._assets is None else self._assets.accounts(obs, PART_ROWS)

    def draw(self, out: Tensor, noise: Tensor) -> Tensor:
        """Raw actions of outputs [N, O]."""
        return self.head.draw(out, noise, self.log_std)

    def log_prob(self, out: Tensor, raw: Tensor) -> Tensor:
        """[L, N] log-probabilities of raw actions given outputs [L, N, O]."""
        return self.head.log_prob(out, raw, self.log_std)

    def gradients(
        self, obs: Tensor, at_values: GradientAt, at_policy: GradientAt, *, add: bool = False
    ) -> None:
        """Put the gradients of the parameters into `grad`; not those of `log_std`.

        Args:
            obs: [B, D].
            at_values, at_policy: the loss's gradient at the critics' and the actor's outputs.
            add: to the gradients that are there, instead of writing over them.

        """
        if self._assets is not None:
            return self._assets.gradients(obs, at_values, at_policy, add=add)
        if self._automatic and not add:
            self.grad.zero_()
        into = add and not self._half
        with torch.set_grad_enabled(self._automatic):
            features = self._features(obs)
            # One network after the other, so that the second works in the cache of the first.
            to_values = at_values(self._critic.forward(features).float())
            below = self._critic.backward(to_values.to(features.dtype), add=into)
            to_out = at_policy(self._actor.forward(features).float())
            above = self._actor.backward(to_out.to(features.dtype), add=into)
            if self._trunk is not None and above is not None and below is not None:
                self._trunk.backward(above.add_(below), add=into)
        if self._half and add:
            self.grad += self._used[1]
        elif self._half:
            self.grad.copy_(self._used[1])


class _Part(Protocol):
    """The trunk, the actor or the critics: what `Perceptron` does."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, in] to [B, out]."""

    def backward(self, grad: Tensor, *, add: bool) -> Tensor | None:
        """Gradients of the last `forward`; returns that at the input, if anybody needs it."""


class _AutomaticPart:
    """A module of any kind, by automatic differentiation; gradients add up."""

    def __init__(self, module: nn.Module, *, first: bool) -> None:
        self._module, self._first = module, first

    def forward(self, x: Tensor) -> Tensor:
        """See `_Part`; remembers how it was computed where gradients are enabled."""
        self._input = x.detach().requires_grad_(not self._first)
        self._output: Tensor = self._module(self._input)
        out: Tensor = self._output.detach()
        return out

    def backward(self, grad: Tensor, *, add: bool) -> Tensor | None:
        """See `_Part`."""
        torch.autograd.backward(self._output, grad)
        return self._input.grad
