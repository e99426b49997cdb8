"""How much of what was attainable a policy attained, and whether that can be told from noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_DRAWS = 1000


@dataclass(frozen=True)
class Attained:
    """(own - bottom) / (top - bottom) of mean utilities, with 95 % intervals.

    Attributes:
        share: the estimate; None where top is not above bottom.
        interval: of the share; None where `gap_interval` reaches down to zero, for then the share
            divides by noise.
        gap: top - bottom, in units of the utility.
        gap_interval: of the gap; None where all windows overlap in time, which says nothing.

    """

    share: float | None
    interval: tuple[float, float] | None
    gap: float
    gap_interval: tuple[float, float] | None

    def result(self, name: str) -> dict[str, Any]:
        """Entries of a result.json under a name such as "G"."""
        found = {"": self.share, "interval": self.interval, "gap_interval": self.gap_interval}
        return {f"{name}_{key}" if key else name: value for key, value in found.items()}


def attained(
    own: Floats, top: Floats, bottom: Floats, groups: NDArray[np.int64], *, seed: int = 0
) -> Attained:
    """Share of the way from `bottom` to `top` that `own` went.

    Args:
        own, top, bottom: [B] utilities of three policies on the same B windows.
        groups: [B] windows that overlap have equal numbers; they are resampled together.
        seed: of the bootstrap, 1,000 draws of whole groups.

    The intervals are about the windows: another training seed is not among their causes.

    """
    gap = float(top.mean() - bottom.mean())
    share = float(own.mean() - bottom.mean()) / gap if gap > 1e-9 else None
    means = _resampled((own, top, bottom), groups, seed)
    if means is None:
        return Attained(share, None, gap, None)
    gaps = means[1] - means[2]
    gap_interval = _interval(gaps)
    clear = share is not None and gap_interval[0] > 0
    shares = (means[0] - means[2]) / np.where(gaps > 0, gaps, np.nan)
    return Attained(share, _interval(shares) if clear else None, gap, gap_interval)


def preferred(
    own: Floats, other: Floats, groups: NDArray[np.int64], *, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """How often a trader shown both prefers `own`, window by window; a tie counts half.

    Args:
        own, other: [B] utilities of two policies on the same B windows.
        groups: [B], as for `attained`.
        seed: of the bootstrap.

    Returns:
        The share, and its 95 % interval: 0 to 1 where all windows overlap in time.

    """
    wins = np.where(own == other, 0.5, own > other)
    means = _resampled((wins,), groups, seed)
    return float(wins.mean()), (0.0, 1.0) if means is None else _interval(means[0])


def _resampled(values: tuple[Floats, ...], groups: NDArray[np.int64], seed: int) -> Floats | None:
    """[V, DRAWS] means of V times [B] values over whole groups drawn; None where there is one."""
    _, group = np.unique(groups, return_inverse=True)
    count = np.bincount(group).astype(np.float64)
    if len(count) < 2:
        return None
    sums = np.stack([np.bincount(group, each) for each in values])  # [V, G]
    draws = np.random.default_rng(seed).integers(0, len(count), (_DRAWS, len(count)))
    means: Floats = sums[:, draws].sum(axis=2) / count[draws].sum(axis=1)
    return means


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)
