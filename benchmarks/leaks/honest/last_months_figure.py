"""A monthly figure, used in the month after."""

import numpy as np
import pandas as pd

from tradinghf import strategy


def spread_over_assets(held, market):
    """[T, A] equal parts of every asset in the bars that are held."""
    return np.repeat(np.asarray(held, dtype=float)[:, None], market.assets, axis=1) / market.assets


@strategy
def last_months_figure(market):
    """A monthly figure, used in the month after."""
    v = pd.DataFrame(market.volume)
    t = market.index.tz_localize(None)
    month = t.to_period("M")
    figure = v.mean(axis=1).groupby(month).sum().pct_change(fill_method=None).shift(1)
    return spread_over_assets((figure.reindex(month).to_numpy() > 0), market)
