"""A regression refitted on the past every twenty bars."""

import numpy as np
import pandas as pd

from tradinghf import strategy


@strategy
def walk_forward_regression(market):
    """A regression refitted on the past every twenty bars."""
    c = pd.DataFrame(market.close)
    x = c.pct_change(5, fill_method=None).fillna(0).to_numpy()
    y = c.pct_change(fill_method=None).fillna(0).to_numpy()
    w = np.zeros_like(market.close)
    for i in range(100, market.bars):
        fit = i - i % 20
        past, then = x[: fit - 1], y[1:fit]
        beta = (past * then).sum(axis=0) / (past * past).sum(axis=0)
        w[i] = x[i] * beta > 0
    return w
