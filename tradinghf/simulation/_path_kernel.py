"""What one account's positions and waiting orders meet inside a bar, in compiled code.

Numbers of one account: `m` its money, `p` [rows, A] its positions, exits and waiting orders, `x`
settings, `i` switches; the rows are named below. The tensor functions named by each function stay
the definition; the arithmetic here is theirs, in the same order of rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tradinghf.numba_cache import use_unique_files

CASH, OWED, RUINED, FINANCING, MONEY = range(5)
SHARES, CLOSE, SIZE, LIMIT, STOP, LOSS, TAKE, EXIT, TARGET, BEST, ROWS = range(11)
(FEE, FIXED, PER_SHARE, SLIPPAGE, MAKER_FEE, LEAST, RUIN, STOP_LOSS, TAKE_PROFIT, TRAILING) = range(
    10
)
BORROW, MARGIN, INTEREST, FUNDING, SETTINGS = range(10, 15)
SIDE, WAITS, EXITS, FINANCES, MEMBERS, AT_CLOSE, HOPEFUL, SWITCHES = range(8)
WANT, PRICE, RANK, SIGNED, PAID, COST, WAS, ENTRY, PASSIVE, FALLING, RISING, UNSURE, WORK = range(
    13
)
FIRST, LOW, HIGH, SURE_LOW, SURE_HIGH, WHERE, SPAN = range(7)
STOPPED, TAKEN = 1, 2

use_unique_files()
SHARED: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
part = njit(**SHARED)


@part
def lower(a: Any, b: Any) -> Any:
    """As `torch.fmin`: the other one if one is NaN."""
    return b if (a != a or b < a) else a


@part
def higher(a: Any, b: Any) -> Any:
    """As `torch.fmax`: the other one if one is NaN."""
    return b if (a != a or b > a) else a


@part
def stop_of(p: Any, a: Any, trailing: Any) -> Any:
    """See `exits.stop_level`."""
    if trailing == 0:
        return p[EXIT, a]
    side = np.sign(p[SHARES, a])
    trail = p[BEST, a] * (1.0 - side * trailing)
    return higher(p[EXIT, a], trail) if side > 0 else lower(p[EXIT, a], trail)


@part
def _order_first(order: Any, level: Any, start: Any, torn: Any) -> Any:
    """See `inside._order_first`."""
    to_order, to_level = order - start, level - start
    both = to_order * to_level
    return (both > 0 and abs(to_order) < abs(to_level)) or (torn and both < 0)


@part
def _decide(p: Any, a: Any, stop: Any, s: Any, before: Any, hopeful: Any) -> Any:
    """0, `STOPPED` or `TAKEN` in one reading of the path; see `inside._decide`."""
    held, target = p[SHARES, a], p[TARGET, a]
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
def fee_of(size: Any, notional: Any, rate: Any, x: Any) -> Any:
    """See `costs.fee`."""
    total = notional * rate
    if x[FIXED] != 0:
        total = total + x[FIXED]
    if x[PER_SHARE] != 0:
        total = total + size * x[PER_SHARE]
    return total


@part
def record(out: Any, n: Any, t: Any, a: Any, size: Any, paid: Any, fee: Any, before: Any) -> Any:
    """Write down a fill; returns the number of them."""
    out[n, 0], out[n, 1], out[n, 2] = t, a, size
    out[n, 3], out[n, 4], out[n, 5] = paid, fee, before
    return n + 1


@part
def force(
    t: Any, m: Any, p: Any, w: Any, code: Any, passive: Any, fees: Any, out: Any, n: Any, x: Any
) -> Any:
    """Close the positions whose `WANT` is `code` at `PRICE`; see `_forced_trades.force_close`."""
    slip = 0.0 if passive else x[SLIPPAGE]
    rate = x[MAKER_FEE] if passive else x[FEE]
    total, held_still, hits = 0.0, False, 0
    for a in range(p.shape[1]):
        held = p[SHARES, a]
        if w[WANT, a] == code and held != 0:
            size, price = -held, w[PRICE, a]
            paid = price * (1.0 + slip) if size > 0 else price * (1.0 - slip)
            fee = fee_of(abs(size), abs(size) * paid, rate, x)
            total += size * paid + fee
            fees[a] += fee
            n = record(out, n, t, a, size, paid, fee, price)
            p[SHARES, a] = 0.0
            hits += 1
        held_still = held_still or p[SHARES, a] != 0
    if hits:
        m[CASH] = m[CASH] - total
    if not held_still and m[CASH] < 0:
        m[OWED] += -m[CASH]
        m[CASH] = 0.0
    return n


@part
def leave(
    t: Any, m: Any, p: Any, w: Any, s: Any, ordered: Any, fees: Any, out: Any, n: Any, x: Any,
    i: Any,
) -> Any:  # fmt: skip
    """Close what a span takes to its stop or target; see `inside._leave`.

    `ordered`: only what comes before the waiting order's price in `ENTRY` happens.
    """
    if not i[EXITS]:
        return n
    hopeful = i[HOPEFUL] != 0
    for a in range(p.shape[1]):
        stop, before = stop_of(p, a, x[TRAILING]), w[ENTRY, a] if ordered else np.nan
        done = _decide(p, a, stop, s, before, hopeful)
        if done != _decide(p, a, stop, s, before, not hopeful):
            w[UNSURE, a] = 1.0
        level, long = (stop if done == STOPPED else p[TARGET, a]), p[SHARES, a] > 0
        down = long if done == STOPPED else not long
        w[WANT, a] = done
        w[PRICE, a] = lower(level, s[FIRST, a]) if down else higher(level, s[FIRST, a])
    for a in range(p.shape[1]):
        if w[WANT, a] == TAKEN and p[SHARES, a] > 0:
            w[PRICE, a] = higher(p[TARGET, a], s[FIRST, a])
        elif w[WANT, a] == TAKEN:
            w[PRICE, a] = lower(p[TARGET, a], s[FIRST, a])
    n = force(t, m, p, w, STOPPED, False, fees, out, n, x)
    return force(t, m, p, w, TAKEN, True, fees, out, n, x)


@part
def leave_at_open(
    t: Any, m: Any, p: Any, w: Any, price: Any, fees: Any, out: Any, n: Any, x: Any
) -> Any:
    """Exits that the open gapped through; see `exits.stop_out` and `exits.take_profit`."""
    for a in range(p.shape[1]):
        held, stop = p[SHARES, a], stop_of(p, a, x[TRAILING])
        hit = held != 0 and (price[a] <= stop if held > 0 else price[a] >= stop)
        w[WANT, a], w[PRICE, a] = (STOPPED if hit else 0), price[a]
    n = force(t, m, p, w, STOPPED, False, fees, out, n, x)
    for a in range(p.shape[1]):
        held, target = p[SHARES, a], p[TARGET, a]
        hit = held != 0 and (price[a] >= target if held > 0 else price[a] <= target)
        w[WANT, a] = TAKEN if hit else 0
    return force(t, m, p, w, TAKEN, True, fees, out, n, x)


@part
def whole_bar(s: Any, bar: Any) -> None:
    """See `inside._Span.whole`; `bar` [4, A] is open, high, low, close."""
    for a in range(bar.shape[1]):
        s[FIRST, a], s[WHERE, a] = bar[0, a], 1.0
        s[LOW, a], s[SURE_LOW, a] = bar[2, a], bar[2, a]
        s[HIGH, a], s[SURE_HIGH, a] = bar[1, a], bar[1, a]


@part
def rest_of_bar(p: Any, w: Any, s: Any, bar: Any) -> None:
    """What follows a waiting order in its bar; see `inside._Span.after`."""
    for a in range(bar.shape[1]):
        price, filled = w[ENTRY, a], w[WAS, a] != p[SHARES, a]
        close, s[WHERE, a] = bar[3, a], (1.0 if price == price else 0.0)
        s[FIRST, a] = price if filled else bar[0, a]
        low = bar[2, a] if w[FALLING, a] != 0 else lower(price, close)
        high = bar[1, a] if w[RISING, a] != 0 else higher(price, close)
        s[SURE_LOW, a] = low if filled else bar[2, a]
        s[SURE_HIGH, a] = high if filled else bar[1, a]


@part
def reach(p: Any, w: Any, bar: Any, hopeful: Any) -> None:
    """Where a bar's range reaches waiting orders; see `_working_orders.reached_inside`.

    `WANT` is not 0 where an order was tried at the open. Stops that were reached are taken away.
    """
    for a in range(bar.shape[1]):
        size, limit, stop = p[SIZE, a], p[LIMIT, a], p[STOP, a]
        high, low, close, buying = bar[1, a], bar[2, a], bar[3, a], size > 0
        waits = size != 0 and w[WANT, a] == 0
        activated = waits and (high >= stop if buying else low <= stop)
        through = limit != limit or (limit > stop if buying else limit < stop)
        near = activated and not through
        sure = near and (close <= limit if buying else close >= limit)
        touched = low <= limit if buying else high >= limit
        may = near and touched
        at_limit = waits and stop != stop and limit == limit and touched
        at_stop = activated and through
        passive = at_limit or (may if hopeful else sure)
        w[ENTRY, a] = stop if at_stop else (limit if passive else np.nan)
        w[PASSIVE, a] = 1.0 if passive else 0.0
        w[FALLING, a] = 1.0 if (at_limit if buying else at_stop) else 0.0
        w[RISING, a] = 1.0 if (at_stop if buying else at_limit) else 0.0
        if may and not sure:
            w[UNSURE, a] = 1.0
        if activated:
            p[STOP, a] = np.nan
