"""Traces of bars: how data are known again when they have grown, moved, or were restated.

A hash of a whole file names one version of it, and forgets it with the next bar. A trace keeps the
time, the close and a hash of every bar of one asset, so that two versions can be laid over each
other: whether one continues the other, which bar was changed, and whether all of the past was
rescaled, as a dividend does to adjusted prices.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tradinghf.market._bar_rules import FIELDS
from tradinghf.market._data import MarketData

_Times = NDArray[np.int64]
_Closes = NDArray[np.float32]
_Prints = NDArray[np.uint32]
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads neighbours over all bits
_EVEN_OUT = np.uint64(32)


@dataclass(frozen=True, eq=False)
class BarTrace:
    """What is kept of one asset's bars: 16 bytes each, before the times are packed.

    Prices and volumes count as float32, so that a file that rounds to it is the same data.

    Attributes:
        symbol: the asset's name; a single asset often has that of its file.
        times: [T] nanoseconds since 1970, UTC.
        closes: [T].
        prints: [T] hash of time, open, high, low, close and volume.

    """

    symbol: str
    times: _Times
    closes: _Closes
    prints: _Prints

    @property
    def bars(self) -> int:
        """T."""
        return len(self.times)

    def to_bytes(self) -> bytes:
        """All but the symbol; times as packed differences."""
        steps = np.diff(self.times, prepend=0).astype("<i8").tobytes()
        head = zlib.compress(steps, 1)
        parts = (self.closes.astype("<f4").tobytes(), self.prints.astype("<u4").tobytes(), head)
        return self.bars.to_bytes(8, "little") + b"".join(parts)

    @classmethod
    def from_bytes(cls, symbol: str, data: bytes) -> Self:
        """Reverse of `to_bytes`."""
        bars = int.from_bytes(data[:8], "little")
        middle, end = 8 + 4 * bars, 8 + 8 * bars
        return cls(
            symbol,
            np.cumsum(np.frombuffer(zlib.decompress(data[end:]), "<i8")),
            np.frombuffer(data[8:middle], "<f4"),
            np.frombuffer(data[middle:end], "<u4"),
        )

    def updated(self, new: BarTrace) -> BarTrace:
        """Known bars with newer ones in place of all that lie between the ends of the newer."""
        before, after = self.times < new.times[0], self.times > new.times[-1]

        def joined(known: NDArray[np.generic], fresh: NDArray[np.generic]) -> NDArray[np.generic]:
            return np.concatenate([known[before], fresh, known[after]])

        return BarTrace(
            self.symbol,
            joined(self.times, new.times).astype(np.int64),
            joined(self.closes, new.closes).astype(np.float32),
            joined(self.prints, new.prints).astype(np.uint32),
        )


def traces(market: MarketData) -> list[BarTrace]:
    """One trace per asset, in the market's order."""
    times = market.timestamps.astype(np.int64)
    closes = market.close.astype(np.float32)
    prints = np.empty(closes.shape, np.uint64)
    prints[:] = (times.view(np.uint64) * _ODD)[:, None]
    for field in FIELDS:
        # Adding 0 makes -0.0 and 0.0 one number.
        values = (getattr(market, field).astype(np.float32) + np.float32(0)).view(np.uint32)
        prints ^= values
        prints *= _ODD
        prints ^= prints >> _EVEN_OUT
    short = prints.astype(np.uint32)
    return [
        BarTrace(symbol, times, np.ascontiguousarray(closes[:, i]), short[:, i].copy())
        for i, symbol in enumerate(market.symbols)
    ]


def likely_columns(known: BarTrace, times: _Times, prints: _Prints, probes: int = 16) -> list[int]:
    """Assets of a market that have a bar in common with `known`, as far as a few probes tell.

    Args:
        known: a trace that is kept.
        times: [T] of the market.
        prints: [T, A] of its assets.
        probes: shared bars to look at, evenly spaced, the first and the last among them.

    """
    here, there = shared_bars(known.times, times)
    if not len(here):
        return []
    picked = np.unique(np.linspace(0, len(here) - 1, probes).astype(np.intp))
    alike = prints[there[picked]] == known.prints[here[picked]][:, None]
    return [int(i) for i in np.flatnonzero(alike.any(axis=0))]


def shared_bars(known: _Times, new: _Times) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the common times in two increasing arrays."""
    at = np.searchsorted(known, new)
    found = at < len(known)
    found[found] = known[at[found]] == new[found]
    there = np.flatnonzero(found)
    return at[there], there
