"""A running maximum that starts at the end."""

import numpy as np

from tradinghf import strategy


@strategy
def drawdown_from_the_end(market):
    """A running maximum that starts at the end."""
    ahead = np.maximum.accumulate(market.close[::-1], axis=0)[::-1]
    return (ahead > 1.02 * market.close).astype(float)
