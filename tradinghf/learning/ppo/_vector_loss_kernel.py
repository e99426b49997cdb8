"""What `_loss_kernel` computes, many rows in one instruction; for the passes in bfloat16.

The last digits differ from those of `_loss_kernel`: training in float32 keeps its own, so that a
run of before ends with the same bytes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from tradinghf.learning.ppo._elementary_kernel import exp, log
from tradinghf.learning.ppo._tanh_kernel import OPTIONS

_single = np.float32
_ENTROPY = _single(0.5 * math.log(2 * math.pi * math.e))  # of a normal distribution
_LOG_2 = _single(math.log(2))
_DENSITY = _single(0.5 * math.log(2 * math.pi))


@njit(fastmath={"contract"}, **OPTIONS)
def normalise(z: Any, p: Any, total: Any, norm: Any) -> None:
    """Turn logits [A, n] into log-probabilities, and write probabilities [A, n].

    Loops are short and run along rows of memory: the compiler turns them into vectors.
    """
    size, count = z.shape
    norm[:] = z[0]
    for j in range(1, size):
        for i in range(count):
            norm[i] = z[j, i] if z[j, i] > norm[i] else norm[i]
    total[:] = _single(0)
    for j in range(size):
        for i in range(count):
            p[j, i] = exp(z[j, i] - norm[i])
        for i in range(count):
            total[i] += p[j, i]
    for i in range(count):
        norm[i] += log(total[i])
        total[i] = _single(1) / total[i]
    for j in range(size):
        for i in range(count):
            z[j, i] -= norm[i]
        for i in range(count):
            p[j, i] *= total[i]


@njit(fastmath={"contract"}, **OPTIONS)
def _pull(grad: Any, z: Any, p: Any, rows: Any, reference: Any, weight: Any) -> None:
    """Add the gradient [A, n] of KL(policy || reference) at the logits, as `update` defines it.

    Args:
        grad: [A, n], added to.
        z, p: [A, n] the policy's log-probabilities, changed, and probabilities.
        rows: [n] of the reference.
        reference: [A, R] its logits.
        weight: of the divergence.

    """
    size, count = z.shape
    other, spare = np.empty_like(z), np.empty_like(z)
    kl, norm = np.zeros(count, np.float32), np.empty(count, np.float32)
    for i in range(count):
        for j in range(size):
            other[j, i] = reference[j, rows[i]]
    normalise(other, spare, kl, norm)
    kl[:] = _single(0)
    for j in range(size):
        for i in range(count):
            z[j, i] -= other[j, i]
        for i in range(count):
            kl[i] += p[j, i] * z[j, i]
    for j in range(size):
        for i in range(count):
            grad[j, i] += weight * p[j, i] * (z[j, i] - kl[i])


@njit(fastmath={"contract", "reassoc"}, **OPTIONS)
def _sum(x: Any) -> float:
    total = 0.0
    for i in range(len(x)):
        total += float(x[i])
    return total


@njit(fastmath={"contract"}, **OPTIONS)
def _judge_ratios(log_ratio: Any, advantage: Any, push: Any, loss: Any, stats: Any) -> None:
    """Write by how much the loss changes with each row's log-probability, and count statistics.

    Args:
        log_ratio: [n], changed.
        advantage: [n], changed.
        push: [n], written.
        loss, stats: see `_loss_kernel.judge_policy`.

    """
    one, lowest, highest, per_row = loss[0], loss[1], loss[2], loss[3]
    count = len(push)
    ratio, far = np.empty(count, np.float32), np.empty(count, np.float32)
    for i in range(count):
        ratio[i] = exp(log_ratio[i])
    for i in range(count):  # Schulman's estimate of KL(old || new)
        log_ratio[i] = ratio[i] - one - log_ratio[i]
        far[i] = one if (ratio[i] < lowest) | (ratio[i] > highest) else _single(0)
    for i in range(count):
        within = lowest if ratio[i] < lowest else (highest if ratio[i] > highest else ratio[i])
        gain, bound = ratio[i] * advantage[i], within * advantage[i]
        # NaN stays: the step is skipped.
        push[i] = _single(0) if gain > bound else -gain * per_row
        advantage[i] = bound if gain > bound else gain
    stats[0] -= _sum(advantage)
    stats[2] += _sum(log_ratio)
    stats[3] += _sum(far)


@njit(fastmath={"contract"}, **OPTIONS)
def _judge_choices(out: Any, rows: Any, columns: Any, loss: Any, stats: Any) -> None:
    """Turn logits [n, A] into the loss's gradient there; see `update.categorical_gradients`."""
    count, size = out.shape
    bonus = loss[5]
    z, p = np.empty((size, count), np.float32), np.empty((size, count), np.float32)
    each = np.empty((5, count), np.float32)
    action, log_ratio, advantage, push, entropy = each[0], each[1], each[2], each[3], each[4]
    for i in range(count):
        row = rows[i]
        action[i], log_ratio[i], advantage[i] = columns[0, row], columns[1, row], columns[2, row]
        for j in range(size):
            z[j, i] = out[i, j]
    normalise(z, p, push, entropy)
    entropy[:] = _single(0)
    for i in range(count):
        log_ratio[i] = z[int(action[i]), i] - log_ratio[i]
    for j in range(size):
        for i in range(count):
            entropy[i] -= p[j, i] * z[j, i]
    _judge_ratios(log_ratio, advantage, push, loss, stats)
    stats[1] += _sum(entropy)
    grad = np.empty_like(z)
    for j in range(size):
        chosen = _single(j)
        for i in range(count):
            grad[j, i] = p[j, i] * ((z[j, i] + entropy[i]) * bonus - push[i])
        for i in range(count):
            grad[j, i] += push[i] if action[i] == chosen else _single(0)
    if loss[6] > _single(0):
        _pull(grad, z, p, rows, columns[len(columns) - size :], loss[6])
    for i in range(count):
        for j in range(size):
            out[i, j] = grad[j, i]


@njit(fastmath={"contract"}, **OPTIONS)
def _judge_gaussian(
    out: Any, rows: Any, columns: Any, log_std: Any, to_log_std: Any, loss: Any, stats: Any
) -> None:
    """The same for the means [n, A] of Gaussians, squashed or not: squashing moves with neither.

    With s = (raw - mean) / σ: d log p / d mean = s / σ, and d log p / d log σ = s² - 1.
    """
    count, size = out.shape
    bonus, pull, one, zero, two = loss[5], loss[6], _single(1), _single(0), _single(2)
    scaled, each = np.empty((size, count), np.float32), np.empty((4, count), np.float32)
    raw, log_ratio, advantage, push = each[0], each[1], each[2], each[3]
    for i in range(count):
        log_ratio[i], advantage[i] = -columns[size, rows[i]], columns[size + 1, rows[i]]
    for j in range(size):
        inverse, norm = _single(math.exp(-log_std[j])), _DENSITY + log_std[j]
        for i in range(count):
            raw[i] = columns[j, rows[i]]
            scaled[j, i] = (raw[i] - out[i, j]) * inverse
        for i in range(count):
            beyond = log(one + exp(-abs(two * raw[i])))  # softplus without overflow
            softplus = beyond + (-two * raw[i] if raw[i] < zero else zero)
            squash = two * (_LOG_2 - raw[i] - softplus)
            log_ratio[i] -= _single(0.5) * scaled[j, i] * scaled[j, i] + norm + squash
        stats[1] += count * (log_std[j] + _ENTROPY)
    _judge_ratios(log_ratio, advantage, push, loss, stats)
    reference = len(columns) - size
    for j in range(size):
        inverse, log_other = _single(math.exp(-log_std[j])), zero
        weight, apart = zero, zero
        if pull > zero:
            log_other = loss[7 + j]
            weight = pull * _single(math.exp(-two * log_other))
            apart = pull * (_single(math.exp(two * (log_std[j] - log_other))) - one)
        for i in range(count):
            s, mean = scaled[j, i], out[i, j]
            out[i, j] = push[i] * s * inverse
            to_log_std[j] += push[i] * (s * s - one) - bonus + apart
            if pull > zero:
                out[i, j] += weight * (mean - columns[reference + j, rows[i]])


@njit(**OPTIONS)
def judge_policy(
    out: Any, rows: Any, columns: Any, head: Any, params: Any, grads: Any, loss: Any, stats: Any
) -> None:
    """See `_loss_kernel.judge_policy`."""
    if head[1] < 0:
        _judge_choices(out, rows, columns, loss, stats)
    else:
        first, last = head[1], head[1] + out.shape[1]
        _judge_gaussian(out, rows, columns, params[first:last], grads[first:last], loss, stats)
