"""A principal component of the last sixty bars."""

import numpy as np

from tradinghf import strategy


@strategy
def rolling_components(market):
    """A principal component of the last sixty bars."""
    x = np.diff(np.log(market.close), axis=0, prepend=np.log(market.close[:1]))
    w = np.zeros_like(market.close)
    for i in range(60, market.bars):
        part = x[i - 59 : i + 1]
        load = np.linalg.svd(part - part.mean(axis=0), full_matrices=False)[2][0]
        w[i] = float((part[-5:] @ load * np.sign(load[0])).mean() > 0) / market.assets
    return w
