"""States of the account and the market, under which a trader may count something.

All are known when a bar begins, or, of a window, up to the present bar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.learning.reward._aspects import Aspect
from tradinghf.learning.reward._paths import TradePaths, delayed, run_lengths

VOLATILITY_BARS = 10
_EPS = 1e-9
_TRADE = 1e-3  # turnover above this fraction of equity counts as a trade


def _trend(p: TradePaths, bars: int) -> Tensor:
    """[B, L] change of the price over the bars before each bar."""
    return p.close[..., :-1] / p.earlier_close(bars) - 1


def volatility(p: TradePaths) -> Tensor:
    """[B, L] root mean square log return of the last bars before each bar."""
    square = p.close.clamp(min=_EPS).log().diff(dim=-1).square()
    total = torch.cat([torch.zeros_like(square[..., :1]), square.cumsum(-1)], dim=-1)
    bar = torch.arange(p.bars, device=square.device)
    first = (bar - VOLATILITY_BARS).clamp(min=0)
    gap = (total[..., bar] - total[..., first]).clamp(min=0)
    return (gap / (bar - first).clamp(min=1)).sqrt()


@dataclass(frozen=True)
class State:
    """A condition that is known when a bar begins (or, of a window, up to the present bar).

    Attributes:
        says: how a person names it.
        holds: (paths, level) -> [B, L] booleans.
        window: whether the whole total counts only if the condition holds at the end.

    """

    says: str
    holds: Callable[[TradePaths, float], Tensor]
    window: bool = False


STATES: Mapping[str, State] = {
    "rising5": State("while the last 5 bars rose", lambda p, _: _trend(p, 5) >= 0),
    "falling5": State("while the last 5 bars fell", lambda p, _: _trend(p, 5) < 0),
    "rising10": State("while the last 10 bars rose", lambda p, _: _trend(p, 10) >= 0),
    "falling10": State("while the last 10 bars fell", lambda p, _: _trend(p, 10) < 0),
    "rising20": State("while the last 20 bars rose", lambda p, _: _trend(p, 20) >= 0),
    "falling20": State("while the last 20 bars fell", lambda p, _: _trend(p, 20) < 0),
    "higher": State(
        "while the price is above the window's first", lambda p, _: _trend(p, p.bars) >= 0
    ),
    "lower": State(
        "while the price is below the window's first", lambda p, _: _trend(p, p.bars) < 0
    ),
    "turbulent": State(
        "in turbulent times (over {:.2g} % per bar)", lambda p, v: volatility(p) > v
    ),
    "calm": State("in calm times (under {:.2g} % per bar)", lambda p, v: volatility(p) <= v),
    "early": State("in the first {:.0f} % of the time", lambda p, v: _progress(p) < v),
    "late": State("after {:.0f} % of the time", lambda p, v: _progress(p) >= v),
    "ahead": State("while the account is ahead", lambda p, _: p.equity[..., :-1] > 1 + _EPS),
    "behind": State("while the account is behind", lambda p, _: p.equity[..., :-1] < 1 - _EPS),
    "risen": State(
        "in windows where the market rose", lambda p, _: _whole_window(p) >= 0, window=True
    ),
    "fallen": State(
        "in windows where the market fell", lambda p, _: _whole_window(p) < 0, window=True
    ),
}


@dataclass(frozen=True)
class Level:
    """A quantity of each bar, of which a trader may count the bars beyond a threshold.

    Attributes:
        values: paths -> [B, L].
        unit: of its threshold.
        counts: what the threshold is read in.

    """

    values: Callable[[TradePaths], Tensor]
    unit: float = 0.01
    counts: str = "%"


def _idle(p: TradePaths) -> Tensor:
    return run_lengths(p.position == 0).to(p.equity)


def _since_peak(p: TradePaths) -> Tensor:
    return run_lengths(p.drawdown[..., 1:] > _EPS).to(p.equity)


LEVELS: Mapping[str, Level] = {
    "position size": Level(lambda p: p.position.abs()),
    "position age": Level(lambda p: p.held_bars, 1.0, "bars"),
    "drawdown": Level(lambda p: p.drawdown[..., 1:]),
    "open loss": Level(lambda p: (-p.open_profit).clamp(min=0)),
    "open profit": Level(lambda p: p.open_profit.clamp(min=0)),
    "bars since the peak": Level(_since_peak, 1.0, "bars"),
    "idle time": Level(_idle, 1.0, "bars"),
}


def _progress(p: TradePaths) -> Tensor:
    share = torch.arange(p.bars, device=p.equity.device) / p.bars
    return share.expand(p.position.shape)


def _whole_window(p: TradePaths) -> Tensor:
    """[B, L] change of the price since the window began, at the end of each bar."""
    return p.close[..., 1:] / p.close[..., :1] - 1


def _losing(p: TradePaths) -> Tensor:
    return run_lengths(p.pnl < -_EPS).to(p.equity)


def _before(of: Callable[[TradePaths], Tensor]) -> Callable[[TradePaths], Tensor]:
    """The same, as it was when the bar began."""
    return lambda p: delayed(of(p))


KNOWN: Mapping[str, Level] = {
    "the position was": Level(_before(lambda p: p.position)),
    "the position's size was": Level(_before(lambda p: p.position.abs())),
    "the account's result is": Level(lambda p: p.equity[..., :-1] - 1),
    "the best result so far is": Level(lambda p: p.equity.cummax(-1).values[..., :-1] - 1),
    "the worst result so far is": Level(lambda p: p.equity.cummin(-1).values[..., :-1] - 1),
    "the drawdown is": Level(lambda p: p.drawdown[..., :-1]),
    "the account is under water for": Level(_before(_since_peak), 1.0, "bars"),
    "losing bars in a row are": Level(_before(_losing), 1.0, "bars"),
    "the trade's profit is": Level(_before(lambda p: p.open_profit)),
    "the trade's best profit is": Level(_before(lambda p: p.best_open_profit)),
    "the trade's age is": Level(lambda p: p.held_bars, 1.0, "bars"),
    "the last bar's move was": Level(lambda p: _trend(p, 1)),
    "the move of 5 bars is": Level(lambda p: _trend(p, 5)),
    "the move of 10 bars is": Level(lambda p: _trend(p, 10)),
    "the move of 20 bars is": Level(lambda p: _trend(p, 20)),
    "a bar's usual swing is": Level(volatility),
    "the time gone is": Level(_progress),
    "the trades so far are": Level(_before(lambda p: _traded(p).cumsum(-1)), 1.0, "trades"),
    "the average position so far is": Level(_before(lambda p: _average(p.position.abs()))),
}
"""What a condition may be about, as "while {name} above {threshold}" says it."""


def _traded(p: TradePaths) -> Tensor:
    return (p.turnover > _TRADE).to(p.turnover)


def _average(values: Tensor) -> Tensor:
    bar = torch.arange(1, values.shape[-1] + 1, device=values.device)
    return values.cumsum(-1) / bar


def _added(p: TradePaths) -> Tensor:
    """[B, L] by how much the position grew on the side that it was already on."""
    before = delayed(p.position)
    grown = (p.position.abs() - before.abs()).clamp(min=0)
    return torch.where((p.side == before.sign()) & (_traded(p) > 0), grown, 0.0)


EVENTS: Mapping[str, Aspect] = {
    found.name: found
    for found in (
        Aspect("adding", "adding 10 % of the account to a position", 0.1, _added),
        Aspect(
            "net position",
            "10 % more of the account long, or less short",
            0.1,
            lambda p: p.position / p.bars,
        ),
        Aspect("bars", "10 % of the bars", 0.1, lambda p: torch.full_like(p.position, 1 / p.bars)),
    )
}
"""What is only counted under a condition, beside the aspects in `COUNTED`."""
COUNTED = (
    "profit",
    "losses",
    "time_in_market",
    "long_exposure",
    "short_exposure",
    "turnover",
    "trades",
    "reversals",
    "average_drawdown",
    "holding_losers",
    "giving_back",
    "winning_bars",
    *EVENTS,
)
TWICE = (("trades", "the trades so far are"),)
"""Pairs that a threshold of the aspect says already."""
