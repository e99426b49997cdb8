"""Lows of both neighbours, traded once the second is known."""

import numpy as np
import pandas as pd

from tradinghf import strategy


@strategy
def confirmed_pivots(market):
    """Lows of both neighbours, traded once the second is known."""
    c = pd.DataFrame(market.close)
    low = (c.shift(1) < c.shift(2)) & (c.shift(1) < c)
    high = (c.shift(1) > c.shift(2)) & (c.shift(1) > c)
    w = pd.DataFrame(np.nan, index=c.index, columns=c.columns).mask(low, 1.0).mask(high, 0.0)
    return w.ffill().fillna(0.0)
