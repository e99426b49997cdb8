"""One order of every account of a block in compiled code: what `account.execute` does.

The tensor code stays the definition; here is the same arithmetic in the same order of rounding.
`_layout_kernel` says what lies where. A function is one pass over the block, in one loop or few:
the compiler turns each into instructions that work on several accounts, and what a task does not
use is decided once for the block.
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
stage = njit(**SHARED)  # of a block
part = njit(inline="always", **SHARED)  # of a stage: compiled with it only
small = njit(nogil=True, error_model="numpy")  # of numbers; the compiler inlines it


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
def nearness(x: Any) -> Any:
    """What `tolerance` and `add` need."""
    return x[at.RELATIVE], x[at.ABSOLUTE], x[at.ZERO]


@small
def tolerance(scale: Any, near: Any) -> Any:
    """See `tolerance._tolerance`."""
    found = abs(scale) * near[0]
    return near[1] if found < near[1] else found


@small
def add(a: Any, b: Any, near: Any) -> Any:
    """See `tolerance.snapped_sum`."""
    total = a + b
    return near[2] if abs(total) <= tolerance(a, near) else total


@small
def prices_of_costs(x: Any) -> Any:
    """What `fee_of` needs beside the proportional rate."""
    return x[at.FIXED], x[at.PER_SHARE], x[at.ZERO]


@small
def fee_of(size: Any, notional: Any, rate: Any, costs: Any) -> Any:
    """See `costs.fee`."""
    total = notional * rate
    if costs[0] != costs[2]:
        total = total + costs[0]
    if costs[1] != costs[2]:
        total = total + size * costs[1]
    return total


@small
def _whole_lots(size: Any, lot: Any, zero: Any, one: Any, two: Any) -> Any:
    """See `account._round_lots`."""
    if abs(size) == math.inf:
        return size
    rest = np.fmod(size, lot)  # torch.floor_divide
    found = (size - rest) / lot
    if rest < zero:
        found = found - one
    whole = np.floor(found)
    if found - whole > one / two:
        whole = whole + one
    return whole * lot


@stage
def _round_lots(f: Any, row: int, x: Any, i: Any) -> None:
    """Round the sizes in a row down to whole lots; see `account._round_lots`."""
    lot, error = x[at.LOT], x[at.LOT_ERROR]
    zero, one, two = x[at.ZERO], x[at.ONE], x[at.TWO]
    size = f[row : row + at.LANES]
    if i[at.EXACT_LOTS]:
        for k in range(at.LANES):
            lots = size[k] / lot
            nearest, whole = np.rint(lots), np.floor(lots)
            close = abs(lots - nearest) <= error * abs(nearest)
            size[k] = (nearest if close else whole) * lot
    else:
        for k in range(at.LANES):
            size[k] = _whole_lots(size[k], lot, zero, one, two)


@stage
def set_prices_paid(m: Any, p: Any, liquid: int, x: Any) -> None:
    """Write what orders of `SIZE` pay to `PAID`; see `costs.fill_price`.

    `liquid` is the row of the volume that they take from; the volatility follows it.
    """
    zero, one, impact = x[at.ZERO], x[at.ONE], x[at.IMPACT]
    least_volume, least_share, most = x[at.LEAST_VOLUME], x[at.LEAST_SHARE], x[at.MOST_SLIP]
    if impact == zero:
        for a in range(len(p)):
            t = p[a]
            for k in range(at.LANES):
                factor = m[at.BUY + k] if t[at.SIZE + k] > zero else m[at.SELL + k]
                t[at.PAID + k] = t[at.PRICE + k] * factor
        return
    for a in range(len(p)):
        t = p[a]
        traded, sigma = t[liquid : liquid + at.LANES], t[liquid + at.LANES :]
        for k in range(at.LANES):
            size, volume = t[at.SIZE + k], traded[k]
            share = abs(size) / (least_volume if volume < least_volume else volume)
            share = share if least_share <= share < math.inf else least_share
            slip = m[at.SLIP + k] + impact * sigma[k] * (share * (one / math.sqrt(share)))
            slip = most if slip > most else slip
            t[at.PAID + k] = t[at.PRICE + k] * (one + slip if size > zero else one - slip)


@small
def _sellable(
    free: Any, shares: Any, paid: Any, rest: Any, whole: Any, costs: Any, near: Any
) -> Any:
    """See `account._sellable`."""
    fixed, per_share, zero = costs
    held = zero if shares < zero else shares
    free = add(free, held * paid * rest, near)
    short = add(free, zero - fixed, near) / (paid * whole + per_share)
    room = held if free <= zero else add(held, short, near)
    return zero if room < zero else room


@small
def _unlocked(
    cash: Any, free: Any, debt: Any, shares: Any, unit: Any, two: Any, costs: Any, near: Any
) -> Any:
    """See `account._unlocked_cash`; `unit` is what a share costs."""
    fixed, zero = costs[0], costs[2]
    short = abs(shares)
    released = free + two * debt
    left = add(released, -(short * unit + fixed), near)
    few = (free - fixed) / (unit - two * (debt / short)) * unit + fixed
    found = released if left > zero else (few if left < zero else cash)
    return free if shares >= zero else found


@stage
def _limit_sales(m: Any, f: Any, x: Any) -> None:
    """Cut what is sold short in `DONE` to what the free cash allows; see `_sellable`."""
    zero, costs, near = x[at.ZERO], prices_of_costs(x), nearness(x)
    for k in range(at.LANES):
        room = _sellable(
            m[at.FREE + k], f[at.SHARES + k], f[at.PAID + k], m[at.REST + k], m[at.WHOLE + k],
            costs, near,
        )  # fmt: skip
        done = f[at.DONE + k]
        f[at.DONE + k] = done if f[at.SIZE + k] > zero else smaller(done, room)


@stage
def _limit_side(f: Any, long: bool, zero: Any) -> None:
    """Cut `DONE` to what leaves the account long, or short."""
    for k in range(at.LANES):
        buying, done, held = f[at.SIZE + k] > zero, f[at.DONE + k], f[at.SHARES + k]
        cut = smaller(done, held if long else -held)
        f[at.DONE + k] = done if buying == long else cut


@part
def _limit_exposure(m: Any, f: Any, alone: bool, zero: Any) -> None:
    """Cut `DONE` to the exposure that the margin account may reach."""
    for k in range(at.LANES):
        f[at.MOST + k] = m[at.EXPOSURE + k]
    if not alone:
        for k in range(at.LANES):
            held = abs(f[at.SHARES + k]) * f[at.PRICE + k]
            f[at.MOST + k] = m[at.EXPOSURE + k] - m[at.GROSS + k] + held
    for k in range(at.LANES):
        held, most, done = f[at.SHARES + k], f[at.MOST + k], f[at.DONE + k]
        room = most / f[at.PAID + k] - (held if f[at.SIZE + k] > zero else -held)
        cut = smaller(done, zero if room < zero else room)
        f[at.DONE + k] = cut if most == most else done


@part
def _limit(m: Any, f: Any, alone: bool, x: Any, i: Any) -> None:
    """Write |size| within the side, the largest order and position, and whole lots to `DONE`.

    `MOST` becomes the exposure that the order may reach, NaN for a cash account. See the methods
    of `account._Cuts`.
    """
    zero, none, side = x[at.ZERO], x[at.NONE], i[at.SIDE]
    largest, position = x[at.MAX_SIZE], x[at.MAX_POSITION]
    over = largest if i[at.PARTIAL] else zero
    for k in range(at.LANES):
        f[at.DONE + k], f[at.MOST + k] = abs(f[at.SIZE + k]), none
    if i[at.LOCKS] and side <= 0:
        _limit_sales(m, f, x)
    if side:
        _limit_side(f, side > 0, zero)
    if largest != zero:
        for k in range(at.LANES):
            f[at.DONE + k] = over if f[at.DONE + k] > largest else f[at.DONE + k]
    if position != zero:
        for k in range(at.LANES):
            held = f[at.SHARES + k]
            room = position - (held if f[at.SIZE + k] > zero else -held)
            f[at.DONE + k] = smaller(f[at.DONE + k], zero if room < zero else room)
    if x[at.LEVERAGE] != x[at.ONE]:
        _limit_exposure(m, f, alone, zero)
    if x[at.LOT] != zero:
        _round_lots(f, at.DONE, x, i)


@stage
def _free_cash(m: Any, f: Any, x: Any) -> None:
    """Write the cash that is not locked to `ROOM`; see `_unlocked`."""
    two, near, costs, per_share = x[at.TWO], nearness(x), prices_of_costs(x), x[at.PER_SHARE]
    for k in range(at.LANES):
        cash, unit = m[at.CASH + k], f[at.PAID + k] * m[at.WHOLE + k] + per_share
        free = _unlocked(
            cash, m[at.FREE + k], f[at.DEBT + k], f[at.SHARES + k], unit, two, costs, near
        )
        f[at.ROOM + k] = smaller(free, cash)


@stage
def _affordable(m: Any, f: Any, x: Any) -> None:
    """Write the shares that the cash in `ROOM` pays for to `COST`; see `costs.affordable`."""
    zero, near, fixed, per_share = x[at.ZERO], nearness(x), x[at.FIXED], x[at.PER_SHARE]
    for k in range(at.LANES):
        f[at.COST + k] = f[at.ROOM + k]
    if fixed != zero:
        for k in range(at.LANES):
            f[at.COST + k] = add(f[at.ROOM + k], zero - fixed, near)
    if per_share != zero:
        for k in range(at.LANES):
            paid = f[at.PAID + k]
            room = f[at.COST + k] * paid / (paid * m[at.WHOLE + k] + per_share)
            f[at.COST + k] = room / paid
    else:
        for k in range(at.LANES):
            f[at.COST + k] = f[at.COST + k] / m[at.WHOLE + k] / f[at.PAID + k]


@part
def _afford(m: Any, f: Any, x: Any, i: Any) -> None:
    """Cut what is bought with cash in `DONE` to what that pays for.

    See `account._Cuts.within_cash`.
    """
    zero, near, costs = x[at.ZERO], nearness(x), prices_of_costs(x)
    if i[at.LOCKS]:
        _free_cash(m, f, x)
    else:
        for k in range(at.LANES):
            f[at.ROOM + k] = m[at.CASH + k]
    _affordable(m, f, x)
    if x[at.LOT] != zero:
        _round_lots(f, at.COST, x, i)
        for k in range(at.LANES):
            done, room = f[at.DONE + k], f[at.ROOM + k]
            notional = done * f[at.PAID + k]
            cost = notional + fee_of(done, notional, m[at.FEE + k], costs)
            paid_for = cost <= room + tolerance(room, near)
            f[at.COST + k] = done if paid_for else f[at.COST + k]
    else:
        for k in range(at.LANES):
            f[at.COST + k] = smaller(f[at.DONE + k], f[at.COST + k])
    for k in range(at.LANES):
        bought = f[at.SIZE + k] > zero and f[at.MOST + k] != f[at.MOST + k]
        f[at.DONE + k] = f[at.COST + k] if bought else f[at.DONE + k]


@stage
def _settle_locks(m: Any, f: Any, x: Any) -> None:
    """Carry over free cash and debt; see `account._settle`. Before `CASH` and `SHARES` are."""
    zero, two, near = x[at.ZERO], x[at.TWO], nearness(x)
    for k in range(at.LANES):
        signed, held, debt, paid = (
            f[at.SIGNED + k],
            f[at.SHARES + k],
            f[at.DEBT + k],
            f[at.PAID + k],
        )
        free, given = m[at.FREE + k], f[at.SIZE + k] == f[at.SIZE + k]
        flow = -(signed * paid + f[at.COST + k])
        opened = smaller(-signed, -add(held, signed, near))
        opened = (zero if opened < zero else opened) * paid
        covered = smaller(signed, -held)
        part = covered * (debt / abs(held))
        released = part if covered > zero else zero
        after = add(free + two * released, flow - two * opened, near)
        m[at.FREE + k] = after if given else free
        f[at.DEBT + k] = add(debt, opened - released, near) if given else debt


@stage
def execute(m: Any, f: Any, alone: bool, x: Any, i: Any) -> None:
    """Execute the orders of `SIZE` (NaN is none) at the prices `PAID`, one of each account.

    Writes the signed shares to `SIGNED`, the fees to `COST`, the shares then to `AFTER`, and
    carries the accounts' money over; whether the account has one asset `alone` decides what the
    order may use of its exposure. See `account.execute` and `account._settle`.
    """
    zero, near, costs = x[at.ZERO], nearness(x), prices_of_costs(x)
    least, least_notional, absolute = x[at.LEAST], x[at.LEAST_NOTIONAL], x[at.ABSOLUTE]
    _limit(m, f, alone, x, i)
    _afford(m, f, x, i)
    if not i[at.PARTIAL]:
        for k in range(at.LANES):
            whole, done = abs(f[at.SIZE + k]), f[at.DONE + k]
            cut = done < whole - tolerance(whole, near) and whole != math.inf
            f[at.DONE + k] = zero if cut else done
    for k in range(at.LANES):
        done, buying = f[at.DONE + k], f[at.SIZE + k] > zero
        notional = done * f[at.PAID + k]
        fee = fee_of(done, notional, m[at.FEE + k], costs)
        ok = done > absolute and (buying or notional >= fee) and not done < least
        ok = ok and not notional < least_notional
        done = done if ok else zero
        f[at.SIGNED + k] = done if buying else -done
        f[at.COST + k] = fee if ok else zero
    if i[at.LOCKS]:
        _settle_locks(m, f, x)
    for k in range(at.LANES):
        signed, held, cash = f[at.SIGNED + k], f[at.SHARES + k], m[at.CASH + k]
        given = f[at.SIZE + k] == f[at.SIZE + k]
        left = add(cash, -(signed * f[at.PAID + k] + f[at.COST + k]), near)
        after = add(held, signed, near)
        m[at.CASH + k] = left if given else cash
        f[at.AFTER + k] = after if given else held
    if not alone and x[at.LEVERAGE] != x[at.ONE]:
        for k in range(at.LANES):
            held, after, price = f[at.SHARES + k], f[at.AFTER + k], f[at.PRICE + k]
            gross = m[at.GROSS + k] + (abs(after) * price - abs(held) * price)
            m[at.GROSS + k] = gross if f[at.SIZE + k] == f[at.SIZE + k] else m[at.GROSS + k]
