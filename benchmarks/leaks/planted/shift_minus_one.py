"""Long where tomorrow's close is higher."""

import pandas as pd

from tradinghf import strategy


@strategy
def shift_minus_one(market):
    """Long where tomorrow's close is higher."""
    c = pd.DataFrame(market.close)
    return (c.shift(-1) > c).astype(float)
