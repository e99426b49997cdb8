"""Markets for tests: generated ones, and a few bars written down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from tradinghf.market import MarketData

Rows = Sequence[tuple[float, ...]]


@st.composite
def markets(draw: st.DrawFn) -> MarketData:
    """Valid markets over the whole range of prices, volumes and times."""
    bars, assets = draw(st.integers(2, 6)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**32 - 1))
    scale = draw(st.sampled_from([1e-10, 1e-3, 1.0, 1e4, 1e12]))
    rng = np.random.default_rng(seed)
    paths = np.sort(scale * rng.lognormal(0, 1, (4, bars, assets)), axis=0)
    gaps = rng.integers(1, 10**14, bars)
    start = np.datetime64("1990-01-01", "ns") + rng.integers(0, 10**15)
    return MarketData(
        open=paths[1],
        high=paths[3],
        low=paths[0],
        close=paths[2],
        volume=rng.lognormal(5, 5, (bars, assets)) * (rng.random((bars, assets)) > 0.2),
        timestamps=start + np.cumsum(gaps).astype("m8[ns]"),
        symbols=tuple(f"S{i}" for i in range(assets)),
    )


def bars_of(rows: Rows, volume: float = 1000.0) -> MarketData:
    """Daily bars (open, high, low, close) of one asset."""
    o, h, low, c = (np.array(x, dtype=float)[:, None] for x in zip(*rows, strict=True))
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(len(rows)) * np.timedelta64(1, "D")
    return MarketData(o, h, low, c, np.full_like(o, volume), stamps, ("X",))
