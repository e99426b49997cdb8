"""The week's high up to now."""

import pandas as pd

from tradinghf import strategy


@strategy
def high_of_the_week_so_far(market):
    """The week's high up to now."""
    c = pd.DataFrame(market.close)
    h = pd.DataFrame(market.high)
    t = market.index.tz_localize(None)
    week = t.to_period("W")
    return (c < 0.98 * h.groupby(week).cummax()).astype(float)
