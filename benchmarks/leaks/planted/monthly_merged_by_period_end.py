"""A monthly figure is merged on the month and not on its publication."""

import numpy as np
import pandas as pd

from tradinghf import strategy


def spread_over_assets(held, market):
    """[T, A] equal parts of every asset in the bars that are held."""
    return np.repeat(np.asarray(held, dtype=float)[:, None], market.assets, axis=1) / market.assets


@strategy
def monthly_merged_by_period_end(market):
    """A monthly figure is merged on the month and not on its publication."""
    v = pd.DataFrame(market.volume)
    t = market.index.tz_localize(None)
    month = t.to_period("M")
    figure = v.mean(axis=1).groupby(month).sum()
    growth = figure.pct_change(fill_method=None)
    return spread_over_assets((growth.reindex(month).to_numpy() > 0), market)
