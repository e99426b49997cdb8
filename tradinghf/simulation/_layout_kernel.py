"""What lies where in the arrays that the compiled steps work on, by name.

`x` holds numbers of the accounts' precision (constants too: one of Python would turn a float32
operation into one in float64), `i` integers, `c` the costs of one account, `money` an account's
money, and `t` a row per quantity and a column per asset.
"""

from __future__ import annotations

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

# i: side 0 both, 1 long only, -1 short only; switches; columns of prices, below 0 where there is
# none; then T, bars after which the peak starts anew (0 never), W and F'.
SIDE, EXACT_LOTS, PARTIAL, LOCKS = range(4)
AT_CLOSE, WAITS, EXITS, FINANCES, FORCES, MOMENTS = range(4, 10)
FUNDED, SPLIT, DIVIDEND, MEMBER = range(10, 14)
BARS, REVIEW, LOOKBACK, WIDTH = range(14, 18)
INTEGERS = 18

# c: proportional fee, 1 + fee, 1 - fee, 1 + slippage, 1 - slippage, slippage, fee of a liquidation.
FEE, WHOLE, REST, BUY, SELL, SLIP, PENALTY = range(7)

# Columns of a bar's prices (`Bars.columns`) after the open, the high, the low and the close.
SHARES_TRADED, VOLATILITY = 4, 5

# Rows of the matrix [., N] of accounts: what is carried, then what rewards and info are made of.
CASH, FREE, OWED, RUINED, PEAK, MEAN, SQUARE = range(7)
EQUITY, DRAWDOWN_BEFORE, DRAWDOWN, REALISED, COSTS, TURNOVER, FINANCING, DEBT_SHOWN = range(7, 15)
ACCOUNT_ROWS = 15

# Rows of the array [., N, A] of positions: what is carried, then what info shows.
SHARES, FLOW, DEBT, CLOSE, STOP, TAKE, BEST, WAITING = range(8)
TARGET, SINCE, RISK, POSITION, PRICE_SHOWN = range(8, 13)
POSITION_ROWS = 13

# `t` has the first eight of these rows, then the tape of the bar and what is computed with;
# `money` is a column of the first matrix, of which it uses a few places.
VOLUME, NOTIONAL, FEES, SLIPPAGE, EXITED = range(8, 13)
SIZE, PRICE, RANK, GAINED, HIT, ASKED = range(13, 19)
# The bar's prices follow in it, and what fills at the close before it take from the bar before.
OPENED, HIGHEST, LOWEST, CLOSED, TRADED, SIGMA, OLD_TRADED, OLD_SIGMA = range(19, 27)
FUNDING_RATE, SPLIT_RATIO, DIVIDEND_PAID, LISTED = range(27, 31)
TABLE_ROWS = 31
