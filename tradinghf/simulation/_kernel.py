"""`step_account` for one asset and plain costs, compiled by numba, a block of accounts at a time.

The tensor code pays for some hundred small operations per bar; on a processor that is most of the
time of a step. This is the same arithmetic in the same order of rounding, compiled by numba. The
tensor code stays the definition: `tests/simulation/test_fused.py` holds the two together bit for
bit.

A block of accounts is gathered into a small table that stays in the first cache, settled there,
and written out. Every row of that table is as long as a block and lies at a fixed place, so the
compiler knows that rows do not overlap and settles several accounts in one instruction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tradinghf.numba_cache import use_unique_files
from tradinghf.simulation._plain_rows import CARRIED, ROWS

_LANES = 128  # accounts of a block
# Where rows of a block's table begin: `ROWS`, then the account's view, then what is gathered.
(
    _VOLATILITY,
    _MEAN,
    _SQUARE,
    _CASH,
    _SHARES,
    _FLOW,
    _OWED,
    _RUINED,
    _PEAK,
    _SINCE,
    _TARGET,
    _CLOSE,
) = (_LANES * row for row in range(12))
_EQUITY, _DRAWDOWN_BEFORE, _DRAWDOWN, _REALISED, _COSTS, _TURNOVER = (
    _LANES * row for row in range(12, 18)
)
_FINANCING, _POSITION, _DEBT, _PRICE = (_LANES * row for row in range(18, 22))
_VIEW_POSITION, _VIEW_PROFIT, _VIEW_SINCE, _VIEW_DRAWDOWN = (_LANES * row for row in range(22, 26))
_ORDER, _OPEN, _NEXT_CLOSE, _NEXT_VOLATILITY, _FEE, _WHOLE, _BUY, _SELL, _ENDS, _REVIEWS = (
    _LANES * row for row in range(26, 36)
)
_TABLE = 36 * _LANES
_VIEW = 4  # numbers of the account in an observation

use_unique_files()
_SHARED: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
_inline = njit(inline="always", **_SHARED)


@_inline
def _add(a: Any, b: Any, relative: Any, absolute: Any, zero: Any) -> Any:
    """See `tolerance.snapped_sum`."""
    total = a + b
    tolerance = abs(a) * relative
    tolerance = tolerance if tolerance >= absolute else absolute
    return zero if abs(total) <= tolerance else total


@_inline
def _bounded(x: Any, limit: Any) -> Any:
    return -limit if x < -limit else (limit if x > limit else x)


@_inline
def _ruin(
    was: Any, cash: Any, shares: Any, flow: Any, owed: Any, close: Any, ruin: Any, zero: Any
) -> Any:
    """See `_forced_trades.close_ruined`; returns also what was realised."""
    worth = cash + shares * close
    gone = was or worth <= ruin
    lost = flow + shares * close if gone else zero
    left = worth if worth > zero else zero
    cash = left if gone else cash
    owed = owed + (-worth if gone and -worth > zero else zero)
    return gone, cash, (zero if gone else shares), (zero if gone else flow), owed, lost


@njit(**_SHARED)
def _settle(t: Any, settings: Any, switches: Any, on_change: bool, random_fee: bool) -> None:
    """Carry the block in table `t` one bar on; see `advance`. Unused lanes hold anything."""
    zero, one, none, relative, absolute = settings[:5]
    fixed, per_share, least, ruin, start_cash = settings[5:10]
    borrow, margin, interest_rate, funding, moment_rate = settings[10:15]
    profit_unit, span, limit = settings[15:18]
    side, at_close, finances = switches[1], switches[2] != 0, switches[3] != 0
    for k in range(_LANES):
        cash, shares, flow = t[_CASH + k], t[_SHARES + k], t[_FLOW + k]
        old_close, old_peak, close = t[_CLOSE + k], t[_PEAK + k], t[_NEXT_CLOSE + k]
        volatility, was_ruined = t[_NEXT_VOLATILITY + k], t[_RUINED + k] != zero
        fee_rate, whole = t[_FEE + k], t[_WHOLE + k]
        worth_before = cash + shares * old_close

        # The order: a target fraction as shares (orders.order_size).
        target = t[_TARGET + k]
        order = t[_ORDER + k]
        order = none if on_change and order == target else order
        price = old_close if at_close else t[_OPEN + k]
        value = cash + shares * price
        asked = -order if side < 0 else order
        size = asked * value / price - shares
        given = size == size and not (was_ruined or value <= zero)

        # Its fill (account.execute).
        buying = size > zero
        paid = price * (t[_BUY + k] if buying else t[_SELL + k])
        done = abs(size)
        if side > 0 and not buying:
            done = done if done <= shares else shares
        if side < 0 and buying:
            done = done if done <= -shares else -shares
        room = cash
        if fixed != zero:
            room = _add(room, zero - fixed, relative, absolute, zero)
        if per_share != zero:
            room = room * paid / (paid * whole + per_share)
        elif random_fee or fee_rate != zero:
            room = room / whole
        most = room / paid
        most = done if done <= most else most
        done = most if buying else done
        notional = done * paid
        fee = notional * fee_rate
        if fixed != zero:
            fee = fee + fixed
        if per_share != zero:
            fee = fee + done * per_share
        filled = given and done > absolute and done >= least and (buying or notional >= fee)
        done = done if filled else zero
        fee = fee if filled else zero
        signed = done if buying else -done
        held = shares
        cash = _add(cash, -(signed * paid + fee), relative, absolute, zero)
        shares = _add(held, signed, relative, absolute, zero)

        # Its round trip (ledger.book).
        outlay = signed * paid
        closed = flow + held * paid - fee * (abs(held) / done)
        gained = zero if held == zero or held * shares > zero else closed
        flow = zero if shares == zero else flow - (outlay + fee) - gained
        notional, slippage = abs(outlay), done * abs(paid - price)
        realised, financing, owed = gained, zero, t[_OWED + k]
        if at_close:  # its costs may ruin it there (step.trade_at_close)
            was_ruined, cash, shares, flow, owed, lost = _ruin(
                was_ruined, cash, shares, flow, owed, old_close, ruin, zero
            )
            realised = realised + lost

        # Holding (financing.accrue).
        if finances:
            position = shares * close
            short = -position if -position > zero else zero
            carried = position * funding + short * borrow
            spare = cash - short
            spare = spare if spare > zero else zero
            lent = -cash if -cash > zero else zero
            interest = zero if was_ruined else spare * interest_rate - lent * margin
            change = interest - carried
            cash = cash + change
            flow = flow - carried
            financing = zero - change
            realised = realised + interest

        gone, cash, shares, flow, owed, lost = _ruin(
            was_ruined, cash, shares, flow, owed, close, ruin, zero
        )
        realised = realised + lost

        # The environment's own bookkeeping (dynamics.advance).
        equity = cash + shares * close
        peak = old_peak if old_peak >= equity else equity
        t[_DRAWDOWN + k] = one - equity / peak
        floor = equity if equity >= ruin else ruin
        peak = floor if t[_REVIEWS + k] != zero else peak
        since = zero if done > zero else t[_SINCE + k] + one
        safe_before = worth_before if worth_before >= ruin else ruin
        gain = equity / safe_before - one
        mean, square = t[_MEAN + k], t[_SQUARE + k]
        profit = flow + shares * close
        realised = realised + profit if t[_ENDS + k] != zero else realised
        position = shares * close / floor
        t[_EQUITY + k] = equity / start_cash
        t[_DRAWDOWN_BEFORE + k] = one - worth_before / old_peak
        t[_REALISED + k] = realised / start_cash
        t[_COSTS + k] = (fee + slippage) / start_cash
        t[_TURNOVER + k] = notional / safe_before
        t[_FINANCING + k] = financing / start_cash
        t[_POSITION + k], t[_DEBT + k], t[_PRICE + k] = position, owed / start_cash, notional / done
        t[_CASH + k], t[_SHARES + k], t[_FLOW + k], t[_OWED + k] = cash, shares, flow, owed
        t[_RUINED + k], t[_PEAK + k], t[_SINCE + k] = (one if gone else zero), peak, since
        t[_VOLATILITY + k], t[_CLOSE + k] = volatility, close
        t[_TARGET + k] = target if order != order else order
        t[_MEAN + k] = mean + moment_rate * (gain - mean)
        t[_SQUARE + k] = square + moment_rate * (gain * gain - square)

        # What it sees of itself (observe.Observer).
        waited = since / span
        t[_VIEW_POSITION + k] = _bounded(position, limit)
        t[_VIEW_PROFIT + k] = _bounded(profit / floor / (volatility * profit_unit), limit)
        t[_VIEW_SINCE + k] = waited if waited <= one else one
        t[_VIEW_DRAWDOWN + k] = _bounded(one - equity / peak, limit)


@_inline
def _copy(source: Any, target: Any) -> None:
    for k in range(len(target)):
        target[k] = source[k]


@_inline
def _next_bars(asset: Any, bar: Any, bars: int, bar_after: Any, rows: Any) -> None:
    """Write the bar to come, and its rows in the table of prices."""
    for k in range(len(bar)):
        rows[k] = asset[k] * bars + bar[k] + 1
        bar_after[k] = bar[k] + 1


@_inline
def _gather(prices: Any, rows: Any, t: Any) -> None:
    for k in range(len(rows)):
        row = np.uint64(rows[k])
        t[_OPEN + k], t[_NEXT_CLOSE + k] = prices[row, 0], prices[row, 1]
        t[_NEXT_VOLATILITY + k] = prices[row, 2]


@_inline
def _look_up(chosen: Any, levels: Any, orders: Any) -> int:
    """Write the levels that were chosen; returns how many choices are none."""
    wrong = 0
    for k in range(len(orders)):
        choice = np.uint64(chosen[k])  # what is negative becomes large
        within = choice < np.uint64(len(levels))
        orders[k] = levels[choice if within else np.uint64(0)]
        wrong += not within
    return wrong


@njit(**_SHARED)
def advance(
    first: int,
    last: int,
    before: Any,
    asset: Any,
    start: Any,
    bar: Any,
    chosen: Any,
    orders: Any,
    on_change: bool,
    fees: Any,
    whole: Any,
    buy: Any,
    sell: Any,
    ends: Any,
    levels: Any,
    prices: Any,
    features: Any,
    settings: Any,
    switches: Any,
    after: Any,
    bar_after: Any,
    market: Any,
    account: Any,
    offset: int,
    window: Any,
) -> int:
    """Carry the accounts [first, last) one bar on.

    Args:
        first, last: accounts to carry.
        before: [R, N] at the close of the decision bar (`ROWS`).
        asset, start, bar: [N] integers.
        chosen: [N] indices into `levels`; or empty.
        orders: [N] target fractions instead, where NaN is no order; or empty.
        on_change: a target equal to the last one is no order either.
        fees, whole: [1] or [N] proportional fee, and 1 + fee.
        buy, sell: [1] or [N] price factors of slippage.
        ends: [1] or [N] bool, the episode ends with this bar.
        levels: target fractions that may be chosen.
        prices: [rows, 4] open, close, volatility of row asset * bars + bar, and one that is unused.
        features: [rows * F] float32 market features.
        settings: one number of the accounts' precision per name of `SETTINGS`.
        switches: one integer per name of `SWITCHES`: bars T; side 0 both, 1 long only, -1 short
            only; whether orders fill at the decision's close; whether holding costs something;
            whether the moving averages of the return are kept; bars after which the peak starts
            anew, 0 never; W; F.
        after, bar_after: [R, N] and [N], written: the state at the next close.
        market: [N, W * F or more], its first W * F columns written; `window` empty.
        account: [N, 4 or more], written from column `offset` on.
        offset: see `account`.
        window: [N], written instead of `market`: its row among all windows.

    Returns:
        How many choices were no indices of `levels`; what is written is of no use then.

    """
    bars, review, lookback, width = switches[0], switches[5], switches[6], switches[7]
    random_fee, random_slip, own_ends = len(fees) > 1, len(buy) > 1, len(ends) > 1
    seen, wrong = (0 if len(window) else lookback * width), 0
    first_row = 1 if switches[4] else 3  # the old volatility is of no use, nor may the moments be
    t, table_rows = np.zeros(_TABLE, before.dtype), np.empty(_LANES, np.int64)
    zero, one = settings[0], settings[1]
    for k in range(_LANES):  # what all accounts have in common stays in the table
        t[_FEE + k], t[_WHOLE + k] = fees[0], whole[0]
        t[_BUY + k], t[_SELL + k] = buy[0], sell[0]
        t[_ENDS + k] = one if ends[0] else zero
    # Parts of arrays are taken before they are looped over: an index into the part needs no check
    # against its beginning, and the compiler copies several numbers in one instruction.
    for block in range(first, last, _LANES):
        end = min(block + _LANES, last)
        count = end - block
        for r in range(first_row, len(CARRIED)):
            _copy(before[r, block:end], t[r * _LANES : r * _LANES + count])
        rows = table_rows[:count]
        _next_bars(asset[block:end], bar[block:end], bars, bar_after[block:end], rows)
        _gather(prices, rows, t)
        if len(chosen):
            wrong += _look_up(chosen[block:end], levels, t[_ORDER : _ORDER + count])
        else:
            _copy(orders[block:end], t[_ORDER : _ORDER + count])
        for k in range(count):
            rows[k] -= lookback - 1  # where what is seen of the market begins
        if len(window):
            _copy(rows, window[block:end])
        if seen:
            for k in range(count):
                begin = rows[k] * width
                _copy(features[begin : begin + seen], market[block + k, :seen])
        if random_fee:
            _copy(fees[block:end], t[_FEE : _FEE + count])
            _copy(whole[block:end], t[_WHOLE : _WHOLE + count])
        if random_slip:
            _copy(buy[block:end], t[_BUY : _BUY + count])
            _copy(sell[block:end], t[_SELL : _SELL + count])
        if own_ends:
            for k in range(count):
                t[_ENDS + k] = one if ends[block + k] else zero
        if review > 0:
            for k in range(count):
                over = (bar[block + k] + 1 - start[block + k]) % review == 0
                t[_REVIEWS + k] = one if over else zero
        _settle(t, settings, switches, on_change, random_fee)
        _copy(t[_VOLATILITY : _VOLATILITY + count], after[0, block:end])
        for r in range(first_row, len(ROWS)):
            _copy(t[r * _LANES : r * _LANES + count], after[r, block:end])
        view = account[block:end, offset:]
        for k in range(count):
            for n in range(_VIEW):
                view[k, n] = t[_VIEW_POSITION + n * _LANES + k]
    return wrong
