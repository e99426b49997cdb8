"""One order of one account in compiled code: what `account.execute` and `costs` do.

Numbers of one account: `m` its money, `p` [rows, A] its positions, exits and waiting orders, `w`
[rows, A] room for work, `b` [rows, A] the bar, `x` settings, `i` switches; the rows are named
below. The tensor functions named by each function stay the definition; the arithmetic here is
theirs, in the same order of rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from tradinghf.numba_cache import use_unique_files

CASH, OWED, RUINED, FINANCING, EXPOSURE, GROSS, MONEY = range(7)
SHARES, CLOSE, SIZE, LIMIT, STOP, LOSS, TAKE, EXIT, TARGET, BEST, BEGUN, ROWS = range(12)
OPEN, HIGH, LOW, CLOSED, VOLUME, VOLATILITY, SPLIT, DIVIDEND = range(8)
(FEE, FIXED, PER_SHARE, SLIPPAGE, MAKER_FEE, PENALTY_FEE, LEAST_FEE, MOST_FEE, IMPACT) = range(9)
(LEAST, LOT, MAX_SIZE, MAX_POSITION, LEAST_NOTIONAL, PARTICIPATION) = range(9, 15)
(RUIN, STOP_LOSS, TAKE_PROFIT, TRAILING, LEVERAGE, MAINTENANCE) = range(15, 21)
BORROW, MARGIN, INTEREST, FUNDING, SETTINGS = range(21, 26)
(SIDE, WAITS, EXITS, FINANCES, MEMBERS, AT_CLOSE, HOPEFUL, EXACT_LOTS, PARTIAL, ADJUSTS) = range(10)
SWITCHES = 10
WANT, PRICE, RANK, SIGNED, PAID, COST, WAS, ENTRY, PASSIVE, FALLING, RISING, UNSURE, WORK = range(
    13
)
MOST_FILLS = 16  # of one asset in one bar

_RELATIVE, _ABSOLUTE = 1e-9, 1e-12  # those of tolerance.py in float64
_MOST_REBATE = 0.01  # as costs.MOST_REBATE

use_unique_files()
SHARED: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
part = njit(**SHARED)


@part
def tolerance(scale: Any) -> Any:
    """See `tolerance._tolerance`."""
    return max(abs(scale) * _RELATIVE, _ABSOLUTE)


@part
def add(a: Any, b: Any) -> Any:
    """See `tolerance.snapped_sum`."""
    total = a + b
    return 0.0 if abs(total) <= tolerance(a) else total


@part
def record(out: Any, n: Any, t: Any, a: Any, size: Any, paid: Any, fee: Any, before: Any) -> Any:
    """Write down a fill; returns the number of them."""
    out[n, 0], out[n, 1], out[n, 2] = t, a, size
    out[n, 3], out[n, 4], out[n, 5] = paid, fee, before
    return n + 1


@part
def fee_of(size: Any, notional: Any, rate: Any, x: Any) -> Any:
    """See `costs.fee`."""
    total = notional * rate
    if x[FIXED] != 0:
        total = total + x[FIXED]
    if x[PER_SHARE] != 0:
        total = total + size * x[PER_SHARE]
        if x[PER_SHARE] < 0:
            total = max(total, notional * -_MOST_REBATE)
    if x[LEAST_FEE] != 0:
        total = max(total, x[LEAST_FEE])
    if x[MOST_FEE] != 0:
        total = min(total, notional * x[MOST_FEE])
    return total


@part
def paid_for(size: Any, price: Any, slip: Any, impact: Any, b: Any, a: Any) -> Any:
    """Price of a fill of `size`; see `costs.fill_price`."""
    if impact != 0:
        share = abs(size) / max(b[VOLUME, a], 1e-12)
        share = share if 1e-30 <= share < math.inf else 1e-30
        slip = slip + impact * b[VOLATILITY, a] * (share * (1.0 / math.sqrt(share)))
        slip = min(slip, 0.99)
    return price * (1.0 + slip) if size > 0 else price * (1.0 - slip)


@part
def _affordable(cash: Any, paid: Any, rate: Any, x: Any) -> Any:
    """See `costs.affordable`."""
    room = cash
    if x[FIXED] != 0:
        room = add(room, 0.0 - x[FIXED])
    if x[PER_SHARE] != 0:
        unit = paid * (1.0 + rate) + x[PER_SHARE]
        if x[PER_SHARE] < 0:
            unit = max(unit, paid * (1.0 - _MOST_REBATE))
        room = room * paid / unit
    elif rate != 0:
        room = room / (1.0 + rate)
    if x[LEAST_FEE] != 0:
        room = min(room, cash - x[LEAST_FEE])
    if x[MOST_FEE] != 0:
        room = max(room, cash / (1.0 + x[MOST_FEE]))
    return room


@part
def _whole_lots(size: Any, x: Any, i: Any) -> Any:
    """See `account._round_lots`."""
    lot = x[LOT]
    if lot == 0:
        return size
    if i[EXACT_LOTS]:
        lots = size / lot
        nearest = np.rint(lots)
        close = abs(lots - nearest) <= 1e-9 * abs(nearest)
        return (nearest if close else np.floor(lots)) * lot
    if abs(size) == math.inf:
        return size
    rest = np.fmod(size, lot)  # torch.floor_divide
    found = (size - rest) / lot
    if rest < 0:
        found = found - 1.0
    whole = np.floor(found)
    if found - whole > 0.5:
        whole = whole + 1.0
    return whole * lot


@part
def _within_rules(m: Any, p: Any, w: Any, a: Any, x: Any, i: Any) -> Any:
    """|size| within the side, the largest order, position and exposure; see `account._Cuts`."""
    size, held = w[WANT, a], p[SHARES, a]
    buying, done = size > 0, abs(size)
    if i[SIDE] > 0 and not buying:
        done = min(done, held)
    if i[SIDE] < 0 and buying:
        done = min(done, -held)
    if x[MAX_SIZE] != 0 and done > x[MAX_SIZE]:
        done = x[MAX_SIZE] if i[PARTIAL] else 0.0
    toward = held if buying else -held
    if x[MAX_POSITION] != 0:
        done = min(done, max(x[MAX_POSITION] - toward, 0.0))
    if m[EXPOSURE] == m[EXPOSURE]:
        most = m[EXPOSURE]
        if p.shape[1] > 1:
            most = m[EXPOSURE] - m[GROSS] + abs(held) * w[PRICE, a]
        done = min(done, max(most / w[PAID, a] - toward, 0.0))
    return done


@part
def _within_cash(cash: Any, done: Any, paid: Any, rate: Any, x: Any, i: Any) -> Any:
    """Of a buy, what the cash pays for; see `account._Cuts.within_cash`."""
    most = _affordable(cash, paid, rate, x) / paid
    if x[LOT] == 0:
        return min(done, most)
    notional = done * paid
    enough = notional + fee_of(done, notional, rate, x) <= cash + tolerance(cash)
    return done if enough else _whole_lots(most, x, i)


@part
def execute(
    m: Any, p: Any, w: Any, a: Any, b: Any, slip: Any, impact: Any, rate: Any, x: Any, i: Any
) -> None:
    """Fill the order in `WANT` as far as rules, cash and sides allow; see `account.execute`.

    Writes the signed shares to `SIGNED`, the price paid to `PAID` and the fee to `COST`.
    """
    size, price, held = w[WANT, a], w[PRICE, a], p[SHARES, a]
    buying = size > 0
    paid = paid_for(size, price, slip, impact, b, a)
    w[PAID, a] = paid
    done = _whole_lots(_within_rules(m, p, w, a, x, i), x, i)
    if buying and m[EXPOSURE] != m[EXPOSURE]:
        done = _within_cash(m[CASH], done, paid, rate, x, i)
    notional = done * paid
    fee = fee_of(done, notional, rate, x)
    least, smallest = x[LEAST], x[LEAST_NOTIONAL]
    ok = done > _ABSOLUTE and (buying or notional >= fee) and not done < least - tolerance(least)
    if smallest != 0:
        ok = ok and not notional < smallest - tolerance(smallest)
    if not i[PARTIAL]:
        ok = ok and not (done < abs(size) - tolerance(size) and abs(size) != math.inf)
    if not ok:
        done = fee = 0.0
    signed = done if buying else -done
    m[CASH] = add(m[CASH], -(signed * paid + fee))
    p[SHARES, a] = add(held, signed)
    m[GROSS] += abs(p[SHARES, a]) * price - abs(held) * price
    w[SIGNED, a], w[COST, a] = signed, fee
