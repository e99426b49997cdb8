"""How much of what was attainable a policy attained, and whether that can be told from noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tradinghf._intervals import Blocks, Ends, Floats, means, ratio_ends, share_ends


@dataclass(frozen=True)
class Attained:
    """(own - bottom) / (top - bottom) of mean utilities, with 95 % intervals.

    Attributes:
        share: the estimate; None where top is not above bottom.
        interval: of the share; None where `gap_interval` reaches down to zero, for then the share
            divides by noise.
        gap: top - bottom, in units of the utility.
        gap_interval: of the gap; None where there are too few independent windows.

    """

    share: float | None
    interval: Ends | None
    gap: float
    gap_interval: Ends | None

    def result(self, name: str) -> dict[str, Any]:
        """Entries of a result.json under a name such as "G"."""
        found = {"": self.share, "interval": self.interval, "gap_interval": self.gap_interval}
        return {f"{name}_{key}" if key else name: value for key, value in found.items()}


def attained(own: Floats, top: Floats, bottom: Floats, blocks: Blocks) -> Attained:
    """Share of the way from `bottom` to `top` that `own` went.

    Args:
        own, top, bottom: [B] utilities of three policies on the same B windows.
        blocks: of the windows, in time.

    The intervals are about the windows: another training seed is not among their causes.

    """
    gap = top - bottom
    share = float((own - bottom).mean() / gap.mean()) if gap.mean() > 1e-9 else None
    interval = None if share is None else ratio_ends(own - bottom, gap, blocks)
    return Attained(share, interval, float(gap.mean()), means(gap, blocks).ends())


def preferred(own: Floats, other: Floats, blocks: Blocks) -> tuple[float, Ends]:
    """How often a trader shown both prefers `own`, window by window; a tie counts half.

    Args:
        own, other: [B] utilities of two policies on the same B windows.
        blocks: of the windows, in time.

    Returns:
        The share, and its 95 % interval.

    """
    wins = np.where(own == other, 0.5, own > other)
    return float(wins.mean()), share_ends(wins, blocks)
