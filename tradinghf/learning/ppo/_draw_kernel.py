"""Drawing one of A choices, and how likely it was: a pass over rows instead of one per operation.

`policy.Categorical` defines both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tradinghf.learning.ppo._tanh_kernel import OPTIONS
from tradinghf.learning.ppo._vector_loss_kernel import normalise

BLOCK = 256  # rows whose probabilities stay in the nearest cache


@njit(**OPTIONS)
def draw(out: Any, noise: Any, raw: Any) -> None:
    """Write the largest of noisy logits, the first of equals; a NaN counts as the largest.

    Args:
        out, noise: [N, A] float32.
        raw: [N] int64, written.

    """
    for i in range(len(out)):
        best, place = out[i, 0] + noise[i, 0], 0
        for j in range(1, out.shape[1]):
            found = out[i, j] + noise[i, j]
            if best == best and not found <= best:
                best, place = found, j
        raw[i] = place


@njit(**OPTIONS)
def log_probs(first: int, last: int, out: Any, raw: Any, found: Any) -> None:
    """Write log-probabilities of choices in the blocks [first, last) of rows.

    Args:
        first, last: blocks of `BLOCK` rows.
        out: [R, A] logits.
        raw: [R] int64.
        found: [R] float32, written.

    """
    size = out.shape[1]
    z, p = np.empty((size, BLOCK), np.float32), np.empty((size, BLOCK), np.float32)
    total, norm = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for block in range(first, last):
        begin, end = block * BLOCK, min((block + 1) * BLOCK, len(out))
        some, count = out[begin:end], end - begin
        for i in range(count):
            for j in range(size):
                z[j, i] = some[i, j]
        z[:, count:] = 0
        normalise(z, p, total, norm)
        for i in range(count):
            found[begin + i] = z[raw[begin + i], i]
