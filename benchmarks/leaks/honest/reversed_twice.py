"""Reverses the series and back, and uses the past alone."""

import pandas as pd

from tradinghf import strategy


@strategy
def reversed_twice(market):
    """Reverses the series and back, and uses the past alone."""
    c = pd.DataFrame(market.close)
    mean = c[::-1][::-1].rolling(20).mean()
    return (c > mean).astype(float)
