"""Markets for the evaluation tests: small, seeded, and awkward where it matters."""

from __future__ import annotations

import numpy as np

from tradinghf.market import MarketData


def make_market(
    bars: int = 300,
    assets: int = 1,
    seed: int = 0,
    *,
    drift: float = 0.0,
    sigma: float = 0.01,
    bars_per_year: float = 252.0,
) -> MarketData:
    """A geometric random walk with gaps between close and open."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(drift, sigma, (bars, assets)), axis=0))
    before = np.vstack([np.full((1, assets), 100.0), close[:-1]])
    opening = before * np.exp(rng.normal(0, sigma / 4, (bars, assets)))
    high = np.maximum(opening, close) * np.exp(np.abs(rng.normal(0, sigma / 4, close.shape)))
    low = np.minimum(opening, close) * np.exp(-np.abs(rng.normal(0, sigma / 4, close.shape)))
    return MarketData(
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=rng.uniform(1e5, 1e6, close.shape),
        timestamps=np.datetime64("2010-01-04", "ns") + np.arange(bars) * np.timedelta64(1, "D"),
        symbols=tuple(f"A{i}" for i in range(assets)),
        bars_per_year=bars_per_year,
        name="walk",
    )


def from_closes(*closes: list[float]) -> MarketData:
    """One asset per list; each bar opens at the previous close and has no wicks."""
    close = np.array(closes, dtype=np.float64).T
    opening = np.vstack([close[:1], close[:-1]])
    return MarketData(
        open=opening,
        high=np.maximum(opening, close),
        low=np.minimum(opening, close),
        close=close,
        volume=np.ones_like(close),
        timestamps=np.datetime64("2020-01-01", "ns")
        + np.arange(len(close)) * np.timedelta64(1, "D"),
        symbols=tuple("ABCDEFGH"[: close.shape[1]]),
    )
