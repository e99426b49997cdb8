"""Aspects of portfolios: what a trader sees in the weights of the assets, beside the account.

They are functions of `TradePaths.book` and `TradePaths.asset_gains`, and are tried only where
portfolios are ranked; which aspects are tried where is said here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.learning.reward._aspects import ASPECTS, aspect
from tradinghf.learning.reward._paths import TradePaths, increments, maximum_increments

_HELD = 1e-3  # weights above this fraction of equity count as a name held
_NOTHING = 1e-9


@aspect("10 % more gross exposure", 0.1, portfolio=True)
def gross_exposure(p: TradePaths) -> Tensor:
    """Average of all positions together, long and short."""
    return p.book.abs().sum(-1) / p.bars


@aspect("10 % more net exposure, long or short", 0.1, portfolio=True)
def net_exposure(p: TradePaths) -> Tensor:
    """Average distance between the long and the short side."""
    return p.position.abs() / p.bars


@aspect("10 % more of the account in its largest name", 0.1, portfolio=True)
def largest_name(p: TradePaths) -> Tensor:
    """Average weight of the largest position."""
    return p.book.abs().amax(-1) / p.bars


@aspect("10 points of concentration (from 0, spread thin, to 100, one name)", 0.1, portfolio=True)
def concentration(p: TradePaths) -> Tensor:
    """Average Herfindahl index: the sum of the squared shares in gross exposure; 0 while flat."""
    size = p.book.abs()
    gross = size.sum(-1)
    index = size.square().sum(-1) / gross.square().clamp(min=_NOTHING**2)
    return torch.where(gross > _HELD, index, 0.0) / p.bars


@aspect("one more name held", 1.0, "names", portfolio=True)
def names_held(p: TradePaths) -> Tensor:
    """Average number of positions."""
    return (p.book.abs() > _HELD).sum(-1).to(p.equity) / p.bars


@aspect("1 % of the account lost in one name", 0.01, portfolio=True)
def single_name_loss(p: TradePaths) -> Tensor:
    """Deepest loss so far that one asset has cost."""
    lost = (-p.asset_gains.cumsum(-2)).amax(-1)
    return maximum_increments(lost.clamp(min=0))


@aspect("10 % more of all losses in one name", 0.1, rare=True, portfolio=True)
def single_name_share(p: TradePaths) -> Tensor:
    """Share of the losing assets' losses that the worst of them has."""
    lost = (-p.asset_gains.cumsum(-2)).clamp(min=0)
    total = lost.sum(-1)
    share = lost.amax(-1) / total.clamp(min=_NOTHING)
    return increments(torch.where(total > _NOTHING, share, 0.0))


def plain_aspects(*, portfolio: bool = False) -> tuple[str, ...]:
    """Names of the aspects that are always tried, of a single asset or of a portfolio."""
    kept = (name for name in ASPECTS if not ASPECTS[name].rare)
    if portfolio:  # whose net exposure it is, under its own name
        return tuple(name for name in kept if name != "time_in_market")
    return tuple(name for name in kept if not ASPECTS[name].portfolio)


def rare_aspects(*, portfolio: bool = False) -> tuple[str, ...]:
    """Names of the others."""
    kept = (name for name in ASPECTS if ASPECTS[name].rare)
    return tuple(name for name in kept if portfolio or not ASPECTS[name].portfolio)
