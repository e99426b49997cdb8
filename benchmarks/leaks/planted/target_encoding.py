"""Each weekday is encoded by its mean next-day return over all years."""

import numpy as np
import pandas as pd

from tradinghf import strategy


def spread_over_assets(held, market):
    """[T, A] equal parts of every asset in the bars that are held."""
    return np.repeat(np.asarray(held, dtype=float)[:, None], market.assets, axis=1) / market.assets


@strategy
def target_encoding(market):
    """Each weekday is encoded by its mean next-day return over all years."""
    c = pd.DataFrame(market.close)
    day = pd.Series(market.index.dayofweek)
    next_return = c.pct_change(fill_method=None).shift(-1).mean(axis=1)
    code = next_return.groupby(day).transform("mean")
    return spread_over_assets((code > 0).to_numpy(), market)
