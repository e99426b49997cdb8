"""Prices are expressed in those of the last day."""

import numpy as np

from tradinghf import strategy


@strategy
def normalised_by_last_price(market):
    """Prices are expressed in those of the last day."""
    relative = market.close / market.close[-1]
    return np.clip(1.5 - relative, 0.0, 1.0)
