"""Ranks each return among all returns of the sample."""

import pandas as pd

from tradinghf import strategy


@strategy
def full_sample_rank(market):
    """Ranks each return among all returns of the sample."""
    c = pd.DataFrame(market.close)
    return c.pct_change(fill_method=None).rank(pct=True).fillna(0.5)
