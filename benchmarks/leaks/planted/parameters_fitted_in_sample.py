"""The window of the average is the one that did best on all bars."""

import numpy as np
import pandas as pd

from tradinghf import strategy


@strategy
def parameters_fitted_in_sample(market):
    """The window of the average is the one that did best on all bars."""
    c = pd.DataFrame(market.close)
    best, chosen = -np.inf, None
    returns = c.pct_change(fill_method=None).fillna(0)
    for days in (5, 10, 20, 40, 80):
        signal = (c > c.rolling(days).mean()).astype(float)
        total = float((signal.shift(1) * returns).to_numpy()[1:].sum())
        if total > best:
            best, chosen = total, signal
    return chosen
