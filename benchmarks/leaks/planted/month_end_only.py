"""Looks one bar ahead, but on the last bars of months alone."""

import numpy as np
import pandas as pd

from tradinghf import strategy


@strategy
def month_end_only(market):
    """Looks one bar ahead, but on the last bars of months alone."""
    c = pd.DataFrame(market.close)
    t = market.index.tz_localize(None)
    last = np.r_[np.diff(t.month) != 0, False]
    return (c.shift(-1) > c).astype(float).mul(last, axis=0)
