"""Long over Mondays alone."""

import numpy as np

from tradinghf import strategy


def spread_over_assets(held, market):
    """[T, A] equal parts of every asset in the bars that are held."""
    return np.repeat(np.asarray(held, dtype=float)[:, None], market.assets, axis=1) / market.assets


@strategy
def mondays(market):
    """Long over Mondays alone."""
    t = market.index.tz_localize(None)
    return spread_over_assets(t.dayofweek == 0, market)
