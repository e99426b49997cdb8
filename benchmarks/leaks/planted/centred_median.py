"""Outliers are judged against a centred median."""

import pandas as pd

from tradinghf import strategy


@strategy
def centred_median(market):
    """Outliers are judged against a centred median."""
    c = pd.DataFrame(market.close)
    return (c < 0.995 * c.rolling(9, center=True, min_periods=1).median()).astype(float)
