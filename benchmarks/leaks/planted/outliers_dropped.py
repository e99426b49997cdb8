"""Days beyond three deviations of the whole sample are not traded."""

import pandas as pd

from tradinghf import strategy


@strategy
def outliers_dropped(market):
    """Days beyond three deviations of the whole sample are not traded."""
    c = pd.DataFrame(market.close)
    returns = c.pct_change(fill_method=None)
    odd = (returns - returns.mean()).abs() > 1.5 * returns.std()
    return (~odd & (returns > 0)).astype(float)
