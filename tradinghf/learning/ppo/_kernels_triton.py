"""Triton kernels of PPO: discounted sums in one pass, and Adam with clipping as one launch.

Their definitions are `_gae.discounted` and `_update.Adam`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def discount(values, decay, total, length, columns, BLOCK: tl.constexpr):
    """y_t = values_t + decay_t * y_{t+1} for each of the columns [L, M], from the last row on."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = c < columns
    y = tl.load(values + c, mask=m, other=0.0) * 0.0
    for i in range(length):
        place = (length - 1 - i).to(tl.int64) * columns + c
        y = (
            tl.load(values + place, mask=m, other=0.0)
            + tl.load(decay + place, mask=m, other=0.0) * y
        )
        tl.store(total + place, y, mask=m)


@triton.jit
def adam(
    data, grad, mean, square, count, rate, skipped, length, size, limit, eps, BLOCK: tl.constexpr
):
    """A step of Adam on [P] parameters in one program, for P is small: norm first, then the step.

    A gradient that is not finite changes nothing; `skipped` tells it. `length` is the norm.
    """
    i = tl.arange(0, BLOCK)
    sums = tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        g = tl.load(grad + first + i, mask=first + i < size, other=0.0)
        sums += g * g
    norm = tl.sqrt(tl.sum(sums))
    tl.store(length, norm)
    finite = norm < float("inf")
    steps = tl.load(count) + tl.where(finite, 1.0, 0.0)
    tl.store(count, steps)
    tl.store(skipped, tl.where(finite, 0.0, 1.0))
    excess = (norm + 1e-6) / limit
    excess = tl.where(excess > 1.0, excess, 1.0)
    # 1 - beta^steps in 64 bits: of 32 few would be left. Logarithms of 0.9 and 0.999.
    first_part = 1.0 - tl.exp(steps.to(tl.float64) * -0.10536051565782628)
    second_part = 1.0 - tl.exp(steps.to(tl.float64) * -0.0010005003335835344)
    pace = (tl.load(rate).to(tl.float64) / first_part).to(tl.float32)
    root = tl.sqrt(second_part).to(tl.float32)
    for first in range(0, size, BLOCK):
        place = first + i
        m = place < tl.where(finite, size, 0)
        g = tl.load(grad + place, mask=m, other=0.0) / excess
        average = tl.load(mean + place, mask=m, other=0.0)
        average += (g - average) * (1.0 - 0.9)
        spread = tl.load(square + place, mask=m, other=0.0)
        spread = spread * 0.999 + g * g * (1.0 - 0.999)
        moved = pace * average / (tl.sqrt(spread) / root + eps)
        tl.store(data + place, tl.load(data + place, mask=m, other=0.0) - moved, mask=m)
        tl.store(mean + place, average, mask=m)
        tl.store(square + place, spread, mask=m)
