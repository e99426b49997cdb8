"""The week's own high, from Monday on."""

import pandas as pd

from tradinghf import strategy


@strategy
def week_high(market):
    """The week's own high, from Monday on."""
    c = pd.DataFrame(market.close)
    h = pd.DataFrame(market.high)
    t = market.index.tz_localize(None)
    week = t.to_period("W")
    return (c < 0.98 * h.groupby(week).transform("max")).astype(float)
