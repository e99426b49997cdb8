"""Facts of each bar that a taste may hang on: what the learner of tastes sees of an episode.

Causal: the facts of bar t use bars up to t only. All are of order one: money in units of the
ranked market's volatility, times in units of a usual wait.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tradinghf.learning.reward._paths import TradePaths, delayed, run_lengths

_NOTHING = 1e-9
_TRADE = 1e-3  # turnover above this fraction of equity counts as a trade
_SPAN = 10  # bars whose volatility is the unit of money over time
_LOOK_BACK = (5, 10, 20)
_LIMIT = 4.0  # beyond it a fact only says "very much"


def bar_volatility(paths: TradePaths) -> Tensor:
    """[B] volatility of one bar of each episode's market."""
    move = paths.close.clamp(min=_NOTHING).log().diff(dim=-1)
    return move.std(dim=-1) if paths.bars > 1 else move.abs().amax(dim=-1)


def bar_facts(paths: TradePaths, volatility: float) -> dict[str, Tensor]:
    """Name -> [B, L] facts of each bar, within ±4.

    Args:
        paths: B paths.
        volatility: of one bar in the ranked episodes, a constant: no bar is described by what came
            later.

    """
    found = {
        **_position(paths),
        **_account(paths, volatility),
        **_trade_in_hand(paths, volatility),
        **_market(paths, volatility),
        **_clock(paths),
        **_so_far(paths, volatility),
    }
    return {name: fact.clamp(-_LIMIT, _LIMIT) for name, fact in found.items()}


def _position(p: TradePaths) -> dict[str, Tensor]:
    before, side = delayed(p.position), p.side
    same = (side == delayed(side)) & (side != 0) & (p.turnover > _TRADE)
    growth = (p.position.abs() - before.abs()).clamp(min=0)
    return {
        "position": p.position,
        "size": p.position.abs(),
        "position before": before,
        "size before": before.abs(),
        "growth": torch.where(same, growth, 0.0),
        "turnover": p.turnover,
        "trade": (p.turnover > _TRADE).to(growth),
        "reversal": (side * delayed(side) < 0).to(growth),
        "idle": run_lengths(p.position == 0).to(growth) / 16,
    }


def _account(p: TradePaths, volatility: float) -> dict[str, Tensor]:
    span = volatility * math.sqrt(_SPAN)
    rise = (p.equity - 1) / span
    below = p.drawdown[..., 1:] > _NOTHING
    losing, winning = p.pnl < -_NOTHING, p.pnl > _NOTHING
    return {
        "profit": p.pnl / volatility,
        "loss": (-p.pnl).clamp(min=0) / volatility,
        "drawdown": p.drawdown[..., 1:] / span,
        "drawdown before": p.drawdown[..., :-1] / span,
        "bars under water": run_lengths(below).to(rise) / 16,
        "result": rise[..., 1:],
        "result before": rise[..., :-1],
        "best result": rise.cummax(-1).values[..., 1:],
        "worst result": -rise.cummin(-1).values[..., 1:],
        "losses in a row": run_lengths(losing).to(rise) / 3,
        "wins in a row": run_lengths(winning).to(rise) / 3,
    }


def _trade_in_hand(p: TradePaths, volatility: float) -> dict[str, Tensor]:
    span = volatility * math.sqrt(_SPAN)
    return {
        "open profit": p.open_profit / span,
        "open profit before": delayed(p.open_profit) / span,
        "best open profit": p.best_open_profit / span,
        "given back": (p.best_open_profit - p.open_profit) / span,
        "age": p.held_bars / 16,
    }


def _market(p: TradePaths, volatility: float) -> dict[str, Tensor]:
    move = p.close.clamp(min=_NOTHING).log().diff(dim=-1)
    longest, bar = max(_LOOK_BACK), torch.arange(p.bars, device=move.device)
    past = torch.cat(
        [torch.zeros_like(move[..., :1]).expand(*move.shape[:-1], longest + 1), move], -1
    )
    past = past.cumsum(-1)  # entry t + longest: the moves before bar t
    first = (bar - _SPAN).clamp(min=0)
    squares = torch.cat([torch.zeros_like(move[..., :1]), move.square().cumsum(-1)], dim=-1)
    recent = (squares[..., bar] - squares[..., first]).clamp(min=0) / (bar - first).clamp(min=1)
    trends = {
        f"trend of {n}": (past[..., bar + longest] - past[..., bar + longest - n])
        / (volatility * math.sqrt(_SPAN))
        for n in _LOOK_BACK
    }
    return {
        "move": move / volatility,
        "move before": delayed(move) / volatility,
        **trends,
        "turbulence": recent.sqrt() / volatility - 1,
    }


def _clock(p: TradePaths) -> dict[str, Tensor]:
    bar = torch.arange(1, p.bars + 1, device=p.equity.device, dtype=p.equity.dtype)
    near = {"to go": (p.bars - bar) / 8, "gone": bar / 8}
    found = {"progress": bar / p.bars} | {name: fact.clamp(max=3) for name, fact in near.items()}
    return {name: fact.expand_as(p.position) for name, fact in found.items()}


def _so_far(p: TradePaths, volatility: float) -> dict[str, Tensor]:
    bar = torch.arange(1, p.bars + 1, device=p.equity.device, dtype=p.equity.dtype)
    span, fall = volatility * math.sqrt(_SPAN), p.drawdown[..., 1:]
    loss, losing, winning = (-p.pnl).clamp(min=0), p.pnl < -_NOTHING, p.pnl > _NOTHING
    return {
        "trades": (p.turnover > _TRADE).to(fall).cumsum(-1) / 8,
        "turned over": p.turnover.cumsum(-1) / 8,
        "exposure": p.position.abs().cumsum(-1) / bar,
        "short exposure": (-p.position).clamp(min=0).cumsum(-1) / bar,
        "deepest drawdown": fall.cummax(-1).values / span,
        "mean drawdown": 2 * fall.cumsum(-1) / bar / span,
        "worst loss": loss.cummax(-1).values / volatility / 2,
        "swing": (p.pnl.square().cumsum(-1) / bar).sqrt() / volatility,
        "longest under water": run_lengths(fall > _NOTHING).cummax(-1).values.to(fall) / 16,
        "longest losing run": run_lengths(losing).cummax(-1).values.to(fall) / 4,
        "oldest trade": p.held_bars.cummax(-1).values / 24,
        "bars won": winning.to(fall).cumsum(-1) / bar,
        "bars lost": losing.to(fall).cumsum(-1) / bar,
    }
