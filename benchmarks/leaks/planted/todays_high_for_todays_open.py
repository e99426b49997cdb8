"""Enters at today's open where today's high will be one percent above it."""

import pandas as pd

from tradinghf import strategy


@strategy
def todays_high_for_todays_open(market):
    """Enters at today's open where today's high will be one percent above it."""
    o = pd.DataFrame(market.open)
    h = pd.DataFrame(market.high)
    breaks = h > 1.01 * o
    return breaks.shift(-1, fill_value=False).astype(float)
