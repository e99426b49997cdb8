"""Twenty-four tastes as traders tell them: asymmetric, conditional, relative, about timing.

They are the held-out part of the label benchmark: written from a trader's point of view before
there was any learner of tastes, and kept out of everything that is tuned or trained. Each works on
one `Episode` and, with time as the last axis, on a batch:
`tradinghf bench labels --traders benchmarks/tastes.py:lets_winners_run`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Worth = Any
_TRADE = 1e-3  # turnover above this fraction of equity is a trade
_NOTHING = 1e-9  # rounding of an equity that has not moved


def _moves(e: Any) -> Any:
    """[..., L] profit of each bar."""
    return np.diff(e.equity, axis=-1)


def _before(values: Any, first: float = 0.0) -> Any:
    """[..., L] the value of the bar before."""
    return np.concatenate([np.full_like(values[..., :1], first), values[..., :-1]], axis=-1)


def _held(e: Any) -> tuple[Any, Any, Any]:
    """[..., L] profit of the trade in hand, the best it has had, and bars since it began."""
    side = np.sign(e.position)
    profit, best, age = (np.zeros_like(side) for _ in range(3))
    entry = e.equity[..., 0]
    for bar in range(side.shape[-1]):
        fresh = side[..., bar] != (side[..., bar - 1] if bar else 0)
        entry = np.where(fresh, e.equity[..., bar], entry)
        held = side[..., bar] != 0
        profit[..., bar] = np.where(held, e.equity[..., bar + 1] / entry - 1, 0.0)
        earlier = np.where(fresh, 0.0, best[..., bar - 1] if bar else 0.0)
        best[..., bar] = np.where(held, np.maximum(earlier, profit[..., bar]), 0.0)
        aged = np.where(fresh, 0.0, age[..., bar - 1] if bar else 0.0)
        age[..., bar] = np.where(held, aged + 1, 0.0)
    return profit, best, age


def _grown(e: Any) -> Any:
    """[..., L] by how much the position grew on the side that it was already on."""
    size, side = np.abs(e.position), np.sign(e.position)
    same = (side == _before(side)) & (side != 0)
    return np.where(same & (e.turnover > _TRADE), np.maximum(size - _before(size), 0), 0.0)


def _rows(mask: Any) -> Any:
    """[..., L] length of the run of True up to each bar."""
    run = np.zeros(mask.shape)
    for bar in range(mask.shape[-1]):
        run[..., bar] = ((run[..., bar - 1] if bar else 0) + 1) * mask[..., bar]
    return run


def _shock(e: Any, size: float) -> Any:
    """[..., L] direction of the market's move in the bar before, where it was a shock."""
    move = np.diff(np.log(e.close), axis=-1)
    return _before(np.sign(move) * (np.abs(move) > size))


def keeps_half_of_the_open_profit(e: Any) -> Worth:
    """A trade that was 1.5 % ahead must not give back more than half of it; each such bar hurts."""
    profit, best, _ = _held(e)
    broken = (best > 0.015) & (profit < 0.5 * best)
    return e.net_return - 0.006 * broken.sum(axis=-1)


def adds_to_winners_only(e: Any) -> Worth:
    """Likes adding to a trade that is ahead; adding to one that is behind hurts twice as much."""
    profit, _, _ = _held(e)
    ahead = _before(profit) > 0
    return e.net_return + 0.04 * (_grown(e) * np.where(ahead, 1.0, -2.0)).sum(axis=-1)


def home_before_the_close(e: Any) -> Worth:
    """Must be out for the last six bars of the window, with whatever position."""
    return e.net_return - 0.015 * (np.abs(e.position[..., -6:]) > _TRADE).sum(axis=-1)


def patience_runs_out_under_water(e: Any) -> Worth:
    """How deep does not matter; every bar beyond the tenth under water in a row does."""
    below = e.drawdown[..., 1:] > _NOTHING
    return e.net_return - 0.004 * (_rows(below) > 10).sum(axis=-1)


def never_two_losses_in_a_row(e: Any) -> Worth:
    """Single losing bars are the price of the game; the next one in a row costs 0.5 %."""
    losing = _moves(e) < -_NOTHING
    return e.net_return - 0.005 * (_rows(losing) >= 2).sum(axis=-1)


def out_after_a_shock(e: Any) -> Worth:
    """After a 1.8 % bar against the position, the position must be gone within three bars."""
    shock = _shock(e, 0.018)
    late = np.zeros(e.position.shape)
    for lag in range(3, 7):
        was = np.zeros(e.position.shape)
        was[..., lag:] = shock[..., : e.position.shape[-1] - lag]
        late = np.maximum(late, np.maximum(-np.sign(was) * e.position, 0))
    return e.net_return - 0.02 * late.sum(axis=-1)


def lets_winners_run(e: Any) -> Worth:
    """A trade that closes with less than 1 % of profit was not worth it; one with 3 % delights."""
    profit, _, _ = _held(e)
    side = np.sign(e.position)
    closed = (side != _before(side)) & (_before(side) != 0)
    won = np.where(closed, _before(profit), 0.0)
    cheap = closed & (won > 0) & (won < 0.01)
    return e.net_return - 0.012 * cheap.sum(-1) + 0.03 * (won > 0.03).sum(-1)


def house_money(e: Any) -> Worth:
    """Bold with gains, timid with the own money: exposure is disliked unless 2 % ahead."""
    ahead = e.equity[..., :-1] > 1.02
    return e.net_return - 0.25 * (np.abs(e.position) * ~ahead).mean(axis=-1)


def stops_when_the_day_is_made(e: Any) -> Worth:
    """Once 3 % ahead, further risk is greed."""
    made = np.maximum.accumulate(e.equity, axis=-1)[..., :-1] > 1.03
    return e.net_return - 0.5 * (np.abs(e.position) * made).mean(axis=-1)


def prospect(e: Any) -> Worth:
    """Gains by the root, losses by the root and 2.25 times, against where the account started."""
    result = e.net_return
    return np.sign(result) * np.abs(result) ** 0.5 * np.where(result < 0, 2.25, 1.0)


def against_the_market(e: Any) -> Worth:
    """Being behind a buyer who just holds hurts in every bar, being ahead of him pleases little."""
    lead = e.equity[..., 1:] - e.close[..., 1:] / e.close[..., :1]
    return np.where(lead < 0, 1.5 * lead, 0.2 * lead).mean(axis=-1)


def misses_no_rally(e: Any) -> Worth:
    """Regret: a bar that rose by over 1 % without a long position stings."""
    rise = np.diff(e.close, axis=-1) / e.close[..., :-1]
    return e.net_return - 0.01 * ((rise > 0.01) & (e.position < 0.25)).sum(axis=-1)


def many_small_losses(e: Any) -> Worth:
    """Losing small is fine and often; a bar's loss beyond 0.8 % hurts by its square."""
    beyond = np.maximum(-_moves(e) - 0.008, 0)
    return e.net_return - 400 * np.square(beyond).sum(axis=-1)


def comeback(e: Any) -> Worth:
    """What counts is how much of the worst drawdown was won back by the end."""
    low = e.drawdown.max(axis=-1)
    return 0.4 * e.net_return + 0.05 * (1 - e.drawdown[..., -1] / np.maximum(low, 0.005))


def good_finish(e: Any) -> Worth:
    """Peak and end: the best point, the worst point and the last ten bars make the memory."""
    best, worst = e.equity.max(axis=-1) - 1, 1 - e.equity.min(axis=-1)
    return 0.5 * best - worst + e.equity[..., -1] - e.equity[..., -11]


def scales_in(e: Any) -> Worth:
    """Never from flat to full in one bar, nor through zero: builds positions in steps."""
    jump = np.maximum(np.abs(e.position - _before(e.position)) - 0.6, 0)
    return e.net_return - 0.04 * (jump * (e.turnover > _TRADE)).sum(axis=-1)


def no_revenge_trading(e: Any) -> Worth:
    """After a trade that lost, five bars of rest; trading in them costs 1 % each."""
    profit, _, _ = _held(e)
    side = np.sign(e.position)
    lost = (side != _before(side)) & (_before(side) != 0) & (_before(profit) < 0)
    recent = np.zeros(lost.shape, dtype=bool)
    for lag in range(5):
        recent[..., lag:] |= lost[..., : lost.shape[-1] - lag]
    return e.net_return - 0.01 * (recent & (side != 0)).sum(axis=-1) / 2


def quick_to_be_right(e: Any) -> Worth:
    """A trade that is not ahead six bars after its entry has no business being there."""
    profit, _, age = _held(e)
    return e.net_return - 0.006 * ((age > 6) & (profit <= 0)).sum(axis=-1)


def fades_extremes(e: Any) -> Worth:
    """Likes to sell when the price is 4 % above its last 20 bars' mean, to buy 4 % below it."""
    padded = np.concatenate([np.repeat(e.close[..., :1], 19, axis=-1), e.close], axis=-1)
    total = np.cumsum(padded, axis=-1)
    ago = np.concatenate([np.zeros_like(total[..., :1]), total[..., :-20]], axis=-1)
    mean = (total[..., 19:] - ago) / 20
    away = (e.close / mean - 1)[..., :-1]
    return e.net_return - 0.5 * (e.position * np.sign(away) * (np.abs(away) > 0.04)).mean(axis=-1)


def survives_first(e: Any) -> Worth:
    """Until 1 % has been earned, any loss against the start counts five times."""
    earned = np.maximum.accumulate(e.equity, axis=-1)[..., 1:] > 1.01
    below = np.maximum(1 - e.equity[..., 1:], 0) * ~earned
    return e.net_return - 5.0 * below.max(axis=-1)


def sleeps_well(e: Any) -> Worth:
    """Every sixteen bars comes the night: a loss in hand then costs, a gain does not please."""
    profit, _, _ = _held(e)
    nights = profit[..., 15::16] * np.abs(e.position[..., 15::16])
    return e.net_return + 1.5 * np.minimum(nights, 0).sum(axis=-1)


def good_weeks(e: Any) -> Worth:
    """Counts the stretches of eight bars that end ahead; how far is secondary."""
    weeks = np.diff(e.equity[..., ::8], axis=-1)
    return 0.5 * e.net_return + 0.012 * (weeks > _NOTHING).sum(axis=-1)


def risk_fits_the_weather(e: Any) -> Worth:
    """Wants size to shrink as the market's swings grow: about 0.6 % of risk in each bar."""
    swing = np.abs(np.diff(np.log(e.close), axis=-1))
    smooth = np.full(swing.shape, 0.01)
    for bar in range(1, swing.shape[-1]):
        smooth[..., bar] = 0.9 * smooth[..., bar - 1] + 0.1 * 1.25 * swing[..., bar - 1]
    off = np.abs(np.abs(e.position) * smooth - 0.006)
    return e.net_return - 15.0 * off.mean(axis=-1)


def decisive(e: Any) -> Worth:
    """Long or short with conviction, or flat: half-hearted positions and flip-flops annoy."""
    half = (np.abs(e.position) > 0.1) & (np.abs(e.position) < 0.9)
    side = np.sign(e.position)
    flips = (side * _before(side) < 0).sum(axis=-1)
    return e.net_return - 0.1 * half.mean(axis=-1) - 0.005 * flips


TASTES: tuple[Callable[[Any], Worth], ...] = (
    keeps_half_of_the_open_profit,
    adds_to_winners_only,
    home_before_the_close,
    patience_runs_out_under_water,
    never_two_losses_in_a_row,
    out_after_a_shock,
    lets_winners_run,
    house_money,
    stops_when_the_day_is_made,
    prospect,
    against_the_market,
    misses_no_rally,
    many_small_losses,
    comeback,
    good_finish,
    scales_in,
    no_revenge_trading,
    quick_to_be_right,
    fades_extremes,
    survives_first,
    sleeps_well,
    good_weeks,
    risk_fits_the_weather,
    decisive,
)
