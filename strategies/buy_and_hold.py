"""Buy and hold: the benchmark that every other strategy has to beat."""

from __future__ import annotations

import numpy as np

import tradinghf
from tradinghf.market import MarketData
from tradinghf.strategies import Floats, strategy


@strategy
def buy_and_hold(market: MarketData, *, weight: float = 1.0) -> Floats:
    """Buy every asset in equal parts on the first bar and never trade again.

    Args:
        market: bars [T, A].
        weight: fraction of the equity that is invested, over all assets [-1 to 1].

    """
    return np.full((market.bars, market.assets), weight / market.assets)


if __name__ == "__main__":
    tradinghf.run_script(buy_and_hold)
