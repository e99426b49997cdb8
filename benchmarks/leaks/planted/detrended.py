"""A straight line through the whole history is taken away first."""

import numpy as np

from tradinghf import strategy


@strategy
def detrended(market):
    """A straight line through the whole history is taken away first."""
    t = np.arange(market.bars)
    slope, level = np.polyfit(t, market.close, 1)
    rest = market.close - (slope * t[:, None] + level)
    return (rest < 0).astype(float)
