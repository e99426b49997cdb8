"""The accounting of `step_account` for one asset and plain costs, one account after the other.

The tensor code pays for some hundred small operations per bar; on a processor that is most of the
time of a step. This is the same arithmetic in the same order of rounding, compiled by numba. The
tensor code stays the definition: `tests/test_fused.py` holds the two together bit for bit.
"""

from __future__ import annotations

from typing import Any

from numba import njit

# Rows of the state matrix: what an account carries from bar to bar.
STATE = (
    "cash",
    "shares",
    "flow",
    "owed",
    "close",
    "peak",
    "since",
    "volatility",
    "target",
    "mean",
    "square",
)
CASH, SHARES, FLOW, OWED, CLOSE, PEAK, SINCE, VOLATILITY, TARGET, MEAN, SQUARE = range(11)
# Rows of the result matrix: what rewards and info are made of.
RESULT = (
    "previous",
    "equity",
    "drawdown_before",
    "drawdown",
    "realised",
    "costs",
    "turnover",
    "financing",
    "position",
    "debt",
    "price",
)
# Settings, all of the accounts' precision so that no operation is done in another.
SETTINGS = (
    "zero",
    "one",
    "relative",
    "absolute",
    "fixed",
    "per_share",
    "least",
    "ruin",
    "start_cash",
    "borrow",
    "margin",
    "interest",
    "funding",
    "moment_rate",
    "profit_unit",
    "review",
    "limit",
)
SHARED: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
inline = njit(inline="always", **SHARED)


@inline
def _add(a: Any, b: Any, relative: Any, absolute: Any, zero: Any) -> Any:
    """See `numeric.add`."""
    total = a + b
    tolerance = abs(a) * relative
    tolerance = tolerance if tolerance >= absolute else absolute
    return zero if abs(total) <= tolerance else total


@inline
def _bounded(x: Any, limit: Any) -> Any:
    return -limit if x < -limit else (limit if x > limit else x)


@njit(**SHARED)
def advance(
    first: int,
    last: int,
    before: Any,
    ruined_before: Any,
    asset: Any,
    start: Any,
    bar: Any,
    orders: Any,
    bars: Any,
    columns: tuple[int, int, int],
    length: int,
    settings: Any,
    fees: Any,
    buy: Any,
    sell: Any,
    side: int,
    at_close: bool,
    finances: bool,
    moments: bool,
    ends: Any,
    review: int,
    after: Any,
    ruined: Any,
    result: Any,
    table: Any,
    window: int,
    lookback: int,
    obs: Any,
) -> None:
    """Carry the accounts [first, last) one bar on.

    Args:
        first, last: accounts to carry.
        before: [11, N] state at the close of the decision bar (`STATE`).
        ruined_before: [N] bool.
        asset, start, bar: [N] integers.
        orders: [N] target fractions; NaN is no order.
        bars: [R, C] prices, row asset * length + bar.
        columns: where open, close and volatility are in `bars`.
        length: T.
        settings: one number of the accounts' precision per name of `SETTINGS`.
        fees: [1] or [N] proportional fee.
        buy, sell: [1] or [N] price factors of slippage.
        side: 0 both, 1 long only, -1 short only.
        at_close: orders fill at the decision's close, not at the next open.
        finances: holding costs something.
        moments: keep the moving averages of the return.
        ends: [1] or [N] bool, the episode ends with this bar.
        review: bars after which the peak starts anew; 0 never.
        after, ruined: [11, N] and [N], written: the state at the next close.
        result: [11, N], written (`RESULT`).
        table: [R * F] float32 market features.
        window: F, features per bar.
        lookback: W bars per observation.
        obs: [N, W * F + 4], written.

    """
    zero, one, relative, absolute, fixed, per_share, least, ruin, start_cash = settings[:9]
    borrow, margin, interest_rate, funding, moment_rate, profit_unit, span, limit = settings[9:]
    for i in range(first, last):
        j = i if len(fees) > 1 else 0
        fee_rate = fees[j]
        row = asset[i] * length + bar[i] + 1
        cash, shares, flow = before[CASH, i], before[SHARES, i], before[FLOW, i]
        old_close, old_peak = before[CLOSE, i], before[PEAK, i]
        close, volatility = bars[row, columns[1]], bars[row, columns[2]]
        worth_before = cash + shares * old_close

        # The order: a target fraction as shares (orders.order_size).
        price = old_close if at_close else bars[row, columns[0]]
        value = cash + shares * price
        asked = -orders[i] if side < 0 else orders[i]
        size = asked * value / price - shares
        given = size == size and not (ruined_before[i] or value <= zero)

        # Its fill (account.execute).
        buying = size > zero
        k = i if len(buy) > 1 else 0
        paid = price * (buy[k] if buying else sell[k])
        done = abs(size)
        if side > 0 and not buying:
            done = done if done <= shares else shares
        if side < 0 and buying:
            done = done if done <= -shares else -shares
        if buying:
            room = cash
            if fixed != zero:
                room = _add(room, zero - fixed, relative, absolute, zero)
            if per_share != zero:
                room = room * paid / (paid * (one + fee_rate) + per_share)
            elif fee_rate != zero or len(fees) > 1:
                room = room / (one + fee_rate)
            most = room / paid
            done = done if done <= most else most
        notional = done * paid
        fee = notional * fee_rate
        if fixed != zero:
            fee = fee + fixed
        if per_share != zero:
            fee = fee + done * per_share
        filled = given and done > absolute and done >= least and (buying or notional >= fee)
        if not filled:
            done, fee = zero, zero
        signed = done if buying else -done
        held = shares
        cash = _add(cash, -(signed * paid + fee), relative, absolute, zero)
        shares = _add(held, signed, relative, absolute, zero)

        # Its round trip (ledger.book).
        outlay = signed * paid
        gained = zero
        if not (held == zero or held * shares > zero):
            gained = flow + held * paid - fee * (abs(held) / done)
        flow = zero if shares == zero else flow - (outlay + fee) - gained
        notional, slippage = abs(outlay), done * abs(paid - price)
        realised, financing = gained, zero

        # Holding (financing.accrue).
        if finances:
            position = shares * close
            short = -position if -position > zero else zero
            carried = position * funding + short * borrow
            spare = cash - short
            spare = spare if spare > zero else zero
            lent = -cash if -cash > zero else zero
            interest = zero if ruined_before[i] else spare * interest_rate - lent * margin
            change = interest - carried
            cash = cash + change
            flow = flow - carried
            financing = zero - change
            realised = realised + interest

        # Ruin (forced.close_ruined).
        worth = cash + shares * close
        owed = before[OWED, i]
        gone = ruined_before[i] or worth <= ruin
        if gone:
            realised = realised + (flow + shares * close)
            cash = worth if worth > zero else zero
            shares, flow = zero, zero
        owed = owed + (-worth if -worth > zero else zero)

        # The environment's own bookkeeping (dynamics.advance).
        equity = cash + shares * close
        peak = old_peak if old_peak >= equity else equity
        dd_peak = peak
        bars_done = bar[i] + 1 - start[i]
        if review > 0 and bars_done % review == 0:
            peak = equity if equity >= ruin else ruin
        since = zero if done > zero else before[SINCE, i] + one
        after[CASH, i], after[SHARES, i], after[FLOW, i] = cash, shares, flow
        after[OWED, i], after[CLOSE, i], after[PEAK, i] = owed, close, peak
        after[SINCE, i], after[VOLATILITY, i] = since, volatility
        after[TARGET, i] = before[TARGET, i] if orders[i] != orders[i] else orders[i]
        ruined[i] = gone
        safe_before = worth_before if worth_before >= ruin else ruin
        if moments:
            gain = equity / safe_before - one
            mean, square = before[MEAN, i], before[SQUARE, i]
            after[MEAN, i] = mean + moment_rate * (gain - mean)
            after[SQUARE, i] = square + moment_rate * (gain * gain - square)
        profit = flow + shares * close
        if ends[i if len(ends) > 1 else 0]:
            realised = realised + profit
        safe = equity if equity >= ruin else ruin
        position = shares * close / safe
        result[0, i], result[1, i] = worth_before / start_cash, equity / start_cash
        result[2, i], result[3, i] = one - worth_before / old_peak, one - equity / dd_peak
        result[4, i] = realised / start_cash
        result[5, i] = (fee + slippage) / start_cash
        result[6, i] = notional / safe_before
        result[7, i] = financing / start_cash
        result[8, i] = position
        result[9, i] = owed / start_cash
        result[10, i] = notional / done

        # What it sees (observe.Observer).
        seen = lookback * window
        begin = (row - lookback + 1) * window
        for k in range(seen):
            obs[i, k] = table[begin + k]
        waited = since / span
        obs[i, seen] = _bounded(position, limit)
        obs[i, seen + 1] = _bounded(profit / safe / (volatility * profit_unit), limit)
        obs[i, seen + 2] = waited if waited <= one else one
        obs[i, seen + 3] = _bounded(one - equity / peak, limit)
