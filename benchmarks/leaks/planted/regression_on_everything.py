"""Next-day returns are regressed on features of the whole sample."""

import pandas as pd

from tradinghf import strategy


@strategy
def regression_on_everything(market):
    """Next-day returns are regressed on features of the whole sample."""
    c = pd.DataFrame(market.close)
    x = c.pct_change(5, fill_method=None).fillna(0).to_numpy()
    y = c.pct_change(fill_method=None).shift(-1).fillna(0).to_numpy()
    beta = (x * y).sum(axis=0) / (x * x).sum(axis=0)
    return (x * beta > 0).astype(float)
