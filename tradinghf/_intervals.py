"""Intervals that cover the truth as often as they say, for numbers that rest on stretches of time.

Windows that overlap, and windows of assets that move together, are no independent evidence. So
everything that is a mean over windows is judged between blocks of time, across all assets, with
Student's t for their number: few blocks give a wide interval, too few give none. `tradinghf bench
coverage` measures how often the intervals hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, t

Floats = NDArray[np.float64]
Ends = tuple[float, float]

FEWEST_BLOCKS = 5
"""With fewer, the spread between blocks is not known well enough for an interval."""
_MOST_BLOCKS = 12
_BLOCK_HORIZONS = 3  # shortest block, so that most windows of a block share bars with no other
_LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with a two-sided 95 % interval, in the units of the metric."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Blocks:
    """B things (windows, rankings, bars) in K blocks that are taken for independent.

    Attributes:
        of: [B] number of the block that each belongs to, 0 to K - 1.
        independent: how many of them share nothing: what a number rests on.
        inflation: true variance of a mean over that which the spread between blocks shows, since
            windows at a border share bars with the next block.

    """

    of: NDArray[np.int64]
    independent: int
    inflation: float = 1.0

    @property
    def count(self) -> int:
        """K."""
        return int(self.of.max(initial=-1)) + 1

    @property
    def freedom(self) -> float:
        """Degrees of freedom: blocks of very unequal size count as fewer."""
        sizes = np.bincount(self.of).astype(np.float64)
        return float(sizes.sum() ** 2 / max(np.square(sizes).sum(), 1.0)) - 1.0

    @property
    def enough(self) -> bool:
        """Whether there are enough of them for an interval."""
        return self.freedom > FEWEST_BLOCKS - 1.5


def time_blocks(start: NDArray[np.int64], horizon: int) -> Blocks:
    """Windows in blocks of time, whatever their asset: paired statistics resample these.

    A block spans at least three horizons, and there are at most twelve: the longer the data, the
    longer the blocks, which then also hold the market's own memory. Gaps without windows count as
    one horizon.

    Args:
        start: [B] first bar of each window.
        horizon: L bars of a window.

    """
    order = np.argsort(start, kind="stable")
    steps = np.minimum(np.diff(start[order], prepend=start[order][:1]), horizon)
    clock = np.empty(len(start))
    clock[order] = np.cumsum(steps) / horizon  # [horizons] of time that windows cover
    span = float(clock.max(initial=0.0))
    count = max(min(_MOST_BLOCKS, int((span + 1) // _BLOCK_HORIZONS)), 1)
    of = np.minimum((clock * count / max(span, 1e-9)).astype(np.int64), count - 1)
    _, of = np.unique(of, return_inverse=True)
    return Blocks(of, _apart(start[order], horizon), _inflation(start, horizon, of))


def clusters(labels: ArrayLike) -> Blocks:
    """Things with equal labels in one block, such as the pairs of one ranking."""
    _, of = np.unique(np.asarray(labels), return_inverse=True)
    return Blocks(of.astype(np.int64), int(of.max(initial=-1)) + 1)


def _apart(ordered: NDArray[np.int64], horizon: int) -> int:
    """How many windows can be picked so that no two share a bar."""
    if (np.diff(ordered) >= horizon).all():
        return len(ordered)
    following = np.searchsorted(ordered, ordered + horizon).tolist()
    count, place = 0, 0
    while place < len(following):
        count += 1
        place = following[place]
    return count


def _inflation(start: NDArray[np.int64], horizon: int, of: NDArray[np.int64]) -> float:
    """Exact where the bars are independent and a window's result is the sum of its bars."""
    count = int(of.max(initial=0)) + 1
    if count < 2:
        return 1.0
    sizes = np.bincount(of).astype(np.float64)
    if (np.diff(np.sort(start)) >= horizon).all():
        shared = horizon * np.diag(sizes)  # no two windows share a bar
    else:
        shared = _shared_bars(start, horizon, of)
    centre = np.eye(count) - sizes[:, None] / sizes.sum()
    seen = count / (count - 1) * float(np.trace(centre @ shared @ centre.T))
    return max(float(shared.sum()) / seen, 1.0) if seen > 0 else 1.0


def _shared_bars(start: NDArray[np.int64], horizon: int, of: NDArray[np.int64]) -> Floats:
    """[K, K] bars that windows of one block share with those of another, counted pair by pair."""
    places, begin = np.unique(np.concatenate([start, start + horizon]), return_inverse=True)
    change = np.zeros((int(of.max()) + 1, len(places)))
    np.add.at(change, (of, begin[: len(start)]), 1.0)
    np.add.at(change, (of, begin[len(start) :]), -1.0)
    cover = np.cumsum(change, axis=1)[:, :-1]  # [K, P] windows of each block over each stretch
    return np.asarray((cover * np.diff(places)) @ cover.T)


@dataclass(frozen=True, eq=False)
class Means:
    """Means of V quantities over the same things, and how sure they are.

    Attributes:
        value: [V].
        covariance: [V, V] of the means.
        freedom: degrees of freedom of the covariance.
        enough: whether that suffices for an interval.

    """

    value: Floats
    covariance: Floats
    freedom: float
    enough: bool

    def ends(self, level: float = _LEVEL) -> Ends | None:
        """Interval of the first quantity."""
        if not self.enough:
            return None
        width = quantile(self.freedom, level) * math.sqrt(max(float(self.covariance[0, 0]), 0.0))
        return float(self.value[0]) - width, float(self.value[0]) + width


def quantile(freedom: float, level: float = _LEVEL) -> float:
    """Student's t: an estimate lies within so many standard errors of the truth."""
    return float(t.ppf(0.5 + level / 2, freedom))


def means(values: Floats, blocks: Blocks) -> Means:
    """Means of V quantities over B things, judged between blocks (batch means).

    Args:
        values: [V, B] or [B]; pass differences to compare two policies on the same windows.
        blocks: of the B things.

    Source: batch means, Schmeiser 1982 (Oper. Res. 30); clustered covariance of a ratio of sums,
    Cochran 1977, "Sampling techniques"; degrees of freedom as the effective number of clusters,
    Carter, Schnepel and Steigerwald 2017 (Rev. Econ. Stat. 99).

    """
    rows = np.atleast_2d(values)
    value = rows.mean(axis=1)
    away = np.stack(
        [np.bincount(blocks.of, row - centre) for row, centre in zip(rows, value, strict=True)]
    )
    count = away.shape[1]
    scale = blocks.inflation * count / max(count - 1, 1) / rows.shape[1] ** 2
    return Means(value, scale * away @ away.T, blocks.freedom, blocks.enough)


def kept(differences: Floats, margin: float, blocks: Blocks) -> NDArray[np.bool_]:
    """[V] whether a mean is above -margin by at least a standard error, or all differences are 0.

    For choosing among many on the bars at hand: the luckiest of those that merely look harmless
    would be chosen, and disappoint on new bars.

    Args:
        differences: [V, B] of V candidates to what is there now.
        margin: what is no harm.
        blocks: of the B things.

    """
    found = means(differences, blocks)
    error = np.sqrt(np.maximum(np.diag(found.covariance), 0.0))
    same = (np.atleast_2d(differences) == 0.0).all(axis=1)
    above: NDArray[np.bool_] = same | (found.value - error >= -margin)
    return above


def ratio_ends(numerator: Floats, denominator: Floats, blocks: Blocks) -> Ends | None:
    """95 % interval of mean(numerator) / mean(denominator); None where it would be unbounded.

    It is unbounded exactly where the denominator's own interval contains zero.

    Args:
        numerator, denominator: [B] of the same things.
        blocks: of the B things.

    Source: Fieller 1954 (J. R. Stat. Soc. B 16).

    """
    found = means(np.stack([numerator, denominator]), blocks)
    if not found.enough:
        return None
    (up, down), cov, bound = found.value, found.covariance, quantile(found.freedom) ** 2
    a = down**2 - bound * cov[1, 1]
    b = up * down - bound * cov[0, 1]
    c = up**2 - bound * cov[0, 0]
    if a <= 0:
        return None
    width = math.sqrt(max(b * b - a * c, 0.0))
    return float((b - width) / a), float((b + width) / a)


def share_ends(hits: Floats, blocks: Blocks) -> Ends:
    """95 % interval of a share, the mean of B numbers from 0 to 1."""
    found = means(hits, blocks)
    return bounded_ends(float(found.value[0]), math.sqrt(float(found.covariance[0, 0])), blocks)


def bounded_ends(value: float, error: float, blocks: Blocks) -> Ends:
    """95 % interval of a score that stays within 0 and 1, and has a width at their ends too.

    It is Jeffreys' interval for as many independent cases as would give the same standard error.
    Where there are too few blocks for a standard error, or everything came out alike and shows
    none, it is that for the cases which share nothing.

    Args:
        value: the score.
        error: its standard error between blocks.
        blocks: of the cases.

    Source: Korn and Graubard 1998 (Surv. Methodol. 24), with Jeffreys' interval, Brown, Cai and
    DasGupta 2001 (Stat. Sci. 16).

    """
    cases = float(blocks.independent)
    if blocks.enough and error > 0 and 0 < value < 1:
        wide = (quantile(blocks.freedom) / quantile(math.inf)) ** 2
        cases = max(value * (1 - value) / error**2 / wide, 1.0)
    right = value * cases
    low = float(beta.ppf(0.025, right + 0.5, cases - right + 0.5)) if value > 0 else 0.0
    high = float(beta.ppf(0.975, right + 0.5, cases - right + 0.5)) if value < 1 else 1.0
    return min(low, value), max(high, value)


def jackknife(
    statistic: Callable[[NDArray[np.int64]], Floats], blocks: Blocks
) -> tuple[Floats, Floats]:
    """Values and standard errors of V smooth statistics, from leaving out one block at a time.

    Args:
        statistic: from the indices of the things that are kept to [V] numbers.
        blocks: of the B things.

    """
    everything = np.arange(len(blocks.of))
    without = np.stack([statistic(everything[blocks.of != k]) for k in range(blocks.count)])
    return statistic(everything), math.sqrt(blocks.inflation) * jackknife_error(without)


def jackknife_error(without: Floats) -> Floats:
    """[...] standard errors, from [K, ...] values without one of K blocks each.

    Source: Künsch 1989 (Ann. Stat. 17), with adjoining blocks.
    """
    count = len(without)
    away = without - without.mean(axis=0)
    return np.asarray(np.sqrt((count - 1) / count * np.square(away).sum(axis=0)))
