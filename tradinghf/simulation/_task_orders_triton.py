"""Orders of any task in Triton: cut to what rules and cash allow, filled in turn, booked.

A tile holds a block of accounts: numbers of accounts are [B, 1], of their positions [B, P], where
P is the assets of an account, filled up to a power of 2 with places that hold nothing. The tensor
functions named by each function stay the definition; the arithmetic is theirs, in the same order
of rounding but for sums over assets, which are in float64 here too but in no order. `S` are the
bits of what the task uses (`_task_switches`); the rest is not compiled.
"""

from __future__ import annotations

import triton
import triton.language as tl

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._plain_kernel_triton import _over as over
from tradinghf.simulation._task_switches import BITS

_BIT = {name: tl.constexpr(bit) for name, bit in BITS.items()}
_LONG, _SHORT, _LOCKS, _PARTIAL = _BIT["long"], _BIT["short"], _BIT["locks"], _BIT["partial"]
_LOTS, _EXACT_LOTS, _IMPACT = _BIT["lots"], _BIT["exact_lots"], _BIT["impact"]
_MAX_SIZE, _MAX_POSITION = _BIT["max_size"], _BIT["max_position"]
_LEAST_NOTIONAL, _LEVERAGE = _BIT["least_notional"], _BIT["leverage"]
_FIXED, _PER_SHARE = _BIT["fixed"], _BIT["per_share"]
_X_LOT, _X_LOT_ERROR = tl.constexpr(at.LOT), tl.constexpr(at.LOT_ERROR)
_X_MAX_SIZE, _X_MAX_POSITION = tl.constexpr(at.MAX_SIZE), tl.constexpr(at.MAX_POSITION)
_X_LEAST, _X_LEAST_NOTIONAL = tl.constexpr(at.LEAST), tl.constexpr(at.LEAST_NOTIONAL)
_X_IMPACT, _X_MOST_SLIP = tl.constexpr(at.IMPACT), tl.constexpr(at.MOST_SLIP)
_X_LEAST_VOLUME, _X_LEAST_SHARE = tl.constexpr(at.LEAST_VOLUME), tl.constexpr(at.LEAST_SHARE)
_X_NONE = tl.constexpr(at.NONE)


@triton.jit
def total(values, P: tl.constexpr):
    """[B, 1] the sum over assets; see `ledger.sum_assets`."""
    if P == 1:
        return values
    return tl.sum(values.to(tl.float64), 1, keep_dims=True).to(values.dtype)


@triton.jit
def smaller(a, b):
    """As `torch.minimum`: NaN if either is."""
    return tl.where((a <= b) | (a != a), a, b)


@triton.jit
def lower(a, b):
    """As `torch.fmin`: the other one if one is NaN."""
    return tl.where((a != a) | (b < a), b, a)


@triton.jit
def higher(a, b):
    """As `torch.fmax`: the other one if one is NaN."""
    return tl.where((a != a) | (b > a), b, a)


@triton.jit
def not_below_zero(a):
    """As `clamp_min(0)`."""
    return tl.where(a < 0.0, 0.0, a)


@triton.jit
def tolerance(scale, near):
    """See `tolerance._tolerance`; `near` its two factors."""
    found = tl.abs(scale) * near[0]
    return tl.where(found < near[1], near[1], found)


@triton.jit
def add(a, b, near):
    """See `tolerance.snapped_sum`."""
    found = a + b
    return tl.where(tl.abs(found) <= tolerance(a, near), 0.0, found)


@triton.jit
def fee_of(size, notional, rate, costs, S: tl.constexpr):
    """See `costs.fee`; `costs` are the fixed one and that of a share."""
    found = notional * rate
    if _FIXED & S:
        found = found + costs[0]
    if _PER_SHARE & S:
        found = found + size * costs[1]
    return found


@triton.jit
def price_paid(size, price, volume, volatility, rates, x, S: tl.constexpr):
    """See `costs.fill_price`."""
    fee, whole, rest, buy, sell, slip, penalty = rates
    if _IMPACT & S:
        least = tl.load(x + _X_LEAST_VOLUME)
        share = over(tl.abs(size), tl.where(volume < least, least, volume))
        least = tl.load(x + _X_LEAST_SHARE)
        share = tl.where((share >= least) & (share < float("inf")), share, least)
        root = tl.sqrt_rn(share) if share.dtype == tl.float32 else tl.sqrt(share)
        worse = slip + tl.load(x + _X_IMPACT) * volatility * (share * over(root * 0.0 + 1.0, root))
        most = tl.load(x + _X_MOST_SLIP)
        worse = tl.where(worse > most, most, worse)
        paid = price * tl.where(size > 0.0, 1.0 + worse, 1.0 - worse)
    else:
        paid = price * tl.where(size > 0.0, buy, sell)
    return paid


@triton.jit
def whole_lots(size, x, S: tl.constexpr):
    """See `account._round_lots`."""
    lot = tl.load(x + _X_LOT)
    if _EXACT_LOTS & S:
        lots = over(size, lot)
        down = tl.floor(lots)
        even = down * 0.5 == tl.floor(down * 0.5)
        up = (lots - down > 0.5) | ((lots - down == 0.5) & (even == 0))
        nearest = tl.where(up, down + 1.0, down)
        close = tl.abs(lots - nearest) <= tl.load(x + _X_LOT_ERROR) * tl.abs(nearest)
        found = tl.where(close, nearest, down) * lot
    else:
        rest = size % lot  # of the sign of the size, as in `torch.floor_divide`
        lots = over(size - rest, lot)
        lots = tl.where(rest < 0.0, lots - 1.0, lots)
        down = tl.floor(lots)
        found = tl.where(lots - down > 0.5, down + 1.0, down) * lot
        found = tl.where(tl.abs(size) == float("inf"), size, found)
    return found


@triton.jit
def _sellable(free, shares, paid, rates, costs, near):
    """See `account._sellable`."""
    held = not_below_zero(shares)
    free = add(free, held * paid * rates[2], near)
    short = over(add(free, 0.0 - costs[0], near), paid * rates[1] + costs[1])
    return not_below_zero(tl.where(free <= 0.0, held, add(held, short, near)))


@triton.jit
def _unlocked(cash, free, debt, shares, paid, rates, costs, near):
    """See `account._unlocked_cash`."""
    short, unit = tl.abs(shares), paid * rates[1] + costs[1]
    released = free + 2.0 * debt
    left = add(released, -(short * unit + costs[0]), near)
    few = over(free - costs[0], unit - 2.0 * over(debt, short)) * unit + costs[0]
    found = tl.where(left > 0.0, released, tl.where(left < 0.0, few, cash))
    return smaller(tl.where(shares >= 0.0, free, found), cash)


@triton.jit
def _within_rules(size, paid, shares, free, exposure, rates, costs, near, x, S: tl.constexpr):
    """|size| within sides, the largest order, position and exposure; see `account._Cuts`."""
    buying, done = size > 0.0, tl.abs(size)
    if _LOCKS & S:
        if (_LONG & S) == 0:
            room = _sellable(free, shares, paid, rates, costs, near)
            done = tl.where(buying, done, smaller(done, room))
    if _LONG & S:
        done = tl.where(buying, done, smaller(done, shares))
    if _SHORT & S:
        done = tl.where(buying, smaller(done, -shares), done)
    if _MAX_SIZE & S:
        most = tl.load(x + _X_MAX_SIZE)
        if _PARTIAL & S:
            done = tl.where(done > most, most, done)
        else:
            done = tl.where(done > most, 0.0, done)
    toward = tl.where(buying, shares, -shares)
    if _MAX_POSITION & S:
        done = smaller(done, not_below_zero(tl.load(x + _X_MAX_POSITION) - toward))
    if _LEVERAGE & S:
        done = smaller(done, not_below_zero(over(exposure, paid) - toward))
    if _LOTS & S:
        done = whole_lots(done, x, S)
    return done


@triton.jit
def _within_cash(done, paid, shares, cash, free, debt, rates, costs, near, x, S: tl.constexpr):
    """Of a buy, what the cash pays for; see `account._Cuts.within_cash`."""
    limit = cash
    if _LOCKS & S:
        limit = _unlocked(cash, free, debt, shares, paid, rates, costs, near)
    room = limit
    if _FIXED & S:
        room = add(room, 0.0 - costs[0], near)
    if _PER_SHARE & S:
        room = over(room * paid, paid * rates[1] + costs[1])
    else:
        room = over(room, rates[1])
    most = over(room, paid)
    if _LOTS & S:
        notional = done * paid
        cost = notional + fee_of(done, notional, rates[0], costs, S)
        enough = cost <= limit + tolerance(limit, near)
        done = tl.where(enough, done, whole_lots(most, x, S))
    else:
        done = smaller(done, most)
    return done


@triton.jit
def execute(
    size, paid, shares, cash, free, debt, exposure, rates, costs, near, x, S: tl.constexpr
):  # fmt: skip
    """One order of each account (NaN is none); see `account.execute` and `account._settle`.

    Returns the signed shares, the fee, and then shares, cash, free cash and debt.
    """
    buying, given = size > 0.0, size == size
    done = _within_rules(size, paid, shares, free, exposure, rates, costs, near, x, S)
    if (_LEVERAGE & S) == 0:
        bought = _within_cash(done, paid, shares, cash, free, debt, rates, costs, near, x, S)
        done = tl.where(buying, bought, done)
    notional = done * paid
    fee = fee_of(done, notional, rates[0], costs, S)
    filled = (done > near[1]) & (buying | (notional >= fee)) & (done >= tl.load(x + _X_LEAST))
    if _LEAST_NOTIONAL & S:
        filled = filled & (notional >= tl.load(x + _X_LEAST_NOTIONAL))
    if (_PARTIAL & S) == 0:
        whole = tl.abs(size)
        cut = (done < whole - tolerance(whole, near)) & (whole != float("inf"))
        filled = filled & (cut == 0)
    done, fee = tl.where(filled, done, 0.0), tl.where(filled, fee, 0.0)
    signed = tl.where(buying, done, -done)
    after = add(shares, signed, near)
    if _LOCKS & S:
        flow = -(signed * paid + fee)
        opened = not_below_zero(smaller(-signed, -after)) * paid
        covered = smaller(signed, -shares)
        released = tl.where(covered > 0.0, covered * over(debt, tl.abs(shares)), 0.0)
        freed = add(free + 2.0 * released, flow - 2.0 * opened, near)
        free = tl.where(given, freed, free)
        debt = tl.where(given, add(debt, opened - released, near), debt)
    left = add(cash, -(signed * paid + fee), near)
    return signed, fee, after, tl.where(given, left, cash), free, debt


@triton.jit
def _of(values, here):
    """[B, 1] the value at the one place that is marked, or 0."""
    return tl.sum(tl.where(here, values, 0.0), 1, keep_dims=True)


@triton.jit
def execute_all(
    size, price, paid, rank, shares, cash, free, debt, exposure, rates, costs, near, x,
    P: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Execute the orders of all assets by rising `rank`; see `portfolio.execute_all`."""
    if P == 1:
        return execute(size, paid, shares, cash, free, debt, exposure, rates, costs, near, x, S)
    column, none = tl.arange(0, P)[None, :], tl.load(x + _X_NONE)
    known = (size == size) & (rank == rank)
    key = tl.where(known, rank, float("inf"))
    signed, fees, after = size * 0.0, size * 0.0, shares
    signed, fees = tl.where(signed == 0.0, signed, 0.0), tl.where(fees == 0.0, fees, 0.0)
    gross = total(tl.abs(shares) * price, P)
    for _turn in range(tl.max(tl.sum(known.to(tl.int32), 1))):
        first = tl.min(key, 1, keep_dims=True)
        place = tl.min(tl.where(key == first, column, P), 1, keep_dims=True)
        here = (column == place) & (first < float("inf"))
        wanted = tl.where(first < float("inf"), _of(size, here), none)
        held, worth, most, owes = _of(shares, here), _of(price, here), exposure, cash
        if _LOCKS & S:
            owes = _of(debt, here)
        if _LEVERAGE & S:
            most = exposure - gross + tl.abs(held) * worth
        done, fee, now, cash, free, owes = execute(
            wanted, _of(paid, here), held, cash, free, owes, most, rates, costs, near, x, S
        )
        gross = gross + (tl.abs(now) * worth - tl.abs(held) * worth)
        if _LOCKS & S:
            debt = tl.where(here, owes, debt)
        signed, fees = tl.where(here, done, signed), tl.where(here, fee, fees)
        after, key = tl.where(here, now, after), tl.where(here, float("inf"), key)
    return signed, fees, add(after, 0.0, near), cash, free, debt


@triton.jit
def book_fills(b, signed, after, paid, fee, price, P: tl.constexpr):
    """Enter fills into the books `b`; see `ledger.book_fills`."""
    cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slipped, exited = b
    filled = (signed != 0.0) | (after != shares)
    cost, amount = signed * paid, tl.abs(signed)
    stays = (shares == 0.0) | (shares * after > 0.0)
    gained = flow + shares * paid - fee * over(tl.abs(shares), amount)
    gained = tl.where(stays, 0.0, gained)
    left = tl.where(after == 0.0, 0.0, flow - (cost + fee) - gained)
    return (
        cash,
        free,
        owed,
        realised + total(tl.where(filled, gained, 0.0), P),
        after,
        tl.where(filled, left, flow),
        debt,
        volume + amount,
        notional + tl.where(filled, tl.abs(cost), 0.0),
        fees + tl.where(filled, fee, 0.0),
        slipped + tl.where(filled, amount * tl.abs(paid - price), 0.0),
        exited,
    )
