"""One bar of one account in compiled code: the events of `step.step_account`, in its order.

As in `_exit_kernel`, which has the forced trades, each function names the one that defines it.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._exit_kernel import (
    book,
    close_hits,
    leave,
    liquidate,
    margin_call,
    realise,
    stop_out,
    take_profit,
    value_at,
)
from tradinghf.simulation._order_kernel import (
    SHARED,
    add,
    execute,
    higher,
    inline,
    lower,
    price_of,
    settle,
    small,
)


@inline
def _corporate_actions(money: Any, t: Any, x: Any, i: Any) -> None:
    """See `financing.corporate_actions`."""
    zero = x[at.ZERO]
    if i[at.SPLIT] >= 0:
        for a in range(t.shape[1]):
            split = t[at.SPLIT_RATIO, a]
            t[at.SHARES, a] *= split
            t[at.CLOSE, a] /= split
            t[at.WAITING, a] *= split
            t[at.STOP, a] /= split
            t[at.TAKE, a] /= split
            t[at.BEST, a] /= split
    if i[at.DIVIDEND] >= 0:
        total = 0.0
        for a in range(t.shape[1]):
            paid = t[at.SHARES, a] * t[at.DIVIDEND_PAID, a]
            t[at.FLOW, a] += paid
            total += paid
        amount = type(zero)(total)
        money[at.CASH] += amount
        money[at.FREE] += amount
        money[at.FINANCING] -= amount


@inline
def open_bar(money: Any, t: Any, c: Any, x: Any, i: Any) -> None:
    """Splits, dividends, delistings, margin calls and gapped exits; see `step._open`."""
    if i[at.SPLIT] >= 0 or i[at.DIVIDEND] >= 0:
        _corporate_actions(money, t, x, i)
    if i[at.MEMBER] >= 0:
        hits = 0
        for a in range(t.shape[1]):
            gone = t[at.LISTED, a] == x[at.ZERO]
            t[at.HIT, a], t[at.PRICE, a] = (x[at.ONE] if gone else x[at.ZERO]), t[at.CLOSE, a]
            hits += gone
        close_hits(money, t, hits, c[at.FEE], c[at.BUY], c[at.SELL], x, i)
    if x[at.MAINTENANCE] != x[at.ZERO]:
        liquidate(money, t, at.OPENED, c, x, i)
    if i[at.EXITS]:
        stop_out(money, t, at.OPENED, c, x, i)
        take_profit(money, t, at.OPENED, c, x, i)


@inline
def _set_exits(t: Any, a: int, before: Any, paid: Any, x: Any, i: Any) -> None:
    """See `exits.set_exits`."""
    zero, one, now = x[at.ZERO], x[at.ONE], t[at.SHARES, a]
    if now != zero and before * now <= zero:
        side = one if now > zero else -one
        stop, take = x[at.STOP_LOSS], x[at.TAKE_PROFIT]
        t[at.STOP, a] = paid * (one + side * -stop) if stop != zero else x[at.NONE]
        t[at.TAKE, a] = paid * (one + side * take) if take != zero else x[at.NONE]
        t[at.BEST, a] = paid


@inline
def _sort(t: Any, sequence: Any) -> int:
    """Assets with an order, by rising `RANK`, then in their own order; returns how many."""
    count = 0
    for a in range(t.shape[1]):
        if t[at.SIZE, a] != t[at.SIZE, a]:
            continue
        rank, k = t[at.RANK, a], count
        while k > 0 and t[at.RANK, sequence[k - 1]] > rank:
            sequence[k] = sequence[k - 1]
            k -= 1
        sequence[k] = a
        count += 1
    return count


@small
def snap(money: Any, t: Any, x: Any, i: Any) -> None:
    """What an order that does not fill does: money within tolerance of 0 is 0."""
    money[at.CASH] = add(money[at.CASH], x[at.ZERO], x, i)
    if i[at.LOCKS]:
        money[at.FREE] = add(money[at.FREE], x[at.ZERO], x, i)
        for a in range(t.shape[1]):
            t[at.DEBT, a] = add(t[at.DEBT, a], x[at.ZERO], x, i)


@njit(**SHARED)
def _trade(money: Any, t: Any, liquid: int, sequence: Any, c: Any, x: Any, i: Any) -> None:
    """Execute the orders in `SIZE` (NaN is none) at `PRICE`, by rising `RANK`, and book them.

    `liquid` is the bar whose volume they take from. See `_working_orders.execute_and_book`.
    """
    zero, assets = x[at.ZERO], t.shape[1]
    on_margin = x[at.LEVERAGE] != x[at.ONE]
    exposure, gross = x[at.NONE], zero
    if on_margin:
        value = value_at(money[at.CASH], t, at.PRICE, zero)
        exposure = (zero if value < zero else value) * x[at.LEVERAGE]
        total = 0.0
        for a in range(assets):
            total += abs(t[at.SHARES, a]) * t[at.PRICE, a]
        gross = type(zero)(total)
    filled = False
    for a in range(assets):
        t[at.GAINED, a] = zero
    for k in range(_sort(t, sequence)):
        a = sequence[k]
        size, price, before = t[at.SIZE, a], t[at.PRICE, a], t[at.SHARES, a]
        most, held = exposure, zero
        if on_margin:
            held = abs(before) * price
            most = exposure if assets == 1 else exposure - gross + held
        paid = price_of(size, price, t[liquid, a], t[liquid + 1, a], c, x, i)
        debt = t[at.DEBT, a]
        signed, fee = execute(
            size, paid, money[at.CASH], money[at.FREE], debt, before, most, c, x, i
        )
        money[at.CASH], money[at.FREE], t[at.DEBT, a], t[at.SHARES, a] = settle(
            signed, paid, fee, money[at.CASH], money[at.FREE], debt, before, x, i
        )
        if on_margin:
            gross = gross + (abs(t[at.SHARES, a]) * price - held)
        if signed != zero or t[at.SHARES, a] != before:
            filled = True
            book(t, a, signed, paid, fee, before, x, i)
            if i[at.EXITS]:
                _set_exits(t, a, before, paid, x, i)
    if filled:
        realise(money, t, zero)
    snap(money, t, x, i)


@inline
def _ready_orders(t: Any, row: int, liquid: int, only: bool, x: Any) -> None:
    """What waits, as orders at the prices in `row`; `only` what was given just now.

    See `_working_orders.fill_at_price`; `RANK` is not 0 where an order was given.
    """
    zero = x[at.ZERO]
    for a in range(t.shape[1]):
        size = t[at.WAITING, a]
        ready = size != zero and not (only and t[at.RANK, a] == zero)
        t[at.PRICE, a] = t[row, a] if ready else t[at.CLOSE, a]
        t[at.SIZE, a] = x[at.NONE]
        if ready:
            most = t[liquid, a] * x[at.PARTICIPATION]
            cut = -most if size < -most else size
            cut = most if cut > most else cut
            t[at.SIZE, a], t[at.WAITING, a] = cut, size - cut
        t[at.RANK, a] = t[at.SIZE, a] * t[at.PRICE, a]


@inline
def _size_orders(money: Any, t: Any, row: int, x: Any, i: Any) -> None:
    """The target weights in `ASKED` (NaN is none) as orders at the prices in `row`.

    See `orders.order_size` and `orders.order_value`.
    """
    zero = x[at.ZERO]
    value = value_at(money[at.CASH], t, row, zero)
    for a in range(t.shape[1]):
        asked = -t[at.ASKED, a] if i[at.SIDE] < 0 else t[at.ASKED, a]
        worth = asked * value
        size = worth / t[row, a] - t[at.SHARES, a]
        t[at.RANK, a] = worth - t[at.SHARES, a] * t[row, a]
        t[at.SIZE, a] = x[at.NONE] if value <= zero else size
        t[at.PRICE, a] = t[row, a]


@njit(**SHARED)
def _order(
    wanted: bool,
    money: Any,
    t: Any,
    row: int,
    liquid: int,
    sequence: Any,
    c: Any,
    x: Any,
    i: Any,
) -> None:
    """Give the orders in `ASKED` at the prices in `row`; see `step._fill`.

    `liquid` is the row of the volume that they take from.
    """
    zero = x[at.ZERO]
    if not (wanted or i[at.WAITS]):
        snap(money, t, x, i)
        return
    _size_orders(money, t, row, x, i)
    if i[at.WAITS]:
        for a in range(t.shape[1]):
            new = t[at.SIZE, a] == t[at.SIZE, a]
            t[at.WAITING, a] = t[at.SIZE, a] if new else t[at.WAITING, a]
            t[at.RANK, a] = x[at.ONE] if new else zero
        _ready_orders(t, row, liquid, i[at.AT_CLOSE] != 0, x)
    _trade(money, t, liquid, sequence, c, x, i)


@inline
def inside_bar(money: Any, t: Any, c: Any, x: Any, i: Any) -> None:
    """Margin call, stops and targets on the way from open to close.

    See `inside.trade_inside_bar`; orders that wait for volume only do not trade here.
    """
    if x[at.MAINTENANCE] != x[at.ZERO] and t.shape[1] == 1:
        margin_call(money, t, c, x, i)
    if not i[at.EXITS]:
        return
    leave(money, t, c, x, i)
    for a in range(t.shape[1]):
        up = t[at.SHARES, a] > x[at.ZERO]
        best = t[at.BEST, a]
        t[at.BEST, a] = higher(best, t[at.HIGHEST, a]) if up else lower(best, t[at.LOWEST, a])


@inline
def accrue(money: Any, t: Any, x: Any, i: Any) -> None:
    """See `financing.accrue`."""
    zero, carried, shorts = x[at.ZERO], 0.0, 0.0
    for a in range(t.shape[1]):
        value = t[at.SHARES, a] * t[at.CLOSED, a]
        rate = x[at.FUNDING]
        if i[at.FUNDED] >= 0:
            rate = t[at.FUNDING_RATE, a] + rate
        short = -value if -value > zero else zero
        part = value * rate + short * x[at.BORROW]
        t[at.FLOW, a] -= part
        carried += part
        shorts += short
    cash = money[at.CASH]
    spare = cash - type(zero)(shorts)
    spare = spare if spare > zero else zero
    lent = -cash if -cash > zero else zero
    interest = zero if money[at.RUINED] != zero else spare * x[at.INTEREST] - lent * x[at.MARGIN]
    change = interest - type(zero)(carried)
    money[at.CASH] += change
    money[at.FREE] += change
    money[at.FINANCING] -= change
    money[at.REALISED] += interest


@inline
def close_bar(money: Any, t: Any, c: Any, x: Any, i: Any) -> None:
    """Margin calls of portfolios at the close, and ruin.

    See `step.trade_through_bar` and `_forced_trades.close_ruined`.
    """
    zero, assets = x[at.ZERO], t.shape[1]
    for a in range(assets):
        t[at.CLOSE, a] = t[at.CLOSED, a]
    if x[at.MAINTENANCE] != zero and assets > 1:
        liquidate(money, t, at.CLOSED, c, x, i)
    equity = value_at(money[at.CASH], t, at.CLOSED, zero)
    if not (money[at.RUINED] != zero or equity <= x[at.RUIN]):
        return
    lost = 0.0
    for a in range(assets):
        lost += t[at.FLOW, a] + t[at.SHARES, a] * t[at.CLOSED, a]
        t[at.SHARES, a] = t[at.FLOW, a] = t[at.DEBT, a] = t[at.WAITING, a] = zero
    money[at.REALISED] += type(zero)(lost)
    money[at.CASH] = zero if equity < zero else equity
    money[at.RUINED] = x[at.ONE]
    money[at.FREE] = money[at.CASH]
    money[at.OWED] += -equity if -equity > zero else zero


@inline
def trade_bar(money: Any, t: Any, sequence: Any, c: Any, x: Any, i: Any) -> None:
    """From one close to the next, by the orders in `ASKED`; see `step.step_account`."""
    wanted = False
    for a in range(t.shape[1]):
        if money[at.RUINED] != x[at.ZERO]:
            t[at.ASKED, a] = x[at.NONE]
        wanted = wanted or t[at.ASKED, a] == t[at.ASKED, a]
    at_close = i[at.AT_CLOSE] != 0
    if at_close:
        _order(wanted, money, t, at.CLOSE, at.OLD_TRADED, sequence, c, x, i)
    open_bar(money, t, c, x, i)
    if not at_close:
        if i[at.MEMBER] >= 0:
            for a in range(t.shape[1]):
                if t[at.LISTED, a] == x[at.ZERO]:
                    t[at.ASKED, a] = x[at.NONE]
        _order(wanted, money, t, at.OPENED, at.TRADED, sequence, c, x, i)
    elif i[at.WAITS]:
        _ready_orders(t, at.OPENED, at.TRADED, False, x)
        _trade(money, t, at.TRADED, sequence, c, x, i)
    inside_bar(money, t, c, x, i)
    if i[at.FINANCES]:
        accrue(money, t, x, i)
    close_bar(money, t, c, x, i)
