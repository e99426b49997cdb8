"""The close against the mean of the month so far."""

import pandas as pd

from tradinghf import strategy


@strategy
def month_so_far(market):
    """The close against the mean of the month so far."""
    c = pd.DataFrame(market.close)
    t = market.index.tz_localize(None)
    month = t.to_period("M")
    so_far = c.groupby(month).expanding().mean().droplevel(0)
    return (c < so_far).astype(float)
