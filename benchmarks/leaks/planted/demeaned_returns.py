"""Returns less their mean over all time."""

import pandas as pd

from tradinghf import strategy


@strategy
def demeaned_returns(market):
    """Returns less their mean over all time."""
    c = pd.DataFrame(market.close)
    returns = c.pct_change(fill_method=None)
    return ((returns - returns.mean()).rolling(3).sum() > 0).astype(float)
