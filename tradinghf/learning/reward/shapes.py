"""Rarer things that a trader can see: the shape of the path, single trades, the age of positions.

Like the aspects of `tradinghf.learning.reward.aspects`, each is causal and paid bar by bar; they
are tried only where the plain aspects leave something to explain
(`tradinghf.learning.reward.terms`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tradinghf.errors import EpisodeError
from tradinghf.learning.reward.aspects import TRADE, Aspect, TradePaths, running_maximum_steps
from tradinghf.registry import Registry

SHAPES: Registry[Aspect] = Registry("path shape", EpisodeError)
LEAST_VOLATILITY = 1e-3  # of a bar; keeps the ratio of profit to volatility finite


def shape(
    says: str, unit: float, counts: str = "%"
) -> Callable[[Callable[[TradePaths], Tensor]], Aspect]:
    """Register a function paths -> [B, L] under its own name."""

    def wrap(function: Callable[[TradePaths], Tensor]) -> Aspect:
        name = function.__name__
        return SHAPES.add(name, Aspect(name, says, unit, function, counts))

    return wrap


def steps(running: Tensor) -> Tensor:
    """[..., L] increments of a running value that starts at 0; they sum to its last value."""
    return torch.cat([running[..., :1], running.diff(dim=-1)], dim=-1)


def run_lengths(mask: Tensor) -> Tensor:
    """[..., L] length of the run of True that each bar is in so far; 0 where False."""
    count = torch.arange(1, mask.shape[-1] + 1, device=mask.device).expand(mask.shape)
    last = torch.where(mask, 0, count).cummax(-1).values
    return count - last


def held_bars(p: TradePaths) -> Tensor:
    """[B, L] bars since the position last changed its sign; 0 while flat."""
    side = p.position.sign()
    before = torch.cat([torch.zeros_like(side[..., :1]), side[..., :-1]], dim=-1)
    bar = torch.arange(p.bars, device=side.device)
    entry = torch.where(side != before, bar, 0).cummax(-1).values
    return torch.where(side != 0, (bar - entry + 1).to(side), 0.0)


def closed_trades(p: TradePaths) -> tuple[Tensor, Tensor]:
    """[B, L] profit of the trade that ended in this bar's place, and where one did."""
    side = p.position.sign()
    profit, _ = p.open_profit()
    before = torch.cat([torch.zeros_like(side[..., :1]), side[..., :-1]], dim=-1)
    kept = torch.cat([torch.zeros_like(profit[..., :1]), profit[..., :-1]], dim=-1)
    return kept, (side != before) & (before != 0)


@shape("1 % of profit at the start rather than at the end", 0.01)
def early_profit(p: TradePaths) -> Tensor:
    """Profit weighed by what is left of the episode."""
    return p.pnl * torch.linspace(1, 0, p.bars, device=p.equity.device)


@shape("1 % of the bars' losses", 0.01)
def losses(p: TradePaths) -> Tensor:
    """Sum of the losing bars' losses."""
    return (-p.pnl).clamp(min=0)


@shape("10 % of the time below the peak", 0.1)
def under_water(p: TradePaths) -> Tensor:
    """Share of the bars that end below the peak."""
    return (p.drawdown[..., 1:] > 1e-9).to(p.equity) / p.bars


@shape("10 % of the time in one stretch below the peak", 0.1)
def longest_under_water(p: TradePaths) -> Tensor:
    """Longest time without a new peak."""
    length = run_lengths(p.drawdown[..., 1:] > 1e-9).to(p.equity)
    return running_maximum_steps(length) / p.bars


@shape("10 % of the bars won", 0.1)
def winning_bars(p: TradePaths) -> Tensor:
    """Share of the bars with a profit."""
    return (p.pnl > 1e-9).to(p.equity) / p.bars


@shape("10 % of the bars lost", 0.1)
def losing_bars(p: TradePaths) -> Tensor:
    """Share of the bars with a loss."""
    return (p.pnl < -1e-9).to(p.equity) / p.bars


@shape("one more losing bar in a row", 1.0, "bars")
def losing_streak(p: TradePaths) -> Tensor:
    """Longest run of losing bars."""
    return running_maximum_steps(run_lengths(p.pnl < -1e-9).to(p.equity))


@shape("1 % of profit in the best bar", 0.01)
def best_bar(p: TradePaths) -> Tensor:
    """Largest profit within one bar."""
    return running_maximum_steps(p.returns.clamp(min=0))


@shape("one unit of skew (a 1 % bar, cubed)", 1e-6, "units")
def skew(p: TradePaths) -> Tensor:
    """Sum of cubed bar returns: big wins with small losses."""
    return p.returns**3


@shape("0.1 % of volatility per bar", 0.001)
def volatility(p: TradePaths) -> Tensor:
    """Standard deviation of the bar returns so far."""
    count = torch.arange(1, p.bars + 1, device=p.equity.device)
    mean = p.returns.cumsum(-1) / count
    square = p.returns.square().cumsum(-1) / count
    return steps((square - mean.square()).clamp(min=0).sqrt())


@shape("0.1 of profit per volatility, by the bar", 0.1, "times")
def sharpe(p: TradePaths) -> Tensor:
    """Mean over standard deviation of the bar returns so far."""
    count = torch.arange(1, p.bars + 1, device=p.equity.device)
    mean = p.returns.cumsum(-1) / count
    variance = (p.returns.square().cumsum(-1) / count - mean.square()).clamp(min=0)
    return steps(mean / (variance + LEAST_VOLATILITY**2).sqrt())


@shape("1 % of average distance from a straight line", 0.01)
def crookedness(p: TradePaths) -> Tensor:
    """Root mean square distance of the equity so far from the line between its ends."""
    rise = p.equity[..., 1:] - p.equity[..., :1]
    bar = torch.arange(1, p.bars + 1, device=p.equity.device, dtype=p.equity.dtype)
    slope = rise / bar
    square = rise.square().cumsum(-1)
    cross = (rise * bar).cumsum(-1)
    bars = bar.square().cumsum(-1)
    away = (square - 2 * slope * cross + slope.square() * bars).clamp(min=0)
    return steps((away / bar).sqrt())


@shape("10 % more of the account long", 0.1)
def long_exposure(p: TradePaths) -> Tensor:
    """Average long position."""
    return p.position.clamp(min=0) / p.bars


@shape("10 % of the time with a large position", 0.1)
def large_positions(p: TradePaths) -> Tensor:
    """Average squared position."""
    return p.position.square() / p.bars


@shape("10 % of the account in the market at the end", 0.1)
def final_position(p: TradePaths) -> Tensor:
    """Absolute position after the last bar."""
    return steps(p.position.abs())


@shape("one change between long and short", 1.0, "changes")
def reversals(p: TradePaths) -> Tensor:
    """Changes of the position's sign without a pause."""
    side = p.position.sign()
    return torch.cat([torch.zeros_like(side[..., :1]), side.diff(dim=-1).abs() > 1], dim=-1).to(
        side
    )


@shape("one trade closed with a profit", 1.0, "trades")
def won_trades(p: TradePaths) -> Tensor:
    """Trades closed with a profit."""
    profit, ended = closed_trades(p)
    return (ended & (profit > 0)).to(p.equity)


@shape("one trade closed with a loss", 1.0, "trades")
def lost_trades(p: TradePaths) -> Tensor:
    """Trades closed with a loss."""
    profit, ended = closed_trades(p)
    return (ended & (profit < 0)).to(p.equity)


@shape("one bar of a position's average age", 1.0, "bars")
def average_age(p: TradePaths) -> Tensor:
    """Average age of the position."""
    return held_bars(p) / p.bars


@shape("one bar of the longest trade", 1.0, "bars")
def longest_trade(p: TradePaths) -> Tensor:
    """Age of the oldest position."""
    return running_maximum_steps(held_bars(p))


@shape("adding 10 % of the account to a losing trade", 0.1)
def adding_to_losers(p: TradePaths) -> Tensor:
    """Growth of the position while its trade is under water."""
    profit, _ = p.open_profit()
    kept = torch.cat([torch.zeros_like(profit[..., :1]), profit[..., :-1]], dim=-1)
    size = p.position.abs()
    grown = torch.cat([torch.zeros_like(size[..., :1]), size.diff(dim=-1)], dim=-1)
    return grown.clamp(min=0) * (p.turnover > TRADE) * (kept < 0)
