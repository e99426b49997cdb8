"""Prices and features of a market as tensors, read by one gather per step each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.market import FIELDS, MarketData, lagged, membership, realised_volatility
from tradinghf.simulation._given import frame_rows
from tradinghf.simulation._ledger import Bar

Floats = NDArray[np.float64]
_UNKNOWN_VOLATILITY = 0.01  # of one bar, before there are bars to measure it


def volatility_before(market: MarketData, window: int = 20) -> Floats:
    """[T, A] volatility of one bar's log return, from the `window` bars before it."""
    known = lagged(realised_volatility(market, window), 1)
    return np.where(np.isnan(known), _UNKNOWN_VOLATILITY, known)


@dataclass(frozen=True)
class Extras:
    """What a market may bring beside its bars; each [T, A] or None.

    Attributes:
        funding: perpetual-swap funding rate of each bar [fraction]; longs pay positive rates.
        split: new shares per old one, at the bar's open; 1 is none. For raw prices.
        dividend: per share, at the bar's open, after its split [currency]. For raw prices.
        member: whether the asset is listed (belongs to the universe).

    """

    funding: Floats | None = None
    split: Floats | None = None
    dividend: Floats | None = None
    member: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, market: MarketData, **given: Any) -> Extras:
        """From arrays [T, A] or [T], or DataFrames by time and symbol.

        `member` may be a file (`tradinghf.market.membership`).

        Where the market says which assets were listed, that holds unless `member` is given.

        Raises:
            ConfigError: a shape does not fit, a value is not finite, or a split is not positive.

        """
        found: dict[str, Any] = {}
        if given.get("member") is None and market.listed is not None:
            found["member"] = market.listed
        for name, value in given.items():
            if value is None:
                continue
            if name == "member" and isinstance(value, str | Path):
                value = membership(value, market)
            array = np.asarray(_aligned(market, value, name), dtype=np.float64)
            array = array[:, None] if array.ndim == 1 else array
            if array.shape not in {(market.bars, market.assets), (market.bars, 1)}:
                raise ConfigError(
                    f"{name} has shape {array.shape}; expected [T, A] = "
                    f"{(market.bars, market.assets)}."
                )
            array = np.broadcast_to(array, market.close.shape)
            if not np.isfinite(array).all() or (name == "split" and (array <= 0).any()):
                raise ConfigError(f"{name} must be finite, and splits above 0.")
            found[name] = array != 0 if name == "member" else array
        return cls(**found)


def _aligned(market: MarketData, value: Any, name: str) -> Any:
    if not isinstance(value, pd.DataFrame):
        return value
    missing = [s for s in market.symbols if s not in value.columns]
    if missing:
        raise ConfigError(
            f"The DataFrame of {name} must have a column for each symbol (missing: {missing})."
        )
    return frame_rows(market, value, name)[list(market.symbols)]


@dataclass(frozen=True)
class Bars:
    """Prices laid out for gathering.

    Row r holds one bar of A' assets: with one asset per account A' = 1 and r = asset * T + bar;
    with portfolios A' = A and r = bar.

    Attributes:
        rows: [R, C, A'] one plane per column.
        columns: C names of `Bar`'s fields.
        bars: T.

    """

    rows: Tensor
    columns: tuple[str, ...]
    bars: int

    @classmethod
    def of(
        cls,
        market: MarketData,
        extras: Extras | None = None,
        *,
        portfolio: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Bars:
        """Lay out a market."""
        named = {name: getattr(market, name) for name in FIELDS}
        named["volatility"] = volatility_before(market)
        named.update({k: v for k, v in vars(extras or Extras()).items() if v is not None})
        planes = np.stack([np.asarray(v, dtype=np.float64) for v in named.values()], axis=1)
        if not portfolio:
            planes = planes.transpose(2, 0, 1).reshape(-1, len(named), 1)
        rows = torch.as_tensor(np.ascontiguousarray(planes), dtype=dtype, device=device)
        return cls(rows, tuple(named), market.bars)

    def row(self, asset: Tensor, bar: Tensor) -> Tensor:
        """[N] row numbers of [N] assets (0 for portfolios) and bars."""
        return asset * self.bars + bar

    def at(self, row: Tensor) -> Bar:
        """The bars in rows [N]; each tensor [N, A']."""
        planes = self.rows.index_select(0, row).unbind(1)
        return Bar(**dict(zip(self.columns, planes, strict=True)))


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
