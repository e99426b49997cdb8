"""The asset with the best month among all of that day."""

import pandas as pd

from tradinghf import strategy


@strategy
def ranked_across_assets(market):
    """The asset with the best month among all of that day."""
    c = pd.DataFrame(market.close)
    gain = c.pct_change(20, fill_method=None)
    return (gain.rank(axis=1, ascending=False) == 1).astype(float)
