"""How long the blocks of a bootstrap must be to keep what the bars remember of each other."""

from __future__ import annotations

import math

import numpy as np

from tradinghf.market import Floats

_MOST_BLOCKS = 5_000  # of a resampled history
_MOST_MEASURED = 20_000  # sums of bars from which the length of blocks is found


def block_length(returns: Floats) -> int:
    """Mean block of the stationary bootstrap [bars].

    The optimal one for the returns or for their squares, whichever is longer: returns alone
    look independent while volatility clusters. A long history has at most 5,000 blocks; that they
    are longer than need be then costs nothing that could be measured.
    """
    if len(returns) < 20 or np.ptp(returns) == 0:
        return 1
    # Sums of g bars have a block g times shorter: long histories are measured on those.
    each = -(-len(returns) // _MOST_MEASURED)
    whole = len(returns) - len(returns) % each
    sums = (values[:whole].reshape(-1, each).sum(axis=1) for values in (returns, returns**2))
    longest = each * max(stationary_block(x) for x in sums)
    fewest = max(1.0, len(returns) / _MOST_BLOCKS)
    return round(min(max(longest, fewest), len(returns) / 4))


def stationary_block(x: Floats) -> float:
    """Optimal mean block of the stationary bootstrap for the mean of `x` [T].

    `arch.bootstrap.optimal_block_length` computes the same; importing it takes longer than this.

    Source: Politis and White 2004 (Econom. Rev. 23), as corrected by Patton, Politis and White
    2009 (Econom. Rev. 28).
    """
    count, away = len(x), x - x.mean()
    if not away.any():
        return 1.0
    needed = max(5, int(math.log10(count)))  # insignificant autocorrelations in a row
    most = math.ceil(math.sqrt(count)) + needed
    level = 2 * math.sqrt(math.log10(count) / count)
    quiet, width = 0, most
    for lag in range(most + 1):
        if lag >= needed and quiet >= needed:
            width = min(2 * max(lag - needed, 1), most)
            break
        ends = math.sqrt(
            float(away[lag + 1 :] @ away[lag + 1 :]) * float(away[: -lag - 1] @ away[: -lag - 1])
        )
        quiet = quiet + 1 if abs(away[lag:] @ away[: count - lag]) < level * ends else 0
    lags = np.arange(1, width + 1)
    weight = 2 * np.minimum(2 * (1 - lags / width), 1.0)
    covariance = np.array([away[lag:] @ away[: count - lag] for lag in range(width + 1)]) / count
    memory = float(weight @ (lags * covariance[1:]))
    spectrum = float(covariance[0] + weight @ covariance[1:])
    best = (memory / spectrum) ** 2 * count if spectrum else math.inf
    return float(min(np.cbrt(best), math.ceil(min(3 * math.sqrt(count), count / 3))))
