"""Volatility targeting: the same risk in calm and in stormy markets."""

from __future__ import annotations

import numpy as np
import pandas as pd

import tradinghf
from tradinghf.errors import StrategyError
from tradinghf.market import MarketData
from tradinghf.strategies import Floats, strategy


@strategy
def vol_target(
    market: MarketData, *, target_pct: float = 10.0, window: int = 20, step: float = 0.1
) -> Floats:
    """Invest target volatility / recent volatility of the equity, at most all of it.

    Source: Moreira and Muir 2017, "Volatility-managed portfolios".

    Args:
        market: bars [T, A].
        target_pct: volatility to aim at [% per year].
        window: bars over which volatility is measured [bars].
        step: weights move in steps of this size, which limits turnover [fraction of equity].

    """
    if step <= 0:
        raise StrategyError(f"vol_target: step is {step}; expected more than 0.")
    returns = pd.DataFrame(market.close).pct_change()
    annual = returns.rolling(window).std().to_numpy() * np.sqrt(market.bars_per_year) * 100.0
    raw = np.full_like(annual, np.nan)
    np.divide(target_pct, annual, out=raw, where=annual > 0)
    weights: Floats = np.round(np.clip(raw, 0.0, 1.0) / step) * step / market.assets
    return weights


if __name__ == "__main__":
    tradinghf.run_script(vol_target)
