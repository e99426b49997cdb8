"""Networks for portfolios, whose weights are shared by all assets, however many there are.

A portfolio's observation has the same numbers about each asset. Here each asset is a row that
goes through the same layers, and sees the others as the mean over those that are listed: order
and number of the assets do not matter, so one network trades any universe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACCOUNT = 3  # numbers of the account's part about each asset (`Observer.account`)


class AssetBody(nn.Module):
    """Observations of a portfolio to one row per asset, by tanh(U h + V mean(h) + b) in layers.

    [.., W*A*F' + 3A + 1] -> [.., A, H + 1]. A row begins as an asset's window of features (the last
    of them is 1 while it is listed), its position, open profit and waiting time, and the account's
    drawdown; the mean is over listed assets. The last number of what comes out is the listing.
    The time left (`EnvConfig.time_left`), where it is shown, is not looked at.

    Args:
        bars: W.
        features: F' per bar and asset.
        hidden: widths of the layers; the last is H.

    Source: Zaheer et al. 2017, "Deep Sets" (arXiv:1703.06114), eq. 4 with the mean.

    """

    def __init__(self, bars: int, features: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.bars, self.features = bars, features
        widths = (bars * features + ACCOUNT + 1, *hidden)
        self.own = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.mean = nn.ModuleList(nn.Linear(*pair, bias=False) for pair in pairwise(widths))
        self.width = widths[-1] + 1
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(value)
            else:
                nn.init.orthogonal_(value, math.sqrt(2) if name.startswith("own") else 1.0)

    def forward(self, obs: Tensor) -> Tensor:
        """See the class."""
        each = self.bars * self.features
        assets = (obs.shape[-1] - 1) // (each + ACCOUNT)
        market = obs[..., : each * assets].unflatten(-1, (self.bars, assets, self.features))
        ends = (each + ACCOUNT) * assets
        account = obs[..., each * assets : ends].unflatten(-1, (ACCOUNT, assets)).mT
        drawdown = obs[..., None, ends : ends + 1].expand(*account.shape[:-1], 1)
        rows = torch.cat([market.transpose(-2, -3).flatten(-2), account, drawdown], -1)
        listed = market[..., -1, :, -1:]
        for own, mean in zip(self.own, self.mean, strict=True):
            # In place: nothing that came before is needed on the way back.
            rows = (own(rows) + mean(mean_of_listed(rows, listed))).tanh_()
        return torch.cat([rows, listed], -1)


class AssetActor(nn.Module):
    """Rows of assets to what a head for assets wants: K numbers of each, and the listing.

    [.., A, in] -> [.., A * (K + 1)].

    Args:
        inputs: in, the listing last.
        outputs: K.
        gain: scale of the weights.

    """

    def __init__(self, inputs: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.out = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(self.out.weight, gain)
        nn.init.zeros_(self.out.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """See the class."""
        return torch.cat([self.out(rows), rows[..., -1:]], -1).flatten(-2)


class AssetCritic(nn.Module):
    """Rows of assets to S values, through the mean over listed assets.

    [.., A, in] -> [.., S].

    Args:
        inputs: in, the listing last.
        streams: S.

    """

    def __init__(self, inputs: int, streams: int) -> None:
        super().__init__()
        self.out = nn.Linear(inputs, streams)
        nn.init.orthogonal_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """See the class."""
        found: Tensor = self.out(mean_of_listed(rows, rows[..., -1:])[..., 0, :])
        return found


def mean_of_listed(values: Tensor, listed: Tensor) -> Tensor:
    """[.., 1, H] mean over assets of values [.., A, H] where listed [.., A, 1]; 0 without any."""
    # Not a matrix product: torch multiplies so many small matrices one by one.
    return (values * listed).sum(-2, keepdim=True) / listed.sum(-2, keepdim=True).clamp_min(1.0)
