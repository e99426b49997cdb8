"""Attention over the bars of an observation's window: a policy that needs no recurrent state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tradinghf.learning.config import ATTENTION_HEADS


class WindowAttention(nn.Module):
    """One attention layer over W bars, asked by the account.

    Bars and account are embedded, bars with a learned position; the account's token attends to the
    bars in several heads and keeps what it was (a residual connection). Only the account asks, so
    the cost grows with W and not with its square. Layers are normalised before they are used.

    [.., W*F' + R] -> [.., width], R numbers of the account.

    Args:
        bars: W.
        features: F' per bar.
        inputs: D = W*F' + R.
        width: of the tokens; divisible by the number of heads.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), eq. 1; Xiong et al. 2020 (arXiv:2002.04745) for
    where to normalise.

    """

    def __init__(self, bars: int, features: int, inputs: int, width: int) -> None:
        super().__init__()
        self.bars, self.features = bars, features
        self.bar = nn.Linear(features, width)
        self.account = nn.Linear(inputs - bars * features, width)
        # As large as the embedded features, so that heads can tell bars apart from the start.
        self.position = nn.Parameter(torch.randn(bars, width) / 3**0.5)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def forward(self, obs: Tensor) -> Tensor:
        """See the class."""
        split = self.bars * self.features
        market = obs[..., :split].unflatten(-1, (self.bars, self.features))
        token = self.account(obs[..., split:])
        bars = self.before(self.bar(market) + self.position)
        query = self.query(self.before(token)).unflatten(-1, (ATTENTION_HEADS, 1, -1))
        # [.., H, W, width / H] each
        key, value = (
            part.unflatten(-1, (ATTENTION_HEADS, -1)).transpose(-2, -3)
            for part in self.key_value(bars).chunk(2, -1)
        )
        weight = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        found = (weight @ value).flatten(-3)
        kept: Tensor = self.after(token + self.out(found))
        return kept
