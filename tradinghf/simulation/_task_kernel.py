"""The environment's step for every task in compiled code, one account after another.

`_kernel.advance` settles several accounts of a plain task in one instruction; this one takes any
task, of any number of assets. `_order_kernel` has an order, `_exit_kernel` and `_bar_kernel` what
happens in a bar, and this module what the environment adds (`Dynamics.transition`): records, the
quantities that rewards are made of, observations. `_layout_kernel` says what lies where.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._bar_kernel import trade_bar
from tradinghf.simulation._exit_kernel import value_at
from tradinghf.simulation._order_kernel import SHARED, inline, small


@small
def _bounded(value: Any, limit: Any) -> Any:
    return -limit if value < -limit else (limit if value > limit else value)


@inline
def _load(n: int, accounts: Any, positions: Any, money: Any, t: Any, x: Any, i: Any) -> None:
    """Put account n into `money` and `t`, with an empty tape."""
    zero = x[at.ZERO]
    money[at.CASH], money[at.OWED] = accounts[at.CASH, n], accounts[at.OWED, n]
    money[at.RUINED] = accounts[at.RUINED, n]
    money[at.REALISED] = money[at.FINANCING] = zero
    for a in range(t.shape[1]):
        t[at.SHARES, a], t[at.FLOW, a] = positions[at.SHARES, n, a], positions[at.FLOW, n, a]
        t[at.CLOSE, a] = positions[at.CLOSE, n, a]
        t[at.VOLUME, a] = t[at.NOTIONAL, a] = t[at.FEES, a] = zero
        t[at.SLIPPAGE, a] = t[at.EXITED, a] = zero
    if i[at.LOCKS]:
        money[at.FREE] = accounts[at.FREE, n]
        for a in range(t.shape[1]):
            t[at.DEBT, a] = positions[at.DEBT, n, a]
    if i[at.EXITS]:
        for a in range(t.shape[1]):
            t[at.STOP, a], t[at.TAKE, a] = positions[at.STOP, n, a], positions[at.TAKE, n, a]
            t[at.BEST, a] = positions[at.BEST, n, a]
    if i[at.WAITS]:
        for a in range(t.shape[1]):
            t[at.WAITING, a] = positions[at.WAITING, n, a]


@inline
def _gather(row: int, prices: Any, t: Any, i: Any) -> None:
    """Put the bar after the one in `row` into `t`, and of that one what fills at its close need."""
    for a in range(t.shape[1]):
        for k in range(at.OLD_TRADED - at.OPENED):
            t[at.OPENED + k, a] = prices[row + 1, k, a]
        if i[at.AT_CLOSE]:
            t[at.OLD_TRADED, a] = prices[row, at.SHARES_TRADED, a]
            t[at.OLD_SIGMA, a] = prices[row, at.VOLATILITY, a]
        for k in range(4):
            column = i[at.FUNDED + k]
            if column >= 0:
                t[at.FUNDING_RATE + k, a] = prices[row + 1, column, a]


@inline
def _save(n: int, money: Any, t: Any, accounts: Any, positions: Any, i: Any) -> None:
    """Write what `_load` took."""
    accounts[at.CASH, n], accounts[at.OWED, n] = money[at.CASH], money[at.OWED]
    accounts[at.RUINED, n] = money[at.RUINED]
    for a in range(t.shape[1]):
        positions[at.SHARES, n, a], positions[at.FLOW, n, a] = t[at.SHARES, a], t[at.FLOW, a]
        positions[at.CLOSE, n, a] = t[at.CLOSE, a]
    if i[at.LOCKS]:
        accounts[at.FREE, n] = money[at.FREE]
        for a in range(t.shape[1]):
            positions[at.DEBT, n, a] = t[at.DEBT, a]
    if i[at.EXITS]:
        for a in range(t.shape[1]):
            positions[at.STOP, n, a], positions[at.TAKE, n, a] = t[at.STOP, a], t[at.TAKE, a]
            positions[at.BEST, n, a] = t[at.BEST, a]
    if i[at.WAITS]:
        for a in range(t.shape[1]):
            positions[at.WAITING, n, a] = t[at.WAITING, a]


@inline
def _read_orders(
    n: int, chosen: Any, orders: Any, on_change: bool, levels: Any, positions: Any,
    positions_after: Any, t: Any, x: Any,
) -> int:  # fmt: skip
    """Write the account's orders to `ASKED`, and its targets; returns how many are no levels."""
    wrong = 0
    for a in range(t.shape[1]):
        if len(chosen):
            choice = np.uint64(chosen[n, a])  # what is negative becomes large
            within = choice < np.uint64(len(levels))
            order = levels[choice if within else np.uint64(0)]
            wrong += not within
        else:
            order = orders[n, a]
        target = positions[at.TARGET, n, a]
        if on_change and order == target:
            order = x[at.NONE]
        t[at.ASKED, a] = order
        positions_after[at.TARGET, n, a] = target if order != order else order
    return wrong


@inline
def _record(
    n: int, worth: Any, ends: bool, money: Any, t: Any, accounts: Any, positions: Any,
    accounts_after: Any, positions_after: Any, x: Any, i: Any,
) -> None:  # fmt: skip
    """Targets, moving averages, and what rewards and info are made of.

    See `Dynamics._carry` and `Dynamics._transition`.
    """
    zero, one, ruin = x[at.ZERO], x[at.ONE], x[at.RUIN]
    start, old_peak = x[at.START_CASH], accounts[at.PEAK, n]
    equity = value_at(money[at.CASH], t, at.CLOSE, zero)
    peak = old_peak if old_peak >= equity else equity
    floor = ruin if equity < ruin else equity
    before = ruin if worth < ruin else worth
    accounts_after[at.PEAK, n] = peak
    if i[at.MOMENTS]:
        gain, rate = equity / before - one, x[at.MOMENT_RATE]
        mean, square = accounts[at.MEAN, n], accounts[at.SQUARE, n]
        accounts_after[at.MEAN, n] = mean + rate * (gain - mean)
        accounts_after[at.SQUARE, n] = square + rate * (gain * gain - square)
    profits, spent, traded = 0.0, 0.0, 0.0
    for a in range(t.shape[1]):
        value = t[at.SHARES, a] * t[at.CLOSE, a]
        profits += t[at.FLOW, a] + value
        spent += t[at.FEES, a] + t[at.SLIPPAGE, a]
        traded += t[at.NOTIONAL, a]
        if i[at.FORCES] and t[at.EXITED, a] != zero:
            positions_after[at.TARGET, n, a] = zero
        waited = positions[at.SINCE, n, a] + one
        positions_after[at.SINCE, n, a] = zero if t[at.VOLUME, a] > zero else waited
        positions_after[at.RISK, n, a] = t[at.SIGMA, a]
        positions_after[at.POSITION, n, a] = value / floor
        positions_after[at.PRICE_SHOWN, n, a] = t[at.NOTIONAL, a] / t[at.VOLUME, a]
    realised = money[at.REALISED]
    if ends:
        realised = realised + type(zero)(profits)
    accounts_after[at.EQUITY, n] = equity / start
    accounts_after[at.DRAWDOWN_BEFORE, n] = one - worth / old_peak
    accounts_after[at.DRAWDOWN, n] = one - equity / peak
    accounts_after[at.REALISED, n] = realised / start
    accounts_after[at.COSTS, n] = type(zero)(spent) / start
    accounts_after[at.TURNOVER, n] = type(zero)(traded) / before
    accounts_after[at.FINANCING, n] = money[at.FINANCING] / start
    accounts_after[at.DEBT_SHOWN, n] = money[at.OWED] / start


@inline
def _observe(
    n: int,
    review: bool,
    money: Any,
    t: Any,
    accounts: Any,
    positions: Any,
    view: Any,
    offset: int,
    x: Any,
) -> None:
    """Begin a review period, and write what the account sees of itself.

    See `Dynamics._carry` and `Observer.account`.
    """
    zero, one, ruin, limit, assets = x[at.ZERO], x[at.ONE], x[at.RUIN], x[at.LIMIT], t.shape[1]
    equity = value_at(money[at.CASH], t, at.CLOSE, zero)
    floor = ruin if equity < ruin else equity
    if review:
        accounts[at.PEAK, n] = floor
    for a in range(assets):
        profit = t[at.FLOW, a] + t[at.SHARES, a] * t[at.CLOSE, a]
        unit = positions[at.RISK, n, a] * x[at.PROFIT_UNIT]
        waited = positions[at.SINCE, n, a] / x[at.SPAN]
        view[n, offset + a] = _bounded(positions[at.POSITION, n, a], limit)
        view[n, offset + assets + a] = _bounded(profit / floor / unit, limit)
        view[n, offset + 2 * assets + a] = waited if waited <= one else one
    view[n, offset + 3 * assets] = _bounded(one - equity / accounts[at.PEAK, n], limit)


@njit(**SHARED)
def advance(
    first: int,
    last: int,
    accounts: Any,
    positions: Any,
    asset: Any,
    start: Any,
    bar: Any,
    chosen: Any,
    orders: Any,
    on_change: bool,
    costs: Any,
    ends: Any,
    levels: Any,
    prices: Any,
    features: Any,
    x: Any,
    i: Any,
    accounts_after: Any,
    positions_after: Any,
    bar_after: Any,
    market: Any,
    account: Any,
    offset: int,
    window: Any,
) -> int:
    """Carry the accounts [first, last) one bar on.

    Args:
        first, last: accounts to carry.
        accounts: [ACCOUNT_ROWS, N] at the close of the decision bar.
        positions: [POSITION_ROWS, N, A] likewise.
        asset, start, bar: [N] integers.
        chosen: [N, A] indices into `levels`; or empty.
        orders: [N, A] target weights instead, where NaN is no order; or empty.
        on_change: a target equal to the last one is no order either.
        costs: [1] or [N] rows c.
        ends: [1] or [N] bool, the episode ends with this bar.
        levels: target weights that may be chosen.
        prices: [rows, C, A] `Bars.rows`.
        features: [rows * F'] float32 market features.
        x, i: settings.
        accounts_after, positions_after, bar_after: written: the state at the next close.
        market: [N, W * F' or more], its first W * F' columns written; `window` empty.
        account: [N, 3 A + 1 or more], written from column `offset` on.
        offset: see `account`.
        window: [N], written instead of `market`: its row among all windows.

    Returns:
        How many choices were no indices of `levels`; what is written is of no use then.

    """
    assets, zero = prices.shape[2], x[at.ZERO]
    money, t = np.zeros(at.ACCOUNT_ROWS, x.dtype), np.zeros((at.TABLE_ROWS, assets), x.dtype)
    c, sequence = np.zeros(costs.shape[1], x.dtype), np.zeros(assets, np.int64)
    width, every = i[at.WIDTH], i[at.REVIEW]
    seen, wrong = i[at.LOOKBACK] * width, 0
    for n in range(first, last):
        if n == first or len(costs) > 1:
            for k in range(len(c)):
                c[k] = costs[n if len(costs) > 1 else 0, k]
        row = asset[n] * i[at.BARS] + bar[n]
        _load(n, accounts, positions, money, t, x, i)
        _gather(row, prices, t, i)
        worth = value_at(money[at.CASH], t, at.CLOSE, zero)
        wrong += _read_orders(
            n, chosen, orders, on_change, levels, positions, positions_after, t, x
        )
        trade_bar(money, t, sequence, c, x, i)
        _save(n, money, t, accounts_after, positions_after, i)
        over = ends[n if len(ends) > 1 else 0]
        _record(
            n, worth, over, money, t, accounts, positions, accounts_after, positions_after,
            x, i,
        )  # fmt: skip
        bar_after[n] = bar[n] + 1
        review = every > 0 and (bar_after[n] - start[n]) % every == 0
        _observe(n, review, money, t, accounts_after, positions_after, account, offset, x)
        begin = row + 2 - i[at.LOOKBACK]
        if len(window):
            window[n] = begin
        else:
            source, shown = features[begin * width : begin * width + seen], market[n, :seen]
            for k in range(seen):
                shown[k] = source[k]
    return wrong
