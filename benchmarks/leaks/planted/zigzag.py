"""Swings of three percent are dated at their turning point."""

import numpy as np

from tradinghf import strategy


@strategy
def zigzag(market):
    """Swings of three percent are dated at their turning point."""
    w = np.zeros_like(market.close)
    for a in range(market.assets):
        x, last, way = market.close[:, a], 0, 1
        for i in range(1, market.bars):
            if way * (x[i] - x[last]) > 0:
                w[last:i, a] = way > 0
                last = i
            elif way * (x[i] / x[last] - 1) < -0.03:
                w[last:i, a] = way < 0
                last, way = i, -way
    return w
