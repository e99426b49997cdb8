"""An exponential filter, forwards only."""

import pandas as pd

from tradinghf import strategy


@strategy
def trailing_smoother(market):
    """An exponential filter, forwards only."""
    c = pd.DataFrame(market.close)
    return (c.ewm(span=10, adjust=False).mean().diff() > 0).astype(float)
