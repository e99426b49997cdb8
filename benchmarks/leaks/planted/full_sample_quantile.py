"""Buys below a quantile of all returns, future ones included."""

import pandas as pd

from tradinghf import strategy


@strategy
def full_sample_quantile(market):
    """Buys below a quantile of all returns, future ones included."""
    c = pd.DataFrame(market.close)
    returns = c.pct_change(fill_method=None)
    return (returns < returns.quantile(0.2)).astype(float)
