"""The compiled loop of the stationary bootstrap: paths of T bars, without storing any of them."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from tradinghf.market import Floats
from tradinghf.numba_cache import use_unique_files

use_unique_files()

_LEAST = 1e-6  # of the money that a bar leaves: a path that lost all of it has no growth
_STRETCH = 64  # bars whose growth is multiplied before its logarithm is taken
_STEP = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def _uniform(state: np.uint64) -> float:  # pragma: no cover - compiled
    """A number in [0, 1) from a counter. Source: SplitMix64, Steele, Lea and Flood 2014."""
    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return np.float64(mixed >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def resample(  # pragma: no cover - compiled
    returns: Floats, length: float, scale: Floats, shift: Floats, seed: np.uint64
) -> Floats:
    """Log growth and deepest fall of resampled histories, [2, draws].

    A history is blocks of the bars, of geometric length with mean `length`, in a circle; each of
    its returns r becomes scale * r + shift.

    Args:
        returns: [T] of the bars.
        length: mean block [bars].
        scale, shift: [draws] of each history.
        seed: of where blocks start, and how long they are.

    Source: Politis and Romano 1994 (J. Am. Stat. Assoc. 89).

    """
    bars, draws, state = len(returns), len(scale), seed
    ending = math.log1p(-1.0 / length) if length > 1 else 0.0
    found = np.empty((2, draws))
    for d in range(draws):
        times, add = scale[d], 1.0 + shift[d]
        growth, part, share, worst, done = 0.0, 1.0, 1.0, 1.0, 0
        while done < bars:
            state += _STEP
            place = int(_uniform(state) * bars)
            state += _STEP
            block = 1
            if ending < 0.0:
                block += int(min(math.log(1.0 - _uniform(state)) / ending, 1.0 * bars))
            left = min(block, bars - done)
            done += left
            while left > 0:
                count = min(left, bars - place, _STRETCH)
                for i in range(place, place + count):
                    gain = max(times * returns[i] + add, _LEAST)
                    part *= gain
                    share = min(share * gain, 1.0)  # of the highest value so far
                    worst = min(worst, share)
                growth += math.log(part)
                part = 1.0
                left -= count
                place += count
                if place == bars:
                    place = 0
        found[0, d], found[1, d] = growth, 1.0 - worst
    return found
