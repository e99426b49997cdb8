"""Moving-average crossover, the oldest trend-following rule."""

from __future__ import annotations

import numpy as np
import pandas as pd

import tradinghf
from tradinghf.market import MarketData
from tradinghf.strategies import Floats, strategy


@strategy(requires="fast < slow")
def sma_cross(market: MarketData, *, fast: int = 20, slow: int = 50, short: bool = False) -> Floats:
    """Hold an asset while its fast moving average is above its slow one.

    Args:
        market: bars [T, A].
        fast: length of the fast average [bars].
        slow: length of the slow average [bars].
        short: sell short below the slow average, instead of staying in cash.

    """
    close = pd.DataFrame(market.close)
    gap = (close.rolling(fast).mean() - close.rolling(slow).mean()).to_numpy()
    below = -1.0 if short else 0.0
    side = np.where(gap > 0, 1.0, below)
    return np.where(np.isnan(gap), np.nan, side) / market.assets


if __name__ == "__main__":
    tradinghf.run_script(sma_cross)
