"""Channel breakout with the turtle traders' two channels."""

from __future__ import annotations

import numpy as np
import pandas as pd

import tradinghf
from tradinghf.market import MarketData
from tradinghf.strategies import Floats, strategy


@strategy
def donchian_breakout(market: MarketData, *, enter: int = 50, leave: int = 20) -> Floats:
    """Buy on a close above the highest high of `enter` bars; sell below the low of `leave` bars.

    The channels exclude the present bar, so that a close can break them.
    Source: the turtle rules, Faith 2003.

    Args:
        market: bars [T, A].
        enter: length of the upper channel [bars].
        leave: length of the lower channel [bars].

    """
    high, low = pd.DataFrame(market.high), pd.DataFrame(market.low)
    upper = high.rolling(enter).max().shift(1).to_numpy()
    lower = low.rolling(leave).min().shift(1).to_numpy()
    signal = np.where(market.close > upper, 1.0, np.where(market.close < lower, 0.0, np.nan))
    return signal / market.assets


if __name__ == "__main__":
    tradinghf.run_script(donchian_breakout)
