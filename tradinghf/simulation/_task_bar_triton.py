"""One bar of any task in Triton: the events of `step.step_account`, and what environments add.

`_task_kernel_triton` has the events, `_task_orders_triton` the tile that they work on.
"""

from __future__ import annotations

import triton
import triton.language as tl

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._plain_kernel_triton import _bounded as bounded
from tradinghf.simulation._plain_kernel_triton import _over as over
from tradinghf.simulation._task_kernel_triton import (
    accrue,
    close_hits,
    gapped,
    leave,
    liquidate,
    margin_call,
    order,
    ready,
    ruin,
    trade,
    value_at,
)
from tradinghf.simulation._task_orders_triton import add, higher, lower, total
from tradinghf.simulation._task_switches import BITS

_BIT = {name: tl.constexpr(bit) for name, bit in BITS.items()}
_AT_CLOSE, _WAITS, _EXITS = _BIT["at_close"], _BIT["waits"], _BIT["exits"]
_FINANCES, _FORCES, _MOMENTS = _BIT["finances"], _BIT["forces"], _BIT["moments"]
_REVIEWS, _FUNDED, _SPLITS = _BIT["reviews"], _BIT["funded"], _BIT["splits"]
_DIVIDENDS, _DELISTS, _LOCKS = _BIT["dividends"], _BIT["delists"], _BIT["locks"]
_IMPACT, _MAINTENANCE, _TIME_LEFT = _BIT["impact"], _BIT["maintenance"], _BIT["time_left"]
_ON_CHANGE, _OWN_COSTS, _OWN_ENDS = _BIT["on_change"], _BIT["own_costs"], _BIT["own_ends"]
_X = {name: tl.constexpr(getattr(at, name)) for name in vars(at) if name.isupper()}
_X_NONE, _X_RELATIVE, _X_ABSOLUTE = _X["NONE"], _X["RELATIVE"], _X["ABSOLUTE"]
_X_FIXED, _X_PER_SHARE, _X_RUIN = _X["FIXED"], _X["PER_SHARE"], _X["RUIN"]
_X_START_CASH, _X_RATE, _X_UNIT = _X["START_CASH"], _X["MOMENT_RATE"], _X["PROFIT_UNIT"]
_X_SPAN, _X_LIMIT = _X["SPAN"], _X["LIMIT"]
_ROW = {name: tl.constexpr(getattr(at, name) // at.LANES) for name in vars(at) if name.isupper()}
_CASH, _FREE, _OWED, _RUINED = (_ROW[n] for n in ("CASH", "FREE", "OWED", "RUINED"))
_PEAK, _MEAN, _SQUARE, _EQUITY = (_ROW[n] for n in ("PEAK", "MEAN", "SQUARE", "EQUITY"))
_DRAWDOWN_BEFORE, _DRAWDOWN, _REALISED = (
    _ROW[n] for n in ("DRAWDOWN_BEFORE", "DRAWDOWN", "REALISED")
)
_COSTS, _TURNOVER, _FINANCING, _DEBT_SHOWN = (
    _ROW[n] for n in ("COSTS", "TURNOVER", "FINANCING", "DEBT_SHOWN")
)
_SHARES, _FLOW, _DEBT, _CLOSE = (_ROW[n] for n in ("SHARES", "FLOW", "DEBT", "CLOSE"))
_STOP, _TAKE, _BEST, _WAITING = (_ROW[n] for n in ("STOP", "TAKE", "BEST", "WAITING"))
_TARGET, _SINCE, _RISK = (_ROW[n] for n in ("TARGET", "SINCE", "RISK"))
_POSITION, _PRICE_SHOWN = _ROW["POSITION"], _ROW["PRICE_SHOWN"]
_RATES = tl.constexpr(at.RATES)
_OPEN, _HIGH, _LOW, _CLOSED, _VOLUME, _VOLATILITY = (tl.constexpr(c) for c in range(6))


@triton.jit
def _money(accounts, row: tl.constexpr, k, m, count):
    """[B, 1] a number of the accounts."""
    return tl.load(accounts + row * count + k, mask=m, other=1.0)


@triton.jit
def _place(positions, row: tl.constexpr, k, a, at_place, count, assets):
    """[B, P] a number of the positions."""
    return tl.load(positions + (row * assets + a) * count + k, mask=at_place, other=0.0)


@triton.jit
def _price(prices, row, column, a, at_place, columns, assets):
    """[B, P] a number of the bars; 1 where there is no asset."""
    return tl.load(prices + (row * columns + column) * assets + a, mask=at_place, other=1.0)


@triton.jit
def _rates_of(costs, k, m, S: tl.constexpr):
    """What fills cost, [B, 1] each; see `_layout_kernel.RATES`."""
    own = k * 0
    if _OWN_COSTS & S:
        own = k * _RATES
    here = costs + own
    return (
        tl.load(here, mask=m, other=0.0),
        tl.load(here + 1, mask=m, other=1.0),
        tl.load(here + 2, mask=m, other=1.0),
        tl.load(here + 3, mask=m, other=1.0),
        tl.load(here + 4, mask=m, other=1.0),
        tl.load(here + 5, mask=m, other=0.0),
        tl.load(here + 6, mask=m, other=0.0),
    )


@triton.jit
def _open(
    b, e, waiting, close, financing, opened, row, a, at_place, prices, splits, dividends, listed,
    columns, assets, rates, costs, x, P: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Splits, dividends, delistings, margin calls and gapped exits; see `step._open`."""
    if _SPLITS & S:
        cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slip, out = b
        split = _price(prices, row, splits, a, at_place, columns, assets)
        shares, close, waiting = shares * split, over(close, split), waiting * split
        b = (cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slip, out)
        e = (over(e[0], split), over(e[1], split), over(e[2], split))
    if _DIVIDENDS & S:
        cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slip, out = b
        paid = shares * _price(prices, row, dividends, a, at_place, columns, assets)
        amount = total(paid, P)
        cash, flow, financing = cash + amount, flow + paid, financing - amount
        if _LOCKS & S:
            free = free + amount
        b = (cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slip, out)
    if _DELISTS & S:
        gone = listed == 0.0
        b = close_hits(b, gone, close, rates[0], False, rates, costs, P, S)
        waiting = tl.where(gone, 0.0, waiting)
    if _MAINTENANCE & S:
        b = liquidate(b, opened, rates, costs, x, P, S)
    if _EXITS & S:
        b = gapped(b, e, opened, rates, costs, x, P, S)
    return b, e, waiting, close, financing


@triton.jit
def _snap(b, near, S: tl.constexpr):
    """Money within tolerance of 0 is 0 after orders; see `account._settle`."""
    cash, free, owed, realised, shares, flow, debt, volume, notional, fees, slipped, exited = b
    if _LOCKS & S:
        free, debt = add(free, 0.0, near), add(debt, 0.0, near)
    return (
        add(cash, 0.0, near), free, owed, realised, shares, flow, debt,
        volume, notional, fees, slipped, exited,
    )  # fmt: skip


@triton.jit
def advance(
    accounts, positions, asset, start, bar, orders, costs, ends, prices, x,
    accounts_after, positions_after, bar_after, account, window,
    count, assets, columns, bars, lookback, review, own,
    fundings, splits, dividends, members,
    P: tl.constexpr, S: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Carry N accounts of A assets one bar on.

    `accounts` [ACCOUNT_ROWS, N], `positions` [POSITION_ROWS, A, N], `orders` [N, A], `costs`
    [1 or N, RATES], `ends` [1 or N] and `prices` [rows, C, A] are read, and what ends in _after,
    `account` [N, own] and `window` [N] written; the last four integers are columns of prices.
    """
    k = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)[:, None]
    a = tl.arange(0, P).to(tl.int64)[None, :]
    m = k < count
    here = m & (a < assets)
    near = (tl.load(x + _X_RELATIVE), tl.load(x + _X_ABSOLUTE))
    none, floor_at = tl.load(x + _X_NONE), tl.load(x + _X_RUIN)
    prices_of_costs = (tl.load(x + _X_FIXED), tl.load(x + _X_PER_SHARE))
    rates = _rates_of(costs, k, m, S)
    now = tl.load(bar + k, mask=m, other=0)
    before = tl.load(asset + k, mask=m, other=0) * bars + now
    row = before + 1
    opened = _price(prices, row, _OPEN, a, here, columns, assets)
    closed = _price(prices, row, _CLOSED, a, here, columns, assets)
    volatility = _price(prices, row, _VOLATILITY, a, here, columns, assets)
    high, low, volume, old_volume, old_volatility = closed, closed, closed, closed, closed
    listed, funded = closed, closed
    if (_EXITS | _MAINTENANCE) & S:
        high = _price(prices, row, _HIGH, a, here, columns, assets)
        low = _price(prices, row, _LOW, a, here, columns, assets)
    if (_WAITS | _IMPACT) & S:
        volume = _price(prices, row, _VOLUME, a, here, columns, assets)
        old_volume = _price(prices, before, _VOLUME, a, here, columns, assets)
        old_volatility = _price(prices, before, _VOLATILITY, a, here, columns, assets)
    if _DELISTS & S:
        listed = _price(prices, row, members, a, here, columns, assets)
    if _FUNDED & S:
        funded = _price(prices, row, fundings, a, here, columns, assets)

    cash, owed = _money(accounts, _CASH, k, m, count), _money(accounts, _OWED, k, m, count)
    ruined = _money(accounts, _RUINED, k, m, count) != 0.0
    shares = _place(positions, _SHARES, k, a, here, count, assets)
    flow = _place(positions, _FLOW, k, a, here, count, assets)
    close = tl.where(here, _place(positions, _CLOSE, k, a, here, count, assets), 1.0)
    free, debt, waiting, e = cash, flow, flow, (flow, flow, flow)
    if _LOCKS & S:
        free = _money(accounts, _FREE, k, m, count)
        debt = _place(positions, _DEBT, k, a, here, count, assets)
    if _WAITS & S:
        waiting = _place(positions, _WAITING, k, a, here, count, assets)
    if _EXITS & S:
        e = (
            _place(positions, _STOP, k, a, here, count, assets),
            _place(positions, _TAKE, k, a, here, count, assets),
            _place(positions, _BEST, k, a, here, count, assets),
        )
    nothing, zero = tl.where(here, 0.0, shares), cash * 0.0
    b = (
        cash, free, owed, zero, shares, flow, debt, nothing, nothing, nothing, nothing,
        nothing != 0.0,
    )  # fmt: skip
    financing, worth = zero, value_at(b, close, P)

    target = _place(positions, _TARGET, k, a, here, count, assets)
    asked = tl.where(here, tl.load(orders + k * assets + a, mask=here, other=0.0), none)
    if _ON_CHANGE & S:
        asked = tl.where(asked == target, none, asked)
    target = tl.where(asked == asked, asked, target)
    asked = tl.where(ruined, none, asked)
    if _AT_CLOSE & S:
        b, e, waiting = order(
            b, e, waiting, asked, close, close, old_volume, old_volatility, rates,
            prices_of_costs, near, x, P, S,
        )  # fmt: skip
        b = _snap(b, near, S)
        b, ruined = ruin(b, ruined, close, x, P, S)
        if _WAITS & S:
            waiting = tl.where(ruined, 0.0, waiting)
    b, e, waiting, close, financing = _open(
        b, e, waiting, close, financing, opened, row, a, here, prices, splits, dividends, listed,
        columns, assets, rates, prices_of_costs, x, P, S,
    )  # fmt: skip
    if (_AT_CLOSE & S) == 0:
        if _DELISTS & S:
            asked = tl.where(listed == 0.0, none, asked)
        b, e, waiting = order(
            b, e, waiting, asked, opened, close, volume, volatility, rates,
            prices_of_costs, near, x, P, S,
        )  # fmt: skip
        b = _snap(b, near, S)
    elif _WAITS & S:
        size, price, rank, waiting = ready(waiting, here, opened, close, volume, none, x, False)
        b, e = trade(
            b, e, size, price, rank, volume, volatility, rates, prices_of_costs, near, x, P, S
        )
        b = _snap(b, near, S)
    if (_MAINTENANCE & S) and P == 1:
        b = margin_call(b, e, opened, low, high, rates, prices_of_costs, x, P, S)
    if _EXITS & S:
        b = leave(b, e, opened, low, high, rates, prices_of_costs, x, P, S)
        e = (e[0], e[1], tl.where(b[4] > 0.0, higher(e[2], high), lower(e[2], low)))
    if _FINANCES & S:
        b, financing = accrue(b, financing, ruined, closed, funded, x, P, S)
    if (_MAINTENANCE & S) and P > 1:
        b = liquidate(b, closed, rates, prices_of_costs, x, P, S)
    b, ruined = ruin(b, ruined, closed, x, P, S)
    if _WAITS & S:
        waiting = tl.where(ruined, 0.0, waiting)

    # What environments add: `Dynamics._carry` and `Dynamics._transition`.
    cash, free, owed, realised, shares, flow, debt, traded, notional, fees, slipped, exited = b
    begun = tl.load(x + _X_START_CASH)
    value = shares * closed
    equity = cash + total(value, P)
    floor = tl.where(equity < floor_at, floor_at, equity)
    safe_before = tl.where(worth < floor_at, floor_at, worth)
    profit = flow + value
    old_peak = _money(accounts, _PEAK, k, m, count)
    peak = tl.where(old_peak >= equity, old_peak, equity)
    drawdown = 1.0 - over(equity, peak)
    elapsed = now + 1 - tl.load(start + k, mask=m, other=0)
    if _REVIEWS & S:
        elapsed = elapsed % review
        peak = tl.where(elapsed == 0, floor, peak)
    since = tl.where(traded > 0.0, 0.0, _place(positions, _SINCE, k, a, here, count, assets) + 1.0)
    if _FORCES & S:
        target = tl.where(exited & (shares == 0.0), 0.0, target)
    last = k * 0
    if _OWN_ENDS & S:
        last = k
    realised = tl.where(
        tl.load(ends + last, mask=m, other=0) != 0, realised + total(profit, P), realised
    )
    position = over(value, floor)
    _save_accounts(
        accounts_after, k, m, count, begun, cash, owed, ruined, peak, equity,
        1.0 - over(worth, old_peak), drawdown, realised, total(fees + slipped, P),
        over(total(notional, P), safe_before), financing,
    )  # fmt: skip
    if _LOCKS & S:
        tl.store(accounts_after + _FREE * count + k, free, mask=m)
    if _MOMENTS & S:
        rate, mean = tl.load(x + _X_RATE), _money(accounts, _MEAN, k, m, count)
        square = _money(accounts, _SQUARE, k, m, count)
        gain = over(equity, safe_before) - 1.0
        tl.store(accounts_after + _MEAN * count + k, mean + rate * (gain - mean), mask=m)
        square = square + rate * (gain * gain - square)
        tl.store(accounts_after + _SQUARE * count + k, square, mask=m)
    place = positions_after + a * count + k
    plane = assets.to(tl.int64) * count
    tl.store(place + _SHARES * plane, shares, mask=here)
    tl.store(place + _FLOW * plane, flow, mask=here)
    tl.store(place + _CLOSE * plane, closed, mask=here)
    tl.store(place + _TARGET * plane, target, mask=here)
    tl.store(place + _SINCE * plane, since, mask=here)
    tl.store(place + _RISK * plane, volatility, mask=here)
    tl.store(place + _POSITION * plane, position, mask=here)
    tl.store(place + _PRICE_SHOWN * plane, over(notional, traded), mask=here)
    if _LOCKS & S:
        tl.store(place + _DEBT * plane, debt, mask=here)
    if _WAITS & S:
        tl.store(place + _WAITING * plane, waiting, mask=here)
    if _EXITS & S:
        tl.store(place + _STOP * plane, e[0], mask=here)
        tl.store(place + _TAKE * plane, e[1], mask=here)
        tl.store(place + _BEST * plane, e[2], mask=here)

    # What accounts see of themselves (`Observer.account`), and where their window is.
    limit, waited = tl.load(x + _X_LIMIT), over(since, tl.load(x + _X_SPAN))
    seen = over(over(profit, floor), volatility * tl.load(x + _X_UNIT))
    view = account + k * own
    tl.store(view + a, bounded(position, limit).to(tl.float32), mask=here)
    tl.store(view + assets + a, bounded(seen, limit).to(tl.float32), mask=here)
    waited = tl.where(waited <= 1.0, waited, 1.0).to(tl.float32)
    tl.store(view + 2 * assets + a, waited, mask=here)
    fallen = bounded(1.0 - over(equity, peak), limit)
    tl.store(view + 3 * assets, fallen.to(tl.float32), mask=m)
    if _TIME_LEFT & S:
        left = 1.0 - tl.div_rn(elapsed.to(tl.float32), review + elapsed.to(tl.float32) * 0.0)
        tl.store(view + 3 * assets + 1, left, mask=m)
    tl.store(bar_after + k, now + 1, mask=m)
    tl.store(window + k, row - (lookback - 1), mask=m)


@triton.jit
def _save_accounts(
    accounts, k, m, count, begun, cash, owed, ruined, peak, equity, drawdown_before, drawdown,
    realised, costs, turnover, financing,
):  # fmt: skip
    """Write what the accounts carry on, and what rewards and info are made of."""
    here = accounts + k
    tl.store(here + _CASH * count, cash, mask=m)
    tl.store(here + _OWED * count, owed, mask=m)
    tl.store(here + _RUINED * count, tl.where(ruined, 1.0, cash * 0.0), mask=m)
    tl.store(here + _PEAK * count, peak, mask=m)
    tl.store(here + _EQUITY * count, over(equity, begun), mask=m)
    tl.store(here + _DRAWDOWN_BEFORE * count, drawdown_before, mask=m)
    tl.store(here + _DRAWDOWN * count, drawdown, mask=m)
    tl.store(here + _REALISED * count, over(realised, begun), mask=m)
    tl.store(here + _COSTS * count, over(costs, begun), mask=m)
    tl.store(here + _TURNOVER * count, turnover, mask=m)
    tl.store(here + _FINANCING * count, over(financing, begun), mask=m)
    tl.store(here + _DEBT_SHOWN * count, over(owed, begun), mask=m)
