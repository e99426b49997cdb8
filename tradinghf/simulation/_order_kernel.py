"""One order in compiled code: what `account.execute` does, for a single account and asset.

The tensor code stays the definition; here is the same arithmetic in the same order of rounding.
`_layout_kernel` says what x, i and c hold.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from tradinghf.numba_cache import use_unique_files
from tradinghf.simulation import _layout_kernel as at

use_unique_files()
SHARED: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
inline = njit(inline="always", **SHARED)  # what is called in one place
small = njit(nogil=True, error_model="numpy")  # what is called in many, and the compiler inlines


@small
def smaller(a: Any, b: Any) -> Any:
    """As `torch.minimum`: NaN if either is."""
    return a if (a <= b or a != a) else b


@small
def lower(a: Any, b: Any) -> Any:
    """As `torch.fmin`: the other one if one is NaN."""
    return b if (a != a or b < a) else a


@small
def higher(a: Any, b: Any) -> Any:
    """As `torch.fmax`: the other one if one is NaN."""
    return b if (a != a or b > a) else a


@small
def tolerance(scale: Any, x: Any, i: Any) -> Any:
    """See `tolerance._tolerance`."""
    found = abs(scale) * x[at.RELATIVE]
    return x[at.ABSOLUTE] if found < x[at.ABSOLUTE] else found


@small
def add(a: Any, b: Any, x: Any, i: Any) -> Any:
    """See `tolerance.snapped_sum`."""
    total = a + b
    return x[at.ZERO] if abs(total) <= tolerance(a, x, i) else total


@njit(**SHARED)
def round_lots(size: Any, x: Any, i: Any) -> Any:
    """See `account._round_lots`."""
    lot = x[at.LOT]
    if lot == x[at.ZERO]:
        return size
    if i[at.EXACT_LOTS]:
        lots = size / lot
        nearest = np.rint(lots)
        close = abs(lots - nearest) <= x[at.LOT_ERROR] * abs(nearest)
        return (nearest if close else np.floor(lots)) * lot
    if abs(size) == math.inf:
        return size
    rest = np.fmod(size, lot)  # torch.floor_divide
    found = (size - rest) / lot
    if rest < x[at.ZERO]:
        found = found - x[at.ONE]
    whole = np.floor(found)
    if found - whole > x[at.ONE] / x[at.TWO]:
        whole = whole + x[at.ONE]
    return whole * lot


@small
def fee_of(size: Any, notional: Any, rate: Any, x: Any, i: Any) -> Any:
    """See `costs.fee`."""
    total = notional * rate
    if x[at.FIXED] != x[at.ZERO]:
        total = total + x[at.FIXED]
    if x[at.PER_SHARE] != x[at.ZERO]:
        total = total + size * x[at.PER_SHARE]
    return total


@inline
def price_of(size: Any, price: Any, volume: Any, volatility: Any, c: Any, x: Any, i: Any) -> Any:
    """See `costs.fill_price`."""
    zero, one = x[at.ZERO], x[at.ONE]
    if x[at.IMPACT] == zero:
        return price * (c[at.BUY] if size > zero else c[at.SELL])
    share = abs(size) / (x[at.LEAST_VOLUME] if volume < x[at.LEAST_VOLUME] else volume)
    share = x[at.LEAST_SHARE] if not x[at.LEAST_SHARE] <= share < math.inf else share
    slip = c[at.SLIP] + x[at.IMPACT] * volatility * (share * (one / math.sqrt(share)))
    slip = x[at.MOST_SLIP] if slip > x[at.MOST_SLIP] else slip
    return price * (one + slip) if size > zero else price * (one - slip)


@inline
def _affordable(cash: Any, paid: Any, c: Any, x: Any, i: Any) -> Any:
    """See `costs.affordable`."""
    room = cash
    if x[at.FIXED] != x[at.ZERO]:
        room = add(room, x[at.ZERO] - x[at.FIXED], x, i)
    if x[at.PER_SHARE] != x[at.ZERO]:
        return room * paid / (paid * c[at.WHOLE] + x[at.PER_SHARE])
    return room / c[at.WHOLE]


@inline
def _sellable(free: Any, shares: Any, paid: Any, c: Any, x: Any, i: Any) -> Any:
    """See `account._sellable`."""
    zero = x[at.ZERO]
    held = zero if shares < zero else shares
    free = add(free, held * paid * c[at.REST], x, i)
    short = add(free, zero - x[at.FIXED], x, i) / (paid * c[at.WHOLE] + x[at.PER_SHARE])
    room = held if free <= zero else add(held, short, x, i)
    return zero if room < zero else room


@inline
def _unlocked(
    cash: Any, free: Any, debt: Any, shares: Any, paid: Any, c: Any, x: Any, i: Any
) -> Any:
    """See `account._unlocked_cash`."""
    zero, two = x[at.ZERO], x[at.TWO]
    if shares >= zero:
        return free
    short = abs(shares)
    unit = paid * c[at.WHOLE] + x[at.PER_SHARE]
    released = free + two * debt
    left = add(released, -(short * unit + x[at.FIXED]), x, i)
    if left > zero:
        return released
    if left < zero:
        return (free - x[at.FIXED]) / (unit - two * (debt / short)) * unit + x[at.FIXED]
    return cash


@inline
def within_limits(
    size: Any, shares: Any, free: Any, paid: Any, exposure: Any, c: Any, x: Any, i: Any
) -> Any:
    """|size| within the side, the largest order and position, and whole lots.

    `exposure` is NaN for a cash account. See the methods of `account._Cuts`.
    """
    zero = x[at.ZERO]
    buying, done = size > zero, abs(size)
    if i[at.LOCKS] and i[at.SIDE] <= 0 and not buying:
        done = smaller(done, _sellable(free, shares, paid, c, x, i))
    if i[at.SIDE] > 0 and not buying:
        done = smaller(done, shares)
    if i[at.SIDE] < 0 and buying:
        done = smaller(done, -shares)
    if x[at.MAX_SIZE] != zero and done > x[at.MAX_SIZE]:
        done = x[at.MAX_SIZE] if i[at.PARTIAL] else zero
    held = shares if buying else -shares
    if x[at.MAX_POSITION] != zero:
        room = x[at.MAX_POSITION] - held
        done = smaller(done, zero if room < zero else room)
    if exposure == exposure:
        room = exposure / paid - held
        done = smaller(done, zero if room < zero else room)
    return round_lots(done, x, i)


@inline
def within_cash(
    wanted: Any, cash: Any, free: Any, debt: Any, shares: Any, paid: Any, c: Any, x: Any, i: Any
) -> Any:
    """See `account._Cuts.within_cash`."""
    limit = cash
    if i[at.LOCKS]:
        limit = smaller(_unlocked(cash, free, debt, shares, paid, c, x, i), limit)
    most = _affordable(limit, paid, c, x, i) / paid
    if x[at.LOT] == x[at.ZERO]:
        return smaller(wanted, most)
    notional = wanted * paid
    cost = notional + fee_of(wanted, notional, c[at.FEE], x, i)
    return wanted if cost <= limit + tolerance(limit, x, i) else round_lots(most, x, i)


@inline
def execute(
    size: Any,
    paid: Any,
    cash: Any,
    free: Any,
    debt: Any,
    shares: Any,
    exposure: Any,
    c: Any,
    x: Any,
    i: Any,
) -> tuple[Any, Any]:
    """The signed shares that an order of `size` at the price `paid` trades, and their fee.

    See `account.execute`.
    """
    zero, buying = x[at.ZERO], size > x[at.ZERO]
    done = within_limits(size, shares, free, paid, exposure, c, x, i)
    if buying and exposure != exposure:
        done = within_cash(done, cash, free, debt, shares, paid, c, x, i)
    notional = done * paid
    fees = fee_of(done, notional, c[at.FEE], x, i)
    ok = done > x[at.ABSOLUTE] and (buying or notional >= fees) and not done < x[at.LEAST]
    if x[at.LEAST_NOTIONAL] != zero:
        ok = ok and not notional < x[at.LEAST_NOTIONAL]
    if not i[at.PARTIAL]:
        whole = abs(size)
        ok = ok and not (done < whole - tolerance(whole, x, i) and whole != math.inf)
    if not ok:
        return zero, zero
    return (done if buying else -done), fees


@inline
def settle(
    signed: Any,
    paid: Any,
    fees: Any,
    cash: Any,
    free: Any,
    debt: Any,
    shares: Any,
    x: Any,
    i: Any,
) -> tuple[Any, Any, Any, Any]:
    """Cash, free cash, debt and shares after a fill; see `account._settle`."""
    zero, two = x[at.ZERO], x[at.TWO]
    flow = -(signed * paid + fees)
    cash, after = add(cash, flow, x, i), add(shares, signed, x, i)
    if i[at.LOCKS]:
        opened = smaller(-signed, -after)
        opened = (zero if opened < zero else opened) * paid
        covered = smaller(signed, -shares)
        released = covered * (debt / abs(shares)) if covered > zero else zero
        free = add(free + two * released, flow - two * opened, x, i)
        debt = add(debt, opened - released, x, i)
    return cash, free, debt, after
