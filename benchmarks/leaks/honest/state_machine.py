"""A loop that carries its position along."""

import numpy as np

from tradinghf import strategy


@strategy
def state_machine(market):
    """A loop that carries its position along."""
    w = np.zeros_like(market.close)
    for i in range(1, market.bars):
        up = market.close[i] > 1.02 * market.close[max(i - 10, 0)]
        down = market.close[i] < 0.98 * market.close[max(i - 10, 0)]
        w[i] = np.where(up, 1.0, np.where(down, 0.0, w[i - 1]))
    return w
