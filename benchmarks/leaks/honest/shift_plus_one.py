"""Yesterday's signal, traded today."""

import pandas as pd

from tradinghf import strategy


@strategy
def shift_plus_one(market):
    """Yesterday's signal, traded today."""
    c = pd.DataFrame(market.close)
    return (c.shift(1) > c.shift(2)).astype(float)
