"""Acting through the kernel that numba compiles: policy and critics in one pass over each block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from tradinghf.learning.policy import Categorical
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._remembered import MemoryForward
from tradinghf.workers import Team, has_matrix_unit

_BLOCKS_PER_THREAD = 4  # that are worth one


class CompiledForward:
    """Outputs of an actor-critic for a rollout; each block of rows meets all layers in the cache.

    Blocks are cut by the number of rows alone, so threads change nothing.

    Args:
        network: perceptrons on the processor (`forward_of`).

    """

    def __init__(self, network: PackedActorCritic) -> None:
        self._kernel, self._network = kernel_of(network), network
        self._layers, self._widest = layer_tables(network)
        parts = self._layers
        self._outs, self._critics = (int(part[-1, 3]) for part in parts[1:])
        from tradinghf.learning.ppo import _draw_kernel

        self._draws = _draw_kernel if isinstance(network.head, Categorical) else None
        self._team = Team()

    @contextmanager
    def products(self) -> Iterator[None]:
        """Keep the library of the products to one thread: blocks are shared out instead."""
        with blas().limit(limits=1):
            yield

    def __call__(self, obs: Tensor, copy: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs of the actor [N, O] and the critics [N, C] at `obs` [N, D].

        Args:
            obs: what they see.
            copy: [N, D], written: the same numbers, on the way.

        """
        obs = obs.contiguous()
        count = len(obs)
        out, values = torch.empty(count, self._outs), torch.empty(count, self._critics)
        kept = obs.new_empty(0, obs.shape[1]) if copy is None else copy
        blocks = -(-count // self._kernel.ACTING)
        tensors = (self._network.data, obs, kept, out, values)
        given = (*(x.numpy() for x in tensors), self._layers, self._widest)
        self._team.share(self._kernel.outputs, blocks, _BLOCKS_PER_THREAD, *given)
        return out, values

    def draw(self, out: Tensor, noise: Tensor) -> Tensor:
        """Raw actions of outputs [N, O]; see `PackedActorCritic`."""
        if self._draws is None:
            return self._network.draw(out, noise)
        raw = torch.empty(len(out), dtype=torch.int64)
        self._draws.draw(out.numpy(), noise.numpy(), raw.numpy())
        return raw

    def log_prob(self, out: Tensor, raw: Tensor) -> Tensor:
        """[L, N] log-probabilities of raw actions; see `PackedActorCritic`."""
        if self._draws is None or not self._network.half:  # float32 keeps its last digits
            return self._network.log_prob(out, raw)
        found, flat = torch.empty(raw.shape), (out.flatten(0, 1), raw.flatten(0, 1))
        blocks = -(-raw.numel() // self._draws.BLOCK)
        given = (x.numpy() for x in (*flat, found.view(-1)))
        self._team.share(self._draws.log_probs, blocks, _BLOCKS_PER_THREAD, *given)
        return found


def forward_of(network: PackedActorCritic) -> CompiledForward | MemoryForward | None:
    """The compiled pass of networks that the kernel covers; one that remembers; None for others."""
    if network.network.memory is not None:
        return MemoryForward(network)
    covered = network.by_hand or (network.half and has_matrix_unit())
    return CompiledForward(network) if covered and network.data.device.type == "cpu" else None


def kernel_of(network: PackedActorCritic) -> Any:
    """The module of the compiled passes in the network's precision."""
    if network.half:
        from tradinghf.learning.ppo import _half_kernel

        return _half_kernel
    from tradinghf.learning.ppo import _compiled_kernel

    return _compiled_kernel


def layer_tables(network: PackedActorCritic) -> tuple[tuple[Any, ...], int]:
    """[K, 5] layers of trunk, actor and critic as the kernel wants them; their largest width."""
    tables = tuple(_table(network, part) for part in ("trunk", "actor", "critic"))
    return tables, max(int(table[:, 2:4].max(initial=1)) for table in tables)


def _table(network: PackedActorCritic, part: str) -> Any:
    names = network.linear_layers(part)
    rows = []
    for name in names:
        layer = network.network.get_submodule(name)
        offsets = (network.offset(f"{name}.{kind}") for kind in ("weight", "bias"))
        tanh = part == "trunk" or name != names[-1]
        rows.append((*offsets, layer.in_features, layer.out_features, int(tanh)))
    return np.array(rows, np.int64).reshape(-1, 5)


@lru_cache
def blas() -> Any:
    """The BLAS that numba calls, which is SciPy's."""
    import scipy.linalg.cython_blas  # noqa: F401 - loads the library

    found = ThreadpoolController().select(user_api="blas")
    paths = [library.filepath or "" for library in found.lib_controllers]
    return found.select(filepath=[path for path in paths if "scipy" in path])
