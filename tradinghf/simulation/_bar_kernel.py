"""One bar of a block of accounts in compiled code: the events of `step.step_account`, in its order.

As in `_exit_kernel`, which has the forced trades, each function names the one that defines it.
"""

from __future__ import annotations

from typing import Any

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._exit_kernel import (
    add_up,
    close_hits,
    leave,
    liquidate,
    margin_call,
    stop_out,
    take_profit,
    value_at,
)
from tradinghf.simulation._order_kernel import higher, lower, part, stage
from tradinghf.simulation._trade_kernel import order, ready_orders, trade


@stage
def _split_shares(p: Any) -> None:
    """See `financing.corporate_actions`."""
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            split = t[at.SPLIT_RATIO + k]
            t[at.SHARES + k] *= split
            t[at.CLOSE + k] /= split
            t[at.WAITING + k] *= split
            t[at.STOP + k] /= split
            t[at.TAKE + k] /= split
            t[at.BEST + k] /= split


@stage
def _pay_dividends(m: Any, p: Any, d: Any) -> None:
    """See `financing.corporate_actions`."""
    for k in range(at.LANES):
        d[k] = 0.0
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            paid = t[at.SHARES + k] * t[at.DIVIDEND_PAID + k]
            t[at.FLOW + k] += paid
            t[at.PART + k] = paid
        add_up(t, at.PART, d)
    for k in range(at.LANES):
        m[at.VALUE + k] = d[k]
        m[at.CASH + k] += m[at.VALUE + k]
        m[at.FREE + k] += m[at.VALUE + k]
        m[at.FINANCING + k] -= m[at.VALUE + k]


@stage
def _delist(m: Any, p: Any, d: Any, x: Any, i: Any) -> None:
    """Close what is not listed any more at its last close; see `step._open`."""
    zero, one, hits = x[at.ZERO], x[at.ONE], 0
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            gone = t[at.LISTED + k] == zero
            t[at.HIT + k], t[at.PRICE + k] = (one if gone else zero), t[at.CLOSE + k]
            t[at.WAITING + k] = zero if gone else t[at.WAITING + k]
            hits += gone
    close_hits(m, p, d, hits, at.FEE, False, x, i)


@part
def open_bar(m: Any, p: Any, d: Any, x: Any, i: Any) -> None:
    """Splits, dividends, delistings, margin calls and gapped exits; see `step._open`."""
    if i[at.SPLITS]:
        _split_shares(p)
    if i[at.PAYS_DIVIDENDS]:
        _pay_dividends(m, p, d)
    if i[at.DELISTS]:
        _delist(m, p, d, x, i)
    if x[at.MAINTENANCE] != x[at.ZERO]:
        liquidate(m, p, d, at.OPENED, x, i)
    if i[at.EXITS]:
        stop_out(m, p, d, at.OPENED, x, i)
        take_profit(m, p, d, at.OPENED, x, i)


@part
def inside_bar(m: Any, p: Any, d: Any, x: Any, i: Any) -> None:
    """Margin call, stops and targets on the way from open to close.

    See `inside.trade_inside_bar`; orders that wait for volume only do not trade here.
    """
    zero = x[at.ZERO]
    if x[at.MAINTENANCE] != zero and len(p) == 1:
        margin_call(m, p, d, x, i)
    if not i[at.EXITS]:
        return
    leave(m, p, d, x, i)
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            best = t[at.BEST + k]
            up, down = higher(best, t[at.HIGHEST + k]), lower(best, t[at.LOWEST + k])
            t[at.BEST + k] = up if t[at.SHARES + k] > zero else down


@stage
def accrue(m: Any, p: Any, d: Any, x: Any, i: Any) -> None:
    """See `financing.accrue`."""
    zero, funding, borrow = x[at.ZERO], x[at.FUNDING], x[at.BORROW]
    earned, paid, funded = x[at.INTEREST], x[at.MARGIN], i[at.FUNDED] != 0
    for k in range(2 * at.LANES):
        d[k] = 0.0
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            value = t[at.SHARES + k] * t[at.CLOSED + k]
            rate = t[at.FUNDING_RATE + k] + funding if funded else funding
            short = -value if -value > zero else zero
            part = value * rate + short * borrow
            t[at.FLOW + k] -= part
            t[at.PART + k], t[at.PART_TOO + k] = part, short
        add_up(t, at.PART, d)
        add_up(t, at.PART_TOO, d[at.LANES :])
    for k in range(at.LANES):
        m[at.VALUE + k], m[at.FALL + k] = d[k], d[at.LANES + k]
    for k in range(at.LANES):
        cash = m[at.CASH + k]
        spare = cash - m[at.FALL + k]
        spare = spare if spare > zero else zero
        lent = -cash if -cash > zero else zero
        interest = zero if m[at.RUINED + k] != zero else spare * earned - lent * paid
        change = interest - m[at.VALUE + k]
        m[at.CASH + k] += change
        m[at.FREE + k] += change
        m[at.FINANCING + k] -= change
        m[at.REALISED + k] += interest


@stage
def _close_marked(m: Any, p: Any, d: Any, price: int, x: Any) -> None:
    """Close the accounts marked in `FALL`, whose equity at the prices is in `VALUE`.

    See `_forced_trades.close_ruined`.
    """
    zero, one = x[at.ZERO], x[at.ONE]
    for k in range(at.LANES):
        d[k] = 0.0
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            t[at.PART + k] = t[at.FLOW + k] + t[at.SHARES + k] * t[price + k]
            gone = m[at.FALL + k] != zero
            t[at.SHARES + k] = zero if gone else t[at.SHARES + k]
            t[at.FLOW + k] = zero if gone else t[at.FLOW + k]
            t[at.DEBT + k] = zero if gone else t[at.DEBT + k]
            t[at.WAITING + k] = zero if gone else t[at.WAITING + k]
        add_up(t, at.PART, d)
    for k in range(at.LANES):
        equity, gone, realised = m[at.VALUE + k], m[at.FALL + k] != zero, m[at.REALISED + k]
        owed = m[at.OWED + k] + (-equity if -equity > zero else zero)
        left = zero if equity < zero else equity
        m[at.VALUE + k] = d[k]
        m[at.REALISED + k] = realised + m[at.VALUE + k] if gone else realised
        m[at.CASH + k] = left if gone else m[at.CASH + k]
        m[at.FREE + k] = left if gone else m[at.FREE + k]
        m[at.OWED + k] = owed if gone else m[at.OWED + k]
        m[at.RUINED + k] = one if gone else m[at.RUINED + k]


@part
def _ruin(m: Any, p: Any, d: Any, price: int, x: Any) -> None:
    """Close accounts at or below the ruin level; see `_forced_trades.close_ruined`."""
    zero, one, ruin, ruined = x[at.ZERO], x[at.ONE], x[at.RUIN], 0
    value_at(m, p, d, price, at.VALUE)
    for k in range(at.LANES):
        gone = m[at.RUINED + k] != zero or m[at.VALUE + k] <= ruin
        m[at.FALL + k] = one if gone else zero
        ruined += gone
    if ruined:
        _close_marked(m, p, d, price, x)


@part
def close_bar(m: Any, p: Any, d: Any, x: Any, i: Any) -> None:
    """Margin calls of portfolios at the close, and ruin; see `step.trade_through_bar`."""
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            t[at.CLOSE + k] = t[at.CLOSED + k]
    if x[at.MAINTENANCE] != x[at.ZERO] and len(p) > 1:
        liquidate(m, p, d, at.CLOSED, x, i)
    _ruin(m, p, d, at.CLOSED, x)


@stage
def _ask(m: Any, p: Any, x: Any) -> bool:
    """Take the orders of ruined accounts back; returns whether any is left."""
    wanted, zero, none = 0, x[at.ZERO], x[at.NONE]
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            asked = none if m[at.RUINED + k] != zero else t[at.ASKED + k]
            t[at.ASKED + k] = asked
            wanted += asked == asked
    return wanted > 0


@stage
def _ask_listed(p: Any, x: Any) -> None:
    """Take orders in what is not listed any more back."""
    zero, none = x[at.ZERO], x[at.NONE]
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            t[at.ASKED + k] = none if t[at.LISTED + k] == zero else t[at.ASKED + k]


@part
def trade_bar(m: Any, p: Any, d: Any, work: Any, x: Any, i: Any) -> None:
    """From one close to the next, by the orders in `ASKED`; see `step.step_account`.

    `work` is room for orders: a table like p[a], [A, LANES] numbers, and [LANES] and [A, LANES]
    integers.
    """
    wanted, at_close = _ask(m, p, x), i[at.AT_CLOSE] != 0
    if at_close:
        order(wanted, m, p, d, at.CLOSE, at.OLD_TRADED, work, x, i)
        _ruin(m, p, d, at.CLOSE, x)
    open_bar(m, p, d, x, i)
    if not at_close:
        if i[at.DELISTS]:
            _ask_listed(p, x)
        order(wanted, m, p, d, at.OPENED, at.TRADED, work, x, i)
    elif i[at.WAITS]:
        ready_orders(p, at.OPENED, at.TRADED, False, x)
        trade(m, p, d, at.TRADED, work, x, i)
    inside_bar(m, p, d, x, i)
    if i[at.FINANCES]:
        accrue(m, p, d, x, i)
    close_bar(m, p, d, x, i)
