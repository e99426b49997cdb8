"""The rank of a close among those of its whole year."""

import pandas as pd

from tradinghf import strategy


@strategy
def year_rank(market):
    """The rank of a close among those of its whole year."""
    c = pd.DataFrame(market.close)
    t = market.index.tz_localize(None)
    year = pd.Series(t.year)
    return (c.groupby(year).rank(pct=True) < 0.3).astype(float)
