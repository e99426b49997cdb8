"""`MarketData`: validated bars that the rest of the package can trust."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError

Floats = NDArray[np.float64]
FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False)
class MarketData:
    """OHLCV bars of one or more assets on one time axis.

    Attributes:
        open, high, low, close: [T, A] prices > 0 [quote currency].
        volume: [T, A] >= 0 [units of the asset].
        timestamps: [T] strictly increasing, datetime64[ns], UTC; the time of each bar's close.
        symbols: A unique names.
        bars_per_year: for annualising (252 for daily equities).
        name: short name for people ("sp500").
        source: where the bars came from.

    Raises:
        MarketDataError: any array breaks the rules above; the message names the bar and column.

    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    timestamps: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    bars_per_year: float = 252.0
    name: str = "market"
    source: str = field(default="memory", compare=False)

    @property
    def bars(self) -> int:
        """T."""
        return int(self.close.shape[0])

    @property
    def assets(self) -> int:
        """A."""
        return int(self.close.shape[1])

    @property
    def index(self) -> pd.DatetimeIndex:
        """[T] timestamps as a UTC index."""
        return pd.DatetimeIndex(self.timestamps).tz_localize("UTC")

    @cached_property
    def sha256(self) -> str:
        """Hash of bars, timestamps and symbols: the identity of the data."""
        digest = hashlib.sha256("\x1f".join(self.symbols).encode())
        digest.update(np.ascontiguousarray(self.timestamps).astype("datetime64[ns]").tobytes())
        for name in FIELDS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    def _rows(self, rows: slice) -> Self:
        if rows.stop - rows.start < 2:
            raise MarketDataError(
                f"{self.name}: a window of {max(rows.stop - rows.start, 0)} bars was asked for; "
                f"at least 2 are needed. The data runs from {self.index[0]} to {self.index[-1]}."
            )
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in FIELDS}
        return replace(self, timestamps=self.timestamps[rows], **arrays)

    def rows(self, start: int, stop: int) -> Self:
        """Bars start (inclusive) to stop (exclusive)."""
        return self._rows(slice(max(start, 0), min(stop, self.bars)))

    def between(self, start: str | None = None, end: str | None = None) -> Self:
        """Bars from `start` to `end`, both inclusive: ISO dates, or a year ("2012")."""
        span = pd.Series(np.arange(self.bars), index=self.index).loc[start:end]
        if span.empty:
            raise MarketDataError(
                f"{self.name}: no bars between {start} and {end}; "
                f"the data runs from {self.index[0]} to {self.index[-1]}."
            )
        return self._rows(slice(int(span.iloc[0]), int(span.iloc[-1]) + 1))
