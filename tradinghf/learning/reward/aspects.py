"""Aspects: what a trader can see in an episode, as numbers per bar.

Each aspect is a function of the recorded path; its sum over the bars is the episode's total, in
units that a trader reads. The reward model values these totals, and pays them bar by bar.
Causal: the value at bar t uses bars up to t only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.episodes import Episode, EpisodeBatch
from tradinghf.errors import EpisodeError
from tradinghf.registry import Registry

TREND_BARS = 10
TRADE = 1e-3  # turnover above this fraction of equity counts as a trade


@dataclass(frozen=True, eq=False)
class TradePaths:
    """B trading paths as tensors; L bars, time last.

    Attributes:
        close: [B, L+1] prices.
        position: [B, L] signed fraction of equity at the end of each bar.
        equity: [B, L+1] starts at 1.
        turnover: [B, L] traded notional / equity.
        costs: [B, L] fraction of starting equity.

    """

    close: Tensor
    position: Tensor
    equity: Tensor
    turnover: Tensor
    costs: Tensor

    @classmethod
    def from_episodes(
        cls, episodes: Sequence[Episode] | EpisodeBatch, device: torch.device | str = "cpu"
    ) -> TradePaths:
        """Episodes of equal length as float32 tensors on a device."""
        if not isinstance(episodes, EpisodeBatch):
            episodes = EpisodeBatch.stack(list(episodes))
        names = ("close", "position", "equity", "turnover", "costs")
        return cls(
            *(
                torch.as_tensor(getattr(episodes, n), dtype=torch.float32, device=device)
                for n in names
            )
        )

    def batch(self) -> EpisodeBatch:
        """The same paths as NumPy arrays, for utilities."""
        arrays = (self.close, self.position, self.equity, self.turnover, self.costs)
        return EpisodeBatch(*(a.double().cpu().numpy() for a in arrays))

    @property
    def bars(self) -> int:
        """L."""
        return self.position.shape[-1]

    @property
    def pnl(self) -> Tensor:
        """[B, L] change of equity of each bar, as a fraction of the starting equity."""
        return self.equity.diff(dim=-1)

    @property
    def returns(self) -> Tensor:
        """[B, L] return of each bar."""
        return self.equity[..., 1:] / self.equity[..., :-1].clamp(min=1e-6) - 1

    @property
    def drawdown(self) -> Tensor:
        """[B, L+1] fall from the highest equity so far."""
        peak = self.equity.cummax(-1).values
        return 1 - self.equity / peak.clamp(min=1e-6)

    def open_profit(self) -> tuple[Tensor, Tensor]:
        """Profit of the trade in hand, and its peak so far: [B, L] each, fractions of equity.

        A trade lasts while the position keeps its sign; flat bars have zero of both.
        """
        side = self.position.sign()
        before = torch.cat([torch.zeros_like(side[..., :1]), side[..., :-1]], dim=-1)
        fresh = side != before
        wealth = self.equity.clamp(min=1e-6).log()
        bars = torch.arange(self.bars, device=wealth.device)
        entry_bar = torch.where(fresh, bars, 0).cummax(-1).values
        entry = wealth[..., :-1].gather(-1, entry_bar)
        profit = torch.where(side != 0, wealth[..., 1:] - entry, 0.0)
        # One cummax serves all trades: a growing offset makes every new trade start afresh.
        offset = 100.0 * fresh.to(profit).cumsum(-1)
        peak = (profit + offset).cummax(-1).values - offset
        return profit, torch.where(side != 0, peak, 0.0).clamp(min=0)


@dataclass(frozen=True)
class Aspect:
    """One thing a trader may value.

    Attributes:
        name: identifier.
        says: how a person names one unit of it ("1 % of maximum drawdown").
        unit: amount of the episode total that `says` stands for.
        values: paths -> [B, L] per-bar values.
        counts: what thresholds are read in: "%", or a noun in the plural.

    """

    name: str
    says: str
    unit: float
    values: Callable[[TradePaths], Tensor]
    counts: str = "%"


ASPECTS: Registry[Aspect] = Registry("aspect", EpisodeError)


def aspect(
    says: str, unit: float, counts: str = "%"
) -> Callable[[Callable[[TradePaths], Tensor]], Aspect]:
    """Register a function paths -> [B, L] under its own name."""

    def wrap(function: Callable[[TradePaths], Tensor]) -> Aspect:
        name = function.__name__
        return ASPECTS.add(name, Aspect(name, says, unit, function, counts))

    return wrap


def running_maximum_steps(values: Tensor) -> Tensor:
    """[B, L] increments of the running maximum of non-negative values; sums to the maximum."""
    top = values.cummax(-1).values
    return torch.cat([top[..., :1], top.diff(dim=-1)], dim=-1)


@aspect("1 % of profit", 0.01)
def profit(p: TradePaths) -> Tensor:
    """Profit after costs."""
    return p.pnl


@aspect("1 % of maximum drawdown", 0.01)
def max_drawdown(p: TradePaths) -> Tensor:
    """Deepest fall from a peak."""
    return running_maximum_steps(p.drawdown[..., 1:])


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
    return (p.turnover > TRADE).to(p.turnover)


@aspect("10 % more of the account in the market", 0.1)
def time_in_market(p: TradePaths) -> Tensor:
    """Average absolute position."""
    return p.position.abs() / p.bars


@aspect("10 % more of the account short", 0.1)
def short_exposure(p: TradePaths) -> Tensor:
    """Average short position."""
    return (-p.position).clamp(min=0) / p.bars


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
    return running_maximum_steps((-p.returns).clamp(min=0))


@aspect("1 % of average open loss", 0.01)
def holding_losers(p: TradePaths) -> Tensor:
    """Average loss of the trade in hand while it is under water."""
    profit, _ = p.open_profit()
    return (-profit).clamp(min=0) / p.bars


@aspect("1 % of open profit given back, on average", 0.01)
def giving_back(p: TradePaths) -> Tensor:
    """Average distance of the open profit below its best, once it had been positive."""
    profit, peak = p.open_profit()
    return torch.where(peak > 0, peak - profit, 0.0).clamp(min=0) / p.bars


@aspect("10 % more of the account with the trend", 0.1)
def trend_riding(p: TradePaths) -> Tensor:
    """Average position in the direction of the last bars' price move."""
    past = torch.cat([p.close[..., :1].expand(*p.close.shape[:-1], TREND_BARS), p.close], dim=-1)
    trend = (p.close - past[..., : p.close.shape[-1]]).sign()[..., :-1]
    return p.position * trend / p.bars


def aspect_values(paths: TradePaths, names: Sequence[str]) -> Tensor:
    """[B, L, P] per-bar values of the named aspects."""
    return torch.stack([ASPECTS[name].values(paths) for name in names], dim=-1)


def aspect_totals(paths: TradePaths, names: Sequence[str]) -> Tensor:
    """[B, P] episode totals of the named aspects."""
    return aspect_values(paths, names).sum(-2)
