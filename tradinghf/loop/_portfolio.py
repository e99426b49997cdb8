"""A portfolio's episode as one account: an index of its assets, and its net exposure.

Traders rank what they see of an account: equity, drawdown, exposure, turnover, costs. A portfolio's
price is the mean of its assets' closes, each divided by its own at the start, and its position the
sum of the weights; equity, turnover and costs are the account's own. The weights and the profit of
each asset are kept beside them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.config import EnvConfig
from tradinghf.episodes import Floats
from tradinghf.learning.reward import TradePaths
from tradinghf.market import FIELDS, MarketData


def as_one_account(run: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `run_actor` recorded of portfolios [L, W, A], as [L, W] of one account each.

    With "weights" and "gains" [L, W, A] of the assets.
    """
    weights, first = run["position"], run["first_close"]
    gains = TradePaths.gains_of(weights, run["equity"], run["close"], run["price"], first)
    return run | {
        "weights": weights,
        "gains": gains,
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


def as_portfolio(task: EnvConfig) -> EnvConfig:
    """The task with one account that trades all assets, with any weights.

    Resampled copies of an asset would be further assets of the portfolio, so there are none.
    """
    random = replace(task.randomise, bootstrap_paths=0)
    return replace(task, portfolio=True, actions="continuous", randomise=random)


def random_book(market: MarketData, names: int, hold: float, seed: int) -> Floats:
    """[T, A] weights of a few assets drawn by chance, and drawn anew every `hold` bars on average.

    Long or short in equal parts: what a pool needs for traders to see concentration.
    """
    rng = np.random.default_rng(seed)
    switch = rng.random(market.bars) < 1.0 / hold
    switch[0] = True
    drawn = np.zeros((market.bars, market.assets))
    for bar in np.flatnonzero(switch):
        chosen = rng.choice(market.assets, min(names, market.assets), replace=False)
        drawn[bar, chosen] = rng.choice([-1.0, 1.0], len(chosen)) / len(chosen)
    last: Floats = drawn[np.maximum.accumulate(np.where(switch, np.arange(market.bars), 0))]
    return last


def momentum_book(market: MarketData, names: int, bars: int = 20, every: int = 5) -> Floats:
    """[T, A] equal weights of the assets that rose most, less those that rose least.

    Args:
        market: the bars.
        names: long, and as many short.
        bars: over which the rise is measured, up to the present close.
        every: bars between two choices.

    """
    before = np.maximum(np.arange(market.bars) // every * every, 0)
    rise = market.close[before] / market.close[np.maximum(before - bars, 0)]
    place = rise.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    count = max(min(names, market.assets // 2), 1)
    sides = (place >= market.assets - count).astype(np.float64) - (place < count)
    weights: Floats = sides / (2 * count)
    return weights


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
