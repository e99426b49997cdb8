"""Several processes train one policy: each acts in its own environments, gradients are averaged.

    torchrun --standalone --nproc_per_node=2 train.py    # PPO(env, ..., group=ProcessGroup.join())

One all-reduce of the flat gradient per minibatch, and three small ones per iteration. Rank r's
environments are rows [r*N, (r+1)*N) of what one process with all of them would have, so ranks
together see the same episodes as one process; their minibatches are shuffled apart.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from tradinghf.errors import ConfigError


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together.

    Attributes:
        rank: of this process.
        size: number of processes; 1 communicates nothing.

    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> ProcessGroup:
        """The group that torchrun started: NCCL where there are GPUs, else Gloo.

        Raises:
            ConfigError: not started by torchrun.

        """
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            raise ConfigError(
                "ProcessGroup.join found no RANK and WORLD_SIZE in the environment. Start the "
                "script with: torchrun --standalone --nproc_per_node=2 SCRIPT"
            )
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    def mean_(self, x: Tensor) -> Tensor:
        """Replace `x` by its mean over the group, and return it."""
        if self.size > 1:
            dist.all_reduce(x)
            x /= self.size
        return x

    def moments(self, x: Tensor, *, bars_apart: bool = False) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [C] of [L, N, C] over L, N and the group.

        The standard deviation is the unbiased one over all rows of the group. With `bars_apart`
        both are [L, C], over N and the group alone.
        """
        over = (1,) if bars_apart else (0, 1)
        count = self.size * x[..., 0].numel() // (len(x) if bars_apart else 1)
        mean = self.mean_(x.mean(over))
        centred = x - (mean[:, None] if bars_apart else mean)
        variance = self.mean_(centred.square().mean(over))
        return mean, (variance * (count / max(count - 1, 1))).sqrt()


ALONE = ProcessGroup()
