"""The month's own mean, from its first day on."""

import pandas as pd

from tradinghf import strategy


@strategy
def month_transform_mean(market):
    """The month's own mean, from its first day on."""
    c = pd.DataFrame(market.close)
    t = market.index.tz_localize(None)
    month = t.to_period("M")
    return (c < c.groupby(month).transform("mean")).astype(float)
