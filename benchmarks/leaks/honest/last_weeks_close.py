"""Weekly closes, known from the next week on."""

import pandas as pd

from tradinghf import strategy


@strategy
def last_weeks_close(market):
    """Weekly closes, known from the next week on."""
    c = pd.DataFrame(market.close)
    t = market.index.tz_localize(None)
    c.index = t
    weekly = c.resample("W").last().shift(1)
    move = weekly.pct_change(fill_method=None).reindex(t, method="bfill")
    return (move > 0).astype(float)
