"""Out below five percent from the highest close so far."""

import pandas as pd

from tradinghf import strategy


@strategy
def trailing_stop(market):
    """Out below five percent from the highest close so far."""
    c = pd.DataFrame(market.close)
    return (c > 0.95 * c.cummax()).astype(float)
