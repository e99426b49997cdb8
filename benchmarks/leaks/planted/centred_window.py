"""A centred moving average."""

import pandas as pd

from tradinghf import strategy


@strategy
def centred_window(market):
    """A centred moving average."""
    c = pd.DataFrame(market.close)
    return (c > c.rolling(11, center=True).mean()).astype(float)
