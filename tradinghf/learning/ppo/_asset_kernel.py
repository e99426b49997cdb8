"""What networks over assets do besides matrix products, one pass over memory each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tradinghf.learning.ppo._tanh_kernel import OPTIONS, tanh

_zero, _one = np.float32(0), np.float32(1)
# Sums may be taken in another order, for vector instructions; NaN stays NaN.
_SUMS: dict[str, Any] = OPTIONS | {"fastmath": {"contract", "reassoc", "nsz"}}


@njit(**OPTIONS)
def rows_of_assets(obs: Any, bars: int, features: int, account: int, rows: Any, share: Any) -> None:
    """Observations [B, D] as rows [B, A, in] and weights [B, A] of the mean over listed assets."""
    count, assets, width = rows.shape
    window = bars * features
    for n in range(count):
        for a in range(assets):
            for b in range(bars):
                start = (b * assets + a) * features
                for f in range(features):
                    rows[n, a, b * features + f] = obs[n, start + f]
            for k in range(account):
                rows[n, a, window + k] = obs[n, (window + k) * assets + a]
            rows[n, a, width - 1] = obs[n, (window + account) * assets]
            share[n, a] = obs[n, ((bars - 1) * assets + a) * features + features - 1]


@njit(**OPTIONS)
def weigh(listed: Any, share: Any) -> None:
    """Listings [B, A] as weights of the mean over listed assets."""
    for n in range(listed.shape[0]):
        total = _zero
        for a in range(listed.shape[1]):
            total += listed[n, a]
        total = max(total, _one)
        for a in range(listed.shape[1]):
            share[n, a] = listed[n, a] / total


@njit(**_SUMS)
def mean_of_listed(rows: Any, share: Any, mean: Any) -> None:
    """[B, H] weighted sums over the assets of rows [B, A, H]."""
    for n in range(rows.shape[0]):
        for w in range(rows.shape[2]):
            mean[n, w] = _zero
        for a in range(rows.shape[1]):
            weight = share[n, a]
            for w in range(rows.shape[2]):
                mean[n, w] += weight * rows[n, a, w]


@njit(**_SUMS)
def activate(rows: Any, common: Any) -> None:
    """Rows [B, A, H] to the tanh of their sums with [B, H], in place."""
    for n in range(rows.shape[0]):
        for a in range(rows.shape[1]):
            for w in range(rows.shape[2]):
                rows[n, a, w] = tanh(rows[n, a, w] + common[n, w])


@njit(**_SUMS)
def through_tanh(grad: Any, below: Any, share: Any, common: Any, rows: Any, sums: Any) -> None:
    """Gradients [B, A, H] at rows = tanh(..) to those before it, in place, and their sums [B, H].

    To each the weight times `common` [B, H] is added first: what reached the rows through their
    mean; without `below`, that is all that reached them.
    """
    for n in range(rows.shape[0]):
        for w in range(rows.shape[2]):
            sums[n, w] = _zero
        for a in range(rows.shape[1]):
            weight = share[n, a]
            for w in range(rows.shape[2]):
                value = weight * common[n, w]
                if below:
                    value += grad[n, a, w]
                value *= _one - rows[n, a, w] * rows[n, a, w]
                grad[n, a, w] = value
                sums[n, w] += value
