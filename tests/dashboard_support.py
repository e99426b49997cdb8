"""Episodes on random walks, and stores filled with queries about them."""

from __future__ import annotations

import numpy as np

from tradinghf.episodes import Episode
from tradinghf.feedback.store import Store
from tradinghf.feedback.types import Query

SOURCES = ("sma_cross", "momentum", "rsi_reversion", "donchian_breakout", "buy_and_hold")


def walk(seed: int, bars: int) -> dict[str, np.ndarray]:
    """OHLCV [bars + 1] of a seeded random walk with a trend."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.012 * rng.standard_normal(bars + 1) + 0.0005))
    open_ = np.concatenate([[50.0], close[:-1]]) * np.exp(0.002 * rng.standard_normal(bars + 1))
    spread = np.exp(0.006 * np.abs(rng.standard_normal((2, bars + 1))))
    return {
        "open": open_,
        "high": np.maximum(open_, close) * spread[0],
        "low": np.minimum(open_, close) / spread[1],
        "close": close,
        "volume": rng.uniform(1e5, 1e6, bars + 1),
    }


def trade(bars: dict[str, np.ndarray], seed: int, source: str, start: int = 0) -> Episode:
    """An episode that changes its position now and then; fills at the open, 2 bps of cost."""
    rng = np.random.default_rng([seed, 7])
    length = len(bars["close"]) - 1
    changes = rng.random(length) < 12 / length
    levels = rng.choice([-0.5, 0.0, 0.5, 1.0], size=length)
    position = np.zeros(length)
    for t in range(length):
        position[t] = levels[t] if changes[t] else (position[t - 1] if t else 0.0)
    turnover = np.abs(np.diff(position, prepend=0.0))
    returns = position * (bars["close"][1:] / bars["open"][1:] - 1) - 2e-4 * turnover
    equity = np.concatenate([[1.0], np.cumprod(1 + returns)])
    return Episode(
        **bars,
        timestamps=np.datetime64("2011-01-03", "ns")
        + np.arange(length + 1) * np.timedelta64(1, "D"),
        position=position,
        equity=equity,
        turnover=turnover,
        costs=2e-4 * turnover,
        price=np.where(turnover > 0, bars["open"][1:], np.nan),
        symbol="SPX",
        market="0" * 64,
        start=start,
        source=source,
    )


def window(seed: int, panels: int = 4, bars: int = 120) -> list[Episode]:
    """Episodes of different sources on one window."""
    walked = walk(seed, bars)
    return [trade(walked, seed * 10 + k, SOURCES[k], start=seed) for k in range(panels)]


def fill_store(store: Store, queries: int = 8, panels: int = 4, bars: int = 120) -> list[Query]:
    """Add queries, each about one window."""
    asked = [
        Query.of(store.add_episodes(window(seed, panels, bars)), purpose="learn")
        for seed in range(queries)
    ]
    store.add_queries(asked)
    return asked
