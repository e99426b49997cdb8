"""Scaled to the lowest and highest price so far."""

import pandas as pd

from tradinghf import strategy


@strategy
def running_minmax(market):
    """Scaled to the lowest and highest price so far."""
    c = pd.DataFrame(market.close)
    low, high = c.cummin(), c.cummax()
    return ((c - low) / (high - low).where(high > low) < 0.3).astype(float)
