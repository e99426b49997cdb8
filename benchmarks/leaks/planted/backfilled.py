"""Missing signals are filled from the next known one."""

import pandas as pd

from tradinghf import strategy


@strategy
def backfilled(market):
    """Missing signals are filled from the next known one."""
    c = pd.DataFrame(market.close)
    move = c.pct_change(fill_method=None)
    signal = (move > 0).astype(float).where(move.abs() > 0.01)
    return signal.bfill().fillna(0.0)
