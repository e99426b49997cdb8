"""Tastes that no built-in aspect describes: thresholds, conditions on the market, path shapes.

Each works on one `Episode` and, with `axis=-1`, on a batch; as a file it is used like a
stranger's: `--trader tests/support/outside_traders.py:few_trades`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Worth = Any


def _trend(e: Any, bars: int) -> Any:
    """[..., L] change of the price over the bars before each decision."""
    close = e.close
    past = np.concatenate([np.repeat(close[..., :1], bars, axis=-1), close], axis=-1)
    return (close / past[..., : close.shape[-1]] - 1)[..., :-1]


def _volatility(e: Any, bars: int) -> Any:
    """[..., L] root mean square log return of the last bars, known when each bar begins."""
    square = np.square(np.diff(np.log(e.close), axis=-1))
    total = np.concatenate([np.zeros_like(square[..., :1]), np.cumsum(square, axis=-1)], axis=-1)
    count = square.shape[-1]
    last = np.arange(count)
    first = np.maximum(last - bars, 0)
    return np.sqrt((total[..., last] - total[..., first]) / np.maximum(last - first, 1))


def _longest(mask: Any) -> Any:
    """Longest run of True along the last axis."""
    run = np.zeros(mask.shape[:-1])
    best = np.zeros(mask.shape[:-1])
    for bar in range(mask.shape[-1]):
        run = (run + 1) * mask[..., bar]
        best = np.maximum(best, run)
    return best


def _age(e: Any) -> Any:
    """[..., L] bars since the position last changed its sign; 0 while flat."""
    side = np.sign(e.position)
    age = np.zeros_like(side)
    for bar in range(side.shape[-1]):
        same = side[..., bar] == side[..., bar - 1] if bar else np.zeros(side.shape[:-1], bool)
        before = age[..., bar - 1] if bar else 0
        age[..., bar] = np.where(side[..., bar] == 0, 0, np.where(same, before + 1, 1))
    return age


def ruinous_drawdown(e: Any) -> Worth:
    """A drawdown beyond 6 % costs 15 % at once; a smaller one nothing."""
    return e.net_return - 0.15 * (e.drawdown.max(axis=-1) > 0.06)


def tolerated_drawdown(e: Any) -> Worth:
    """Drawdown hurts four times as much as profit pleases, but only beyond 4 %."""
    return e.net_return - 4.0 * np.maximum(e.drawdown.max(axis=-1) - 0.04, 0)


def few_trades(e: Any) -> Worth:
    """Five trades are free; each further one costs 1 %."""
    return e.net_return - 0.01 * np.maximum((e.turnover > 1e-3).sum(axis=-1) - 5, 0)


def shorts_only_in_falls(e: Any) -> Worth:
    """Shorting is fine while the last 20 bars fell, and disliked otherwise."""
    wrong = np.maximum(-e.position, 0) * (_trend(e, 20) >= 0)
    return e.net_return - 0.4 * wrong.mean(axis=-1)


def cash_in_turmoil(e: Any) -> Worth:
    """Wants to be out of the market while it is more turbulent than usual."""
    exposed = np.abs(e.position) * (_volatility(e, 10) > 0.0105)
    return e.net_return - 0.3 * exposed.mean(axis=-1)


def profit_early(e: Any) -> Worth:
    """Profit counts the more, the earlier it comes."""
    weight = np.linspace(2, 0, e.position.shape[-1])
    return (weight * np.diff(e.equity, axis=-1)).sum(axis=-1)


def time_under_water(e: Any) -> Worth:
    """Dislikes long stretches below the peak."""
    longest = _longest(e.drawdown[..., 1:] > 1e-9)
    return e.net_return - 0.15 * longest / e.position.shape[-1]


def half_invested(e: Any) -> Worth:
    """Wants about half of the account in the market, on average."""
    return e.net_return - 0.8 * np.square(np.abs(e.position).mean(axis=-1) - 0.5)


def straight_curve(e: Any) -> Worth:
    """Wants the equity to grow along a straight line."""
    line = np.linspace(0, 1, e.equity.shape[-1])
    rise = (e.equity[..., -1:] - e.equity[..., :1]) * line
    away = e.equity - e.equity[..., :1] - rise
    return e.net_return - 2.0 * np.sqrt(np.square(away).mean(axis=-1))


def loss_averse(e: Any) -> Worth:
    """A bar's loss weighs 1.3 times as much as a bar's gain."""
    return e.net_return + 0.3 * np.minimum(np.diff(e.equity, axis=-1), 0).sum(axis=-1)


def holding_limit(e: Any) -> Worth:
    """Dislikes a position that is older than twelve bars."""
    return e.net_return - 0.15 * (_age(e) > 12).mean(axis=-1)


def content_with_five(e: Any) -> Worth:
    """The first 5 % of profit please fully, what is beyond them hardly; drawdown counts once."""
    profit = e.net_return
    return np.minimum(profit, 0.05) + 0.1 * np.maximum(profit - 0.05, 0) - e.drawdown.max(axis=-1)


def careful_when_down(e: Any) -> Worth:
    """Drawdown matters twice where the market has fallen over the window, else not at all."""
    fell = e.close[..., -1] < e.close[..., 0]
    return e.net_return - 2.0 * e.drawdown.max(axis=-1) * fell


def home_by_night(e: Any) -> Worth:
    """Wants to end without a position."""
    return e.net_return - 0.06 * np.abs(e.position[..., -1])


def winning_bars(e: Any) -> Worth:
    """Counts winning against losing bars."""
    moves = np.diff(e.equity, axis=-1)
    return e.net_return + 0.004 * (np.sign(moves) * (np.abs(moves) > 1e-9)).sum(axis=-1)


def risk_budget(e: Any) -> Worth:
    """Wants a volatility of about 0.5 % per bar: neither idle nor wild."""
    return e.net_return - 12.0 * np.abs(e.returns.std(axis=-1) - 0.005)


OUTSIDE = (
    ruinous_drawdown,
    tolerated_drawdown,
    few_trades,
    shorts_only_in_falls,
    cash_in_turmoil,
    profit_early,
    time_under_water,
    half_invested,
    straight_curve,
    loss_averse,
    holding_limit,
    content_with_five,
    careful_when_down,
    home_by_night,
    winning_bars,
    risk_budget,
)


# Written after the terms of `tradinghf.learning.reward._terms`, without a look at them.


def calmar(e: Any) -> Worth:
    """Profit over maximum drawdown."""
    return e.net_return / (e.drawdown.max(axis=-1) + 0.03)


def ulcer(e: Any) -> Worth:
    """Dislikes the root mean square drawdown."""
    return e.net_return - 2 * np.sqrt(np.square(e.drawdown).mean(axis=-1))


def risk_when_down(e: Any) -> Worth:
    """Wants smaller positions, the deeper the drawdown."""
    return e.net_return - 4 * (np.abs(e.position) * e.drawdown[..., :-1]).mean(axis=-1)


def patient(e: Any) -> Worth:
    """Dislikes a trade within five bars of the last."""
    trades = e.turnover > 1e-3
    recent = np.zeros_like(trades)
    for lag in range(1, 6):
        recent[..., lag:] |= trades[..., :-lag]
    return e.net_return - 0.01 * (trades & recent).sum(axis=-1)


def dip_buyer(e: Any) -> Worth:
    """Likes to be long while the price is 3 % below its peak."""
    top = np.maximum.accumulate(e.close, axis=-1)[..., :-1]
    dip = e.close[..., :-1] / top < 0.97
    return e.net_return + 0.2 * (np.maximum(e.position, 0) * dip).mean(axis=-1)


def late_starter(e: Any) -> Worth:
    """Wants to watch for twelve bars first."""
    return e.net_return - 0.3 * np.abs(e.position[..., :12]).mean(axis=-1)


def equity_floor(e: Any) -> Worth:
    """Falling below 97 % of the start costs 10 %."""
    return e.net_return - 0.1 * (e.equity.min(axis=-1) < 0.97)


def beats_market(e: Any) -> Worth:
    """Cares most about beating the market, however little."""
    market = e.close[..., -1] / e.close[..., 0] - 1
    return 0.3 * e.net_return + 0.05 * (e.net_return > market)


def worst_quarter(e: Any) -> Worth:
    """Looks at the worst quarter of the episode."""
    quarters = np.diff(e.equity[..., :: e.position.shape[-1] // 4], axis=-1)
    return e.net_return + 2 * quarters.min(axis=-1)


def contrarian(e: Any) -> Worth:
    """Likes positions against the last three bars."""
    return e.net_return - 0.15 * (e.position * np.sign(_trend(e, 3))).mean(axis=-1)


def shy_after_shocks(e: Any) -> Worth:
    """Wants to be out of the market in the bar after a move of 1.5 %."""
    move = np.abs(np.diff(np.log(e.close), axis=-1))
    after = np.concatenate([np.zeros_like(move[..., :1]), move[..., :-1]], axis=-1) > 0.015
    return e.net_return - 0.4 * (np.abs(e.position) * after).mean(axis=-1)


def curved(e: Any) -> Worth:
    """Strongly risk-averse about the outcome, and drawdown hurts by its square."""
    wealth = np.maximum(e.equity[..., -1], 0.1)
    return 1 - wealth**-4 - 20 * np.square(e.drawdown.max(axis=-1))


STRANGERS = (
    calmar,
    ulcer,
    risk_when_down,
    patient,
    dip_buyer,
    late_starter,
    equity_floor,
    beats_market,
    worst_quarter,
    contrarian,
    shy_after_shocks,
    curved,
)
