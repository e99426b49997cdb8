"""Markets that are versions of each other: grown, rescaled, restated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tradinghf.market import FIELDS, MarketData

PRICES = ("open", "high", "low", "close")


def rescaled(market: MarketData, bars: int, factor: float) -> MarketData:
    """The first bars' prices times a factor, as after a dividend."""
    weight = np.ones((market.bars, 1))
    weight[:bars] = factor
    return replace(market, **{name: getattr(market, name) * weight for name in PRICES})


def with_close(market: MarketData, bar: int, column: int = 0) -> MarketData:
    """One close moved to the middle of its bar."""
    close = market.close.copy()
    close[bar, column] = (market.high[bar, column] + market.low[bar, column]) / 2
    return replace(market, close=close)


def without(market: MarketData, bar: int) -> MarketData:
    """One bar left out."""
    kept = np.arange(market.bars) != bar
    arrays = {name: getattr(market, name)[kept] for name in FIELDS}
    return replace(market, timestamps=market.timestamps[kept], **arrays)
