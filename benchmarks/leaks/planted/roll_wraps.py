"""np.roll brings tomorrow's return to today."""

import numpy as np

from tradinghf import strategy


@strategy
def roll_wraps(market):
    """np.roll brings tomorrow's return to today."""
    returns = np.diff(np.log(market.close), axis=0, prepend=np.log(market.close[:1]))
    return (np.roll(returns, -1, axis=0) > 0).astype(float)
