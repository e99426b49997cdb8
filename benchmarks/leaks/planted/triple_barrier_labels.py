"""Positions are the labels that a model was to be trained on."""

import numpy as np

from tradinghf import strategy


@strategy
def triple_barrier_labels(market):
    """Positions are the labels that a model was to be trained on."""
    w = np.zeros_like(market.close)
    for i in range(market.bars - 1):
        path = market.close[i + 1 : i + 11] / market.close[i] - 1
        w[i] = (path.max(axis=0) > 0.02) & (path[-1] > 0)
    return w
