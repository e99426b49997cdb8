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


class AssetRows(nn.Module):
    """Observations of a portfolio as one row per asset.

    [.., W*A*F' + 3A + 1] -> [.., A, W*F' + 5]: an asset's window of features (the last one is 1
    while it is listed), its position, open profit and waiting time, the account's drawdown, and
    whether it is listed now.

    Args:
        bars: W.
        features: F' per bar and asset.

    """

    def __init__(self, bars: int, features: int) -> None:
        super().__init__()
        self.bars, self.features = bars, features
        self.width = bars * features + ACCOUNT + 2

    def forward(self, obs: Tensor) -> Tensor:
        """See the class."""
        assets = (obs.shape[-1] - 1) // (self.bars * self.features + ACCOUNT)
        split = self.bars * assets * self.features
        market = obs[..., :split].unflatten(-1, (self.bars, assets, self.features))
        rows = market.transpose(-2, -3).flatten(-2)
        account = obs[..., split:-1].unflatten(-1, (ACCOUNT, assets)).transpose(-1, -2)
        drawdown = obs[..., None, -1:].expand(*account.shape[:-1], 1)
        return torch.cat([rows, account, drawdown, rows[..., -1:]], -1)


class AssetLayer(nn.Module):
    """tanh(U h + V mean(h) + b) of each asset's row h; the mean is over listed assets.

    [.., A, in + 1] -> [.., A, out + 1]; the last number of a row is whether the asset is listed.

    Args:
        inputs, outputs: in and out.

    Source: Zaheer et al. 2017, "Deep Sets" (arXiv:1703.06114), eq. 4 with the mean.

    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.own, self.mean = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs, bias=False)
        for layer, gain in ((self.own, math.sqrt(2)), (self.mean, 1.0)):
            nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(self.own.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """See the class."""
        values, listed = rows[..., :-1], rows[..., -1:]
        out = (self.own(values) + self.mean(mean_of_listed(values, listed))).tanh()
        return torch.cat([out, listed], -1)


class AssetActor(nn.Module):
    """Rows of assets to what a head for assets wants: K numbers of each, and the listing.

    [.., A, in + 1] -> [.., A * (K + 1)].

    Args:
        inputs: in.
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
        return torch.cat([self.out(rows[..., :-1]), rows[..., -1:]], -1).flatten(-2)


class AssetCritic(nn.Module):
    """Rows of assets to S values, through the mean over listed assets.

    [.., A, in + 1] -> [.., S].

    Args:
        inputs: in.
        streams: S.

    """

    def __init__(self, inputs: int, streams: int) -> None:
        super().__init__()
        self.out = nn.Linear(inputs, streams)
        nn.init.orthogonal_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """See the class."""
        found: Tensor = self.out(mean_of_listed(rows[..., :-1], rows[..., -1:])[..., 0, :])
        return found


def mean_of_listed(values: Tensor, listed: Tensor) -> Tensor:
    """[.., 1, H] mean over assets of values [.., A, H] where listed [.., A, 1]; 0 without any."""
    return (values * listed).sum(-2, keepdim=True) / listed.sum(-2, keepdim=True).clamp_min(1.0)


def asset_layers(shape: Sequence[int], hidden: Sequence[int]) -> list[nn.Module]:
    """The layers that turn observations into rows of assets.

    Args:
        shape: (W, F') bars and features per asset.
        hidden: widths.

    """
    rows = AssetRows(*shape)
    widths = (rows.width - 1, *hidden)
    layers = [AssetLayer(*pair) for pair in pairwise(widths)]
    return [rows, *layers]
