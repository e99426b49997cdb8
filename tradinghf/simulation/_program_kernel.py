"""Orders that wait and exits of one account over all bars, compiled by numba.

The events of `step.trade_through_bar` and `step.trade_at_close`, in their order, for accounts
whose cash is not locked by shorts. `_account_kernel` names the numbers and fills an order,
`_path_kernel` has the inside of a bar.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tradinghf.simulation import _account_kernel as at
from tradinghf.simulation._account_kernel import add, execute, part, record
from tradinghf.simulation._path_kernel import (
    SPAN,
    STOPPED,
    SURE_HIGH,
    SURE_LOW,
    force,
    higher,
    leave,
    leave_at_open,
    liquidate,
    lower,
    reach,
    rest_of_bar,
    whole_bar,
    worth,
)

KINDS = ("target_percent", "target_value", "target_amount", "value", "amount", "signal")


@part
def _size(kind: Any, asked: Any, held: Any, price: Any, value: Any) -> Any:
    """Signed shares; see `orders.order_size`."""
    if kind == 0 or kind == 5:
        if value <= 0 or (kind == 5 and asked * held > 0):
            return np.nan
        return asked * value / price - held
    if kind == 1:
        return asked / price - held
    if kind == 2:
        return asked - held
    return asked / price if kind == 3 else asked


@part
def _rank(kind: Any, asked: Any, held: Any, price: Any, value: Any) -> Any:
    """What orders of several assets are sorted by; see `orders.order_value`."""
    if kind == 0 or kind == 5:
        return asked * value - held * price
    if kind == 1:
        return asked - held * price
    if kind == 2:
        return asked * price - held * price
    return asked if kind == 3 else asked * price


@part
def _open_exits(p: Any, w: Any, a: Any, loss: Any, take: Any, x: Any) -> None:
    """Levels of a round trip that a fill opened; see `exits.set_exits`."""
    was, now, price = w[at.WAS, a], p[at.SHARES, a], w[at.PAID, a]
    if now == 0 or was * now > 0:
        return
    side = np.sign(now)
    if loss != loss and x[at.STOP_LOSS] != 0:
        loss = price * (1.0 + side * -x[at.STOP_LOSS])
    if take != take and x[at.TAKE_PROFIT] != 0:
        take = price * (1.0 + side * x[at.TAKE_PROFIT])
    p[at.EXIT, a], p[at.TARGET, a], p[at.BEST, a] = loss, take, price


@part
def _expose(m: Any, p: Any, w: Any, x: Any) -> None:
    """Write the gross value at `PRICE`, and what it may become: NaN is a cash account.

    See `Setup.exposure` and `_portfolio.execute_all`.
    """
    m[at.EXPOSURE], m[at.GROSS] = np.nan, 0.0
    if x[at.LEVERAGE] != 1.0:
        for a in range(p.shape[1]):
            m[at.GROSS] += abs(p[at.SHARES, a]) * w[at.PRICE, a]
        m[at.EXPOSURE] = max(worth(m, p, w[at.PRICE]), 0.0) * x[at.LEVERAGE]


@part
def _trade(
    t: Any, m: Any, p: Any, w: Any, b: Any, g: Any, passive: Any, fees: Any, out: Any, n: Any,
    x: Any, i: Any,
) -> Any:  # fmt: skip
    """Execute the orders in `WANT` (NaN is none) by rising `RANK`, and set their exits in `g`.

    `g` is the row of stop losses and the row of targets. See `_working_orders.execute_and_book`.
    """
    slip, impact = (0.0, 0.0) if passive else (x[at.SLIPPAGE], x[at.IMPACT])
    rate = x[at.MAKER_FEE] if passive else x[at.FEE]
    assets = p.shape[1]
    _expose(m, p, w, x)
    for a in range(assets):
        w[at.WAS, a], w[at.SIGNED, a] = p[at.SHARES, a], 0.0
        p[at.SHARES, a] = add(p[at.SHARES, a], 0.0)
    m[at.CASH] = add(m[at.CASH], 0.0)
    if assets == 1:
        if w[at.WANT, 0] == w[at.WANT, 0]:
            execute(m, p, w, 0, b, slip, impact, rate, x, i)
    else:
        for a in np.argsort(w[at.RANK], kind="mergesort"):
            if w[at.WANT, a] == w[at.WANT, a]:
                execute(m, p, w, a, b, slip, impact, rate, x, i)
    for a in range(assets):
        if i[at.EXITS] and w[at.WAS, a] != p[at.SHARES, a]:
            _open_exits(p, w, a, g[0, a], g[1, a], x)
        if w[at.SIGNED, a] != 0:
            fees[a] += w[at.COST, a]
            n = record(out, n, t, a, w[at.SIGNED, a], w[at.PAID, a], w[at.COST, a], w[at.PRICE, a])
    return n


@part
def _trade_waiting(
    t: Any, m: Any, p: Any, w: Any, b: Any, passive: Any, fees: Any, out: Any, n: Any, x: Any,
    i: Any,
) -> Any:  # fmt: skip
    """Execute the waiting orders marked in `WANT`, at `PRICE`; see `_working_orders._fill`."""
    ready = 0
    for a in range(p.shape[1]):
        ready += w[at.WANT, a] != 0
    if not ready:
        return n
    for a in range(p.shape[1]):
        if w[at.WANT, a] != 0:
            size = p[at.SIZE, a]
            if x[at.PARTICIPATION] != 0:
                most = b[at.VOLUME, a] * x[at.PARTICIPATION]
                size = min(max(size, -most), most)
            w[at.WANT, a], p[at.SIZE, a] = size, p[at.SIZE, a] - size
            p[at.BEGUN, a] = 1.0
            w[at.RANK, a] = size * w[at.PRICE, a]
        else:
            w[at.WANT, a], w[at.RANK, a], w[at.PRICE, a] = np.nan, np.nan, p[at.CLOSE, a]
    return _trade(t, m, p, w, b, p[at.LOSS :], passive, fees, out, n, x, i)


@part
def _try_waiting(
    t: Any, m: Any, p: Any, w: Any, b: Any, price: Any, tried: Any, fees: Any, out: Any, n: Any,
    x: Any, i: Any,
) -> Any:  # fmt: skip
    """Fill what waits and is executable at a price; see `_working_orders.fill_at_price`.

    `tried` [A]: in, which orders to try; out, which were.
    """
    for a in range(p.shape[1]):
        size, limit, stop = p[at.SIZE, a], p[at.LIMIT, a], p[at.STOP, a]
        reached = stop != stop or (price[a] >= stop if size > 0 else price[a] <= stop)
        fair = limit != limit or (price[a] <= limit if size > 0 else price[a] >= limit)
        if reached:
            p[at.STOP, a] = np.nan
        tried[a] = 1.0 if tried[a] != 0 and reached and fair and size != 0 else 0.0
        w[at.WANT, a], w[at.PRICE, a] = tried[a], price[a]
    return _trade_waiting(t, m, p, w, b, False, fees, out, n, x, i)


@part
def give(
    t: Any, m: Any, p: Any, w: Any, b: Any, g: Any, kind: Any, price: Any, tried: Any, fees: Any,
    out: Any, n: Any, x: Any, i: Any,
) -> Any:  # fmt: skip
    """Give the orders `g` [5, A] (size, limit, stop, exits) at a price; see `step._fill`."""
    value, every = worth(m, p, price), i[at.AT_CLOSE] == 0
    for a in range(p.shape[1]):
        asked = np.nan if m[at.RUINED] != 0 else g[0, a]
        asked = -asked if i[at.SIDE] < 0 else asked
        size = _size(kind, asked, p[at.SHARES, a], price[a], value)
        w[at.WANT, a], w[at.PRICE, a] = size, price[a]
        w[at.RANK, a] = _rank(kind, asked, p[at.SHARES, a], price[a], value)
        tried[a] = 0.0
        if i[at.WAITS]:
            tried[a] = 1.0 if every or size == size else 0.0
            if size == size:
                p[at.SIZE, a], p[at.BEGUN, a] = size, 0.0
                for k in range(4):
                    p[at.LIMIT + k, a] = g[1 + k, a]
    if i[at.WAITS]:
        return _try_waiting(t, m, p, w, b, price, tried, fees, out, n, x, i)
    return _trade(t, m, p, w, b, g[3:], False, fees, out, n, x, i)


@part
def _inside(
    t: Any, m: Any, p: Any, w: Any, s: Any, bar: Any, tried: Any, fees: Any, out: Any, n: Any,
    x: Any, i: Any,
) -> Any:  # fmt: skip
    """See `inside.trade_inside_bar`."""
    assets = p.shape[1]
    whole_bar(s, bar)
    if not i[at.WAITS]:
        n = leave(t, m, p, w, s, False, fees, out, n, x, i)
        _trail(p, w, s, bar, False, i)
        return n
    w[at.WANT] = tried
    reach(p, w, bar, i[at.HOPEFUL] != 0)
    n = leave(t, m, p, w, s, True, fees, out, n, x, i)
    held = p[at.SHARES].copy()
    for passive in (False, True):
        for a in range(assets):
            entry = w[at.ENTRY, a]
            w[at.WANT, a] = 1.0 if entry == entry and (w[at.PASSIVE, a] != 0) == passive else 0.0
            w[at.PRICE, a] = entry if w[at.WANT, a] != 0 else p[at.CLOSE, a]
        n = _trade_waiting(t, m, p, w, bar, passive, fees, out, n, x, i)
    w[at.WAS] = held
    rest_of_bar(p, w, s, bar)
    for a in range(assets):  # before exits close what was opened
        now = p[at.SHARES, a]
        w[at.RANK, a] = 1.0 if held[a] != now and held[a] * now <= 0 else 0.0
    n = leave(t, m, p, w, s, False, fees, out, n, x, i)
    _trail(p, w, s, bar, True, i)
    return n


@part
def _trail(p: Any, w: Any, s: Any, bar: Any, opens: Any, i: Any) -> None:
    """Move the trailing stops' reference; `RANK` marks what `opens`. See `exits`."""
    if not i[at.EXITS]:
        return
    for a in range(p.shape[1]):
        fresh = opens and w[at.RANK, a] != 0
        high = s[SURE_HIGH, a] if fresh else bar[1, a]
        low = s[SURE_LOW, a] if fresh else bar[2, a]
        best = p[at.BEST, a]
        up, down = higher(best, high), lower(best, low)
        p[at.BEST, a] = up if p[at.SHARES, a] > 0 else down


@part
def _corporate_actions(m: Any, p: Any, bar: Any) -> None:
    """Splits and dividends of a bar's open; see `financing.corporate_actions`."""
    paid = 0.0
    for a in range(p.shape[1]):
        split = bar[at.SPLIT, a]
        p[at.SHARES, a] *= split
        p[at.SIZE, a] *= split
        for row in (at.CLOSE, at.LIMIT, at.STOP, at.LOSS, at.TAKE, at.EXIT, at.TARGET, at.BEST):
            p[row, a] /= split
        paid += p[at.SHARES, a] * bar[at.DIVIDEND, a]
    m[at.CASH] += paid
    m[at.FINANCING] -= paid


@part
def _accrue(m: Any, p: Any, close: Any, funding: Any, x: Any) -> None:
    """See `financing.accrue`."""
    carried = short = 0.0
    for a in range(p.shape[1]):
        value = p[at.SHARES, a] * close[a]
        rate = funding[a] + x[at.FUNDING] if len(funding) else x[at.FUNDING]
        owes = max(-value, 0.0)
        carried += value * rate + owes * x[at.BORROW]
        short += owes
    cash = m[at.CASH]
    interest = max(cash - short, 0.0) * x[at.INTEREST] - max(-cash, 0.0) * x[at.MARGIN]
    change = (0.0 if m[at.RUINED] != 0 else interest) - carried
    m[at.CASH] = cash + change
    m[at.FINANCING] -= change


@part
def close_ruined(t: Any, m: Any, p: Any, close: Any, out: Any, n: Any, x: Any) -> Any:
    """See `_forced_trades.close_ruined`."""
    left = worth(m, p, close)
    if m[at.RUINED] == 0 and not left <= x[at.RUIN]:
        m[at.OWED] += max(-left, 0.0)
        return n
    m[at.RUINED], m[at.CASH] = 1.0, max(left, 0.0)
    m[at.OWED] += max(-left, 0.0)
    for a in range(p.shape[1]):
        if p[at.SHARES, a] != 0:
            n = record(out, n, t, a, -p[at.SHARES, a], close[a], 0.0, close[a])
        p[at.SHARES, a] = p[at.SIZE, a] = 0.0
    return n


@part
def through(
    t: Any, m: Any, p: Any, w: Any, s: Any, bar: Any, funding: Any, member: Any, g: Any, kind: Any,
    fees: Any, out: Any, x: Any, i: Any,
) -> Any:  # fmt: skip
    """Carry the account through a bar; see `step.trade_through_bar`.

    Args:
        t: the bar's number.
        m, p, w, s: money, positions, and room for work.
        bar: [rows, A] open, high, low, close, and what else is needed.
        funding, member: [A] of the bar, or empty.
        g: [5, A] orders for its open; used unless fills come at the close.
        kind: of their sizes.
        fees: [A], added to.
        out: [n, 6] for fills.
        x, i: settings and switches.

    Returns:
        The number of fills.

    """
    n, tried = 0, np.ones(p.shape[1])
    m[at.FINANCING] = 0.0
    w[at.UNSURE] = 0.0
    if i[at.ADJUSTS]:
        _corporate_actions(m, p, bar)
    if i[at.MEMBERS]:
        for a in range(p.shape[1]):
            w[at.WANT, a], w[at.PRICE, a] = (STOPPED if member[a] == 0 else 0), p[at.CLOSE, a]
            if member[a] == 0:
                g[0, a] = np.nan
                p[at.SIZE, a] = 0.0
        n = force(t, m, p, w, STOPPED, at.FEE, fees, out, n, x)
    if x[at.MAINTENANCE] != 0:
        n = liquidate(t, m, p, w, bar[0], fees, out, n, x)
    if i[at.EXITS]:
        n = leave_at_open(t, m, p, w, bar[0], fees, out, n, x)
    if not i[at.AT_CLOSE]:
        n = give(t, m, p, w, bar, g, kind, bar[0], tried, fees, out, n, x, i)
    elif i[at.WAITS]:
        n = _try_waiting(t, m, p, w, bar, bar[0], tried, fees, out, n, x, i)
    n = _inside(t, m, p, w, s, bar, tried, fees, out, n, x, i)
    if i[at.FINANCES]:
        _accrue(m, p, bar[3], funding, x)
    p[at.CLOSE] = bar[3]
    if x[at.MAINTENANCE] != 0 and p.shape[1] > 1:
        n = liquidate(t, m, p, w, bar[3], fees, out, n, x)
    return close_ruined(t, m, p, bar[3], out, n, x)


@part
def run(
    first: Any, bars: Any, funding: Any, member: Any, tables: Any, kinds: Any, x: Any, i: Any,
    m: Any, p: Any, money: Any, held: Any, fees: Any, unsure: Any, out: Any,
) -> Any:  # fmt: skip
    """Carry one account through bars, until the last one or until there is no room for fills.

    Args:
        first: bar to begin with.
        bars: [T, rows, A] open, high, low, close, and what else is needed.
        funding, member: [T, A], or [T, 0].
        tables: [T, 5, A] orders in the row where they were decided.
        kinds: [T] index into `KINDS`.
        x, i: settings and switches.
        m, p: money and positions before the first bar; carried on.
        money: [T, 4] cash, owed, ruined, financing; written.
        held, fees: [T, A], written; fees 0 before.
        unsure: [A] ambiguous bars, added to.
        out: [n, 6] bar, asset, signed size, price paid, fee, price before slippage; n of at least
            `MOST_FILLS` an asset.

    Returns:
        The bar after the last one, and the number of fills.

    """
    length, assets = bars.shape[0], bars.shape[2]
    w, s = np.zeros((at.WORK, assets)), np.zeros((SPAN, assets))
    g, tried, count = np.empty((5, assets)), np.zeros(assets), 0
    for t in range(first, length):
        if count + at.MOST_FILLS * assets > len(out):
            return t, count
        m[at.FINANCING] = 0.0
        if t:
            g[:] = tables[t - 1]
            count += through(
                t, m, p, w, s, bars[t], funding[t], member[t], g, kinds[t - 1], fees[t],
                out[count:], x, i,
            )  # fmt: skip
            for a in range(assets):
                unsure[a] += w[at.UNSURE, a] != 0
        if i[at.AT_CLOSE]:
            g[:] = tables[t]
            made = give(
                t, m, p, w, bars[t], g, kinds[t], bars[t, 3], tried, fees[t], out[count:], 0, x, i
            )
            count += close_ruined(t, m, p, bars[t, 3], out[count:], made, x)
        money[t] = m[: at.EXPOSURE]
        held[t] = p[at.SHARES]
    return length, count
