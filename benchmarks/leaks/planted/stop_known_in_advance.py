"""Leaves before the bar in which its stop would be hit."""

import pandas as pd

from tradinghf import strategy


@strategy
def stop_known_in_advance(market):
    """Leaves before the bar in which its stop would be hit."""
    c = pd.DataFrame(market.close)
    lo = pd.DataFrame(market.low)
    trend = c > c.rolling(10).mean()
    hit = lo < 0.99 * c.shift(1)
    return (trend & ~hit.shift(-1, fill_value=False)).astype(float)
