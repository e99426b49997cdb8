"""Position size by the volatility of the whole sample."""

import pandas as pd

from tradinghf import strategy


@strategy
def full_sample_volatility(market):
    """Position size by the volatility of the whole sample."""
    c = pd.DataFrame(market.close)
    returns = c.pct_change(fill_method=None)
    return (returns.rolling(5).mean() > 0) * 0.005 / returns.std()
