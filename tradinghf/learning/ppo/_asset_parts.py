"""Networks over assets whose passes are written by hand, for the processor.

What `tradinghf.learning.policy._assets` defines, without automatic differentiation: in its place
products into memory that stays, and few passes over it in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tradinghf.learning.policy import ActorCritic, AssetBody

GradientAt = Callable[[Tensor], Tensor]  # outputs [B, ..] to the loss's gradient there
Views = Callable[[str], tuple[Tensor, Tensor]]  # name of a parameter to it and its gradient
PART_ROWS = 4096  # whose activations stay in a processor's cache for the way back


class _Memory:
    """Memory by name and shape; networks that take turns share it, and stay in the cache."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def get(self, name: str, *shape: int) -> Tensor:
        """A float32 tensor, the same for the same name and shape."""
        if (name, shape) not in self._held:
            self._held[name, shape] = torch.empty(shape)
        return self._held[name, shape]


class AssetRows:
    """Observations to a row for each asset, and which are listed; nothing in it learns.

    Args:
        body: says what a row consists of.

    Attributes:
        share: [B, A] weights of the mean over listed assets, of the last observations.
        listed: [B, A] 1 or 0.

    """

    def __init__(self, body: Any) -> None:
        from tradinghf.learning.ppo import _asset_kernel

        self.kernel, self.memory = _asset_kernel, _Memory()
        # The window, the account's numbers, the drawdown.
        self._width = int(body.own[0].in_features)
        account = self._width - body.bars * body.features - 1
        self._shape = body.bars, body.features, account

    def forward(self, obs: Tensor) -> Tensor:
        """[B, D] to [B, A, in]."""
        count, assets = len(obs), self.assets(obs)
        rows = self.memory.get("rows", count, assets, self._width)
        self.listed = self.memory.get("listed", count, assets)
        self.share = self.memory.get("share", count, assets)
        tables = obs.contiguous().numpy(), rows.numpy(), self.listed.numpy()
        self.kernel.rows_of_assets(tables[0], *self._shape, *tables[1:])
        self.kernel.weigh(tables[2], self.share.numpy())
        return rows

    def assets(self, obs: Tensor) -> int:
        """A, of observations [B, D]."""
        return (obs.shape[1] - 1) // (self._width - 1)


class _Layer(NamedTuple):
    """tanh(U h + V mean(h) + b): the parameters, each with its gradient."""

    own: tuple[Tensor, Tensor]
    bias: tuple[Tensor, Tensor]
    mean: tuple[Tensor, Tensor]


class AssetBodyPart:
    """`AssetBody` after its rows are made.

    Args:
        name: of the module.
        layers: how many.
        views: of the parameters.
        rows: what makes the rows.

    """

    def __init__(self, name: str, layers: int, views: Views, rows: AssetRows) -> None:
        self._rows = rows
        self._layers = [
            _Layer(views(f"{name}.own.{k}.weight"), views(f"{name}.own.{k}.bias"),
                   views(f"{name}.mean.{k}.weight"))
            for k in range(layers)
        ]  # fmt: skip
        self._values: list[Tensor] = []
        self._means: list[Tensor] = []

    def forward(self, rows: Tensor) -> Tensor:
        """[B, A, in] to [B, A, H], which lasts until the next call."""
        kernel, get, share = self._rows.kernel, self._rows.memory.get, self._rows.share.numpy()
        count, assets, _ = rows.shape
        self._values, self._means = [rows], []
        for k, layer in enumerate(self._layers):
            width, inputs = layer.own[0].shape
            mean = get(f"mean {k}", count, inputs)
            kernel.mean_of_listed(rows.numpy(), share, mean.numpy())
            common = torch.mm(mean, layer.mean[0].T, out=get(f"common {k}", count, width))
            flat = get(f"values {k}", count * assets, width)
            torch.addmm(layer.bias[0], rows.view(-1, inputs), layer.own[0].T, out=flat)
            rows = flat.view(count, assets, width)
            kernel.activate(rows.numpy(), common.numpy())
            self._values.append(rows)
            self._means.append(mean)
        return rows

    def backward(self, grad: Tensor | None, common: Tensor | None, *, add: bool) -> None:
        """Gradients of the last `forward`.

        Args:
            grad: [B, A, H] at its rows, overwritten; None: they came by `common` alone.
            common: [B, H] at the mean over its listed rows; None: nothing used it.
            add: to the gradients that are there.

        """
        kernel, get, share = self._rows.kernel, self._rows.memory.get, self._rows.share.numpy()
        for k in reversed(range(len(self._layers))):
            layer, (before, rows) = self._layers[k], self._values[k : k + 2]
            count, assets, width = rows.shape
            sums = get(f"sums {k}", count, width)
            common = torch.zeros_like(sums) if common is None else common
            back = get(f"grad {k}", count, assets, width) if grad is None else grad
            arrays = share, common.numpy(), rows.numpy(), sums.numpy()
            kernel.through_tanh(back.numpy(), grad is not None, *arrays)
            flat, inputs = back.view(-1, width), before.shape[-1]
            _put(layer.own[1], flat.T, before.view(-1, inputs), add=add)
            _put(layer.mean[1], sums.T, self._means[k], add=add)
            _put_sum(layer.bias[1], sums, add=add)
            if k:
                grad = get(f"grad {k - 1}", count, assets, inputs)
                torch.mm(flat, layer.own[0], out=grad.view(-1, inputs))
                common = torch.mm(sums, layer.mean[0], out=get(f"below {k - 1}", count, inputs))


class AssetActorPart:
    """`AssetActor` after its body, or after the trunk where that is the body.

    Args:
        name: of the module.
        views: of the parameters.
        rows: what makes the rows.

    """

    def __init__(self, name: str, views: Views, rows: AssetRows) -> None:
        self._rows = rows
        self._weight, self._bias = (views(f"{name}.out.{kind}") for kind in ("weight", "bias"))

    def forward(self, rows: Tensor) -> Tensor:
        """[B, A, H] to [B, A * (K + 1)]."""
        self._seen, listed = rows, self._rows.listed[..., None]
        count, assets, width = rows.shape
        weight = self._weight[0]
        found = torch.addmm(self._bias[0], rows.view(-1, width), weight[:, :-1].T)
        found.addcmul_(listed.view(-1, 1), weight[:, -1])
        return torch.cat([found.view(count, assets, -1), listed], -1).flatten(1)

    def backward(self, grad: Tensor, *, add: bool) -> Tensor:
        """The gradient at the rows [B, A, H], of the last `forward`."""
        rows, listed = self._seen, self._rows.listed
        weight, into = self._weight
        flat = grad.view(-1, len(weight) + 1)[:, :-1].contiguous()
        _put(into[:, :-1], flat.T, rows.view(-1, rows.shape[-1]), add=add)
        _put(into[:, -1:], flat.T, listed.view(-1, 1), add=add)
        _put_sum(self._bias[1], flat, add=add)
        back = self._rows.memory.get("grad top", *rows.shape)
        torch.mm(flat, weight[:, :-1], out=back.view(-1, rows.shape[-1]))
        return back


class AssetCriticPart:
    """`AssetCritic`, likewise."""

    def __init__(self, name: str, views: Views, rows: AssetRows) -> None:
        self._rows = rows
        self._weight, self._bias = (views(f"{name}.out.{kind}") for kind in ("weight", "bias"))

    def forward(self, rows: Tensor) -> Tensor:
        """[B, A, H] to [B, S]."""
        count, _, width = rows.shape
        self._mean = self._rows.memory.get("mean top", count, width + 1)
        self._rows.kernel.mean_of_listed(
            rows.numpy(), self._rows.share.numpy(), self._mean[:, :-1].numpy()
        )
        torch.sum(self._rows.share, 1, out=self._mean[:, -1])
        return torch.addmm(self._bias[0], self._mean, self._weight[0].T)

    def backward(self, grad: Tensor, *, add: bool) -> Tensor:
        """The gradient at the mean of the rows [B, H], of the last `forward`."""
        _put(self._weight[1], grad.T, self._mean, add=add)
        _put_sum(self._bias[1], grad, add=add)
        return grad @ self._weight[0][:, :-1]


class AssetNetwork:
    """Actor and critics over assets, packed: what `PackedActorCritic` asks of them.

    Args:
        network: on the processor.
        views: of its parameters.

    """

    def __init__(self, network: ActorCritic, views: Views) -> None:
        bodies = {
            name: [m for m in network.get_submodule(name).children() if isinstance(m, AssetBody)]
            for name in ("trunk", "actor", "critic")
        }
        self._rows = rows = AssetRows(next(found[0] for found in bodies.values() if found))
        self._trunk, self._actor_body, self._critic_body = (
            AssetBodyPart(f"{name}.0", len(found[0].own), views, rows) if found else None
            for name, found in bodies.items()
        )
        self._actor = AssetActorPart(f"actor.{len(bodies['actor'])}", views, rows)
        self._critic = AssetCriticPart(f"critic.{len(bodies['critic'])}", views, rows)

    def accounts(self, obs: Tensor, rows: int) -> int:
        """How many accounts of observations [.., D] make at most so many rows."""
        return max(rows // self._rows.assets(obs), 1)

    def policy_out(self, obs: Tensor) -> Tensor:
        """[N, D] to [N, O]."""
        parts = obs.split(self.accounts(obs, PART_ROWS))
        return torch.cat([self._acted(self._features(part)) for part in parts])

    def value_out(self, obs: Tensor) -> Tensor:
        """[N, D] to the critics [N, C]."""
        parts = obs.split(self.accounts(obs, PART_ROWS))
        return torch.cat([self._judged(self._features(part)) for part in parts])

    def _features(self, obs: Tensor) -> Tensor:
        rows = self._rows.forward(obs)
        return rows if self._trunk is None else self._trunk.forward(rows)

    def _acted(self, rows: Tensor) -> Tensor:
        return self._actor.forward(
            rows if self._actor_body is None else self._actor_body.forward(rows)
        )

    def _judged(self, rows: Tensor) -> Tensor:
        return self._critic.forward(
            rows if self._critic_body is None else self._critic_body.forward(rows)
        )

    def gradients(
        self, obs: Tensor, at_values: GradientAt, at_policy: GradientAt, *, add: bool
    ) -> None:
        """See `PackedActorCritic`."""
        rows = self._features(obs)
        # One network after the other: the second works in the memory of the first.
        at_mean = self._critic.backward(at_values(self._judged(rows)), add=add)
        if self._critic_body is not None:
            self._critic_body.backward(None, at_mean, add=add)
        at_rows = self._actor.backward(at_policy(self._acted(rows)), add=add)
        if self._actor_body is not None:
            self._actor_body.backward(at_rows, None, add=add)
        elif self._trunk is not None:
            self._trunk.backward(at_rows, at_mean, add=add)


def _put(into: Tensor, left: Tensor, right: Tensor, *, add: bool) -> None:
    """A product into a gradient, or on top of it."""
    torch.addmm(into, left, right, beta=float(add), out=into)


def _put_sum(into: Tensor, rows: Tensor, *, add: bool) -> None:
    """Rows' sum into a gradient, or on top of it."""
    into.add_(rows.sum(0)) if add else torch.sum(rows, 0, out=into)
