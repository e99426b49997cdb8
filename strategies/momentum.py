"""Time-series momentum: what rose over the lookback is expected to keep rising."""

from __future__ import annotations

import numpy as np

import tradinghf
from tradinghf.market import MarketData
from tradinghf.strategies import Floats, strategy


@strategy
def momentum(
    market: MarketData, *, lookback: int = 120, every: int = 5, short: bool = False
) -> Floats:
    """Hold the assets whose return over the lookback is positive.

    Source: Moskowitz, Ooi and Pedersen 2012, "Time series momentum".

    Args:
        market: bars [T, A].
        lookback: span of the return that decides [bars].
        every: decide again after this many bars, which limits turnover [bars].
        short: sell short what fell, instead of staying in cash.

    """
    weights = np.full((market.bars, market.assets), np.nan)
    past = market.close[lookback:] / market.close[:-lookback] - 1.0
    side = np.where(past > 0, 1.0, -1.0 if short else 0.0)
    weights[lookback::every] = side[::every] / market.assets
    return weights


if __name__ == "__main__":
    tradinghf.run_script(momentum)
