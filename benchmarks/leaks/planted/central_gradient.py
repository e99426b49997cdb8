"""np.gradient uses the bar after."""

import numpy as np

from tradinghf import strategy


@strategy
def central_gradient(market):
    """np.gradient uses the bar after."""
    return (np.gradient(market.close, axis=0) > 0).astype(float)
