"""A first estimate is replaced by the revision of three bars later."""

import pandas as pd

from tradinghf import strategy


@strategy
def revised_data(market):
    """A first estimate is replaced by the revision of three bars later."""
    v = pd.DataFrame(market.volume)
    first = v.rolling(5).mean()
    revised = 0.2 * first + 0.8 * first.shift(-3)
    return (revised.diff() > 0).astype(float).where(revised.notna(), 0.0)
