"""`_kernel.advance` in Triton: a plain task's bar, one account in each lane of a GPU.

The same arithmetic in the same order, without fused multiply-adds and with rounded divisions, so
that it can be held against the tensor step: `tests/simulation/test_triton.py` does so in Triton's
interpreter. A second kernel shows what the accounts see: windows of the market, gathered by index.
"""

from __future__ import annotations

import triton
import triton.language as tl

from tradinghf.simulation._plain_rows import ROWS, SETTINGS

_ROW = {name: tl.constexpr(ROWS.index(name)) for name in ROWS}
_VOLATILITY, _MEAN, _SQUARE = _ROW["volatility"], _ROW["mean"], _ROW["square"]
_CASH, _SHARES, _FLOW, _OWED = _ROW["cash"], _ROW["shares"], _ROW["flow"], _ROW["owed"]
_RUINED, _PEAK, _SINCE, _TARGET = _ROW["ruined"], _ROW["peak"], _ROW["since"], _ROW["target"]
_CLOSE, _EQUITY, _DRAWDOWN_BEFORE = _ROW["close"], _ROW["equity"], _ROW["drawdown_before"]
_DRAWDOWN, _REALISED, _COSTS = _ROW["drawdown"], _ROW["realised"], _ROW["costs"]
_TURNOVER, _FINANCING, _POSITION = _ROW["turnover"], _ROW["financing"], _ROW["position"]
_DEBT, _PRICE = _ROW["debt"], _ROW["price"]
_SET = {name: tl.constexpr(SETTINGS.index(name)) for name in SETTINGS}
_NONE, _RELATIVE, _ABSOLUTE = _SET["none"], _SET["relative"], _SET["absolute"]
_FIXED, _PER_SHARE, _LEAST, _RUIN = _SET["fixed"], _SET["per_share"], _SET["least"], _SET["ruin"]
_START_CASH, _BORROW, _MARGIN = _SET["start_cash"], _SET["borrow"], _SET["margin"]
_INTEREST, _FUNDING, _RATE = _SET["interest"], _SET["funding"], _SET["moment_rate"]
_UNIT, _REVIEW, _LIMIT = _SET["profit_unit"], _SET["review"], _SET["limit"]


@triton.jit
def _over(a, b):
    """a / b, rounded: of 32-bit numbers Triton's own is not."""
    if a.dtype == tl.float32:
        return tl.div_rn(a, b)
    return a / b


@triton.jit
def _add(a, b, relative, absolute):
    """See `tolerance.snapped_sum`."""
    total = a + b
    tolerance = tl.abs(a) * relative
    tolerance = tl.where(tolerance >= absolute, tolerance, absolute)
    return tl.where(tl.abs(total) <= tolerance, 0.0, total)


@triton.jit
def _bounded(x, limit):
    return tl.where(x < -limit, -limit, tl.where(x > limit, limit, x))


@triton.jit
def _fill(shares, cash, size, given, price, fee_rate, whole, buy, sell, s, SIDE: tl.constexpr,
          FIXED: tl.constexpr, PER_SHARE: tl.constexpr, PROPORTIONAL: tl.constexpr):  # fmt: skip
    """Shares that fill, the price and the fee (account.execute)."""
    relative, absolute = tl.load(s + _RELATIVE), tl.load(s + _ABSOLUTE)
    fixed, per_share = tl.load(s + _FIXED), tl.load(s + _PER_SHARE)
    buying = size > 0.0
    paid = price * tl.where(buying, buy, sell)
    done = tl.abs(size)
    if SIDE > 0:
        done = tl.where(buying, done, tl.where(done <= shares, done, shares))
    if SIDE < 0:
        done = tl.where(buying, tl.where(done <= -shares, done, -shares), done)
    room = cash
    if FIXED:
        room = _add(room, -fixed, relative, absolute)
    if PER_SHARE:
        room = _over(room * paid, paid * whole + per_share)
    elif PROPORTIONAL:
        room = _over(room, whole)
    most = _over(room, paid)
    most = tl.where(done <= most, done, most)
    done = tl.where(buying, most, done)
    notional = done * paid
    fee = notional * fee_rate
    if FIXED:
        fee = fee + fixed
    if PER_SHARE:
        fee = fee + done * per_share
    filled = given & (done > absolute) & (done >= tl.load(s + _LEAST))
    filled = filled & (buying | (notional >= fee))
    done = tl.where(filled, done, 0.0)
    return done, tl.where(buying, done, -done), paid, tl.where(filled, fee, 0.0)


@triton.jit
def _ruin(was, cash, shares, flow, owed, close, ruin):
    """See `_forced_trades.close_ruined`; returns also what was realised."""
    worth = cash + shares * close
    gone = was | (worth <= ruin)
    lost = tl.where(gone, flow + shares * close, 0.0)
    cash = tl.where(gone, tl.where(worth > 0.0, worth, 0.0), cash)
    owed = owed + tl.where(gone & (-worth > 0.0), -worth, 0.0)
    return gone, cash, tl.where(gone, 0.0, shares), tl.where(gone, 0.0, flow), owed, lost


@triton.jit
def advance(before, asset, start, bar, orders, fees, whole, buy, sell, ends, prices, s, after,
            bar_after, account, window, count, bars, lookback, review,
            ON_CHANGE: tl.constexpr, OWN_FEE: tl.constexpr, OWN_SLIP: tl.constexpr,
            OWN_ENDS: tl.constexpr, SIDE: tl.constexpr, AT_CLOSE: tl.constexpr,
            FINANCES: tl.constexpr, MOMENTS: tl.constexpr, REVIEWS: tl.constexpr,
            FIXED: tl.constexpr, PER_SHARE: tl.constexpr, PROPORTIONAL: tl.constexpr,
            BLOCK: tl.constexpr):  # fmt: skip
    """Carry N accounts one bar on; see `_kernel.advance` for the arguments.

    `fees`, `whole`, `buy`, `sell` and `ends` hold one number, or N where OWN_.. is 1; `prices` are
    [rows, 4]. Written: `after` [R, N], `bar_after` [N], `account` [N, 4], `window` [N].
    """
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = k < count
    none, relative, absolute = tl.load(s + _NONE), tl.load(s + _RELATIVE), tl.load(s + _ABSOLUTE)
    ruin, start_cash = tl.load(s + _RUIN), tl.load(s + _START_CASH)
    now = tl.load(bar + k, mask=m, other=0)
    row = tl.load(asset + k, mask=m, other=0) * bars + now + 1
    opened = tl.load(prices + row * 4, mask=m, other=1.0)
    close = tl.load(prices + row * 4 + 1, mask=m, other=1.0)
    volatility = tl.load(prices + row * 4 + 2, mask=m, other=1.0)
    cash = tl.load(before + count * _CASH + k, mask=m, other=1.0)
    shares = tl.load(before + count * _SHARES + k, mask=m, other=0.0)
    flow = tl.load(before + count * _FLOW + k, mask=m, other=0.0)
    old_close = tl.load(before + count * _CLOSE + k, mask=m, other=1.0)
    old_peak = tl.load(before + count * _PEAK + k, mask=m, other=1.0)
    was_ruined = tl.load(before + count * _RUINED + k, mask=m, other=0.0) != 0.0
    worth_before = cash + shares * old_close

    # The order: a target fraction as shares (orders.order_size).
    target = tl.load(before + count * _TARGET + k, mask=m, other=0.0)
    order = tl.load(orders + k, mask=m, other=0.0)
    if ON_CHANGE:
        order = tl.where(order == target, none, order)
    price = opened
    if AT_CLOSE:
        price = old_close
    value = cash + shares * price
    asked = order
    if SIDE < 0:
        asked = -order
    size = _over(asked * value, price) - shares
    given = (size == size) & ~(was_ruined | (value <= 0.0))

    # Its fill, and its round trip (ledger.book).
    done, signed, paid, fee = _fill(
        shares, cash, size, given, price, tl.load(fees + k * OWN_FEE, mask=m, other=0.0),
        tl.load(whole + k * OWN_FEE, mask=m, other=1.0),
        tl.load(buy + k * OWN_SLIP, mask=m, other=1.0),
        tl.load(sell + k * OWN_SLIP, mask=m, other=1.0), s, SIDE, FIXED, PER_SHARE, PROPORTIONAL,
    )  # fmt: skip
    held = shares
    cash = _add(cash, -(signed * paid + fee), relative, absolute)
    shares = _add(held, signed, relative, absolute)
    outlay = signed * paid
    closed = flow + held * paid - fee * _over(tl.abs(held), done)
    realised = tl.where((held == 0.0) | (held * shares > 0.0), 0.0, closed)
    flow = tl.where(shares == 0.0, 0.0, flow - (outlay + fee) - realised)
    notional, slippage = tl.abs(outlay), done * tl.abs(paid - price)
    owed = tl.load(before + count * _OWED + k, mask=m, other=0.0)
    if AT_CLOSE:  # its costs may ruin it there (step.trade_at_close)
        was_ruined, cash, shares, flow, owed, lost = _ruin(
            was_ruined, cash, shares, flow, owed, old_close, ruin
        )
        realised = realised + lost

    # Holding (financing.accrue).
    financing = realised * 0.0
    if FINANCES:
        position = shares * close
        short = tl.where(-position > 0.0, -position, 0.0)
        carried = position * tl.load(s + _FUNDING) + short * tl.load(s + _BORROW)
        spare = tl.where(cash - short > 0.0, cash - short, 0.0)
        lent = tl.where(-cash > 0.0, -cash, 0.0)
        interest = spare * tl.load(s + _INTEREST) - lent * tl.load(s + _MARGIN)
        interest = tl.where(was_ruined, 0.0, interest)
        change = interest - carried
        cash = cash + change
        flow = flow - carried
        financing = 0.0 - change
        realised = realised + interest

    gone, cash, shares, flow, owed, lost = _ruin(was_ruined, cash, shares, flow, owed, close, ruin)
    realised = realised + lost

    # The environment's own bookkeeping (dynamics.advance).
    equity = cash + shares * close
    peak = tl.where(old_peak >= equity, old_peak, equity)
    drawdown = 1.0 - _over(equity, peak)
    floor = tl.where(equity >= ruin, equity, ruin)
    if REVIEWS:
        begins = (now + 1 - tl.load(start + k, mask=m, other=0)) % review == 0
        peak = tl.where(begins, floor, peak)
    since = tl.load(before + count * _SINCE + k, mask=m, other=0.0)
    since = tl.where(done > 0.0, 0.0, since + 1.0)
    safe_before = tl.where(worth_before >= ruin, worth_before, ruin)
    profit = flow + shares * close
    last = tl.load(ends + k * OWN_ENDS, mask=m, other=0) != 0
    realised = tl.where(last, realised + profit, realised)
    position = _over(shares * close, floor)
    zero = cash * 0.0
    tl.store(after + count * _VOLATILITY + k, volatility, mask=m)
    tl.store(after + count * _CASH + k, cash, mask=m)
    tl.store(after + count * _SHARES + k, shares, mask=m)
    tl.store(after + count * _FLOW + k, flow, mask=m)
    tl.store(after + count * _OWED + k, owed, mask=m)
    tl.store(after + count * _RUINED + k, tl.where(gone, zero + 1.0, zero), mask=m)
    tl.store(after + count * _PEAK + k, peak, mask=m)
    tl.store(after + count * _SINCE + k, since, mask=m)
    tl.store(after + count * _TARGET + k, tl.where(order != order, target, order), mask=m)
    tl.store(after + count * _CLOSE + k, close, mask=m)
    tl.store(after + count * _EQUITY + k, _over(equity, start_cash), mask=m)
    fallen = 1.0 - _over(worth_before, old_peak)
    tl.store(after + count * _DRAWDOWN_BEFORE + k, fallen, mask=m)
    tl.store(after + count * _DRAWDOWN + k, drawdown, mask=m)
    tl.store(after + count * _REALISED + k, _over(realised, start_cash), mask=m)
    tl.store(after + count * _COSTS + k, _over(fee + slippage, start_cash), mask=m)
    tl.store(after + count * _TURNOVER + k, _over(notional, safe_before), mask=m)
    tl.store(after + count * _FINANCING + k, _over(financing, start_cash), mask=m)
    tl.store(after + count * _POSITION + k, position, mask=m)
    tl.store(after + count * _DEBT + k, _over(owed, start_cash), mask=m)
    tl.store(after + count * _PRICE + k, _over(notional, done), mask=m)
    if MOMENTS:
        gain, rate = _over(equity, safe_before) - 1.0, tl.load(s + _RATE)
        mean = tl.load(before + count * _MEAN + k, mask=m, other=0.0)
        square = tl.load(before + count * _SQUARE + k, mask=m, other=0.0)
        tl.store(after + count * _MEAN + k, mean + rate * (gain - mean), mask=m)
        tl.store(after + count * _SQUARE + k, square + rate * (gain * gain - square), mask=m)

    # What it sees of itself (observe.Observer).
    limit = tl.load(s + _LIMIT)
    waited = _over(since, tl.load(s + _REVIEW))
    view = account + k * 4
    open_profit = _over(_over(profit, floor), volatility * tl.load(s + _UNIT))
    tl.store(view, _bounded(position, limit).to(tl.float32), mask=m)
    tl.store(view + 1, _bounded(open_profit, limit).to(tl.float32), mask=m)
    tl.store(view + 2, tl.where(waited <= 1.0, waited, 1.0).to(tl.float32), mask=m)
    fallen = 1.0 - _over(equity, peak)
    tl.store(view + 3, _bounded(fallen, limit).to(tl.float32), mask=m)
    tl.store(bar_after + k, now + 1, mask=m)
    tl.store(window + k, row - (lookback - 1), mask=m)


@triton.jit
def show(windows, stride, window, account, obs, count, seen, own, ROWS: tl.constexpr,
         COLUMNS: tl.constexpr):  # fmt: skip
    """[N, D] observations: the window of each account's index, then its own numbers.

    `windows` [.., S] overlap, a row `stride` after the one before; `account` [N, own]; D = S + own.
    """
    n = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.load(window + n, mask=n < count, other=0)
    within = (n < count)[:, None]
    market, self_part = within & (c < seen)[None, :], within & (c >= seen) & (c < seen + own)
    values = tl.load(windows + (row * stride)[:, None] + c[None, :], mask=market, other=0.0)
    beside = account + (n * own)[:, None] + (c - seen)[None, :]
    values = tl.where(market, values, tl.load(beside, mask=self_part, other=0.0))
    place = n.to(tl.int64)[:, None] * (seen + own) + c[None, :]
    tl.store(obs + place, values, mask=market | self_part)
