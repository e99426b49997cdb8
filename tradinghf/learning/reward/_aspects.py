"""Aspects: what a trader can see in an episode, as numbers per bar.

Each aspect is a function of the recorded path; its sum over the bars is the episode's total, in
units that a trader reads. The reward model values these totals, and pays them bar by bar.
Causal: the value at bar t uses bars up to t only.

Plain aspects are always tried; rare ones (the shape of the path, single trades, the age of
positions) only where the plain ones leave something to explain (`_terms`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.errors import EpisodeError
from tradinghf.learning.reward._paths import (
    TradePaths,
    delayed,
    increments,
    maximum_increments,
    run_lengths,
)
from tradinghf.registry import Registry

TREND_BARS = 10
_TRADE = 1e-3  # turnover above this fraction of equity counts as a trade
_LEAST_VOLATILITY = 1e-3  # of a bar; keeps the ratio of profit to volatility finite
_NOTHING = 1e-9  # rounding of an equity that has not moved


@dataclass(frozen=True)
class Aspect:
    """One thing a trader may value.

    Attributes:
        name: identifier.
        says: how a person names one unit of it ("1 % of maximum drawdown").
        unit: amount of the episode total that `says` stands for.
        values: paths -> [B, L] per-bar values.
        counts: what thresholds are read in: "%", or a noun in the plural.
        rare: tried as one term among many, not as a plain aspect.
        portfolio: of portfolios only.

    """

    name: str
    says: str
    unit: float
    values: Callable[[TradePaths], Tensor]
    counts: str = "%"
    rare: bool = False
    portfolio: bool = False


ASPECTS: Registry[Aspect] = Registry("aspect", EpisodeError)


def aspect(
    says: str, unit: float, counts: str = "%", *, rare: bool = False, portfolio: bool = False
) -> Callable[[Callable[[TradePaths], Tensor]], Aspect]:
    """Register a function paths -> [B, L] under its own name."""

    def wrap(function: Callable[[TradePaths], Tensor]) -> Aspect:
        name = function.__name__
        return ASPECTS.add(name, Aspect(name, says, unit, function, counts, rare, portfolio))

    return wrap


@aspect("1 % of profit", 0.01)
def profit(p: TradePaths) -> Tensor:
    """Profit after costs."""
    return p.pnl


@aspect("1 % of maximum drawdown", 0.01)
def max_drawdown(p: TradePaths) -> Tensor:
    """Deepest fall from a peak."""
    return maximum_increments(p.drawdown[..., 1:])


@aspect("1 % of average drawdown", 0.01)
def average_drawdown(p: TradePaths) -> Tensor:
    """Average distance below the peak."""
    return p.drawdown[..., 1:] / p.bars


@aspect("turning over the account once", 1.0, "times")
def turnover(p: TradePaths) -> Tensor:
    """Traded notional."""
    return p.turnover


@aspect("one trade", 1.0, "trades")
def trades(p: TradePaths) -> Tensor:
    """Number of bars with a trade."""
    return (p.turnover > _TRADE).to(p.turnover)


@aspect("10 % more of the account in the market", 0.1)
def time_in_market(p: TradePaths) -> Tensor:
    """Average absolute position."""
    return p.position.abs() / p.bars


@aspect("10 % more of the account short", 0.1)
def short_exposure(p: TradePaths) -> Tensor:
    """Average short position; of a portfolio, all its shorts."""
    return (-p.book).clamp(min=0).sum(-1) / p.bars


@aspect("1 % of volatility squared", 1e-4)
def variance(p: TradePaths) -> Tensor:
    """Sum of squared bar returns."""
    return p.returns.square()


@aspect("1 % of downside volatility squared", 1e-4)
def downside_variance(p: TradePaths) -> Tensor:
    """Sum of squared negative bar returns."""
    return p.returns.clamp(max=0).square()


@aspect("1 % of loss in the worst bar", 0.01)
def worst_bar(p: TradePaths) -> Tensor:
    """Largest loss within one bar."""
    return maximum_increments((-p.returns).clamp(min=0))


@aspect("1 % of average open loss", 0.01)
def holding_losers(p: TradePaths) -> Tensor:
    """Average loss of the trade in hand while it is under water."""
    return (-p.open_profit).clamp(min=0) / p.bars


@aspect("1 % of open profit given back, on average", 0.01)
def giving_back(p: TradePaths) -> Tensor:
    """Average distance of the open profit below its best, once it had been positive."""
    peak = p.best_open_profit
    return torch.where(peak > 0, peak - p.open_profit, 0.0).clamp(min=0) / p.bars


@aspect("10 % more of the account with the trend", 0.1)
def trend_riding(p: TradePaths) -> Tensor:
    """Average position in the direction of the last bars' price move."""
    rise = p.close[..., :-1] - p.earlier_close(TREND_BARS)
    return p.position * rise.sign() / p.bars


@aspect("1 % of profit at the start rather than at the end", 0.01, rare=True)
def early_profit(p: TradePaths) -> Tensor:
    """Profit weighed by what is left of the episode."""
    return p.pnl * torch.linspace(1, 0, p.bars, device=p.equity.device)


@aspect("1 % of the bars' losses", 0.01, rare=True)
def losses(p: TradePaths) -> Tensor:
    """Sum of the losing bars' losses."""
    return (-p.pnl).clamp(min=0)


@aspect("10 % of the time below the peak", 0.1, rare=True)
def under_water(p: TradePaths) -> Tensor:
    """Share of the bars that end below the peak."""
    return (p.drawdown[..., 1:] > _NOTHING).to(p.equity) / p.bars


@aspect("10 % of the time in one stretch below the peak", 0.1, rare=True)
def longest_under_water(p: TradePaths) -> Tensor:
    """Longest time without a new peak."""
    length = run_lengths(p.drawdown[..., 1:] > _NOTHING).to(p.equity)
    return maximum_increments(length) / p.bars


@aspect("10 % of the bars won", 0.1, rare=True)
def winning_bars(p: TradePaths) -> Tensor:
    """Share of the bars with a profit."""
    return (p.pnl > _NOTHING).to(p.equity) / p.bars


@aspect("10 % of the bars lost", 0.1, rare=True)
def losing_bars(p: TradePaths) -> Tensor:
    """Share of the bars with a loss."""
    return (p.pnl < -_NOTHING).to(p.equity) / p.bars


@aspect("one more losing bar in a row", 1.0, "bars", rare=True)
def losing_streak(p: TradePaths) -> Tensor:
    """Longest run of losing bars."""
    return maximum_increments(run_lengths(p.pnl < -_NOTHING).to(p.equity))


@aspect("1 % of profit in the best bar", 0.01, rare=True)
def best_bar(p: TradePaths) -> Tensor:
    """Largest profit within one bar."""
    return maximum_increments(p.returns.clamp(min=0))


@aspect("one unit of skew (a 1 % bar, cubed)", 1e-6, "units", rare=True)
def skew(p: TradePaths) -> Tensor:
    """Sum of cubed bar returns: big wins with small losses."""
    return p.returns**3


@aspect("0.1 % of volatility per bar", 0.001, rare=True)
def volatility(p: TradePaths) -> Tensor:
    """Standard deviation of the bar returns so far."""
    count = torch.arange(1, p.bars + 1, device=p.equity.device)
    mean = p.returns.cumsum(-1) / count
    square = p.returns.square().cumsum(-1) / count
    return increments((square - mean.square()).clamp(min=0).sqrt())


@aspect("0.1 of profit per volatility, by the bar", 0.1, "times", rare=True)
def sharpe(p: TradePaths) -> Tensor:
    """Mean over standard deviation of the bar returns so far."""
    count = torch.arange(1, p.bars + 1, device=p.equity.device)
    mean = p.returns.cumsum(-1) / count
    variance = (p.returns.square().cumsum(-1) / count - mean.square()).clamp(min=0)
    return increments(mean / (variance + _LEAST_VOLATILITY**2).sqrt())


@aspect("1 % of average distance from a straight line", 0.01, rare=True)
def distance_from_line(p: TradePaths) -> Tensor:
    """Root mean square distance of the equity so far from the line between its ends."""
    rise = p.equity[..., 1:] - p.equity[..., :1]
    bar = torch.arange(1, p.bars + 1, device=p.equity.device, dtype=p.equity.dtype)
    slope = rise / bar
    square = rise.square().cumsum(-1)
    cross = (rise * bar).cumsum(-1)
    bars = bar.square().cumsum(-1)
    away = (square - 2 * slope * cross + slope.square() * bars).clamp(min=0)
    return increments((away / bar).sqrt())


@aspect("10 % more of the account long", 0.1, rare=True)
def long_exposure(p: TradePaths) -> Tensor:
    """Average long position."""
    return p.position.clamp(min=0) / p.bars


@aspect("10 % of the time with a large position", 0.1, rare=True)
def large_positions(p: TradePaths) -> Tensor:
    """Average squared position."""
    return p.position.square() / p.bars


@aspect("10 % of the account in the market at the end", 0.1, rare=True)
def final_position(p: TradePaths) -> Tensor:
    """Absolute position after the last bar."""
    return increments(p.position.abs())


@aspect("one change between long and short", 1.0, "changes", rare=True)
def reversals(p: TradePaths) -> Tensor:
    """Changes of the position's sign without a pause."""
    return ((p.side - delayed(p.side)).abs() > 1).to(p.side)


@aspect("one trade closed with a profit", 1.0, "trades", rare=True)
def won_trades(p: TradePaths) -> Tensor:
    """Trades closed with a profit."""
    profit, ended = p.closed_trades
    return (ended & (profit > 0)).to(p.equity)


@aspect("one trade closed with a loss", 1.0, "trades", rare=True)
def lost_trades(p: TradePaths) -> Tensor:
    """Trades closed with a loss."""
    profit, ended = p.closed_trades
    return (ended & (profit < 0)).to(p.equity)


@aspect("one bar of a position's average age", 1.0, "bars", rare=True)
def average_age(p: TradePaths) -> Tensor:
    """Average age of the position."""
    return p.held_bars / p.bars


@aspect("one bar of the longest trade", 1.0, "bars", rare=True)
def longest_trade(p: TradePaths) -> Tensor:
    """Age of the oldest position."""
    return maximum_increments(p.held_bars)


@aspect("adding 10 % of the account to a losing trade", 0.1, rare=True)
def adding_to_losers(p: TradePaths) -> Tensor:
    """Growth of the position while its trade is under water."""
    size = p.position.abs()
    grown = torch.cat([torch.zeros_like(size[..., :1]), size.diff(dim=-1)], dim=-1)
    return grown.clamp(min=0) * (p.turnover > _TRADE) * (delayed(p.open_profit) < 0)
