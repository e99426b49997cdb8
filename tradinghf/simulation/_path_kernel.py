"""What one account's positions and waiting orders meet inside a bar, in compiled code.

`_account_kernel` names the numbers. The tensor functions named by each function stay the
definition; the arithmetic here is theirs, in the same order of rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tradinghf.simulation import _account_kernel as at
from tradinghf.simulation._account_kernel import fee_of, part, record

FIRST, LOW, HIGH, SURE_LOW, SURE_HIGH, WHERE, SPAN = range(7)
STOPPED, TAKEN = 1, 2


@part
def lower(a: Any, b: Any) -> Any:
    """As `torch.fmin`: the other one if one is NaN."""
    return b if (a != a or b < a) else a


@part
def higher(a: Any, b: Any) -> Any:
    """As `torch.fmax`: the other one if one is NaN."""
    return b if (a != a or b > a) else a


@part
def worth(m: Any, p: Any, price: Any) -> Any:
    """Cash and positions; see `ledger.account_value`."""
    total = 0.0
    for a in range(p.shape[1]):
        total += p[at.SHARES, a] * price[a]
    return m[at.CASH] + total


@part
def stop_of(p: Any, a: Any, trailing: Any) -> Any:
    """See `exits.stop_level`."""
    if trailing == 0:
        return p[at.EXIT, a]
    side = np.sign(p[at.SHARES, a])
    trail = p[at.BEST, a] * (1.0 - side * trailing)
    return higher(p[at.EXIT, a], trail) if side > 0 else lower(p[at.EXIT, a], trail)


@part
def _order_first(order: Any, level: Any, start: Any, torn: Any) -> Any:
    """See `inside._order_first`."""
    to_order, to_level = order - start, level - start
    both = to_order * to_level
    return (both > 0 and abs(to_order) < abs(to_level)) or (torn and both < 0)


@part
def _decide(p: Any, a: Any, stop: Any, s: Any, before: Any, hopeful: Any) -> Any:
    """0, `STOPPED` or `TAKEN` in one reading of the path; see `inside._decide`."""
    held, target = p[at.SHARES, a], p[at.TARGET, a]
    if held == 0 or s[WHERE, a] == 0:
        return 0
    if hopeful:
        stopped = s[SURE_LOW, a] <= stop if held > 0 else s[SURE_HIGH, a] >= stop
        taken = s[HIGH, a] >= target if held > 0 else s[LOW, a] <= target
    else:
        stopped = s[LOW, a] <= stop if held > 0 else s[HIGH, a] >= stop
        taken = s[SURE_HIGH, a] >= target if held > 0 else s[SURE_LOW, a] <= target
    if before == before:
        first = s[FIRST, a]
        stopped = stopped and not _order_first(before, stop, first, hopeful)
        taken = taken and not _order_first(before, target, first, not hopeful)
    if hopeful:
        return TAKEN if taken else (STOPPED if stopped else 0)
    return STOPPED if stopped else (TAKEN if taken else 0)


@part
def _cancel_rest(p: Any, a: Any, held: Any) -> None:
    """What is left of a begun order once `held` shares were closed; see `Working.after_exit`."""
    size = p[at.SIZE, a]
    if p[at.BEGUN, a] != 0:
        beyond = size + held if size * held < 0 else 0.0
        p[at.SIZE, a] = beyond if beyond * size > 0 else 0.0


@part
def force(
    t: Any, m: Any, p: Any, w: Any, code: Any, rate: Any, fees: Any, out: Any, n: Any, x: Any
) -> Any:
    """Close the positions whose `WANT` is `code` at `PRICE`; see `_forced_trades.force_close`.

    A target pays no slippage. `rate` is the row of the proportional fee.
    """
    slip, rate = (0.0 if code == TAKEN else x[at.SLIPPAGE]), x[rate]
    total, held_still, hits = 0.0, False, 0
    for a in range(p.shape[1]):
        held = p[at.SHARES, a]
        if w[at.WANT, a] == code and held != 0:
            size, price = -held, w[at.PRICE, a]
            paid = price * (1.0 + slip) if size > 0 else price * (1.0 - slip)
            fee = fee_of(abs(size), abs(size) * paid, rate, x)
            total += size * paid + fee
            fees[a] += fee
            n = record(out, n, t, a, size, paid, fee, price)
            p[at.SHARES, a] = 0.0
            _cancel_rest(p, a, held)
            hits += 1
        held_still = held_still or p[at.SHARES, a] != 0
    if hits:
        m[at.CASH] = m[at.CASH] - total
    if not held_still and m[at.CASH] < 0:
        m[at.OWED] += -m[at.CASH]
        m[at.CASH] = 0.0
    return n


@part
def liquidate(
    t: Any, m: Any, p: Any, w: Any, price: Any, fees: Any, out: Any, n: Any, x: Any
) -> Any:
    """Close all below the maintenance margin at a price [A]; see `_forced_trades.liquidate`."""
    gross = 0.0
    for a in range(p.shape[1]):
        gross += abs(p[at.SHARES, a]) * price[a]
    called = worth(m, p, price) < x[at.MAINTENANCE] * gross
    for a in range(p.shape[1]):
        w[at.WANT, a], w[at.PRICE, a] = (STOPPED if called else 0), price[a]
    return force(t, m, p, w, STOPPED, at.PENALTY_FEE, fees, out, n, x)


@part
def _call_margin(
    t: Any, m: Any, p: Any, w: Any, s: Any, ordered: Any, fees: Any, out: Any, n: Any, x: Any,
    i: Any,
) -> Any:  # fmt: skip
    """Liquidate a single position on its way to its stop; see `inside._margin_call`."""
    held, first = p[at.SHARES, 0], s[FIRST, 0]
    unit = x[at.MAINTENANCE] * abs(held) - held
    level, long = (m[at.CASH] / unit if held != 0 else np.nan), held > 0
    called = held != 0 and (s[LOW, 0] <= level if long else s[HIGH, 0] >= level)
    called = called and s[WHERE, 0] != 0
    if ordered:
        called = called and not _order_first(w[at.ENTRY, 0], level, first, False)
    if i[at.EXITS]:
        stop = stop_of(p, 0, x[at.TRAILING])
        called = called and not (stop >= level if long else stop <= level)
    w[at.WANT, 0] = STOPPED if called else 0
    w[at.PRICE, 0] = lower(level, first) if long else higher(level, first)
    return force(t, m, p, w, STOPPED, at.PENALTY_FEE, fees, out, n, x)


@part
def leave(
    t: Any, m: Any, p: Any, w: Any, s: Any, ordered: Any, fees: Any, out: Any, n: Any, x: Any,
    i: Any,
) -> Any:  # fmt: skip
    """Close what a span takes to its margin call, stop or target; see `inside._leave`.

    `ordered`: only what comes before the waiting order's price in `ENTRY` happens.
    """
    if x[at.MAINTENANCE] != 0 and p.shape[1] == 1:
        n = _call_margin(t, m, p, w, s, ordered, fees, out, n, x, i)
    if not i[at.EXITS]:
        return n
    hopeful = i[at.HOPEFUL] != 0
    for a in range(p.shape[1]):
        stop, before = stop_of(p, a, x[at.TRAILING]), w[at.ENTRY, a] if ordered else np.nan
        done = _decide(p, a, stop, s, before, hopeful)
        if done != _decide(p, a, stop, s, before, not hopeful):
            w[at.UNSURE, a] = 1.0
        level, long = (stop if done == STOPPED else p[at.TARGET, a]), p[at.SHARES, a] > 0
        down = long if done == STOPPED else not long
        w[at.WANT, a] = done
        w[at.PRICE, a] = lower(level, s[FIRST, a]) if down else higher(level, s[FIRST, a])
    for a in range(p.shape[1]):
        if w[at.WANT, a] == TAKEN and p[at.SHARES, a] > 0:
            w[at.PRICE, a] = higher(p[at.TARGET, a], s[FIRST, a])
        elif w[at.WANT, a] == TAKEN:
            w[at.PRICE, a] = lower(p[at.TARGET, a], s[FIRST, a])
    n = force(t, m, p, w, STOPPED, at.FEE, fees, out, n, x)
    return force(t, m, p, w, TAKEN, at.MAKER_FEE, fees, out, n, x)


@part
def leave_at_open(
    t: Any, m: Any, p: Any, w: Any, price: Any, fees: Any, out: Any, n: Any, x: Any
) -> Any:
    """Exits that the open gapped through; see `exits.stop_out` and `exits.take_profit`."""
    for a in range(p.shape[1]):
        held, stop = p[at.SHARES, a], stop_of(p, a, x[at.TRAILING])
        hit = held != 0 and (price[a] <= stop if held > 0 else price[a] >= stop)
        w[at.WANT, a], w[at.PRICE, a] = (STOPPED if hit else 0), price[a]
    n = force(t, m, p, w, STOPPED, at.FEE, fees, out, n, x)
    for a in range(p.shape[1]):
        held, target = p[at.SHARES, a], p[at.TARGET, a]
        hit = held != 0 and (price[a] >= target if held > 0 else price[a] <= target)
        w[at.WANT, a] = TAKEN if hit else 0
    return force(t, m, p, w, TAKEN, at.MAKER_FEE, fees, out, n, x)


@part
def whole_bar(s: Any, bar: Any) -> None:
    """See `inside._Span.whole`; `bar` [rows, A]."""
    for a in range(bar.shape[1]):
        s[FIRST, a], s[WHERE, a] = bar[0, a], 1.0
        s[LOW, a], s[SURE_LOW, a] = bar[2, a], bar[2, a]
        s[HIGH, a], s[SURE_HIGH, a] = bar[1, a], bar[1, a]


@part
def rest_of_bar(p: Any, w: Any, s: Any, bar: Any) -> None:
    """What follows a waiting order in its bar; see `inside._Span.after`."""
    for a in range(bar.shape[1]):
        price, filled = w[at.ENTRY, a], w[at.WAS, a] != p[at.SHARES, a]
        close, s[WHERE, a] = bar[3, a], (1.0 if price == price else 0.0)
        s[FIRST, a] = price if filled else bar[0, a]
        low = bar[2, a] if w[at.FALLING, a] != 0 else lower(price, close)
        high = bar[1, a] if w[at.RISING, a] != 0 else higher(price, close)
        s[SURE_LOW, a] = low if filled else bar[2, a]
        s[SURE_HIGH, a] = high if filled else bar[1, a]


@part
def reach(p: Any, w: Any, bar: Any, hopeful: Any) -> None:
    """Where a bar's range reaches waiting orders; see `_working_orders.reached_inside`.

    `WANT` is not 0 where an order was tried at the open. Stops that were reached are taken away.
    """
    for a in range(bar.shape[1]):
        size, limit, stop = p[at.SIZE, a], p[at.LIMIT, a], p[at.STOP, a]
        high, low, close, buying = bar[1, a], bar[2, a], bar[3, a], size > 0
        waits = size != 0 and w[at.WANT, a] == 0
        activated = waits and (high >= stop if buying else low <= stop)
        through = limit != limit or (limit > stop if buying else limit < stop)
        near = activated and not through
        sure = near and (close <= limit if buying else close >= limit)
        touched = low <= limit if buying else high >= limit
        may = near and touched
        at_limit = waits and stop != stop and limit == limit and touched
        at_stop = activated and through
        passive = at_limit or (may if hopeful else sure)
        w[at.ENTRY, a] = stop if at_stop else (limit if passive else np.nan)
        w[at.PASSIVE, a] = 1.0 if passive else 0.0
        w[at.FALLING, a] = 1.0 if (at_limit if buying else at_stop) else 0.0
        w[at.RISING, a] = 1.0 if (at_stop if buying else at_limit) else 0.0
        if may and not sure:
            w[at.UNSURE, a] = 1.0
        if activated:
            p[at.STOP, a] = np.nan
