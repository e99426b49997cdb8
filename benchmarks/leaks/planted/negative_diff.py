"""diff over the next bar instead of the last."""

import pandas as pd

from tradinghf import strategy


@strategy
def negative_diff(market):
    """Diff over the next bar instead of the last."""
    c = pd.DataFrame(market.close)
    return (c.diff(-1) < 0).astype(float)
