"""Mean reversion on the relative strength index."""

from __future__ import annotations

import numpy as np
import pandas as pd

import tradinghf
from tradinghf.market import MarketData
from tradinghf.strategies import Floats, strategy


@strategy(requires="enter <= leave")
def rsi_reversion(
    market: MarketData, *, period: int = 14, enter: float = 30.0, leave: float = 50.0
) -> Floats:
    """Buy an asset when its RSI falls below `enter`; sell when it rises above `leave`.

    The index is Wilder's: exponential averages of rises and falls with factor 1/period.
    Source: Wilder 1978, "New concepts in technical trading systems".

    Args:
        market: bars [T, A].
        period: smoothing of the index [bars].
        enter: buy below this value [0 to 100].
        leave: sell above this value [0 to 100].

    """
    change = pd.DataFrame(market.close).diff()

    def smooth(moves: pd.DataFrame) -> pd.DataFrame:
        return moves.ewm(alpha=1.0 / period, adjust=False, min_periods=period).mean()

    rise, fall = smooth(change.clip(lower=0.0)), smooth((-change).clip(lower=0.0))
    total = (rise + fall).to_numpy()
    # An asset that did not move at all is neither overbought nor oversold.
    rsi = np.full_like(total, 50.0)
    np.divide(100.0 * rise.to_numpy(), total, out=rsi, where=total != 0)
    signal = np.where(rsi < enter, 1.0, np.where(rsi > leave, 0.0, np.nan))
    return signal / market.assets


if __name__ == "__main__":
    tradinghf.run_script(rsi_reversion)
