"""Resampled markets: the stationary block bootstrap of bars."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradinghf.config import Randomisation
from tradinghf.errors import ConfigError
from tradinghf.market import MarketData
from tradinghf.simulation._bars import Floats


def stationary_indices(length: int, block: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """[length] indices into 0..length-1: blocks of geometric length, wrapping around.

    Args:
        length: number of indices.
        block: mean block length; 1 resamples single bars.
        rng: generator.

    Source: Politis & Romano 1994, J. American Statistical Association 89(428).

    """
    begins = rng.random(length) < 1.0 / block
    begins[0] = True
    starts = rng.integers(0, length, length)
    position = np.arange(length)
    last = np.maximum.accumulate(np.where(begins, position, 0))
    return (starts[last] + position - last) % length


def bootstrap(
    market: MarketData,
    seed: int,
    block: float = 20.0,
    *,
    drift: float = 0.0,
    volatility: float = 1.0,
) -> MarketData:
    """A market whose bars are drawn in blocks from another's, all assets at the same times.

    Each bar keeps its shape relative to the close before it (open, high, low and close over the
    previous close) and its volume; prices are chained again from the first close.

    Args:
        market: [T, A] bars to resample.
        seed: of the draw.
        block: mean block length [bars].
        drift: added to the mean log return of each asset, in spreads of its bars' log returns.
        volatility: factor of the log returns around their mean.

    Returns:
        [T, A] bars at the same timestamps; the first bar is the market's own.

    """
    chosen = 1 + stationary_indices(market.bars - 1, block, np.random.default_rng(seed))
    before = market.close[chosen - 1]
    shift = _shifted(np.log(market.close[chosen] / before), drift, volatility)
    growth = np.cumprod(shift(market.close[chosen] / before), axis=0)
    close = np.concatenate([market.close[:1], market.close[:1] * growth])
    previous = close[:-1]

    def chained(name: str) -> Floats:
        values = getattr(market, name)
        return np.concatenate([values[:1], previous * shift(values[chosen] / before)])

    opened = chained("open")
    # Rounding must not push a close or an open outside its bar.
    high = np.maximum.reduce([chained("high"), opened, close])
    low = np.minimum.reduce([chained("low"), opened, close])
    volume = np.concatenate([market.volume[:1], market.volume[chosen]])
    return replace(
        market,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        listed=None,  # bars of before and after the listing stand still
        name=f"{market.name}~{seed}",
        source=f"stationary bootstrap (seed {seed}, block {block:g}{_told(drift, volatility)}) of "
        f"{market.source}",
    )


def _shifted(returns: Floats, drift: float, volatility: float) -> Callable[[Floats], Floats]:
    """What makes prices over the close before [T, A] those of another regime.

    One rising line for all prices of a bar, in logarithms, so that a bar keeps its shape.
    """
    if drift == 0.0 and volatility == 1.0:
        return lambda ratios: ratios
    moved = (returns != 0.0).any(axis=0)  # what stands still does not begin to drift
    added = (1.0 - volatility) * returns.mean(axis=0) + drift * returns.std(axis=0)
    return lambda ratios: np.exp(volatility * np.log(ratios) + np.where(moved, added, 0.0))


def _told(drift: float, volatility: float) -> str:
    """The regime, where it is another one."""
    plain = drift == 0.0 and volatility == 1.0
    return "" if plain else f", drift {drift:+.3g} spreads, volatility x{volatility:.3g}"


def with_bootstrap(
    market: MarketData, randomise: Randomisation, seed: int, beside: Collection[str] = ()
) -> MarketData:
    """The market's assets and `bootstrap_paths` resampled copies of each, side by side.

    Raises:
        ConfigError: tables by bar were given `beside` the market, which cannot follow.

    """
    if beside:
        raise ConfigError(
            "Randomisation.bootstrap_paths resamples bars only: own_features, funding, "
            "split, dividend and member cannot follow. Leave one of them out."
        )
    rng = np.random.default_rng([seed, randomise.bootstrap_paths])
    drift, volatility = randomise.bootstrap_drift, randomise.bootstrap_volatility
    copies = [
        bootstrap(
            market,
            seed + 1 + i,
            randomise.bootstrap_block,
            drift=0.0 if drift is None else rng.uniform(*drift),
            volatility=1.0 if volatility is None else rng.uniform(*volatility),
        )
        for i in range(randomise.bootstrap_paths)
    ]
    parts = [market, *copies]
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in parts], axis=1)
        for name in ("open", "high", "low", "close", "volume")
    }
    names = [market.symbols, *([f"{s}~{i}" for s in market.symbols] for i in range(len(copies)))]
    return replace(market, symbols=tuple(n for part in names for n in part), listed=None, **arrays)
