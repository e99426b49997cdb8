"""Each bar is compared with the mean from there to the end."""

import numpy as np

from tradinghf import strategy


@strategy
def slice_to_end(market):
    """Each bar is compared with the mean from there to the end."""
    w = np.zeros_like(market.close)
    for i in range(market.bars):
        w[i] = market.close[i] < market.close[i:].mean(axis=0)
    return w
