"""Long around the end of months, by the calendar of business days."""

import numpy as np
import pandas as pd

from tradinghf import strategy


def spread_over_assets(held, market):
    """[T, A] equal parts of every asset in the bars that are held."""
    return np.repeat(np.asarray(held, dtype=float)[:, None], market.assets, axis=1) / market.assets


@strategy
def turn_of_the_month(market):
    """Long around the end of months, by the calendar of business days."""
    t = market.index.tz_localize(None)
    left = np.busday_count(
        t.values.astype("datetime64[D]"),
        (t + pd.offsets.MonthEnd(0)).values.astype("datetime64[D]"),
    )
    return spread_over_assets((left <= 1) | (t.day <= 3), market)
