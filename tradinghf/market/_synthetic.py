"""Seeded synthetic markets whose regimes can be learned, for tests and demonstrations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError, check_memory, unknown_name
from tradinghf.market._bar_rules import Floats
from tradinghf.market._data import MarketData

Regime = Literal["momentum", "mean_reversion", "jumps", "volatility_clustering", "mixed"]
REGIMES: tuple[str, ...] = get_args(Regime)[:-1]

_SIGMA = 0.01  # volatility of one bar's log return
_PULL = 1.0 / 4096  # draws the log price towards its start, so that long paths stay printable
_GAP = 0.2  # standard deviation of the overnight gap, in units of the bar's volatility


def synthetic(
    seed: int = 0, bars: int = 2048, assets: int = 16, regime: Regime = "momentum"
) -> MarketData:
    """Independent OHLCV paths of one regime.

    momentum: a hidden AR(1) drift (persistence 0.96, stationary standard deviation 0.3 of the
    bar volatility), so that trends persist for about 25 bars. mean_reversion: an
    Ornstein-Uhlenbeck deviation (persistence 0.9) around a slow random walk. jumps: rare jumps of
    about 4 %, each followed by a drift in its direction. volatility_clustering: log-normal
    stochastic volatility (persistence 0.98) with a positive drift in calm and a negative one in
    turbulent times. mixed: asset i follows regime i modulo 4, in this order.

    Asset i and its first bars depend on `seed`, i and its regime only: neither on `assets` nor on
    `bars`. Paths of up to 50,000 bars are daily (business days from 2000-01-03), up to 2,000,000
    hourly, longer ones by the minute.

    Args:
        seed: >= 0.
        bars: T >= 2.
        assets: A >= 1.
        regime: one of the above.

    Raises:
        MarketDataError: an argument is out of range.

    Source: high and low from the extremes of a Brownian bridge between open and close
    (Karatzas & Shreve, Brownian Motion and Stochastic Calculus, 2nd ed., 4.3.40).

    """
    if regime not in get_args(Regime):
        raise MarketDataError(unknown_name("regime", regime, get_args(Regime)))
    for name, value, least in (("seed", seed, 0), ("bars", bars, 2), ("assets", assets, 1)):
        if value < least:
            raise MarketDataError(f"synthetic: {name} is {value}; expected at least {least}.")
    kinds = np.array([REGIMES[i % 4] if regime == "mixed" else regime for i in range(assets)])
    # Ten arrays of 8-byte numbers live at once: noise, paths, prices, volume.
    check_memory(80.0 * bars * assets, f"synthetic:bars={bars},assets={assets}")
    noise = _Noise(seed, bars, assets)
    base, scale = np.empty((bars, assets)), np.empty((bars, assets))
    for kind in REGIMES:
        columns = np.flatnonzero(kinds == kind)
        if len(columns):
            base[:, columns], scale[:, columns] = _REGIMES[kind](noise, columns)
    fields: dict[str, Any] = _bars(base, scale, noise)
    timestamps, per_year = _calendar(bars)
    return MarketData(
        **fields,
        timestamps=timestamps,
        symbols=tuple(f"SYN{i}" for i in range(assets)),
        bars_per_year=per_year,
        name="synthetic",
        source=f"synthetic:seed={seed},bars={bars},assets={assets},regime={regime}",
    )


class _Noise:
    """Streams of draws, one generator per (seed, asset, purpose)."""

    PURPOSES = ("shock", "state", "jump", "size", "gap", "high", "low", "volume")

    def __init__(self, seed: int, bars: int, assets: int) -> None:
        self.seed, self.bars, self.assets = seed, bars, assets

    def _generators(
        self, purpose: str, columns: NDArray[np.intp] | None
    ) -> Iterator[np.random.Generator]:
        k = self.PURPOSES.index(purpose)
        for i in range(self.assets) if columns is None else columns:
            yield np.random.default_rng((self.seed, int(i), k))

    def normal(self, purpose: str, columns: NDArray[np.intp] | None = None) -> Floats:
        """[T, len(columns)] standard normal draws."""
        rngs = self._generators(purpose, columns)
        return np.stack([rng.standard_normal(self.bars) for rng in rngs], axis=1)

    def uniform(self, purpose: str, columns: NDArray[np.intp] | None = None) -> Floats:
        """[T, len(columns)] uniform draws in (0, 1]."""
        rngs = self._generators(purpose, columns)
        return 1.0 - np.stack([rng.random(self.bars) for rng in rngs], axis=1)


def _ar1(shocks: Floats, persistence: float, deviation: float) -> Floats:
    """[T, n] stationary AR(1) with the given standard deviation."""
    out = np.empty_like(shocks)
    scale = deviation * np.sqrt(1 - persistence**2)
    state = deviation * shocks[0]
    for t in range(len(shocks)):
        if t:
            state = persistence * state + scale * shocks[t]
        out[t] = state
    return out


def _momentum(noise: _Noise, columns: NDArray[np.intp]) -> tuple[Floats, Floats]:
    drift = _ar1(noise.normal("state", columns), 0.96, 0.3 * _SIGMA)
    shocks = noise.normal("shock", columns)
    return drift + _SIGMA * shocks, np.full_like(drift, _SIGMA)


def _mean_reversion(noise: _Noise, columns: NDArray[np.intp]) -> tuple[Floats, Floats]:
    deviation = _ar1(noise.normal("state", columns), 0.9, 2.0 * _SIGMA)
    change = np.diff(deviation, axis=0, prepend=0.0)
    base = change + 0.4 * _SIGMA * noise.normal("shock", columns)
    return base, np.full_like(base, _SIGMA)


def _jumps(noise: _Noise, columns: NDArray[np.intp]) -> tuple[Floats, Floats]:
    happens = noise.uniform("jump", columns) < 0.02
    size = noise.normal("size", columns)
    jump = happens * np.sign(size) * (0.04 + 0.01 * np.abs(size))
    drift, state = np.empty_like(jump), np.zeros(len(columns))
    for t in range(len(jump)):
        drift[t] = state
        state = 0.92 * state + 0.08 * jump[t]
    base = drift + jump + 0.8 * _SIGMA * noise.normal("shock", columns)
    return base, np.full_like(base, 0.8 * _SIGMA)


def _volatility_clustering(noise: _Noise, columns: NDArray[np.intp]) -> tuple[Floats, Floats]:
    level = _ar1(noise.normal("state", columns), 0.98, 0.6)
    scale = _SIGMA * np.exp(level - 0.6**2)  # E[scale^2] = _SIGMA^2
    drift = -0.15 * _SIGMA * np.tanh(2.0 * level)
    # The volatility of a bar is known only after it: drift follows the bar before.
    drift = np.vstack([np.zeros((1, len(columns))), drift[:-1]])
    return drift + scale * noise.normal("shock", columns), scale


_REGIMES = {
    "momentum": _momentum,
    "mean_reversion": _mean_reversion,
    "jumps": _jumps,
    "volatility_clustering": _volatility_clustering,
}


def _bars(base: Floats, scale: Floats, noise: _Noise) -> dict[str, Floats]:
    """OHLCV from raw log returns [T, A] and the volatility of each bar [T, A]."""
    log_close = np.empty_like(base)
    level = np.zeros(base.shape[1])
    for t in range(len(base)):
        level = level * (1 - _PULL) + base[t]
        log_close[t] = level
    previous = np.vstack([np.zeros((1, base.shape[1])), log_close[:-1]])
    log_open = previous + _GAP * scale * noise.normal("gap")
    ends = log_open, log_close
    log_high = _extreme(*ends, scale, noise.uniform("high"))
    log_low = -_extreme(-log_open, -log_close, scale, noise.uniform("low"))
    activity = 0.5 + np.abs(log_close - previous) / scale
    volume = np.round(1e6 * activity * np.exp(0.3 * noise.normal("volume")))
    paths = {"open": log_open, "high": log_high, "low": log_low, "close": log_close}
    # Rounded to a tick, because the last bit of exp differs between processors and would
    # change the hash of the data.
    prices = {name: np.round(100.0 * np.exp(path), 6) for name, path in paths.items()}
    # The extreme's square root rounds on its own: contain open and close exactly.
    both = prices["open"], prices["close"]
    prices["high"] = np.maximum.reduce([prices["high"], *both])
    prices["low"] = np.minimum.reduce([prices["low"], *both])
    return {**prices, "volume": volume}


def _extreme(start: Floats, end: Floats, scale: Floats, uniform: Floats) -> Floats:
    """Maximum of a Brownian bridge from start to end, by inverting its distribution."""
    spread = np.sqrt((end - start) ** 2 - 2.0 * scale**2 * np.log(uniform))
    out: Floats = 0.5 * (start + end + spread)
    return out


def _calendar(bars: int) -> tuple[NDArray[np.datetime64], float]:
    """([T] timestamps, bars per year)."""
    if bars <= 50_000:
        days = np.busday_offset(np.datetime64("2000-01-03"), np.arange(bars).tolist())
        return days.astype("datetime64[ns]"), 252.0
    unit, per_year = ("h", 8_760.0) if bars <= 2_000_000 else ("m", 525_600.0)
    start = np.datetime64("2000-01-01", unit)  # type: ignore[call-overload]
    return (start + np.arange(bars)).astype("datetime64[ns]"), per_year
