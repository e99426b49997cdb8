"""Noise that is drawn bar by bar from a fixed seed."""

import numpy as np

from tradinghf import strategy


@strategy
def seeded_noise(market):
    """Noise that is drawn bar by bar from a fixed seed."""
    w = np.random.default_rng(7).random((market.bars, market.assets))
    return np.round(w)
