"""The orders of a block in compiled code: sized, in turn where assets share cash, and booked.

As in `_exit_kernel`, which has the forced trades, each function names the one that defines it.
"""

from __future__ import annotations

from typing import Any

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._exit_kernel import book, gross_at, value_at
from tradinghf.simulation._order_kernel import (
    add,
    execute,
    nearness,
    part,
    set_prices_paid,
    stage,
)


@stage
def _set_exits(p: Any, x: Any) -> None:
    """Levels for the round trips that fills open; see `exits.set_exits`."""
    zero, one, none = x[at.ZERO], x[at.ONE], x[at.NONE]
    stop, take = x[at.STOP_LOSS], x[at.TAKE_PROFIT]
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            before, now, paid = t[at.SHARES + k], t[at.AFTER + k], t[at.PAID + k]
            changed = t[at.SIGNED + k] != zero or now != before
            opens = changed and now != zero and before * now <= zero
            side = one if now > zero else -one
            stopped = paid * (one + side * -stop) if stop != zero else none
            taken = paid * (one + side * take) if take != zero else none
            t[at.STOP + k] = stopped if opens else t[at.STOP + k]
            t[at.TAKE + k] = taken if opens else t[at.TAKE + k]
            t[at.BEST + k] = paid if opens else t[at.BEST + k]


@stage
def _sort(p: Any, keys: Any, place: Any, turns: Any, x: Any) -> None:
    """Write each account's assets by rising `RANK`, then in their own order, to `turns` [A, LANES].

    Those without an order come last. An asset's place is how many come before it: comparing all
    of them with all is less work than sorting, for several accounts in one instruction.
    """
    most = x[at.ONE] / x[at.ZERO]
    for a in range(len(p)):
        t, key = p[a], keys[a]
        for k in range(at.LANES):
            rank = t[at.RANK + k]
            known = rank == rank and t[at.SIZE + k] == t[at.SIZE + k]
            key[k] = rank if known else most
    for a in range(len(p)):
        key = keys[a]
        for k in range(at.LANES):
            place[k] = 0
        for b in range(a):
            other = keys[b]
            for k in range(at.LANES):
                place[k] += 1 if other[k] <= key[k] else 0
        for b in range(a + 1, len(p)):
            other = keys[b]
            for k in range(at.LANES):
                place[k] += 1 if other[k] < key[k] else 0
        for k in range(at.LANES):
            turns[place[k], k] = a


@part
def _execute_in_turn(m: Any, p: Any, f: Any, turns: Any, x: Any, i: Any) -> None:
    """Execute the orders of several assets one after another; see `portfolio.execute_all`."""
    on_margin = x[at.LEVERAGE] != x[at.ONE]
    for n in range(len(turns)):
        turn = turns[n]
        for k in range(at.LANES):
            a = turn[k]
            f[at.SIZE + k], f[at.PAID + k] = p[a, at.SIZE + k], p[a, at.PAID + k]
            f[at.SHARES + k] = p[a, at.SHARES + k]
        if i[at.LOCKS]:
            for k in range(at.LANES):
                f[at.DEBT + k] = p[turn[k], at.DEBT + k]
        if on_margin:
            for k in range(at.LANES):
                f[at.PRICE + k] = p[turn[k], at.PRICE + k]
        execute(m, f, False, x, i)
        for k in range(at.LANES):
            a = turn[k]
            p[a, at.SIGNED + k], p[a, at.COST + k] = f[at.SIGNED + k], f[at.COST + k]
            p[a, at.AFTER + k] = f[at.AFTER + k]
        if i[at.LOCKS]:
            for k in range(at.LANES):
                p[turn[k], at.DEBT + k] = f[at.DEBT + k]


@stage
def _snap(m: Any, p: Any, x: Any, i: Any) -> None:
    """What an order that does not fill does: money within tolerance of 0 is 0."""
    zero, near = x[at.ZERO], nearness(x)
    for k in range(at.LANES):
        m[at.CASH + k] = add(m[at.CASH + k], zero, near)
    if i[at.LOCKS]:
        for k in range(at.LANES):
            m[at.FREE + k] = add(m[at.FREE + k], zero, near)
        for a in range(len(p)):
            t = p[a]
            for k in range(at.LANES):
                t[at.DEBT + k] = add(t[at.DEBT + k], zero, near)


@stage
def trade(m: Any, p: Any, d: Any, liquid: int, work: Any, x: Any, i: Any) -> None:
    """Execute the orders in `SIZE` (NaN is none) at `PRICE`, by rising `RANK`, and book them.

    `liquid` is the row of the volume that they take from. See `_working_orders.execute_and_book`.
    """
    f, keys, place, turns = work
    zero, leverage = x[at.ZERO], x[at.LEVERAGE]
    if leverage != x[at.ONE]:
        value_at(m, p, d, at.PRICE, at.EXPOSURE)
        gross_at(m, p, d, at.PRICE)
        for k in range(at.LANES):
            value = m[at.EXPOSURE + k]
            m[at.EXPOSURE + k] = (zero if value < zero else value) * leverage
    set_prices_paid(m, p, liquid, x)
    if len(p) == 1:
        execute(m, p[0], True, x, i)
    else:
        _sort(p, keys, place, turns, x)
        _execute_in_turn(m, p, f, turns, x, i)
    if i[at.EXITS]:
        _set_exits(p, x)
    book(m, p, d, x)
    _snap(m, p, x, i)


@stage
def ready_orders(p: Any, row: int, liquid: int, only: bool, x: Any) -> None:
    """What waits, as orders at the prices in `row`; `only` what was given just now.

    See `_working_orders.fill_at_price`; `RANK` is not 0 where an order was given.
    """
    zero, none, part = x[at.ZERO], x[at.NONE], x[at.PARTICIPATION]
    for a in range(len(p)):
        t = p[a]
        price, traded = t[row : row + at.LANES], t[liquid : liquid + at.LANES]
        for k in range(at.LANES):
            size, most = t[at.WAITING + k], traded[k] * part
            ready = size != zero and not (only and t[at.RANK + k] == zero)
            at_price = price[k] if ready else t[at.CLOSE + k]
            cut = -most if size < -most else size
            cut = most if cut > most else cut
            t[at.PRICE + k] = at_price
            t[at.SIZE + k] = cut if ready else none
            t[at.WAITING + k] = size - cut if ready else size
            t[at.RANK + k] = (cut if ready else none) * at_price


@stage
def _size_orders(m: Any, p: Any, d: Any, row: int, x: Any, i: Any) -> None:
    """The target weights in `ASKED` (NaN is none) as orders at the prices in `row`.

    See `orders.order_size` and `orders.order_value`.
    """
    zero, none, inverse = x[at.ZERO], x[at.NONE], i[at.SIDE] < 0
    value_at(m, p, d, row, at.VALUE)
    for a in range(len(p)):
        t = p[a]
        prices = t[row : row + at.LANES]
        for k in range(at.LANES):
            asked, value, price = t[at.ASKED + k], m[at.VALUE + k], prices[k]
            worth, shares = (-asked if inverse else asked) * value, t[at.SHARES + k]
            t[at.RANK + k] = worth - shares * price
            t[at.SIZE + k] = none if value <= zero else worth / price - shares
            t[at.PRICE + k] = price


@part
def order(
    wanted: bool, m: Any, p: Any, d: Any, row: int, liquid: int, work: Any, x: Any, i: Any
) -> None:
    """Give the orders in `ASKED` at the prices in `row`; see `step._fill`.

    `liquid` is the row of the volume that they take from.
    """
    zero, one = x[at.ZERO], x[at.ONE]
    if not (wanted or i[at.WAITS]):
        _snap(m, p, x, i)
        return
    _size_orders(m, p, d, row, x, i)
    if i[at.WAITS]:
        for a in range(len(p)):
            t = p[a]
            for k in range(at.LANES):
                size = t[at.SIZE + k]
                t[at.WAITING + k] = size if size == size else t[at.WAITING + k]
                t[at.RANK + k] = one if size == size else zero
        ready_orders(p, row, liquid, i[at.AT_CLOSE] != 0, x)
    trade(m, p, d, liquid, work, x, i)
