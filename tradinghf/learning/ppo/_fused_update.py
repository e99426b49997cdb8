"""PPO's update whose minibatch gradient is one Triton kernel (`PPOConfig.kernels`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic, Categorical
from tradinghf.learning.ppo._distributed import ALONE, ProcessGroup
from tradinghf.learning.ppo._forward import layer_tables
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._transitions import Transitions
from tradinghf.learning.ppo._update import LossWeights, Update

_ROWS, _CHUNK = 32, 32  # of a block: rows of the minibatch, observed numbers at a time
_WARPS = 8  # of a block: with fewer, numbers of a thread spill out of its registers
_PROGRAMS = 256  # about two for each of a large card's multiprocessors
_WIDEST, _MOST_OUTPUTS = 128, 16  # layers of a block have to fit in shared memory


def fits(network: ActorCritic, config: PPOConfig) -> bool:
    """Whether the kernel computes the gradient of such a network."""
    streams: Any = network.shape["streams"]
    return (
        isinstance(network.head, Categorical)
        and network.by_hand
        and len(config.hidden) == 2
        and max(config.hidden) <= _WIDEST
        and max(network.actions, streams) <= _MOST_OUTPUTS
    )


class FusedUpdate(Update):
    """`Update` of networks that `fits` allows; rows are gathered where they are used.

    Products are in bfloat16 where the settings say so; else TF32 where
    `torch.set_float32_matmul_precision` allows them; else float32.

    Args:
        network: what is trained.
        config: of PPO.
        group: processes whose gradients are averaged.

    """

    def __init__(
        self, network: PackedActorCritic, config: PPOConfig, group: ProcessGroup = ALONE
    ) -> None:
        from tradinghf.learning.ppo import _update_triton as kernel

        super().__init__(network, config, group)
        self._kernel = kernel
        (trunk, actor, critic), _ = layer_tables(network)
        self._shared = len(trunk) > 0
        hidden, other = (trunk, trunk) if self._shared else (actor[:2], critic[:2])
        layers = (*hidden, *other, actor[-1], critic[-1])
        self._places = [int(offset) for layer in layers for offset in layer[:2]]
        self._sizes = [int(n) for n in (actor[-1][3], critic[-1][3], *hidden[:, 3])]
        blocks = {"WIDTH1": self._sizes[2], "WIDTH2": self._sizes[3], "OUTS": max(self._sizes[:2])}
        self._blocks = {name: max(1 << (n - 1).bit_length(), 16) for name, n in blocks.items()}

    def gradients(self, rows: Tensor, table: Transitions, weights: LossWeights) -> Tensor:
        """See `Update`."""
        if table.reference_log_std is not None:
            return super().gradients(rows, table, weights)
        count, data = len(rows), self.network.data
        programs = min(-(-count // _ROWS), _PROGRAMS)
        partial = data.new_zeros(programs, len(data))
        stats = data.new_zeros(programs, 5)
        numbers = torch.stack([self._number(x) for x in (weights.clip, weights.entropy)])
        numbers = torch.cat([numbers, self._number(weights.value)[None]])
        self._kernel.gradients[(programs,)](
            *(data, partial, stats, table.obs, table.columns, rows.contiguous(), numbers),
            *(count, len(table), table.obs.shape[1], len(data), *self._sizes, *self._places),
            SHARED=self._shared,
            ROWS=_ROWS,
            CHUNK=_CHUNK,
            PRECISION=self._precision(),
            num_warps=_WARPS,
            **self._blocks,
        )
        torch.sum(partial, 0, out=self.network.grad)
        total = stats.sum(0) / count
        total[4] /= table.critics
        return total

    def _precision(self) -> str:
        """The kernel's name of what products are computed in."""
        if self.network.half:
            return "bf16" if self.network.data.is_cuda else "bf16 by ieee"
        return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"

    def _number(self, value: Any) -> Tensor:
        """A float32 number on the device, where a kernel fills it in."""
        data = self.network.data
        return value.to(data) if isinstance(value, Tensor) else data.new_full((), value)
