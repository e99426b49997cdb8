"""An exponential filter is run forwards and then backwards."""

import pandas as pd

from tradinghf import strategy


@strategy
def filtered_both_ways(market):
    """An exponential filter is run forwards and then backwards."""
    c = pd.DataFrame(market.close)
    forth = c.ewm(span=10).mean()
    back = forth[::-1].ewm(span=10).mean()[::-1]
    return (back.diff() > 0).astype(float)
