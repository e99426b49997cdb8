"""Forced trades of one account in compiled code: margin calls, stops, targets, delistings.

An account is a table: its money in `money`, a row per quantity and a column per asset in `t`
(`_layout_kernel`). The functions here change both in place; each names the tensor function that
defines it. Sums over assets run in their order, in float64 (`ledger.sum_assets`).
"""

from __future__ import annotations

from typing import Any

from numba import njit

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._order_kernel import SHARED, fee_of, higher, inline, lower, small


@small
def value_at(cash: Any, t: Any, row: int, zero: Any) -> Any:
    """Cash and positions at the prices in a row; see `ledger.account_value`."""
    total = 0.0
    for a in range(t.shape[1]):
        total += t[at.SHARES, a] * t[row, a]
    return cash + type(zero)(total)


@small
def book(t: Any, a: int, signed: Any, paid: Any, fee: Any, before: Any, x: Any, i: Any) -> None:
    """Enter a fill of asset a; its profit goes to `GAINED`. See `ledger.book_fills`."""
    zero, after = x[at.ZERO], t[at.SHARES, a]
    cost, amount = signed * paid, abs(signed)
    stays = before == zero or before * after > zero
    flow = t[at.FLOW, a]
    gained = zero if stays else flow + before * paid - fee * (abs(before) / amount)
    t[at.GAINED, a] = gained
    t[at.FLOW, a] = zero if after == zero else flow - (cost + fee) - gained
    t[at.VOLUME, a] += amount
    t[at.NOTIONAL, a] += abs(cost)
    t[at.FEES, a] += fee
    t[at.SLIPPAGE, a] += amount * abs(paid - t[at.PRICE, a])


@small
def realise(money: Any, t: Any, zero: Any) -> None:
    """Add what `GAINED` holds to the profit of the bar."""
    total = 0.0
    for a in range(t.shape[1]):
        total += t[at.GAINED, a]
    money[at.REALISED] += type(zero)(total)


@njit(**SHARED)
def _close_hits(
    money: Any, t: Any, hits: int, rate: Any, buy: Any, sell: Any, x: Any, i: Any
) -> None:
    """Trade the positions marked in `HIT` to flat at `PRICE`, whatever it costs.

    See `_forced_trades.force_close`.
    """
    zero, assets = x[at.ZERO], t.shape[1]
    if hits:
        paid_out = 0.0
        for a in range(assets):
            t[at.GAINED, a] = zero
            held = t[at.SHARES, a]
            if t[at.HIT, a] == zero or held == zero:
                continue
            signed = -held
            paid = t[at.PRICE, a] * (buy if signed > zero else sell)
            fee = fee_of(abs(signed), abs(signed) * paid, rate, x, i)
            paid_out += signed * paid + fee
            t[at.SHARES, a] = zero
            t[at.EXITED, a] = x[at.ONE]
            book(t, a, signed, paid, fee, held, x, i)
        money[at.CASH] -= type(zero)(paid_out)
        realise(money, t, zero)
    if money[at.CASH] < zero:
        flat = True
        for a in range(assets):
            flat = flat and t[at.SHARES, a] == zero
        if flat:
            money[at.OWED] += -money[at.CASH]
            money[at.CASH] = zero
    if i[at.LOCKS]:
        total = 0.0
        for a in range(assets):
            if hits and t[at.HIT, a] != zero:
                t[at.DEBT, a] = zero
            total += t[at.DEBT, a]
        money[at.FREE] = money[at.CASH] - x[at.TWO] * type(zero)(total)


@small
def close_hits(
    money: Any, t: Any, hits: int, rate: Any, buy: Any, sell: Any, x: Any, i: Any
) -> None:
    """`_close_hits` where that changes anything."""
    if hits or money[at.CASH] < x[at.ZERO] or i[at.LOCKS]:
        _close_hits(money, t, hits, rate, buy, sell, x, i)


@inline
def liquidate(money: Any, t: Any, row: int, c: Any, x: Any, i: Any) -> None:
    """See `_forced_trades.liquidate`."""
    zero, gross, hits = x[at.ZERO], 0.0, 0
    for a in range(t.shape[1]):
        gross += abs(t[at.SHARES, a]) * t[row, a]
    value = value_at(money[at.CASH], t, row, zero)
    if value < x[at.MAINTENANCE] * type(zero)(gross):
        for a in range(t.shape[1]):
            t[at.HIT, a], t[at.PRICE, a] = x[at.ONE], t[row, a]
            hits += 1
    close_hits(money, t, hits, c[at.PENALTY], c[at.BUY], c[at.SELL], x, i)


@small
def _stop_of(t: Any, a: int, trailing: Any, x: Any, i: Any) -> Any:
    """See `exits.stop_level`."""
    stop = t[at.STOP, a]
    if trailing == x[at.ZERO]:
        return stop
    if t[at.SHARES, a] > x[at.ZERO]:
        return higher(stop, t[at.BEST, a] * (x[at.ONE] - trailing))
    side = x[at.ZERO] if t[at.SHARES, a] == x[at.ZERO] else -x[at.ONE]
    return lower(stop, t[at.BEST, a] * (x[at.ONE] - side * trailing))


@inline
def stop_out(money: Any, t: Any, row: int, c: Any, x: Any, i: Any) -> None:
    """See `exits.stop_out`."""
    zero, hits = x[at.ZERO], 0
    for a in range(t.shape[1]):
        held, price, level = t[at.SHARES, a], t[row, a], _stop_of(t, a, x[at.TRAILING], x, i)
        hit = (held > zero and price <= level) or (held < zero and price >= level)
        t[at.HIT, a], t[at.PRICE, a] = (x[at.ONE] if hit else zero), price
        hits += hit
    close_hits(money, t, hits, c[at.FEE], c[at.BUY], c[at.SELL], x, i)


@inline
def take_profit(money: Any, t: Any, row: int, c: Any, x: Any, i: Any) -> None:
    """See `exits.take_profit`."""
    zero, hits = x[at.ZERO], 0
    for a in range(t.shape[1]):
        held, price, level = t[at.SHARES, a], t[row, a], t[at.TAKE, a]
        hit = (held > zero and price >= level) or (held < zero and price <= level)
        t[at.HIT, a], t[at.PRICE, a] = (x[at.ONE] if hit else zero), price
        hits += hit
    close_hits(money, t, hits, c[at.FEE], x[at.ONE], x[at.ONE], x, i)


@inline
def margin_call(money: Any, t: Any, c: Any, x: Any, i: Any) -> None:
    """See `inside._margin_call`; for one asset."""
    zero, held = x[at.ZERO], t[at.SHARES, 0]
    long, hits = held > zero, 0
    if held != zero:
        level = money[at.CASH] / (x[at.MAINTENANCE] * abs(held) - held)
        hit = t[at.LOWEST, 0] <= level if long else t[at.HIGHEST, 0] >= level
        if i[at.EXITS]:
            stop = _stop_of(t, 0, x[at.TRAILING], x, i)
            hit = hit and not (stop >= level if long else stop <= level)
        first = t[at.OPENED, 0]
        t[at.PRICE, 0] = lower(level, first) if long else higher(level, first)
        t[at.HIT, 0] = x[at.ONE] if hit else zero
        hits = 1 if hit else 0
    close_hits(money, t, hits, c[at.PENALTY], c[at.BUY], c[at.SELL], x, i)


@inline
def leave(money: Any, t: Any, c: Any, x: Any, i: Any) -> None:
    """Stops, then targets that no stop comes before; see `inside._leave`."""
    zero, stops, takes = x[at.ZERO], 0, 0
    for a in range(t.shape[1]):
        held, first = t[at.SHARES, a], t[at.OPENED, a]
        stop, take = _stop_of(t, a, x[at.TRAILING], x, i), t[at.TAKE, a]
        long = held > zero
        stopped = t[at.LOWEST, a] <= stop if long else t[at.HIGHEST, a] >= stop
        taken = t[at.HIGHEST, a] >= take if long else t[at.LOWEST, a] <= take
        stopped = stopped and held != zero
        taken = taken and held != zero and not stopped
        t[at.HIT, a] = x[at.ONE] if stopped else zero
        t[at.PRICE, a] = lower(stop, first) if long else higher(stop, first)
        t[at.RANK, a] = x[at.ONE] if taken else zero
        t[at.SIZE, a] = higher(take, first) if long else lower(take, first)
        stops += stopped
        takes += taken
    close_hits(money, t, stops, c[at.FEE], c[at.BUY], c[at.SELL], x, i)
    if takes:
        for a in range(t.shape[1]):
            t[at.HIT, a], t[at.PRICE, a] = t[at.RANK, a], t[at.SIZE, a]
        close_hits(money, t, takes, c[at.FEE], x[at.ONE], x[at.ONE], x, i)
