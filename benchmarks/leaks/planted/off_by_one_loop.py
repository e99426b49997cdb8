"""A loop that reads element i + 1."""

import numpy as np

from tradinghf import strategy


@strategy
def off_by_one_loop(market):
    """A loop that reads element i + 1."""
    w = np.zeros_like(market.close)
    for i in range(20, market.bars - 1):
        w[i] = market.close[i + 1] > market.close[i - 19 : i + 2].mean(axis=0)
    return w
