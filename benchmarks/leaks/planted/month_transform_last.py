"""groupby(month).transform('last') knows the month's last close on its first day."""

import pandas as pd

from tradinghf import strategy


@strategy
def month_transform_last(market):
    """groupby(month).transform('last') knows the month's last close on its first day."""
    c = pd.DataFrame(market.close)
    t = market.index.tz_localize(None)
    month = t.to_period("M")
    end = c.groupby(month).transform("last")
    return (end > c).astype(float)
