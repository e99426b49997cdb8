"""A portfolio's episode as one account: an index of its assets, and its net exposure.

Traders rank what they see of an account: equity, drawdown, exposure, turnover, costs. A portfolio's
price is the mean of its assets' closes, each divided by its own at the start, and its position the
sum of the weights; equity, turnover and costs are the account's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.episodes import Floats
from tradinghf.learning.reward import TradePaths
from tradinghf.market import FIELDS, MarketData


def as_one_account(run: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `run_actor` recorded of portfolios [L, W, A], as [L, W] of one account each."""
    return run | {
        "position": run["position"].sum(-1),
        "close": TradePaths.index_of(run["close"], run["first_close"]),
        "first_close": torch.ones_like(run["first_close"][:, 0]),
        "price": torch.full_like(run["equity"], torch.nan),
    }


def index_bars(market: MarketData, start: int, bars: int) -> dict[str, Floats]:
    """Open, high, low, close and volume [bars] of the index that starts at 1 at a bar's close."""
    rows, first = slice(start, start + bars), market.close[start]
    prices: dict[str, Any] = {
        name: (getattr(market, name)[rows] / first).mean(axis=1)
        for name in FIELDS
        if name != "volume"
    }
    return prices | {"volume": market.volume[rows].sum(axis=1)}


def portfolio_name(market: MarketData) -> str:
    """What stands for the symbol of a portfolio's episodes."""
    return f"{market.assets} assets of {market.name}"


def targets_at(targets: Tensor, bars: Tensor, assets: Tensor | None) -> Tensor:
    """[W] targets of one asset each, or [W, A] of a portfolio's where there are no `assets`."""
    return targets[bars] if assets is None else targets[bars, assets]


def no_targets(windows: int, assets: int, *, portfolio: bool) -> Tensor:
    """Standing targets before the first one: NaN, in the shape of `targets_at`."""
    shape = (windows, assets) if portfolio else (windows,)
    return torch.from_numpy(np.full(shape, np.nan))
