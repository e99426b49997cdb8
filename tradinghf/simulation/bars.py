"""A market as tensors on a device: one gather per step for prices, one for observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.market.data import MarketData
from tradinghf.market.rolling import lagged, realised_volatility
from tradinghf.simulation.ledger import Bar

Floats = NDArray[np.float64]
UNKNOWN_VOLATILITY = 0.01  # of one bar, before there are bars to measure it


def volatility_before(market: MarketData, window: int = 20) -> Floats:
    """[T, A] volatility of one bar's log return, from the `window` bars before it."""
    known = lagged(realised_volatility(market, window), 1)
    return np.where(np.isnan(known), UNKNOWN_VOLATILITY, known)


@dataclass(frozen=True)
class Bars:
    """Prices laid out for gathering.

    Row r holds one bar of A' assets: with one asset per account A' = 1 and r = asset * T + bar;
    with portfolios A' = A and r = bar.

    Attributes:
        rows: [R, 6, A'] open, high, low, close, volume, volatility.
        bars: T.

    """

    rows: Tensor
    bars: int

    @classmethod
    def of(
        cls, market: MarketData, *, portfolio: bool, dtype: torch.dtype, device: torch.device
    ) -> Bars:
        """Lay out a market."""
        prices = (market.open, market.high, market.low, market.close, market.volume)
        columns = np.stack([*prices, volatility_before(market)], axis=1)  # [T, 6, A]
        if not portfolio:
            columns = columns.transpose(2, 0, 1).reshape(-1, 6, 1)
        rows = torch.as_tensor(np.ascontiguousarray(columns), dtype=dtype, device=device)
        return cls(rows, market.bars)

    def row(self, asset: Tensor, bar: Tensor) -> Tensor:
        """[N] row numbers of [N] assets (0 for portfolios) and bars."""
        return asset * self.bars + bar

    def at(self, row: Tensor) -> Bar:
        """The bars in rows [N]; each tensor [N, A']."""
        return Bar(*self.rows.index_select(0, row).unbind(1))


def feature_windows(values: Floats, lookback: int, device: torch.device) -> Tensor:
    """Every window of `lookback` consecutive rows, as overlapping views of one array.

    Args:
        values: [R, F] features, rows as in `Bars`.
        lookback: W bars.
        device: where the tensor lives.

    Returns:
        [R - W + 1, W * F] float32; row r is the window that ends at row r + W - 1, oldest bar
        first. No copy: R * F numbers in memory.

    """
    flat = torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32, device=device)
    count, width = flat.shape
    return flat.as_strided((count - lookback + 1, lookback * width), (width, 1))
