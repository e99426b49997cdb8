"""What lies where in the arrays that the compiled steps work on, by name.

A block of `LANES` accounts is carried together: a row of it is a quantity of all of them, in one
piece, so that the compiler works on several accounts in one instruction. `m` holds the rows of the
accounts, `p[a]` those of their positions in asset a; a name says where its row begins there.
`x` holds numbers of the accounts' precision (constants too: one of Python would turn a float32
operation into one in float64), `i` integers. `d` are `SUMS` rows in float64, for sums over assets.
"""

from __future__ import annotations

from collections.abc import Iterator

LANES = 64  # accounts of a block
SUMS = 3


def _rows(first: int, last: int) -> Iterator[int]:
    return (LANES * row for row in range(first, last))


# x: constants of the arithmetic (see tolerance.py and costs.py), then settings by their names.
# LEAST and LEAST_NOTIONAL have their tolerance taken off; what is 0 is off, leverage at 1.
ZERO, ONE, TWO, NONE, RELATIVE, ABSOLUTE = range(6)
MOST_SLIP, LEAST_VOLUME, LEAST_SHARE, LOT_ERROR = range(6, 10)
FIXED, PER_SHARE, IMPACT = range(10, 13)
LEAST, LEAST_NOTIONAL, MAX_SIZE, MAX_POSITION, LOT, PARTICIPATION = range(13, 19)
LEVERAGE, MAINTENANCE, STOP_LOSS, TAKE_PROFIT, TRAILING = range(19, 24)
BORROW, MARGIN, INTEREST, FUNDING, RUIN = range(24, 29)
START_CASH, MOMENT_RATE, PROFIT_UNIT, SPAN, LIMIT = range(29, 34)
NUMBERS = 34

# i: side 0 both, 1 long only, -1 short only; switches; then T, bars after which the peak starts
# anew (0 never), W and F'.
SIDE, EXACT_LOTS, PARTIAL, LOCKS = range(4)
AT_CLOSE, WAITS, EXITS, FINANCES, FORCES, MOMENTS = range(4, 10)
FUNDED, SPLITS, PAYS_DIVIDENDS, DELISTS = range(10, 14)
BARS, REVIEW, LOOKBACK, WIDTH = range(14, 18)
INTEGERS = 18

# Rows of accounts: what is carried from bar to bar, then what rewards and info are made of.
CASH, FREE, OWED, RUINED, PEAK, MEAN, SQUARE = _rows(0, 7)
EQUITY, DRAWDOWN_BEFORE, DRAWDOWN, REALISED, COSTS, TURNOVER, FINANCING, DEBT_SHOWN = _rows(7, 15)
ACCOUNT_ROWS = 15  # in the state [., N]
# Then proportional fee, 1 + fee, 1 - fee, 1 + slippage, 1 - slippage, slippage, and the fee of a
# liquidation; whether the episode ends and whether the peak starts anew; and what is computed with.
FEE, WHOLE, REST, BUY, SELL, SLIP, PENALTY = _rows(15, 22)
RATES = 7
ENDS, REVIEWS, WORTH, VALUE, EXPOSURE, GROSS, FLOOR, FALL = _rows(22, 30)
MONEY_ROWS = 30

# Rows of positions: what is carried, then what info shows.
SHARES, FLOW, DEBT, CLOSE, STOP, TAKE, BEST, WAITING = _rows(0, 8)
TARGET, SINCE, RISK, POSITION, PRICE_SHOWN = _rows(8, 13)
POSITION_ROWS = 13  # in the state [., A, N]
# Then the tape of the bar; orders and fills; and the bar's prices, with what fills at the close
# before it takes from the bar before.
VOLUME, NOTIONAL, FEES, SLIPPAGE, EXITED = _rows(13, 18)
ASKED, SIZE, PRICE, RANK, HIT, PAID, DONE, ROOM, MOST, SIGNED, COST, AFTER = _rows(18, 30)
OPENED, HIGHEST, LOWEST, CLOSED, TRADED, SIGMA, OLD_TRADED, OLD_SIGMA = _rows(30, 38)
FUNDING_RATE, SPLIT_RATIO, DIVIDEND_PAID, LISTED, PART, PART_TOO = _rows(38, 44)
TABLE_ROWS = 44
# What an account sees of a position, where its orders were.
VIEW_POSITION, VIEW_PROFIT, VIEW_SINCE = SIZE, PRICE, RANK
