"""Forced trades of a block in compiled code: margin calls, stops, targets, delistings.

The functions change the block's rows in place (`_layout_kernel`); each names the tensor function
that defines it. Sums over assets run in their order, in float64 (`ledger.sum_assets`).
"""

from __future__ import annotations

from typing import Any

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._order_kernel import (
    fee_of,
    higher,
    lower,
    part,
    prices_of_costs,
    small,
    stage,
)


@small
def add_up(t: Any, row: int, d: Any) -> None:
    """Add a row to the sums; in a loop of its own, since float64 halves what is done at once."""
    for k in range(at.LANES):
        d[k] += t[row + k]


@stage
def value_at(m: Any, p: Any, d: Any, row: int, to: int) -> None:
    """Write cash and positions at the prices in a row to `m[to]`; see `ledger.account_value`."""
    value = m[to : to + at.LANES]
    for k in range(at.LANES):
        d[k] = 0.0
    for a in range(len(p)):
        t = p[a]
        price = t[row : row + at.LANES]
        for k in range(at.LANES):
            t[at.PART + k] = t[at.SHARES + k] * price[k]
        add_up(t, at.PART, d)
    for k in range(at.LANES):
        value[k] = d[k]
        value[k] = m[at.CASH + k] + value[k]


@stage
def gross_at(m: Any, p: Any, d: Any, row: int) -> None:
    """Write the sum of |positions| at the prices in a row to `GROSS`."""
    for k in range(at.LANES):
        d[k] = 0.0
    for a in range(len(p)):
        t = p[a]
        price = t[row : row + at.LANES]
        for k in range(at.LANES):
            t[at.PART + k] = abs(t[at.SHARES + k]) * price[k]
        add_up(t, at.PART, d)
    for k in range(at.LANES):
        m[at.GROSS + k] = d[k]


@stage
def book(m: Any, p: Any, d: Any, x: Any) -> None:
    """Enter the fills of `SIGNED` at `PAID` for `COST`, which make the shares `AFTER`.

    See `ledger.book_fills`.
    """
    zero = x[at.ZERO]
    for k in range(at.LANES):
        d[k] = 0.0
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            signed, before, after = t[at.SIGNED + k], t[at.SHARES + k], t[at.AFTER + k]
            paid, fee, flow = t[at.PAID + k], t[at.COST + k], t[at.FLOW + k]
            filled = signed != zero or after != before
            cost, amount = signed * paid, abs(signed)
            stays = before == zero or before * after > zero
            gained = zero if stays else flow + before * paid - fee * (abs(before) / amount)
            left = zero if after == zero else flow - (cost + fee) - gained
            t[at.FLOW + k] = left if filled else flow
            t[at.PART + k] = gained if filled else zero
            slipped = amount * abs(paid - t[at.PRICE + k])
            t[at.VOLUME + k] += amount
            t[at.NOTIONAL + k] += abs(cost) if filled else zero
            t[at.FEES + k] += fee if filled else zero
            t[at.SLIPPAGE + k] += slipped if filled else zero
            t[at.SHARES + k] = after
        add_up(t, at.PART, d)
    for k in range(at.LANES):
        m[at.VALUE + k] = d[k]
        m[at.REALISED + k] += m[at.VALUE + k]


@part
def _close_hits(m: Any, p: Any, d: Any, rate: int, passive: bool, x: Any) -> None:
    """Fill what `close_hits` closes."""
    zero, one, costs = x[at.ZERO], x[at.ONE], prices_of_costs(x)
    fees, sums = m[rate : rate + at.LANES], d[at.LANES : 2 * at.LANES]
    for k in range(at.LANES):
        sums[k] = 0.0
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            factor = m[at.SELL + k] if t[at.SHARES + k] > zero else m[at.BUY + k]
            t[at.PAID + k] = t[at.PRICE + k] * (one if passive else factor)
        for k in range(at.LANES):
            held, paid = t[at.SHARES + k], t[at.PAID + k]
            hit = t[at.HIT + k] != zero and held != zero
            fee = fee_of(abs(held), abs(held) * paid, fees[k], costs)
            t[at.SIGNED + k] = zero - held if hit else zero
            t[at.COST + k] = fee if hit else zero
            t[at.AFTER + k] = zero if hit else held
            t[at.EXITED + k] = one if hit else t[at.EXITED + k]
            t[at.PART + k] = (zero - held) * paid + fee if hit else zero
        add_up(t, at.PART, sums)
        for k in range(at.LANES):  # what waits is the rest of a begun order: `Working.after_exit`
            size, held = t[at.WAITING + k], zero - t[at.SIGNED + k]
            beyond = size + held if size * held < zero else zero
            beyond = beyond if beyond * size > zero else zero
            t[at.WAITING + k] = size if held == zero else beyond
    book(m, p, d, x)
    for k in range(at.LANES):
        m[at.VALUE + k] = sums[k]
        m[at.CASH + k] -= m[at.VALUE + k]


@stage
def _owe(m: Any, p: Any, x: Any) -> None:
    """Make what cash lacks a debt where nothing is held any more."""
    zero, one = x[at.ZERO], x[at.ONE]
    for k in range(at.LANES):
        m[at.VALUE + k] = zero
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            m[at.VALUE + k] = one if t[at.SHARES + k] != zero else m[at.VALUE + k]
    for k in range(at.LANES):
        cash, owed = m[at.CASH + k], m[at.OWED + k]
        lacks = cash < zero and m[at.VALUE + k] == zero
        m[at.OWED + k] = owed - cash if lacks else owed
        m[at.CASH + k] = zero if lacks else cash


@stage
def _unlock(m: Any, p: Any, d: Any, hits: int, x: Any) -> None:
    """Free what closed positions locked."""
    zero, two = x[at.ZERO], x[at.TWO]
    for k in range(at.LANES):
        d[k] = 0.0
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            debt = t[at.DEBT + k]
            if hits:
                debt = zero if t[at.HIT + k] != zero else debt
            t[at.DEBT + k] = debt
        add_up(t, at.DEBT, d)
    for k in range(at.LANES):
        m[at.FREE + k] = d[k]
        m[at.FREE + k] = m[at.CASH + k] - two * m[at.FREE + k]


@stage
def close_hits(m: Any, p: Any, d: Any, hits: int, rate: int, passive: bool, x: Any, i: Any) -> None:
    """Trade the positions marked in `HIT` to flat at `PRICE`, whatever it costs.

    `rate` is the row of the proportional fee; limit orders are `passive`: they pay no slippage.
    See `_forced_trades.force_close`.
    """
    zero, lacking = x[at.ZERO], 0
    if hits:
        _close_hits(m, p, d, rate, passive, x)
    for k in range(at.LANES):
        lacking += m[at.CASH + k] < zero
    if lacking:
        _owe(m, p, x)
    if i[at.LOCKS]:
        _unlock(m, p, d, hits, x)


@stage
def liquidate(m: Any, p: Any, d: Any, row: int, x: Any, i: Any) -> None:
    """See `_forced_trades.liquidate`."""
    one, zero, part, hits = x[at.ONE], x[at.ZERO], x[at.MAINTENANCE], 0
    gross_at(m, p, d, row)
    value_at(m, p, d, row, at.VALUE)
    for k in range(at.LANES):
        called = m[at.VALUE + k] < part * m[at.GROSS + k]
        m[at.VALUE + k] = one if called else zero
        hits += called
    if hits:
        for a in range(len(p)):
            t = p[a]
            price = t[row : row + at.LANES]
            for k in range(at.LANES):
                t[at.HIT + k], t[at.PRICE + k] = m[at.VALUE + k], price[k]
    close_hits(m, p, d, hits, at.PENALTY, False, x, i)


@small
def _stop_of(stop: Any, best: Any, held: Any, trailing: Any, zero: Any, one: Any) -> Any:
    """See `exits.stop_level`."""
    if trailing == zero:
        return stop
    side = one if held > zero else (zero if held == zero else -one)
    trail = best * (one - side * trailing)
    return higher(stop, trail) if held > zero else lower(stop, trail)


@stage
def stop_out(m: Any, p: Any, d: Any, row: int, x: Any, i: Any) -> None:
    """See `exits.stop_out`."""
    zero, one, trailing, hits = x[at.ZERO], x[at.ONE], x[at.TRAILING], 0
    for a in range(len(p)):
        t = p[a]
        prices = t[row : row + at.LANES]
        for k in range(at.LANES):
            held, price = t[at.SHARES + k], prices[k]
            level = _stop_of(t[at.STOP + k], t[at.BEST + k], held, trailing, zero, one)
            hit = (held > zero and price <= level) or (held < zero and price >= level)
            t[at.HIT + k], t[at.PRICE + k] = (one if hit else zero), price
            hits += hit
    close_hits(m, p, d, hits, at.FEE, False, x, i)


@stage
def take_profit(m: Any, p: Any, d: Any, row: int, x: Any, i: Any) -> None:
    """See `exits.take_profit`."""
    zero, one, hits = x[at.ZERO], x[at.ONE], 0
    for a in range(len(p)):
        t = p[a]
        prices = t[row : row + at.LANES]
        for k in range(at.LANES):
            held, price, level = t[at.SHARES + k], prices[k], t[at.TAKE + k]
            hit = (held > zero and price >= level) or (held < zero and price <= level)
            t[at.HIT + k], t[at.PRICE + k] = (one if hit else zero), price
            hits += hit
    close_hits(m, p, d, hits, at.FEE, True, x, i)


@stage
def margin_call(m: Any, p: Any, d: Any, x: Any, i: Any) -> None:
    """See `inside._margin_call`; for one asset."""
    zero, one, trailing, hits = x[at.ZERO], x[at.ONE], x[at.TRAILING], 0
    part, exits, t = x[at.MAINTENANCE], i[at.EXITS] != 0, p[0]
    for k in range(at.LANES):
        held, first = t[at.SHARES + k], t[at.OPENED + k]
        long = held > zero
        level = m[at.CASH + k] / (part * abs(held) - held)
        hit = t[at.LOWEST + k] <= level if long else t[at.HIGHEST + k] >= level
        if exits:
            stop = _stop_of(t[at.STOP + k], t[at.BEST + k], held, trailing, zero, one)
            hit = hit and not (stop >= level if long else stop <= level)
        hit = hit and held != zero
        t[at.PRICE + k] = lower(level, first) if long else higher(level, first)
        t[at.HIT + k] = one if hit else zero
        hits += hit
    close_hits(m, p, d, hits, at.PENALTY, False, x, i)


@stage
def leave(m: Any, p: Any, d: Any, x: Any, i: Any) -> None:
    """Stops, then targets that no stop comes before; see `inside._leave`."""
    zero, one, trailing, stops, takes = x[at.ZERO], x[at.ONE], x[at.TRAILING], 0, 0
    for a in range(len(p)):
        t = p[a]
        for k in range(at.LANES):
            held, first, take = t[at.SHARES + k], t[at.OPENED + k], t[at.TAKE + k]
            high, low, long = t[at.HIGHEST + k], t[at.LOWEST + k], held > zero
            stop = _stop_of(t[at.STOP + k], t[at.BEST + k], held, trailing, zero, one)
            stopped = (low <= stop if long else high >= stop) and held != zero
            taken = (high >= take if long else low <= take) and held != zero and not stopped
            t[at.HIT + k] = one if stopped else zero
            t[at.PRICE + k] = lower(stop, first) if long else higher(stop, first)
            t[at.RANK + k] = one if taken else zero
            t[at.SIZE + k] = higher(take, first) if long else lower(take, first)
            stops += stopped
            takes += taken
    close_hits(m, p, d, stops, at.FEE, False, x, i)
    if takes:
        for a in range(len(p)):
            t = p[a]
            for k in range(at.LANES):
                t[at.HIT + k], t[at.PRICE + k] = t[at.RANK + k], t[at.SIZE + k]
        close_hits(m, p, d, takes, at.FEE, True, x, i)
