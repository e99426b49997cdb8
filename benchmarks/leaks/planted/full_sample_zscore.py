"""Z-score with mean and deviation of the whole sample."""

import pandas as pd

from tradinghf import strategy


@strategy
def full_sample_zscore(market):
    """Z-score with mean and deviation of the whole sample."""
    c = pd.DataFrame(market.close)
    z = (c - c.mean()) / c.std()
    return (z < -0.5).astype(float)
