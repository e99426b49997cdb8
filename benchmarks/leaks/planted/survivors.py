"""Trades the assets that are worth more at the end than at the beginning."""

import numpy as np

from tradinghf import strategy


@strategy
def survivors(market):
    """Trades the assets that are worth more at the end than at the beginning."""
    alive = market.close[-1] > market.close[0]
    return np.tile(np.where(alive, 1.0 / max(alive.sum(), 1), 0.0), (market.bars, 1))
