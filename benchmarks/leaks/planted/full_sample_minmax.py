"""Scaled to the lowest and highest price of the whole sample."""

import pandas as pd

from tradinghf import strategy


@strategy
def full_sample_minmax(market):
    """Scaled to the lowest and highest price of the whole sample."""
    c = pd.DataFrame(market.close)
    scaled = (c - c.min()) / (c.max() - c.min())
    return (scaled < 0.3).astype(float)
