"""Market orders of one account over all bars, compiled by numba: the plain case of `simulate`.

The tensor step carries any number of accounts through anything that can happen, one bar at a time,
and pays for some hundred small operations per bar. A backtest of market orders with plain costs
needs little of it. The tensor step stays the definition: `tests/simulation/test_market_kernel.py`
holds the two together to 1e-12.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, float64, int64, njit, types

from tradinghf.numba_cache import use_unique_files

KINDS = ("target_percent", "target_value", "target_amount", "value", "amount", "signal")
RATES = (
    *("fee", "fixed", "per_share", "slippage", "least", "ruin"),
    *("borrow", "margin", "interest", "funding"),
)
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12  # those of tolerance.py in float64

use_unique_files()
_SHARED: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}


@njit(inline="always", **_SHARED)
def _add(a: Any, b: Any) -> Any:
    """See `tolerance.snapped_sum`."""
    total = a + b
    return 0.0 if abs(total) <= max(abs(a) * _RELATIVE, _ABSOLUTE) else total


@njit(**_SHARED)
def _order_size(kind: Any, asked: Any, held: Any, price: Any, value: Any) -> Any:
    """Signed shares; see `orders.order_size`."""
    if kind == 5 and asked * held > 0:
        return np.nan
    if kind == 0 or kind == 5:
        return asked * value / price - held if value > 0 else np.nan
    if kind == 1:
        return asked / price - held
    if kind == 2:
        return asked - held
    return asked / price if kind == 3 else asked


@njit(**_SHARED)
def _order_value(kind: Any, asked: Any, held: Any, price: Any, value: Any) -> Any:
    """What orders of several assets are sorted by; see `orders.order_value`."""
    if kind == 0 or kind == 5:
        return asked * value - held * price
    if kind == 1:
        return asked - held * price
    if kind == 2:
        return asked * price - held * price
    return asked if kind == 3 else asked * price


@njit(**_SHARED)
def _execute(cash: Any, held: Any, size: Any, price: Any, side: Any, rates: Any) -> Any:
    """(signed size, price paid, fee) of one order; see `account.execute`."""
    fee, fixed, per_share, slippage, least = rates[0], rates[1], rates[2], rates[3], rates[4]
    buying = size > 0
    paid = price * (1.0 + slippage) if buying else price * (1.0 - slippage)
    done = abs(size)
    if side > 0 and not buying:
        done = min(done, held)
    if side < 0 and buying:
        done = min(done, -held)
    if buying:
        room = cash if fixed == 0 else _add(cash, -fixed)
        if per_share != 0:
            room = room * paid / (paid * (1.0 + fee) + per_share)
        elif fee != 0:
            room = room / (1.0 + fee)
        done = min(done, room / paid)
    notional = done * paid
    fees = notional * fee + fixed + done * per_share
    enough = done > _ABSOLUTE and done >= least - max(least * _RELATIVE, _ABSOLUTE)
    if not (enough and (buying or notional >= fees)):
        return 0.0, paid, 0.0
    return (done if buying else -done), paid, fees


@njit(**_SHARED)
def _fill(
    t: Any, asked: Any, price: Any, kind: Any, side: Any, rates: Any, cash: Any, shares: Any,
    fees: Any, records: Any, count: Any,
) -> Any:  # fmt: skip
    """Fill the orders of a bar in `asked` [A] at `price` [A]; returns cash and record count."""
    assets = len(asked)
    value = cash
    for a in range(assets):
        value += shares[a] * price[a]
    ranks = np.empty(assets)
    for a in range(assets):
        wanted = -asked[a] if side < 0 else asked[a]
        ranks[a] = _order_value(kind, wanted, shares[a], price[a], value)
    before = shares.copy()
    for a in np.argsort(ranks, kind="mergesort"):
        wanted = -asked[a] if side < 0 else asked[a]
        size = _order_size(kind, wanted, before[a], price[a], value)
        if size != size:
            continue
        signed, paid, paid_fee = _execute(cash, shares[a], size, price[a], side, rates)
        if signed == 0:
            continue
        cash = _add(cash, -(signed * paid + paid_fee))
        shares[a] = _add(shares[a], signed)
        fees[a] += paid_fee
        records[count, 0], records[count, 1], records[count, 2] = t, a, signed
        records[count, 3], records[count, 4], records[count, 5] = paid, paid_fee, 0.0
        count += 1
    return cash, count


@njit(**_SHARED)
def _delist(
    t: Any, member: Any, last: Any, rates: Any, cash: Any, debt: Any, shares: Any, fees: Any,
    records: Any, count: Any,
) -> Any:  # fmt: skip
    """Close what is not listed any more at its last close; see `_forced_trades.force_close`."""
    total, left, hits = 0.0, 0.0, 0
    for a in range(len(shares)):
        held = shares[a]
        if held != 0 and member[a] == 0:
            paid = last[a] * (1.0 - rates[3]) if held > 0 else last[a] * (1.0 + rates[3])
            amount = abs(held)
            fee = amount * paid * rates[0] + rates[1] + amount * rates[2]
            total += -held * paid + fee
            fees[a] += fee
            records[count, 0], records[count, 1], records[count, 2] = t, a, -held
            records[count, 3], records[count, 4], records[count, 5] = paid, fee, -1.0
            count += 1
            shares[a] = 0.0
            hits += 1
        left += abs(shares[a])
    if hits:
        cash -= total
        if left == 0 and cash < 0:
            debt -= cash
            cash = 0.0
    return cash, debt, count


@njit(**_SHARED)
def _accrue(cash: Any, shares: Any, close: Any, funding: Any, ruined: Any, rates: Any) -> Any:
    """Interest, borrow and funding of one bar, received less paid; see `financing.accrue`."""
    carried = short = 0.0
    for a in range(len(shares)):
        value = shares[a] * close[a]
        carried += value * (rates[9] + (funding[a] if len(funding) else 0.0))
        short += max(-value, 0.0)
    interest = max(cash - short, 0.0) * rates[8] - max(-cash, 0.0) * rates[7]
    return (0.0 if ruined else interest) - carried - short * rates[6]


@njit(**_SHARED)
def _ruin(
    t: int, close: Any, level: float, ruined: bool, cash: float, debt: float, shares: Any,
    records: Any, count: int,
) -> Any:  # fmt: skip
    """Close an account at or below the ruin level; see `_forced_trades.close_ruined`."""
    worth = cash
    for a in range(len(shares)):
        worth += shares[a] * close[a]
    if not (ruined or worth <= level):
        return ruined, cash, debt, count
    for a in range(len(shares)):
        if shares[a] != 0:
            records[count, 0], records[count, 1] = t, a
            records[count, 2], records[count, 3] = -shares[a], close[a]
            records[count, 4], records[count, 5] = 0.0, 1.0
            count += 1
            shares[a] = 0.0
    return True, max(worth, 0.0), debt + max(-worth, 0.0), count


_READ = types.Array(float64, 2, "C", readonly=True)  # prices of a market may not be written
_ROWS, _ROW = float64[:, ::1], float64[::1]
_TRADE = int64(
    *(_READ,) * 5, boolean, int64, int64, _ROW, float64, _ROW, _ROW, _ROWS, _ROWS, _ROW, _ROW, _ROWS
)


@njit(_TRADE, **_SHARED)  # one compilation, whether arrays may be written or not
def trade(
    orders: Any, price: Any, close: Any, funding: Any, member: Any, at_close: bool, kind: int,
    side: int, rates: Any, cash: float, equity: Any, cashes: Any, held: Any, fees: Any,
    financing: Any, owed: Any, records: Any,
) -> int:  # fmt: skip
    """Carry one account through all bars.

    Args:
        orders: [T, A] what is asked for in the bar where it fills; NaN is none.
        price: [T, A] reference prices of the fills.
        close: [T, A].
        funding: [T, A] rates, or [0, A] for none.
        member: [T, A] 0 where an asset is not listed, or [0, A] for always.
        at_close: fills come at the bar's close, after everything else.
        kind: index into `KINDS`.
        side: 0 both, 1 long only, -1 short only.
        rates: one number per name of `RATES`.
        cash: to start with.
        equity, cashes, financing, owed: [T], written.
        held, fees: [T, A], written; fees 0 before.
        records: [n, 6] bar, asset, signed size, price, fee, and 1 where ruin forced it, -1 where a
            delisting did, of each fill; n must suffice.

    Returns:
        The number of fills.

    """
    bars, assets = close.shape
    shares, asked = np.zeros(assets), np.empty(assets)
    count, ruined, debt = 0, False, 0.0
    for t in range(bars):
        wanted = False
        for a in range(assets):
            asked[a] = orders[t, a]
            wanted = wanted or orders[t, a] == orders[t, a]
        paid = 0.0
        if t:
            if len(member):
                cash, debt, count = _delist(
                    t, member[t], close[t - 1], rates, cash, debt, shares, fees[t], records, count
                )
                for a in range(assets):
                    if member[t, a] == 0 and not at_close:
                        asked[a] = np.nan
            if wanted and not at_close and not ruined:
                cash, count = _fill(
                    t, asked, price[t], kind, side, rates, cash, shares, fees[t], records, count
                )
            row = funding[t] if len(funding) else funding[:0, 0]
            change = _accrue(cash, shares, close[t], row, ruined, rates)
            cash += change
            paid = -change
            ruined, cash, debt, count = _ruin(
                t, close[t], rates[5], ruined, cash, debt, shares, records, count
            )
        if len(member) and at_close:
            for a in range(assets):
                if member[t, a] == 0:
                    asked[a] = np.nan
        if wanted and at_close and not ruined:
            cash, count = _fill(
                t, asked, close[t], kind, side, rates, cash, shares, fees[t], records, count
            )
            ruined, cash, debt, count = _ruin(
                t, close[t], rates[5], ruined, cash, debt, shares, records, count
            )
        worth = cash
        for a in range(assets):
            worth += shares[a] * close[t, a]
            held[t, a] = shares[a]
        equity[t], cashes[t], financing[t], owed[t] = worth, cash, paid, debt
    return count
