"""Weekly closes carry the first day of their week."""

import pandas as pd

from tradinghf import strategy


@strategy
def resample_label_left(market):
    """Weekly closes carry the first day of their week."""
    c = pd.DataFrame(market.close)
    t = market.index.tz_localize(None)
    c.index = t
    weekly = c.resample("W", label="left").last()
    move = weekly.pct_change(fill_method=None).reindex(t, method="ffill")
    return (move > 0).astype(float)
