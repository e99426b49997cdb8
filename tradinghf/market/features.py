"""Market features: causal, dimensionless numbers of roughly unit scale, by name.

A feature is one decorated function `MarketData -> [T, A]`. Row t may use bars up to and including
t only; NaN means "not known yet" and becomes 0 in `features`. Names ending in a number give the
window ("momentum_20").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tradinghf.errors import ConfigError, MarketDataError
from tradinghf.market.data import MarketData
from tradinghf.market.rules import Floats
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
    for i, name in enumerate(names):
        function, arguments = _resolve(name)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.asarray(function(market, *arguments), dtype=np.float64)
        if values.shape != market.close.shape:
            raise MarketDataError(
                f"Feature {name!r} returned shape {values.shape}; "
                f"expected [T, A] = {market.close.shape}."
            )
        out[..., i] = np.clip(np.nan_to_num(values, nan=0.0), -LIMIT, LIMIT)
    return out


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


@dataclass(frozen=True)
class FeatureScaler:
    """Standardises features with the mean and deviation of a training market.

    Attributes:
        mean: [F] of the training features.
        std: [F] > 0.
        clip: bound of the result.

    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    clip: float = 5.0

    def __post_init__(self) -> None:
        ok = len(self.mean) == len(self.std) and all(np.isfinite([*self.mean, *self.std]))
        if not ok or min(self.std, default=1.0) <= 0 or not self.clip > 0:
            raise ConfigError(
                f"FeatureScaler: mean {self.mean} and std {self.std} must be finite and of equal "
                f"length, std and clip ({self.clip}) positive."
            )

    @classmethod
    def fit(cls, array: NDArray[np.floating[Any]], *, clip: float = 5.0) -> Self:
        """Fit on the features of a training market only.

        The rows before a feature is first known (0 for every asset) do not count; a constant
        feature gets deviation 1.

        Args:
            array: [T, A, F] from `features`.
            clip: bound of the standardised values.

        """
        mean, std = [], []
        for i in range(array.shape[-1]):
            values = array[..., i].reshape(len(array), -1)
            known = (values != 0).any(axis=1)
            values = values[int(np.argmax(known)) :]
            deviation = float(values.std())
            mean.append(float(values.mean()))
            std.append(deviation if deviation > 1e-9 else 1.0)
        return cls(tuple(mean), tuple(std), clip)

    def apply(self, array: NDArray[np.floating[Any]]) -> Floats:
        """(array - mean) / std, clipped; shape [..., F] is kept.

        Raises:
            ConfigError: F differs from the training features.

        """
        if array.shape[-1] != len(self.mean):
            raise ConfigError(
                f"FeatureScaler was fitted on {len(self.mean)} features; got {array.shape[-1]}. "
                "Use the feature names of the training run."
            )
        scaled = (array - np.array(self.mean)) / np.array(self.std)
        out: Floats = np.clip(scaled, -self.clip, self.clip)
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"mean": list(self.mean), "std": list(self.std), "clip": self.clip}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read `to_dict` back.

        Raises:
            ConfigError: a key is missing or a value is no number.

        """
        try:
            mean, std = (tuple(float(v) for v in values[key]) for key in ("mean", "std"))
            return cls(mean, std, float(values["clip"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"Not a FeatureScaler: {type(error).__name__}: {error}.") from error


# Helpers. Sums run over the window in a fixed order, one shifted array at a time: each result
# depends on its own window only, bit for bit, which a running sum over the series would not.


def lagged(values: Floats, bars: int) -> Floats:
    """[T, A] values of `bars` bars ago; NaN where there is none."""
    out = np.full_like(values, np.nan)
    if bars < len(values):
        out[bars:] = values[: len(values) - bars]
    return out


def _rolling(combine: Callable[[Floats, Floats], Floats], values: Floats, window: int) -> Floats:
    out = values
    for k in range(1, min(window, len(values) + 1)):
        out = combine(out, lagged(values, k))
    return out if window <= len(values) else np.full_like(values, np.nan)


def rolling_sum(values: Floats, window: int) -> Floats:
    """[T, A] sum over the last `window` bars; NaN until there are as many."""
    return _rolling(np.add, values, window)


def rolling_max(values: Floats, window: int) -> Floats:
    """[T, A] maximum over the last `window` bars; NaN until there are as many."""
    return _rolling(np.maximum, values, window)


def rolling_min(values: Floats, window: int) -> Floats:
    """[T, A] minimum over the last `window` bars; NaN until there are as many."""
    return _rolling(np.minimum, values, window)


def log_returns(market: MarketData) -> Floats:
    """[T, A] log return of each bar, close to close; NaN in row 0."""
    log = np.log(market.close)
    return log - lagged(log, 1)


def realised_volatility(market: MarketData, window: int = 20) -> Floats:
    """[T, A] root mean square of the last `window` log returns; NaN where it is 0 or unknown."""
    returns = log_returns(market)
    value = np.sqrt(rolling_sum(returns * returns, window) / window)
    return np.where(value > 1e-12, value, np.nan)


@feature("log_return")
def _log_return(market: MarketData) -> Floats:
    """Log return of the bar, in units of its 20-bar volatility."""
    return log_returns(market) / realised_volatility(market)


@feature("momentum", windowed=True)
def _momentum(market: MarketData, window: int) -> Floats:
    """Log return over N bars / (volatility of max(N, 20) bars * sqrt(N))."""
    log = np.log(market.close)
    volatility = realised_volatility(market, max(window, 20))
    out: Floats = (log - lagged(log, window)) / (volatility * np.sqrt(window))
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


def _cycle(market: MarketData, phase: NDArray[np.float64], wave: Callable[..., Any]) -> Floats:
    values = wave(2 * np.pi * phase)[:, None]
    return np.broadcast_to(values, market.close.shape).astype(np.float64)


def _phases() -> dict[str, Callable[[MarketData], NDArray[np.float64]]]:
    def days(market: MarketData) -> NDArray[np.int64]:
        whole: NDArray[np.int64] = market.timestamps.astype("datetime64[D]").astype(np.int64)
        return whole

    def month(market: MarketData) -> NDArray[np.float64]:
        return (market.timestamps.astype("datetime64[M]").astype(np.int64) % 12) / 12

    return {
        "time_of_day": lambda m: (m.timestamps.astype(np.int64) % 86_400_000_000_000) / 86.4e12,
        "day_of_week": lambda m: ((days(m) + 3) % 7) / 7,
        "month": month,
    }


def _register_calendar() -> None:
    for name, phase in _phases().items():
        for label, wave in (("sin", np.sin), ("cos", np.cos)):

            def calendar(
                market: MarketData,
                phase: Callable[[MarketData], NDArray[np.float64]] = phase,
                wave: Callable[..., Any] = wave,
            ) -> Floats:
                return _cycle(market, phase(market), wave)

            calendar.__doc__ = f"{label.capitalize()}e of the bar's {name.replace('_', ' ')}, UTC."
            feature(f"{name}_{label}")(calendar)


_register_calendar()
