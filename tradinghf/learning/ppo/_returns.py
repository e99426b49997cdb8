"""In what units critics judge: mean and spread of what is left to be paid, bar by bar.

An episode that ends all reward (`PPOConfig.bootstrap=False`) has less left to pay at every bar,
and no observation says which bar it is: a policy is to trade on when the window is over. A critic
of the observation alone then mixes all bars of an episode. Here each of them has a mean and a
spread of its own, and the network says by how many spreads a state is better than its bar's mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.learning.ppo._distributed import ALONE, ProcessGroup

_DECAY = 0.9
_LEAST_SHARE = 0.05  # of the spread of all bars: what hardly varies is not blown up


class ReturnUnits:
    """Running mean and spread of discounted returns-to-go, for each of H bars of an episode.

    Args:
        bars: H; 0 tells no bars apart: one spread for all, and a mean of 0.
        streams: C.
        device: where tensors live.

    Attributes:
        whole: [C] spread over all bars together, in units of the rewards.
        mean, spread: [max(H, 1), C] of each bar.

    """

    def __init__(self, bars: int, streams: int, device: torch.device) -> None:
        self.bars = bars
        self.whole = torch.ones(streams, device=device)
        self.mean = torch.zeros(max(bars, 1), streams, device=device)
        self.spread = torch.ones_like(self.mean)
        # Whether anything was learned yet; then the same of each bar.
        self._seen = torch.zeros(1 + bars, dtype=torch.bool, device=device)

    def learn(self, to_go: Tensor, first: int, group: ProcessGroup = ALONE) -> None:
        """Take in returns [L, N, C] of rows that begin at bar `first` of their episodes.

        What is not finite spoils this iteration, not all that follow.
        """
        size = group.moments(to_go)[1].clamp(min=1e-8)
        self.whole.copy_(_blend(self.whole, size, _DECAY * self._seen[0]))
        self._seen[:1].fill_(True)
        if not self.bars:
            self.spread.copy_(self.whole)
            return
        mean, spread = group.moments(to_go, bars_apart=True)
        for start in range(0, len(to_go), self.bars):
            rows = slice(start, min(start + self.bars, len(to_go)))
            at = self._ages(first + rows.start, rows.stop - rows.start)
            decay = (_DECAY * self._seen[1 + at])[:, None]
            # A mean may be finite where what it was made of has overflowed.
            usual = torch.where(spread[rows].isfinite(), mean[rows], torch.nan)
            self.mean.index_copy_(0, at, _blend(self.mean[at], usual, decay))
            self.spread.index_copy_(0, at, _blend(self.spread[at], spread[rows], decay))
            self._seen.index_fill_(0, 1 + at, True)

    def value(self, out: Tensor, first: int) -> Tensor:
        """[L, N, C] values of critics' outputs in rows from bar `first` on, in reward units."""
        mean, spread = self._rows(first, len(out))
        return mean + spread * out

    def target(self, value: Tensor, first: int) -> Tensor:
        """[L, N, C] what critics are to say, for values: the inverse of `value`."""
        mean, spread = self._rows(first, len(value))
        return (value - mean) / spread

    def _rows(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """[count, 1, C] mean and spread of `count` rows from bar `first` on."""
        at = self._ages(first, count)
        spread = torch.maximum(self.spread, _LEAST_SHARE * self.whole)
        return self.mean[at][:, None], spread[at][:, None]

    def _ages(self, first: int, count: int) -> Tensor:
        """[count] bars of their episodes that rows from bar `first` on are; made on the device."""
        return (torch.arange(count, device=self.mean.device) + first) % max(self.bars, 1)

    def state(self) -> dict[str, Tensor]:
        """Everything that a continuation needs; the tensors themselves."""
        return {
            "mean": self.mean,
            "spread": self.spread,
            "whole": self.whole,
            "seen": self._seen,
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`."""
        for name, own in self.state().items():
            own.copy_(state[name])


def _blend(old: Tensor, new: Tensor, decay: Tensor) -> Tensor:
    """A running average, which stays as it is where the new value is not finite."""
    blended = decay * old + (1 - decay) * new
    return torch.where(blended.isfinite(), blended, old)
