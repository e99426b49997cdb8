"""Made-up universes of assets whose best portfolio is known."""

from __future__ import annotations

import numpy as np

from tradinghf.market import MarketData


def cross_sectional_momentum(
    seed: int,
    bars: int = 1200,
    assets: int = 8,
    *,
    drift: float = 0.002,
    noise: float = 0.005,
    stretch: int = 60,
) -> tuple[MarketData, np.ndarray]:
    """A universe in which half of the assets rise and the others fall, for a while.

    Who does is drawn anew every `stretch` bars, so that the mean asset goes nowhere, and whoever
    holds the risers long and the others short earns `drift` a bar.

    Returns:
        The market, and [T, A] the drift of each asset in each bar.

    """
    rng = np.random.default_rng(seed)
    sides = np.where(np.arange(assets) % 2 == 0, 1.0, -1.0)
    phases = [rng.permutation(sides) for _ in range(bars // stretch + 1)]
    drifts = drift * np.repeat(phases, stretch, axis=0)[:bars]
    shocks = noise * rng.standard_normal((bars, assets))
    close = 100 * np.exp(np.cumsum(drifts + shocks, axis=0))
    opened = np.vstack([np.full((1, assets), 100.0), close[:-1]])
    days = np.busday_offset(np.datetime64("2010-01-04"), np.arange(bars).tolist())
    market = MarketData(
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.full((bars, assets), 1e6),
        timestamps=days.astype("datetime64[ns]"),
        symbols=tuple(f"U{i}" for i in range(assets)),
        name="universe",
    )
    return market, drifts
