"""Buys below a quantile of the returns so far."""

import pandas as pd

from tradinghf import strategy


@strategy
def expanding_quantile(market):
    """Buys below a quantile of the returns so far."""
    c = pd.DataFrame(market.close)
    returns = c.pct_change(fill_method=None)
    return (returns < returns.expanding(60).quantile(0.2)).astype(float)
