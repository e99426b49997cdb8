"""Two versions of an asset's bars laid over each other: the same asset, and the same past?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.market._bar_rules import Floats
from tradinghf.market._traces import BarTrace, shared_bars

_EQUAL_SHARE = 0.2  # of the bars that moved: no two assets have a fifth of them in common
_LEAST_RETURNS = 5  # fewer say nothing about two series that share no bar
_ALIKE_NAMED, _ALIKE_RENAMED = 0.5, 0.02  # median difference of returns / median return
_RESCALED = 0.05
_DAY = 86_400 * 10**9


@dataclass(frozen=True)
class VersionChange:
    """How new bars of an asset differ from the known ones where both have bars.

    Attributes:
        changed: known bars that are other ones now, or gone, or were put in between.
        first: the first of them [ns since 1970]; None where there is none.
        said: what changed, in words; empty where nothing did.
        resampled: bars of another length: they say nothing about the known ones.

    """

    changed: int = 0
    first: int | None = None
    said: str = ""
    resampled: bool = False


def compare_versions(known: BarTrace, new: BarTrace) -> VersionChange | None:
    """What changed between two versions of an asset's bars; None where they are two assets.

    They are one asset where a fifth of the shared bars that moved is equal, or where the returns
    are: a dividend rescales every adjusted price before it, and leaves no bar as it was, but the
    returns. Bars of the same symbol need to be less alike than those of a renamed one.
    """
    here, there = shared_bars(known.times, new.times)
    if not len(here):
        return None
    equal = known.prints[here] == new.prints[there]
    same_name = known.symbol == new.symbol
    if not _same_asset(equal, known.closes[here], new.closes[there], same_name=same_name):
        return None
    first, last = max(known.times[0], new.times[0]), min(known.times[-1], new.times[-1])
    gone = _unshared(known.times, here, first, last)
    added = _unshared(new.times, there, first, last)
    if len(here) < max(len(gone), len(added)):
        return VersionChange(resampled=True)
    return _described(known, new, here[~equal], there[~equal], gone, added)


def change_sentence(name: str, changes: Sequence[tuple[str, VersionChange]]) -> str:
    """One sentence about the assets of a data set whose past changed; empty where none did.

    Args:
        name: of the data set.
        changes: (symbol, change) of every asset that was known before.

    """
    found = [(c.first, symbol, c) for symbol, c in changes if c.first is not None]
    if not found:
        return ""
    _, symbol, worst = min(found, key=lambda item: (item[0], item[1]))
    which = f" of {symbol}" if len(changes) > 1 else ""
    others = f" {len(found)} of its {len(changes)} assets changed." if len(found) > 1 else ""
    return (
        f"The past of {name} has changed since it was last seen: {worst.said}{which}.{others} "
        "Its seals and counted trials stay, but earlier results were of other bars."
    )


def _same_asset(
    equal: NDArray[np.bool_],
    old: NDArray[np.float32],
    now: NDArray[np.float32],
    *,
    same_name: bool,
) -> bool:
    moved = np.concatenate([[False], now[1:] != now[:-1]])
    if not moved.any():  # nothing ever moved, or there is one bar
        return bool(equal.all())
    if equal[moved].mean() >= _EQUAL_SHARE and equal[moved].sum() >= (1 if same_name else 2):
        return True
    before, after = (np.diff(np.log(closes.astype(np.float64))) for closes in (old, now))
    typical = float(np.median(np.abs(before)))
    if len(before) < _LEAST_RETURNS or typical == 0:
        return False
    apart = float(np.median(np.abs(before - after))) / typical
    return apart <= (_ALIKE_NAMED if same_name else _ALIKE_RENAMED)


def _unshared(
    times: NDArray[np.int64], shared: NDArray[np.intp], first: int, last: int
) -> NDArray[np.int64]:
    """Times from `first` to `last` that are not at the shared positions."""
    left = (times >= first) & (times <= last)
    left[shared] = False
    return times[left]


def _described(
    known: BarTrace,
    new: BarTrace,
    here: NDArray[np.intp],
    there: NDArray[np.intp],
    gone: NDArray[np.int64],
    added: NDArray[np.int64],
) -> VersionChange:
    """The change in words; `here` and `there` are the positions of shared bars that differ."""
    parts = []
    if len(here):
        parts.append(_difference(known, new, here, there))
    if len(gone):
        parts.append(f"{_bars(len(gone))} gone, the first on {_moment(gone[0])}")
    if len(added):
        parts.append(f"{_bars(len(added))} new in between, the first on {_moment(added[0])}")
    times = [*known.times[here[:1]], *gone[:1], *added[:1]]
    return VersionChange(
        changed=len(here) + len(gone) + len(added),
        first=int(min(times)) if times else None,
        said="; ".join(parts),
    )


def _difference(
    known: BarTrace, new: BarTrace, here: NDArray[np.intp], there: NDArray[np.intp]
) -> str:
    """What is different about shared bars, the first of them by its date."""
    old, now = (c.astype(np.float64) for c in (known.closes[here], new.closes[there]))
    moment = _moment(known.times[here[0]])
    if len(here) == 1 and here[0] == known.bars - 1:
        return (
            f"its last known bar, {moment}, is another one now (close {now[0]:.7g}, was "
            f"{old[0]:.7g}), as after a bar that had not closed yet"
        )
    count = f"{_bars(len(here))} different, the first on {moment}"
    if _rescaled(old, now):
        return (
            f"{count} and the last on {_moment(known.times[here[-1]])}: their closes are "
            f"multiplied by {now[0] / old[0]:.6g} at first, with hardly another return, as when "
            "prices are adjusted for a dividend or a split"
        )
    if old[0] == now[0]:
        return f"{count} (same close {now[0]:.7g}, but not open, high, low and volume)"
    return f"{count} (close {now[0]:.7g}, was {old[0]:.7g})"


def _rescaled(old: Floats, now: Floats) -> bool:
    """Whether closes were multiplied by a factor that seldom changes."""
    factor = np.log(now / old)
    if len(factor) <= _LEAST_RETURNS or not np.all(np.abs(factor) > 1e-6):
        return False
    typical = float(np.median(np.abs(np.diff(np.log(old)))))
    return float(np.median(np.abs(np.diff(factor)))) <= _RESCALED * max(typical, 1e-6)


def _bars(count: int) -> str:
    return "1 bar is" if count == 1 else f"{count:,} bars are"


def _moment(time: int | np.int64) -> str:
    """A time for people: the date, and the hour where it is not midnight."""
    form = "%Y-%m-%d" if int(time) % _DAY == 0 else "%Y-%m-%d %H:%M UTC"
    return pd.Timestamp(int(time)).strftime(form)
