"""Z-score with the mean and deviation so far."""

import pandas as pd

from tradinghf import strategy


@strategy
def expanding_zscore(market):
    """Z-score with the mean and deviation so far."""
    c = pd.DataFrame(market.close)
    z = (c - c.expanding(60).mean()) / c.expanding(60).std()
    return (z < -0.5).astype(float)
