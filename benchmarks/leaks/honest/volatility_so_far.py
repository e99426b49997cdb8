"""Position size by the volatility up to now."""

import pandas as pd

from tradinghf import strategy


@strategy
def volatility_so_far(market):
    """Position size by the volatility up to now."""
    c = pd.DataFrame(market.close)
    spread = c.pct_change(fill_method=None).ewm(span=40).std()
    return (0.005 / spread.where(spread > 0)).clip(upper=1.0)
