"""Yesterday's high, broken by today's close."""

import pandas as pd

from tradinghf import strategy


@strategy
def lagged_high(market):
    """Yesterday's high, broken by today's close."""
    c = pd.DataFrame(market.close)
    h = pd.DataFrame(market.high)
    return (c > h.shift(1)).astype(float)
