"""Market features: causal, dimensionless numbers of roughly unit scale, by name.

A feature is one decorated function `MarketData -> [T, A]`. Row t may use bars up to and including
t only; NaN means "not known yet" and becomes 0 in `features`. Names ending in a number give the
window ("momentum_20").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tradinghf.errors import ConfigError, MarketDataError
from tradinghf.market._bar_rules import Floats
from tradinghf.market._data import MarketData
from tradinghf.market._rolling import (
    lagged,
    log_returns,
    night_moves,
    realised_volatility,
    rolling_max,
    rolling_min,
    rolling_sum,
    volatilities_once,
)
from tradinghf.market._synthetic import synthetic
from tradinghf.registry import Registry

LIMIT = 10.0
_WINDOWED = re.compile(r"(.*\D)_(\d+)")


@dataclass(frozen=True)
class Feature:
    """A named feature.

    Attributes:
        name: without the window.
        function: (market) or (market, window) -> [T, A].
        windowed: whether the name takes a window, as in "momentum_20".
        doc: what it measures, in one line.

    """

    name: str
    function: Callable[..., Floats]
    windowed: bool
    doc: str

    @property
    def usage(self) -> str:
        """How to write it: "momentum_N" or "range"."""
        return f"{self.name}_N" if self.windowed else self.name


FEATURES: Registry[Feature] = Registry("feature", ConfigError)


def feature(
    name: str, *, windowed: bool = False
) -> Callable[[Callable[..., Floats]], Callable[..., Floats]]:
    """Register a feature function under `name`; its docstring's first line describes it.

    Raises:
        ConfigError: the name is taken.

    """

    def decorate(function: Callable[..., Floats]) -> Callable[..., Floats]:
        doc = (function.__doc__ or "").strip().splitlines()
        FEATURES.add(name, Feature(name, function, windowed, doc[0] if doc else ""))
        return function

    return decorate


def features(market: MarketData, names: Sequence[str]) -> Floats:
    """The named features of every bar and asset.

    Args:
        market: [T, A] bars.
        names: F feature names, for example ("log_return", "momentum_20").

    Returns:
        [T, A, F] float64, dimensionless, within ±10; 0 where a feature is not known yet.

    Raises:
        ConfigError: a name is unknown (the message suggests close ones) or its window is missing.
        MarketDataError: a feature returned an array of the wrong shape.

    """
    out = np.zeros((market.bars, market.assets, len(names)))
    with volatilities_once():
        for i, name in enumerate(names):
            out[..., i] = _bounded(market, name)
    return out


def _bounded(market: MarketData, name: str) -> Floats:
    """[T, A] one feature, within its limits."""
    function, arguments = _resolve(name)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(function(market, *arguments), dtype=np.float64)
    if values.shape != market.close.shape:
        raise MarketDataError(
            f"Feature {name!r} returned shape {values.shape}; "
            f"expected [T, A] = {market.close.shape}."
        )
    bounded = np.nan_to_num(values, nan=0.0)
    np.clip(bounded, -LIMIT, LIMIT, out=bounded)
    return bounded


def feature_memory(name: str) -> int:
    """Bars that a feature needs before it is known, counting the bar itself.

    Raises:
        ConfigError: as `features`.

    """
    function, arguments = _resolve(name)
    market = synthetic(0, bars=3 * max([*arguments, 32]), assets=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        known = np.isfinite(np.asarray(function(market, *arguments), dtype=np.float64)[:, 0])
    return int(np.argmax(known)) + 1


def feature_names() -> list[str]:
    """How to write each registered feature, sorted."""
    return [FEATURES[name].usage for name in FEATURES]


def _resolve(name: str) -> tuple[Callable[..., Floats], tuple[int, ...]]:
    if name in FEATURES and not FEATURES[name].windowed:
        return FEATURES[name].function, ()
    match = _WINDOWED.fullmatch(name)
    if match and match[1] in FEATURES and FEATURES[match[1]].windowed:
        window = int(match[2])
        if not 2 <= window <= 100_000:
            raise ConfigError(f"Feature {name!r}: window {window}; expected 2 to 100000 bars.")
        return FEATURES[match[1]].function, (window,)
    if name in FEATURES:
        raise ConfigError(f"Feature {name!r} needs a window [bars], for example '{name}_20'.")
    stem = match[1] if match else name
    found = FEATURES[stem]  # raises with suggestions when unknown
    raise ConfigError(f"Feature {name!r}: {found.name!r} takes no window.")


@feature("log_return")
def _log_return(market: MarketData) -> Floats:
    """Log return of the bar, in units of its 20-bar volatility."""
    return log_returns(market) / realised_volatility(market)


@feature("momentum", windowed=True)
def _momentum(market: MarketData, window: int) -> Floats:
    """Log return over N bars / (volatility of max(N, 20) bars * sqrt(N)); nights left out."""
    log = np.log(market.close)
    moves = log - lagged(log, window)
    nights = night_moves(market)
    if nights.any():
        moves -= rolling_sum(nights, window)
    out: Floats = moves / (realised_volatility(market, max(window, 20)) * np.sqrt(window))
    return out


@feature("volatility", windowed=True)
def _volatility(market: MarketData, window: int) -> Floats:
    """Log of the annualised N-bar volatility / 16 %."""
    annual = realised_volatility(market, window) * np.sqrt(market.bars_per_year)
    out: Floats = np.log(annual / 0.16)
    return out


@feature("range")
def _range(market: MarketData) -> Floats:
    """log(high / low) in units of its expectation for a Brownian motion, minus 1."""
    # E[range] = sqrt(8 / pi) sigma: Feller 1951, Ann. Math. Stat. 22(3).
    expected = np.sqrt(8 / np.pi) * realised_volatility(market)
    out: Floats = np.log(market.high / market.low) / expected - 1.0
    return out


@feature("body")
def _body(market: MarketData) -> Floats:
    """log(close / open) in units of the 20-bar volatility."""
    return np.log(market.close / market.open) / realised_volatility(market)


@feature("gap")
def _gap(market: MarketData) -> Floats:
    """log(open / previous close) in units of the 20-bar volatility."""
    return np.log(market.open / lagged(market.close, 1)) / realised_volatility(market)


@feature("close_location")
def _close_location(market: MarketData) -> Floats:
    """Where the close lies between low (-1) and high (1) of the bar."""
    return (2 * market.close - market.high - market.low) / (market.high - market.low)


@feature("volume")
def _volume(market: MarketData) -> Floats:
    """log(volume / mean volume of the last 20 bars); 0 where either is 0."""
    ratio = market.volume / (rolling_sum(market.volume, 20) / 20)
    return np.log(np.where(ratio > 0, ratio, np.nan))


@feature("rsi", windowed=True)
def _rsi(market: MarketData, window: int) -> Floats:
    """(RSI - 50) / 50 of N bars, with simple means (Cutler), which forget after N bars."""
    change = market.close - lagged(market.close, 1)
    gain = rolling_sum(np.maximum(change, 0.0), window)
    loss = rolling_sum(np.maximum(-change, 0.0), window)
    return (gain - loss) / (gain + loss)


@feature("zscore", windowed=True)
def _zscore(market: MarketData, window: int) -> Floats:
    """(log close - its N-bar mean) / its N-bar standard deviation."""
    log = np.log(market.close)
    # Deviations from a value of the window itself: no cancellation at any price level.
    deviations = [lagged(log, k) - log for k in range(min(window, len(log)))]
    if window > len(log):
        return np.full_like(log, np.nan)
    mean = sum(deviations[1:], deviations[0]) / window
    squares = [(d - mean) ** 2 for d in deviations]
    deviation = np.sqrt(sum(squares[1:], squares[0]) / window)
    return -mean / np.where(deviation > 1e-12, deviation, np.nan)


@feature("channel", windowed=True)
def _channel(market: MarketData, window: int) -> Floats:
    """Where the close lies between the lowest low (-1) and the highest high (1) of N bars."""
    top, bottom = rolling_max(market.high, window), rolling_min(market.low, window)
    return (2 * market.close - top - bottom) / (top - bottom)


@feature("drawdown", windowed=True)
def _drawdown(market: MarketData, window: int) -> Floats:
    """log(close / highest close of N bars) / (volatility of max(N, 20) bars * sqrt(N))."""
    scale = realised_volatility(market, max(window, 20)) * np.sqrt(window)
    out: Floats = np.log(market.close / rolling_max(market.close, window)) / scale
    return out


# Of the timestamps: what part of its cycle each has passed, in [0, 1).
_CYCLES: dict[str, Callable[[NDArray[np.datetime64]], NDArray[np.float64]]] = {
    "time_of_day": lambda times: times.astype(np.int64) % 86_400_000_000_000 / 86.4e12,
    "day_of_week": lambda times: (times.astype("datetime64[D]").astype(np.int64) + 3) % 7 / 7,
    "month": lambda times: times.astype("datetime64[M]").astype(np.int64) % 12 / 12,
}


def _register_cycle(cycle: str, label: str, wave: np.ufunc) -> None:
    def calendar(market: MarketData) -> Floats:
        values = wave(2 * np.pi * _CYCLES[cycle](market.timestamps))[:, None]
        return np.broadcast_to(values, market.close.shape).astype(np.float64)

    calendar.__doc__ = f"{label.capitalize()}e of the bar's {cycle.replace('_', ' ')}, UTC."
    feature(f"{cycle}_{label}")(calendar)


for _cycle in _CYCLES:
    _register_cycle(_cycle, "sin", np.sin)
    _register_cycle(_cycle, "cos", np.cos)
