"""PPO's Triton kernels behind the functions that they stand for (`PPOConfig.kernels`)."""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.learning.ppo._update import Adam

_COLUMNS = 128  # of a block of `triton_discounted`
_PARAMETERS = 4096  # of a block of `TritonAdam`
MOST_PARAMETERS = 1 << 17  # one program walks through them: more take longer than the launches


def triton_discounted(values: Tensor, decay: Tensor) -> Tensor:
    """`discounted` of [L, ..] in one pass over the memory."""
    from tradinghf.learning.ppo import _kernels_triton as kernels

    values, decay = values.contiguous(), decay.contiguous()
    total, columns = torch.empty_like(values), values[0].numel()
    blocks = (-(-columns // _COLUMNS),)
    kernels.discount[blocks](values, decay, total, len(values), columns, BLOCK=_COLUMNS)
    return total


class TritonAdam(Adam):
    """`Adam` as one launch in the place of about fourteen."""

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> Tensor:
        """See `Adam`."""
        from tradinghf.learning.ppo import _kernels_triton as kernels

        like, skipped = self.count, torch.empty_like(self.count)
        pace = rate if isinstance(rate, Tensor) else torch.full_like(like, rate)
        kernels.adam[(1,)](
            *(self.data, self.grad, self.mean, self.square, self.count, pace, skipped),
            *(self.norm, len(self.data), self.limit, self.eps),
            BLOCK=_PARAMETERS,
            num_warps=16,  # one block has the card to itself
        )
        return skipped
