"""A momentum feature that was lagged the wrong way."""

import pandas as pd

from tradinghf import strategy


@strategy
def shift_in_features(market):
    """A momentum feature that was lagged the wrong way."""
    c = pd.DataFrame(market.close)
    momentum = c.pct_change(5, fill_method=None).shift(-5)
    return (momentum > 0).astype(float)
