"""Signals are kept until the next one."""

import pandas as pd

from tradinghf import strategy


@strategy
def forward_filled(market):
    """Signals are kept until the next one."""
    c = pd.DataFrame(market.close)
    move = c.pct_change(fill_method=None)
    signal = (move > 0).astype(float).where(move.abs() > 0.01)
    return signal.ffill().fillna(0.0)
