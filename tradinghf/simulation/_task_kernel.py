"""The environment's step for every task in compiled code, a block of accounts at a time.

`_kernel.advance` settles all of a plain task in one loop; this one takes any task, of any number
of assets, in many short ones. `_order_kernel` has an order, `_exit_kernel` and `_bar_kernel` what
happens in a bar, and this module what the environment adds (`Dynamics.transition`): records, the
quantities that rewards are made of, observations. `_layout_kernel` says what lies where.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._bar_kernel import trade_bar
from tradinghf.simulation._exit_kernel import add_up, value_at
from tradinghf.simulation._order_kernel import small, stage


@small
def _bounded(value: Any, limit: Any) -> Any:
    return -limit if value < -limit else (limit if value > limit else value)


@small
def _copy(source: Any, target: Any) -> None:
    for k in range(len(target)):
        target[k] = source[k]


@stage
def _load(first: int, last: int, accounts: Any, positions: Any, rows: Any, m: Any, p: Any) -> None:
    """Put the accounts [first, last) into the block, with empty tapes.

    `rows`: which of the positions the task has.
    """
    zero, count = m.dtype.type(0), last - first
    for row in range(at.EQUITY // at.LANES):
        _copy(accounts[row, first:last], m[row * at.LANES : row * at.LANES + count])
    m[at.REALISED : at.REALISED + at.LANES] = zero
    m[at.FINANCING : at.FINANCING + at.LANES] = zero
    for a in range(len(p)):
        t = p[a]
        for row in rows:
            _copy(positions[row, a, first:last], t[row * at.LANES : row * at.LANES + count])
        t[at.VOLUME : at.EXITED + at.LANES] = zero


@stage
def _save(first: int, last: int, accounts: Any, positions: Any, rows: Any, m: Any, p: Any) -> None:
    """Write what `_load` took, and what was found."""
    count = last - first
    for row in range(at.ACCOUNT_ROWS):
        _copy(m[row * at.LANES : row * at.LANES + count], accounts[row, first:last])
    for a in range(len(p)):
        t = p[a]
        for row in rows:
            _copy(t[row * at.LANES : row * at.LANES + count], positions[row, a, first:last])
        for row in range(at.POSITION // at.LANES, at.POSITION_ROWS):
            _copy(t[row * at.LANES : row * at.LANES + count], positions[row, a, first:last])


@stage
def _gather(bars: Any, columns: Any, prices: Any, p: Any) -> None:
    """Put the prices of the bars into the block, as `columns` says."""
    for a in range(len(p)):
        for q in range(len(columns)):
            later, column = columns[q, 0], columns[q, 1]
            into = p[a, columns[q, 2] : columns[q, 2] + len(bars)]
            for k in range(len(bars)):
                into[k] = prices[bars[k] + later, column, a]


@stage
def _set_rates(first: int, last: int, costs: Any, m: Any) -> None:
    """Put what accounts pay into the block; all of them the same if there is one row of costs."""
    for k in range(last - first):
        for r in range(at.RATES):
            m[at.FEE + r * at.LANES + k] = costs[first + k if len(costs) > 1 else 0, r]


@stage
def _read_orders(
    first: int, last: int, chosen: Any, orders: Any, on_change: bool, levels: Any, p: Any, x: Any
) -> int:
    """Write the accounts' orders to `ASKED`, and their targets; returns how many are no levels."""
    wrong, none, count = 0, x[at.NONE], last - first
    for a in range(len(p)):
        t = p[a]
        for k in range(count):
            if len(chosen):
                choice = np.uint64(chosen[first + k, a])  # what is negative becomes large
                within = choice < np.uint64(len(levels))
                t[at.ASKED + k] = levels[choice if within else np.uint64(0)]
                wrong += not within
            else:
                t[at.ASKED + k] = orders[first + k, a]
        for k in range(at.LANES):
            order, target = t[at.ASKED + k], t[at.TARGET + k]
            order = none if on_change and order == target else order
            t[at.ASKED + k] = order
            t[at.TARGET + k] = target if order != order else order
    return wrong


@stage
def _sum_up(m: Any, p: Any, d: Any, x: Any, i: Any) -> None:
    """Write the accounts' profits, costs and turnover to `d`, and what positions carry on."""
    zero, one, forces, waits = x[at.ZERO], x[at.ONE], i[at.FORCES] != 0, i[at.WAITS] != 0
    span, unit, limit = x[at.SPAN], x[at.PROFIT_UNIT], x[at.LIMIT]
    for k in range(at.SUMS * at.LANES):
        d[k] = 0.0
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            value, floor, volume = (
                t[at.SHARES + k] * t[at.CLOSE + k],
                m[at.FLOOR + k],
                t[at.VOLUME + k],
            )
            profit, waited = t[at.FLOW + k] + value, t[at.SINCE + k] + one
            t[at.PART + k], t[at.PART_TOO + k] = profit, t[at.FEES + k] + t[at.SLIPPAGE + k]
            since, risk, position = (
                zero if volume > zero else waited,
                t[at.SIGMA + k],
                value / floor,
            )
            target, waited = t[at.TARGET + k], since / span
            out = t[at.EXITED + k] != zero and t[at.SHARES + k] == zero
            left = zero if out and not (waits and t[at.WAITING + k] != zero) else target
            t[at.TARGET + k] = left if forces else target
            t[at.SINCE + k], t[at.RISK + k], t[at.POSITION + k] = since, risk, position
            t[at.PRICE_SHOWN + k] = t[at.NOTIONAL + k] / volume
            t[at.VIEW_POSITION + k] = _bounded(position, limit)
            t[at.VIEW_PROFIT + k] = _bounded(profit / floor / (risk * unit), limit)
            t[at.VIEW_SINCE + k] = waited if waited <= one else one
        add_up(t, at.PART, d)
        add_up(t, at.PART_TOO, d[at.LANES :])
        add_up(t, at.NOTIONAL, d[2 * at.LANES :])


@stage
def _record(m: Any, p: Any, d: Any, x: Any, i: Any) -> None:
    """Targets, moving averages, what rewards and info are made of, and what accounts see.

    See `Dynamics._carry`, `Dynamics._transition` and `Observer.account`.
    """
    zero, one, ruin = x[at.ZERO], x[at.ONE], x[at.RUIN]
    start, rate, limit = x[at.START_CASH], x[at.MOMENT_RATE], x[at.LIMIT]
    value_at(m, p, d, at.CLOSE, at.VALUE)
    for k in range(at.LANES):
        equity = m[at.VALUE + k]
        m[at.FLOOR + k] = ruin if equity < ruin else equity
    _sum_up(m, p, d, x, i)
    if i[at.MOMENTS]:
        for k in range(at.LANES):
            worth, mean, square = m[at.WORTH + k], m[at.MEAN + k], m[at.SQUARE + k]
            gain = m[at.VALUE + k] / (ruin if worth < ruin else worth) - one
            m[at.MEAN + k] = mean + rate * (gain - mean)
            m[at.SQUARE + k] = square + rate * (gain * gain - square)
    for k in range(at.LANES):
        equity, worth, old_peak = m[at.VALUE + k], m[at.WORTH + k], m[at.PEAK + k]
        peak = old_peak if old_peak >= equity else equity
        m[at.DRAWDOWN_BEFORE + k] = one - worth / old_peak
        m[at.DRAWDOWN + k] = one - equity / peak
        peak = m[at.FLOOR + k] if m[at.REVIEWS + k] != zero else peak
        m[at.PEAK + k] = peak
        m[at.FALL + k] = _bounded(one - equity / peak, limit)
        m[at.EQUITY + k] = equity / start
    for k in range(at.LANES):
        worth, realised = m[at.WORTH + k], m[at.REALISED + k]
        before = ruin if worth < ruin else worth
        m[at.TURNOVER + k], m[at.COSTS + k] = d[2 * at.LANES + k], d[at.LANES + k]
        m[at.DEBT_SHOWN + k] = d[k]
        realised = realised + m[at.DEBT_SHOWN + k] if m[at.ENDS + k] != zero else realised
        m[at.REALISED + k] = realised / start
        m[at.COSTS + k] = m[at.COSTS + k] / start
        m[at.TURNOVER + k] = m[at.TURNOVER + k] / before
        m[at.FINANCING + k] = m[at.FINANCING + k] / start
        m[at.DEBT_SHOWN + k] = m[at.OWED + k] / start


@stage
def _show(first: int, last: int, m: Any, p: Any, view: Any, offset: int) -> None:
    """Write what the accounts see of themselves, from column `offset` on."""
    assets = len(p)
    for k in range(last - first):
        own = view[first + k, offset : offset + 3 * assets + 1]
        for a in range(assets):
            own[a] = p[a, at.VIEW_POSITION + k]
            own[assets + a] = p[a, at.VIEW_PROFIT + k]
            own[2 * assets + a] = p[a, at.VIEW_SINCE + k]
        own[3 * assets] = m[at.FALL + k]


@stage
def _next_bars(
    first: int, last: int, asset: Any, start: Any, bar: Any, ends: Any, i: Any, bar_after: Any,
    rows: Any, m: Any,
) -> None:  # fmt: skip
    """Write the bar to come, the rows of the bars now, and what begins and ends with that bar."""
    every, bars = i[at.REVIEW], i[at.BARS]
    for k in range(last - first):
        n = first + k
        later = bar[n] + 1
        bar_after[n], rows[k] = later, asset[n] * bars + bar[n]
        m[at.ENDS + k] = ends[n if len(ends) > 1 else 0]
        m[at.REVIEWS + k] = every > 0 and (later - start[n]) % every == 0


@stage
def _see(first: int, last: int, rows: Any, features: Any, market: Any, window: Any, i: Any) -> None:
    """Write what the accounts see of the market."""
    lookback, width = i[at.LOOKBACK], i[at.WIDTH]
    seen = lookback * width
    for k in range(last - first):
        begin = rows[k] + 2 - lookback
        if len(window):
            window[first + k] = begin
        else:
            _copy(features[begin * width : begin * width + seen], market[first + k, :seen])


@stage
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
    columns: Any,
    carried: Any,
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
        positions: [POSITION_ROWS, A, N] likewise.
        asset, start, bar: [N] integers.
        chosen: [N, A] indices into `levels`; or empty.
        orders: [N, A] target weights instead, where NaN is no order; or empty.
        on_change: a target equal to the last one is no order either.
        costs: [1, RATES] or [N, RATES].
        ends: [1] or [N] bool, the episode ends with this bar.
        levels: target weights that may be chosen.
        prices: [rows, C, A] `Bars.rows`.
        features: [rows * F'] float32 market features.
        x, i: settings.
        columns: [., 3] of the prices: whether of the bar to come (1) or of the decision (0),
            which of the C, and where it goes in the block.
        carried: rows of `positions` that the task carries from bar to bar.
        accounts_after, positions_after, bar_after: written: the state at the next close.
        market: [N, W * F' or more], its first W * F' columns written; `window` empty.
        account: [N, 3 A + 1 or more], written from column `offset` on.
        offset: see `account`.
        window: [N], written instead of `market`: its row among all windows.

    Returns:
        How many choices were no indices of `levels`; what is written is of no use then.

    """
    assets = prices.shape[2]
    m, d = np.zeros(at.MONEY_ROWS * at.LANES, x.dtype), np.zeros(at.SUMS * at.LANES)
    p = np.zeros((assets, at.TABLE_ROWS * at.LANES), x.dtype)
    keys, turns = np.zeros((assets, at.LANES), x.dtype), np.zeros((assets, at.LANES), np.int32)
    work = (np.zeros(at.TABLE_ROWS * at.LANES, x.dtype), keys, np.zeros(at.LANES, np.int32), turns)
    table_rows, wrong = np.zeros(at.LANES, np.int64), 0
    for begin in range(first, last, at.LANES):
        end = min(begin + at.LANES, last)
        rows = table_rows[: end - begin]
        _next_bars(begin, end, asset, start, bar, ends, i, bar_after, rows, m)
        if begin == first or len(costs) > 1:
            _set_rates(begin, min(begin + at.LANES, last), costs, m)
        _load(begin, end, accounts, positions, carried, m, p)
        _gather(rows, columns, prices, p)
        wrong += _read_orders(begin, end, chosen, orders, on_change, levels, p, x)
        value_at(m, p, d, at.CLOSE, at.WORTH)
        trade_bar(m, p, d, work, x, i)
        _record(m, p, d, x, i)
        _save(begin, end, accounts_after, positions_after, carried, m, p)
        _show(begin, end, m, p, account, offset)
        _see(begin, end, rows, features, market, window, i)
    return wrong
