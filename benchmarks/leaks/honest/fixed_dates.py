"""Out of the market in a list of months."""

import numpy as np

from tradinghf import strategy


def spread_over_assets(held, market):
    """[T, A] equal parts of every asset in the bars that are held."""
    return np.repeat(np.asarray(held, dtype=float)[:, None], market.assets, axis=1) / market.assets


@strategy
def fixed_dates(market):
    """Out of the market in a list of months."""
    t = market.index.tz_localize(None)
    return spread_over_assets(~np.isin(t.month, (5, 6, 7, 8, 9)), market)
