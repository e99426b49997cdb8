"""Buys at lows of both neighbours, which only the next bar confirms."""

import numpy as np
import pandas as pd

from tradinghf import strategy


@strategy
def pivots(market):
    """Buys at lows of both neighbours, which only the next bar confirms."""
    c = pd.DataFrame(market.close)
    low = (c < c.shift(1)) & (c < c.shift(-1))
    high = (c > c.shift(1)) & (c > c.shift(-1))
    w = pd.DataFrame(np.nan, index=c.index, columns=c.columns).mask(low, 1.0).mask(high, 0.0)
    return w.ffill().fillna(0.0)
