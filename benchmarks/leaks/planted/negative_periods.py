"""pct_change with negative periods."""

import pandas as pd

from tradinghf import strategy


@strategy
def negative_periods(market):
    """pct_change with negative periods."""
    c = pd.DataFrame(market.close)
    return (c.pct_change(-3, fill_method=None) < 0).astype(float)
