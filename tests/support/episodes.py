"""Made-up episodes for tests of feedback and learning: cheap, plausible, seeded."""

from __future__ import annotations

import numpy as np

from tradinghf.episodes import Episode


def random_episode(seed: int, length: int = 24, window: int | None = None, **about) -> Episode:
    """Random-walk prices, piecewise constant positions, a cost per trade.

    Episodes with the same `window` share their prices, and may be ranked together.
    """
    market = np.random.default_rng((7, seed if window is None else window))
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(np.r_[0, market.normal(0, 0.01, length)]))
    switch = rng.random(length) < rng.choice([0.05, 0.1, 0.3])
    switch[0] = True
    drawn = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], length)
    position = drawn[np.maximum.accumulate(np.where(switch, np.arange(length), 0))]
    turnover = np.abs(np.diff(np.r_[0, position]))
    costs = 2e-4 * turnover
    start = 0 if window is None else 100 * window
    equity = np.cumprod(np.r_[1, 1 + position * np.diff(close) / close[:-1] - costs])
    return Episode(
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.ones(length + 1),
        timestamps=(start + np.arange(length + 1)).astype("datetime64[D]").astype("datetime64[ns]"),
        position=position,
        equity=equity,
        turnover=turnover,
        costs=costs,
        price=np.where(turnover > 0, close[1:], np.nan),
        start=start,
        source=f"random-{seed}",
        **about,
    )


def window_groups(
    count: int, size: int = 5, length: int = 64, seed: int = 0
) -> list[list[Episode]]:
    """`count` windows of `size` different episodes."""
    groups = []
    for window in range(count):
        first = seed * 1_000_000 + window * 1000
        found: dict[bytes, Episode] = {}
        for number in range(100):
            episode = random_episode(first + number, length, window=seed * 10_000 + window)
            found.setdefault(episode.position.tobytes(), episode)
            if len(found) == size:
                break
        groups.append(list(found.values()))
    return groups
