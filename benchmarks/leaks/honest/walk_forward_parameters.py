"""The window that did best so far, chosen anew at every bar."""

import numpy as np
import pandas as pd

from tradinghf import strategy


@strategy
def walk_forward_parameters(market):
    """The window that did best so far, chosen anew at every bar."""
    c = pd.DataFrame(market.close)
    returns = c.pct_change(fill_method=None).fillna(0)
    signals = [(c > c.rolling(d).mean()).astype(float) for d in (5, 20, 80)]
    totals = np.stack([(s.shift(1).fillna(0) * returns).cumsum().to_numpy() for s in signals])
    return np.take_along_axis(
        np.stack([s.to_numpy() for s in signals]), totals.argmax(axis=0)[None], axis=0
    )[0]
