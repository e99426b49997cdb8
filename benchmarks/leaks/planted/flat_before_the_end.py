"""Closes its position ten bars before the data end."""

import pandas as pd

from tradinghf import strategy


@strategy
def flat_before_the_end(market):
    """Closes its position ten bars before the data end."""
    c = pd.DataFrame(market.close)
    w = (c > c.rolling(20).mean()).astype(float)
    w.iloc[-10:] = 0.0
    return w
