"""np.roll forwards, with the wrapped rows blanked."""

import numpy as np

from tradinghf import strategy


@strategy
def roll_then_blank(market):
    """np.roll forwards, with the wrapped rows blanked."""
    before = np.roll(market.close, 5, axis=0)
    before[:5] = np.nan
    return np.where(market.close > before, 1.0, 0.0)
