"""Trading paths as tensors: what aspects are computed from, B episodes at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tradinghf.episodes import Episode, EpisodeBatch

_FIELDS = ("close", "position", "equity", "turnover", "costs", "weights", "gains")


@dataclass(frozen=True, eq=False)
class TradePaths:
    """B trading paths as tensors; L bars, time last.

    Attributes:
        close: [B, L+1] prices.
        position: [B, L] signed fraction of equity at the end of each bar.
        equity: [B, L+1] starts at 1.
        turnover: [B, L] traded notional / equity.
        costs: [B, L] fraction of starting equity.
        weights, gains: [B, L, A] of a portfolio's assets, as in `Episode`; None for one asset.

    """

    close: Tensor
    position: Tensor
    equity: Tensor
    turnover: Tensor
    costs: Tensor
    weights: Tensor | None = None
    gains: Tensor | None = None

    @classmethod
    def from_episodes(
        cls, episodes: Sequence[Episode] | EpisodeBatch, device: torch.device | str = "cpu"
    ) -> TradePaths:
        """Episodes of equal length as float32 tensors on a device."""
        if not isinstance(episodes, EpisodeBatch):
            episodes = EpisodeBatch.stack(list(episodes))
        arrays = {name: getattr(episodes, name) for name in _FIELDS}
        like: dict[str, Any] = {"dtype": torch.float32, "device": device}
        known = {name: a for name, a in arrays.items() if a is not None}
        return cls(**{name: torch.as_tensor(a, **like) for name, a in known.items()})

    @staticmethod
    def index_of(close: Tensor, first: Tensor) -> Tensor:
        """[L, N] mean over assets of closes [L, N, A], each divided by its `first` [N, A]."""
        return (close / first).mean(-1)

    @staticmethod
    def gains_of(
        weights: Tensor, equity: Tensor, close: Tensor, price: Tensor, first: Tensor
    ) -> Tensor:
        """[L, N, A] profit of each asset in each bar, before fees, in units of starting equity.

        What was held earns the move from close to close; what was traded, from its price on.

        Args:
            weights: [L, N, A] at the end of each bar.
            equity: [L, N] at the end of each bar; it starts at 1.
            close: [L, N, A].
            price: [L, N, A] of the bar's fills; NaN where there was none.
            first: [N, A] close at the start.

        """
        shares = weights * equity[..., None] / close
        held = torch.cat([torch.zeros_like(shares[:1]), shares[:-1]])
        before = torch.cat([first[None], close[:-1]])
        since = torch.where(price.isnan(), 0.0, close - price)
        return held * (close - before) + (shares - held) * since

    def batch(self) -> EpisodeBatch:
        """The same paths as NumPy arrays, for utilities."""
        tensors = {name: getattr(self, name) for name in _FIELDS}
        known = {name: x for name, x in tensors.items() if x is not None}
        return EpisodeBatch(**{name: x.double().cpu().numpy() for name, x in known.items()})

    @property
    def book(self) -> Tensor:
        """[B, L, A] weight of each asset held; an account that trades one asset has A = 1."""
        return self.position[..., None] if self.weights is None else self.weights

    @property
    def asset_gains(self) -> Tensor:
        """[B, L, A] profit of each asset in each bar, as a fraction of the starting equity."""
        return self.pnl[..., None] if self.gains is None else self.gains

    @property
    def bars(self) -> int:
        """L."""
        return self.position.shape[-1]

    @cached_property
    def pnl(self) -> Tensor:
        """[B, L] change of equity of each bar, as a fraction of the starting equity."""
        return self.equity.diff(dim=-1)

    @cached_property
    def returns(self) -> Tensor:
        """[B, L] return of each bar."""
        return self.equity[..., 1:] / self.equity[..., :-1].clamp(min=1e-6) - 1

    @cached_property
    def drawdown(self) -> Tensor:
        """[B, L+1] fall from the highest equity so far."""
        peak = self.equity.cummax(-1).values
        return 1 - self.equity / peak.clamp(min=1e-6)

    @cached_property
    def side(self) -> Tensor:
        """[B, L] 1 long, -1 short, 0 flat."""
        return self.position.sign()

    @cached_property
    def entry_bar(self) -> Tensor:
        """[B, L] bar in which the position took its present sign: where the trade began."""
        bar = torch.arange(self.bars, device=self.position.device)
        return torch.where(self.side != delayed(self.side), bar, 0).cummax(-1).values

    @property
    def held_bars(self) -> Tensor:
        """[B, L] bars since the position last changed its sign; 0 while flat."""
        bar = torch.arange(self.bars, device=self.position.device)
        return torch.where(self.side != 0, (bar - self.entry_bar + 1).to(self.position), 0.0)

    @cached_property
    def open_profit(self) -> Tensor:
        """[B, L] profit of the trade in hand, as a fraction of equity; 0 while flat.

        A trade lasts while the position keeps its sign.
        """
        wealth = self.equity.clamp(min=1e-6).log()
        entry = wealth[..., :-1].gather(-1, self.entry_bar)
        return torch.where(self.side != 0, wealth[..., 1:] - entry, 0.0)

    @cached_property
    def best_open_profit(self) -> Tensor:
        """[B, L] highest `open_profit` of the trade in hand so far, at least 0; 0 while flat."""
        profit = self.open_profit
        # One running maximum serves all trades: a growing offset makes each of them start afresh.
        # In double precision, where the offset takes nothing away from the profit.
        fresh = (self.side != delayed(self.side)).double()
        offset = 100.0 * fresh.cumsum(-1)
        peak = ((profit.double() + offset).cummax(-1).values - offset).to(profit)
        return torch.where(self.side != 0, peak, 0.0).clamp(min=0)

    def earlier_close(self, bars: int) -> Tensor:
        """[B, L] price `bars` bars before each bar began; the first where there was none."""
        first = self.close[..., :1].expand(*self.close.shape[:-1], bars)
        return torch.cat([first, self.close], dim=-1)[..., : self.bars]

    @property
    def closed_trades(self) -> tuple[Tensor, Tensor]:
        """[B, L] profit of the trade that ended in this bar's place, and where one did."""
        before = delayed(self.side)
        return delayed(self.open_profit), (self.side != before) & (before != 0)


def per_episode(episodes: Sequence[Episode], function: Callable[[TradePaths], Tensor]) -> Tensor:
    """Apply paths -> [B, ...] to episodes of any length and breadth; one row each, in order."""
    parts: dict[tuple[int, int], list[int]] = {}
    for i, episode in enumerate(episodes):
        parts.setdefault((episode.bars, episode.breadth), []).append(i)
    rows: dict[int, Tensor] = {}
    for group in parts.values():
        values = function(TradePaths.from_episodes([episodes[i] for i in group]))
        rows.update(zip(group, values, strict=True))
    return torch.stack([rows[i] for i in range(len(episodes))])


def delayed(values: Tensor) -> Tensor:
    """[..., L] value of the bar before; 0 in the first bar."""
    return torch.cat([torch.zeros_like(values[..., :1]), values[..., :-1]], dim=-1)


def increments(running: Tensor) -> Tensor:
    """[..., L] increments of a running value that starts at 0; they sum to its last value."""
    return torch.cat([running[..., :1], running.diff(dim=-1)], dim=-1)


def maximum_increments(values: Tensor) -> Tensor:
    """[..., L] increments of the running maximum of non-negative values; they sum to it."""
    return increments(values.cummax(-1).values)


def run_lengths(mask: Tensor) -> Tensor:
    """[..., L] length of the run of True that each bar is in so far; 0 where False."""
    count = torch.arange(1, mask.shape[-1] + 1, device=mask.device).expand(mask.shape)
    last = torch.where(mask, 0, count).cummax(-1).values
    return count - last
