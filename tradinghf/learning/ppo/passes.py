"""Forward and backward passes of S networks whose parameters are one tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from tradinghf.learning.policy.networks import ActorCritic
from tradinghf.learning.policy.perceptron import Scratch, StackedPerceptron
from tradinghf.learning.ppo.flat import FlatParameters

Judge = Callable[[Tensor], Tensor]  # outputs [S, B, ..] to the loss's gradient there


class Passes(Protocol):
    """What `Learners` needs of S networks; rows of observations are [S, B, D]."""

    def policy_out(self, obs: Tensor) -> Tensor:
        """[S, B, O]; may be overwritten by the next call."""

    def value_out(self, obs: Tensor) -> Tensor:
        """[S, B, C]; may be overwritten by the next call."""

    def gradients(
        self, obs: Tensor, judge_policy: Judge, judge_values: Judge, *, add: bool = False
    ) -> None:
        """Put the gradients of all parameters that the outputs depend on into the flat tensor.

        Args:
            obs: [S, B, D].
            judge_policy, judge_values: the loss's gradient at the outputs.
            add: to the gradients that are there, instead of writing over them.

        """


def passes_of(
    networks: Sequence[ActorCritic], flat: FlatParameters, precision: str = "float32"
) -> Passes:
    """The fastest passes that suit the networks, in "float32" or "bfloat16"."""
    if networks[0].shape["window"] is not None:
        return Automatic(networks, flat)
    return Half(networks[0], flat) if precision == "bfloat16" else ByHand(networks[0], flat)


class ByHand:
    """Perceptrons, all S at once, without automatic differentiation.

    Args:
        network: one of the S, for its layout.
        flat: parameters and gradients of all.
        data, grad: [S, P] to compute with instead, laid out as those of `flat`.

    """

    def __init__(
        self,
        network: ActorCritic,
        flat: FlatParameters,
        data: Tensor | None = None,
        grad: Tensor | None = None,
    ) -> None:
        self._flat, self._scratch = flat, Scratch()
        self._data = flat.data if data is None else data
        self._grad = flat.grad if grad is None else grad
        shared = any(True for _ in network.trunk.children())
        self._trunk = self._perceptron("trunk", network.trunk, last=True) if shared else None
        self._actor = self._perceptron("actor", network.actor)
        self._critic = self._perceptron("critic", network.critic)

    def _perceptron(self, name: str, module: nn.Module, *, last: bool = False) -> StackedPerceptron:
        layers = [f"{name}.{i}" for i, m in module.named_children() if isinstance(m, nn.Linear)]

        def parts(flat: Tensor, kind: str) -> list[Tensor]:
            return [self._flat.view(flat, f"{layer}.{kind}") for layer in layers]

        data, grad = self._data, self._grad
        return StackedPerceptron(
            parts(data, "weight"),
            parts(data, "bias"),
            parts(grad, "weight"),
            parts(grad, "bias"),
            self._scratch if name != "trunk" else Scratch(),
            last=last,
        )

    def _features(self, obs: Tensor) -> Tensor:
        return obs if self._trunk is None else self._trunk.forward(obs)

    def policy_out(self, obs: Tensor) -> Tensor:
        """See `Passes`."""
        return self._actor.forward(self._features(obs))

    def value_out(self, obs: Tensor) -> Tensor:
        """See `Passes`."""
        return self._critic.forward(self._features(obs))

    def gradients(
        self, obs: Tensor, judge_policy: Judge, judge_values: Judge, *, add: bool = False
    ) -> None:
        """See `Passes`."""
        features = self._features(obs)
        below = None if self._trunk is None else torch.empty_like(features)
        # One network after the other, so that the second works in the cache of the first.
        to_values = judge_values(self._critic.forward(features))
        self._critic.backward(to_values, to_input=below, add=add)
        to_out = judge_policy(self._actor.forward(features))
        above = None if below is None else torch.empty_like(below)
        self._actor.backward(to_out, to_input=above, add=add)
        if self._trunk is not None and above is not None and below is not None:
            self._trunk.backward(above.add_(below), add=add)


class Half:
    """`ByHand` in bfloat16, with parameters and gradients kept in float32.

    Products read and write half as much memory and add up in float32. The loss and everything
    that is made of parameters over many steps stays in float32, where small steps are not lost.

    Args:
        network: one of the S, for its layout.
        flat: parameters and gradients of all.

    """

    def __init__(self, network: ActorCritic, flat: FlatParameters) -> None:
        self._flat = flat
        self._data, self._grad = (x.to(torch.bfloat16) for x in (flat.data, flat.grad))
        self._passes = ByHand(network, flat, self._data, self._grad)

    def policy_out(self, obs: Tensor) -> Tensor:
        """See `Passes`."""
        self._data.copy_(self._flat.data)
        return self._passes.policy_out(obs.to(torch.bfloat16)).float()

    def value_out(self, obs: Tensor) -> Tensor:
        """See `Passes`."""
        self._data.copy_(self._flat.data)
        return self._passes.value_out(obs.to(torch.bfloat16)).float()

    def gradients(
        self, obs: Tensor, judge_policy: Judge, judge_values: Judge, *, add: bool = False
    ) -> None:
        """See `Passes`."""
        self._data.copy_(self._flat.data)
        log_std = self._flat.view(self._flat.grad, "log_std")
        self._passes.gradients(
            obs.to(torch.bfloat16),
            lambda out: judge_policy(out.float()).to(torch.bfloat16),
            lambda values: judge_values(values.float()).to(torch.bfloat16),
        )
        kept = log_std.clone()  # what the judge of the policy put there, in float32
        if add:
            self._flat.grad += self._grad
        else:
            self._flat.grad.copy_(self._grad)
        log_std.copy_(kept)


class Automatic:
    """Networks of any kind by automatic differentiation, one after the other.

    Args:
        networks: S networks; gradients of their parameters become views of the flat ones.
        flat: parameters and gradients of all.

    """

    def __init__(self, networks: Sequence[ActorCritic], flat: FlatParameters) -> None:
        self._networks, self._flat = networks, flat
        for row, network in enumerate(networks):
            for name, parameter in network.named_parameters():
                if parameter.requires_grad:
                    parameter.grad = flat.view(flat.grad, name)[row]

    def policy_out(self, obs: Tensor) -> Tensor:
        """See `Passes`."""
        return torch.stack([n.policy_out(x) for n, x in zip(self._networks, obs, strict=True)])

    def value_out(self, obs: Tensor) -> Tensor:
        """See `Passes`."""
        return torch.stack([n.value_out(x) for n, x in zip(self._networks, obs, strict=True)])

    def gradients(
        self, obs: Tensor, judge_policy: Judge, judge_values: Judge, *, add: bool = False
    ) -> None:
        """See `Passes`."""
        if not add:
            self._flat.grad.zero_()
        with torch.enable_grad():
            outs = [network(x) for network, x in zip(self._networks, obs, strict=True)]
        policy, values = (torch.stack(part) for part in zip(*outs, strict=True))
        to_policy, to_values = judge_policy(policy), judge_values(values)
        roots = [output for pair in outs for output in pair]
        grads = [g for pair in zip(to_policy, to_values, strict=True) for g in pair]
        torch.autograd.backward(roots, grads)
