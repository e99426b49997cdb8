"""Each weekday by its mean return so far."""

import numpy as np
import pandas as pd

from tradinghf import strategy


def spread_over_assets(held, market):
    """[T, A] equal parts of every asset in the bars that are held."""
    return np.repeat(np.asarray(held, dtype=float)[:, None], market.assets, axis=1) / market.assets


@strategy
def encoding_of_the_past(market):
    """Each weekday by its mean return so far."""
    c = pd.DataFrame(market.close)
    t = market.index.tz_localize(None)
    day = pd.Series(t.dayofweek)
    returns = c.pct_change(fill_method=None).mean(axis=1)
    code = returns.groupby(day).transform(lambda x: x.expanding().mean())
    return spread_over_assets((code > 0).to_numpy(), market)
