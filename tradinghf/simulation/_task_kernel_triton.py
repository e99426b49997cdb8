"""What happens in a bar of any task, in Triton: orders, exits, margin calls, holding, ruin.

`_task_bar_triton` has their order, `_task_orders_triton` the tile and orders. The books `b` of a
block are: cash, free cash, what could not be paid back, realised profit; shares, flow and short
proceeds of the positions; and the bar's tape: volume, notional, fees, slippage, and what was
closed without an order.
"""

from __future__ import annotations

import triton
import triton.language as tl

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._plain_kernel_triton import _over as over
from tradinghf.simulation._task_orders_triton import (
    book_fills,
    execute_all,
    fee_of,
    higher,
    lower,
    not_below_zero,
    price_paid,
    total,
)
from tradinghf.simulation._task_switches import BITS

_BIT = {name: tl.constexpr(bit) for name, bit in BITS.items()}
_SHORT, _AT_CLOSE, _WAITS, _EXITS = (_BIT[n] for n in ("short", "at_close", "waits", "exits"))
_FUNDED, _LOCKS, _LEVERAGE = _BIT["funded"], _BIT["locks"], _BIT["leverage"]
_STOPS, _TAKES, _TRAILS = _BIT["stops"], _BIT["takes"], _BIT["trails"]

_X = {name: tl.constexpr(getattr(at, name)) for name in vars(at) if name.isupper()}
_X_NONE, _X_PARTICIPATION = _X["NONE"], _X["PARTICIPATION"]
_X_LEVERAGE, _X_MAINTENANCE, _X_RUIN = _X["LEVERAGE"], _X["MAINTENANCE"], _X["RUIN"]
_X_STOP_LOSS, _X_TAKE_PROFIT, _X_TRAILING = _X["STOP_LOSS"], _X["TAKE_PROFIT"], _X["TRAILING"]
_X_BORROW, _X_MARGIN, _X_INTEREST = _X["BORROW"], _X["MARGIN"], _X["INTEREST"]
_X_FUNDING = _X["FUNDING"]


@triton.jit
def value_at(b, price, P: tl.constexpr):
    """[B, 1] cash and positions at these prices; see `ledger.account_value`."""
    return b[0] + total(b[4] * price, P)


@triton.jit
def close_hits(
    b, hit, price, rate, passive: tl.constexpr, rates, costs, P: tl.constexpr, S: tl.constexpr
):  # fmt: skip
    """Trade what is hit to flat, whatever it costs; see `_forced_trades.force_close`."""
    cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slipped, exited = b
    paid = price
    if not passive:
        paid = price * tl.where(shares > 0.0, rates[4], rates[3])
    closes = hit & (shares != 0.0)
    fee = fee_of(tl.abs(shares), tl.abs(shares) * paid, rate, costs, S)
    signed, fee = tl.where(closes, -shares, 0.0), tl.where(closes, fee, 0.0)
    after = tl.where(closes, 0.0, shares)
    spent = tl.where(closes, -shares * paid + fee, 0.0)
    b = book_fills(b, signed, after, paid, fee, price, P)
    cash = cash - total(spent, P)
    lacks = (cash < 0.0) & (total(tl.abs(after), P) == 0.0)
    owed = tl.where(lacks, owed - cash, owed)
    cash = tl.where(lacks, 0.0, cash)
    if _LOCKS & S:
        debt = tl.where(hit, 0.0, debt)
        free = cash - 2.0 * total(debt, P)
    return (cash, free, owed, b[3], after, b[5], debt, b[7], b[8], b[9], b[10], exited | closes)


@triton.jit
def liquidate(b, price, rates, costs, x, P: tl.constexpr, S: tl.constexpr):
    """See `_forced_trades.liquidate`."""
    gross = total(tl.abs(b[4]) * price, P)
    called = value_at(b, price, P) < tl.load(x + _X_MAINTENANCE) * gross
    return close_hits(b, called & (b[4] == b[4]), price, rates[6], False, rates, costs, P, S)


@triton.jit
def stop_of(e, shares, x, S: tl.constexpr):
    """See `exits.stop_level`; `e` are stops, targets and best prices."""
    stop = e[0]
    if _TRAILS & S:
        side = tl.where(shares > 0.0, 1.0, tl.where(shares == 0.0, 0.0, -1.0))
        trail = e[2] * (1.0 - side * tl.load(x + _X_TRAILING))
        stop = tl.where(shares > 0.0, higher(stop, trail), lower(stop, trail))
    return stop


@triton.jit
def gapped(b, e, price, rates, costs, x, P: tl.constexpr, S: tl.constexpr):
    """Stops and targets that the open reaches; see `exits.stop_out` and `exits.take_profit`."""
    shares, level = b[4], stop_of(e, b[4], x, S)
    hit = ((shares > 0.0) & (price <= level)) | ((shares < 0.0) & (price >= level))
    b = close_hits(b, hit, price, rates[0], False, rates, costs, P, S)
    shares, level = b[4], e[1]
    hit = ((shares > 0.0) & (price >= level)) | ((shares < 0.0) & (price <= level))
    return close_hits(b, hit, price, rates[0], True, rates, costs, P, S)


@triton.jit
def margin_call(b, e, first, low, high, rates, costs, x, P: tl.constexpr, S: tl.constexpr):
    """See `inside._margin_call`; for one asset."""
    shares = b[4]
    long = shares > 0.0
    level = over(b[0], tl.load(x + _X_MAINTENANCE) * tl.abs(shares) - shares)
    hit = (shares != 0.0) & tl.where(long, low <= level, high >= level)
    if _EXITS & S:
        stop = stop_of(e, shares, x, S)
        hit = hit & (tl.where(long, stop >= level, stop <= level) == 0)
    price = tl.where(long, lower(level, first), higher(level, first))
    return close_hits(b, hit, price, rates[6], False, rates, costs, P, S)


@triton.jit
def leave(b, e, first, low, high, rates, costs, x, P: tl.constexpr, S: tl.constexpr):
    """Stops, then targets that no stop comes before; see `inside._leave`."""
    shares, stop, take = b[4], stop_of(e, b[4], x, S), e[1]
    long = shares > 0.0
    stopped = (shares != 0.0) & tl.where(long, low <= stop, high >= stop)
    taken = (shares != 0.0) & tl.where(long, high >= take, low <= take) & (stopped == 0)
    price = tl.where(long, lower(stop, first), higher(stop, first))
    gain = tl.where(long, higher(take, first), lower(take, first))
    b = close_hits(b, stopped, price, rates[0], False, rates, costs, P, S)
    return close_hits(b, taken, gain, rates[0], True, rates, costs, P, S)


@triton.jit
def trade(
    b, e, size, price, rank, volume, volatility, rates, costs, near, x,
    P: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Fill orders and set their exits; see `_working_orders.execute_and_book`."""
    cash, free, owed, realised, shares, flow, debt, traded, notional, fees, slipped, exited = b
    exposure = cash
    if _LEVERAGE & S:
        exposure = not_below_zero(value_at(b, price, P)) * tl.load(x + _X_LEVERAGE)
    paid = price_paid(size, price, volume, volatility, rates, x, S)
    signed, fee, after, cash, free, debt = execute_all(
        size, price, paid, rank, shares, cash, free, debt, exposure, rates, costs, near, x, P, S
    )
    stop, take, best = e
    if _EXITS & S:
        opens, none = (after != 0.0) & (shares * after <= 0.0), tl.load(x + _X_NONE)
        side = tl.where(after > 0.0, 1.0, -1.0)
        level = none
        if _STOPS & S:
            level = paid * (1.0 + side * -tl.load(x + _X_STOP_LOSS))
        stop = tl.where(opens, level, stop)
        goal = none
        if _TAKES & S:
            goal = paid * (1.0 + side * tl.load(x + _X_TAKE_PROFIT))
        take = tl.where(opens, goal, take)
        best = tl.where(opens, paid, best)
    b = book_fills(
        (cash, free, owed, realised, shares, flow, debt, traded, notional, fees, slipped, exited),
        signed, after, paid, fee, price, P,
    )  # fmt: skip
    return b, (stop, take, best)


@triton.jit
def ready(waiting, new, price, close, volume, none, x, only: tl.constexpr):
    """What waits, as orders at a price; see `_working_orders.fill_at_price`."""
    due = waiting != 0.0
    if only:
        due = due & new
    most = volume * tl.load(x + _X_PARTICIPATION)
    cut = tl.where(waiting < -most, -most, waiting)
    cut = tl.where(cut > most, most, cut)
    price, size = tl.where(due, price, close), tl.where(due, cut, none)
    return size, price, size * price, tl.where(due, waiting - cut, waiting)


@triton.jit
def order(
    b, e, waiting, asked, price, close, volume, volatility, rates, costs, near, x,
    P: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Give the target weights (NaN is none) as orders at a price; see `step._fill`."""
    shares, none, value = b[4], tl.load(x + _X_NONE), value_at(b, price, P)
    if _SHORT & S:
        asked = -asked
    worth = asked * value
    rank = worth - shares * price
    size = tl.where(value <= 0.0, none, over(worth, price) - shares)
    if _WAITS & S:
        new = size == size
        waiting = tl.where(new, size, waiting)
        size, price, rank, waiting = ready(
            waiting, new, price, close, volume, none, x, _AT_CLOSE & S
        )
    b, e = trade(b, e, size, price, rank, volume, volatility, rates, costs, near, x, P, S)
    return b, e, waiting


@triton.jit
def accrue(b, financing, ruined, closed, funded, x, P: tl.constexpr, S: tl.constexpr):
    """See `financing.accrue`."""
    cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slipped, exited = b
    value = shares * closed
    rate = tl.load(x + _X_FUNDING)
    if _FUNDED & S:
        rate = funded + rate
    short = not_below_zero(-value)
    carried = value * rate + short * tl.load(x + _X_BORROW)
    spare, lent = not_below_zero(cash - total(short, P)), not_below_zero(-cash)
    interest = spare * tl.load(x + _X_INTEREST) - lent * tl.load(x + _X_MARGIN)
    interest = tl.where(ruined, 0.0, interest)
    change = interest - total(carried, P)
    if _LOCKS & S:
        free = free + change
    return (
        cash + change, free, owed, realised + interest, shares, flow - carried, debt,
        volume, notional, fees, slipped, exited,
    ), financing - change  # fmt: skip


@triton.jit
def ruin(b, ruined, close, x, P: tl.constexpr, S: tl.constexpr):
    """See `_forced_trades.close_ruined`; returns also who is ruined."""
    cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slipped, exited = b
    value = value_at(b, close, P)
    gone = ruined | (value <= tl.load(x + _X_RUIN))
    lost = total(flow + shares * close, P)
    realised = tl.where(gone, realised + lost, realised)
    cash = tl.where(gone, not_below_zero(value), cash)
    if _LOCKS & S:
        free, debt = tl.where(gone, cash, free), tl.where(gone, 0.0, debt)
    owed = tl.where(gone, owed + not_below_zero(-value), owed)
    shares, flow = tl.where(gone, 0.0, shares), tl.where(gone, 0.0, flow)
    return (
        cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slipped, exited,
    ), gone  # fmt: skip
