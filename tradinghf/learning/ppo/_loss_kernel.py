"""PPO's loss at the outputs of an actor-critic, compiled by numba; what `_update` defines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from tradinghf.learning.ppo._tanh_kernel import OPTIONS

STATS = 5  # sums over rows: surrogate, entropy, KL(old || new), clipped, squared errors
_single = np.float32
_ENTROPY = _single(0.5 * math.log(2 * math.pi * math.e))  # of a normal distribution
_LOG_2 = _single(math.log(2))
_DENSITY = _single(0.5 * math.log(2 * math.pi))


@njit(**OPTIONS)
def _pull(grad: Any, p: Any, apart: Any, reference: Any, weight: Any) -> None:
    """Add the gradient of KL(policy || reference) at the logits, as `update` defines it.

    `apart` holds the policy's log-probabilities, `reference` the other's logits.
    """
    largest, total, kl = reference[0], _single(0), _single(0)
    for j in range(1, len(p)):
        largest = reference[j] if reference[j] > largest else largest
    for j in range(len(p)):
        total += math.exp(reference[j] - largest)
    norm = largest + math.log(total)
    for j in range(len(p)):
        apart[j] -= reference[j] - norm
        kl += p[j] * apart[j]
    for j in range(len(p)):
        grad[j] += weight * p[j] * (apart[j] - kl)


@njit(**OPTIONS)
def _judge_choices(out: Any, rows: Any, columns: Any, loss: Any, stats: Any) -> None:
    """Turn logits [n, A] into the loss's gradient there; see `update.categorical_gradients`."""
    one, lowest, highest, per_row = loss[0], loss[1], loss[2], loss[3]
    bonus, p, apart = loss[5], np.empty(out.shape[1], np.float32), np.empty_like(out[0])
    for i in range(len(out)):
        logits, row = out[i], rows[i]
        action, old, advantage = int(columns[0, row]), columns[1, row], columns[2, row]
        largest = logits[0]
        for j in range(1, len(logits)):
            largest = logits[j] if logits[j] > largest else largest
        total = _single(0)
        for j in range(len(logits)):
            p[j] = math.exp(logits[j] - largest)
            total += p[j]
        norm = largest + math.log(total)
        log_ratio = logits[action] - norm - old
        ratio = math.exp(log_ratio)
        within = lowest if ratio < lowest else (highest if ratio > highest else ratio)
        gain, bound = ratio * advantage, within * advantage
        push = _single(0) if gain > bound else -gain * per_row  # NaN stays: the step is skipped
        entropy = _single(0)
        for j in range(len(logits)):
            logits[j] -= norm
            p[j] /= total
            entropy -= p[j] * logits[j]
        for j in range(len(logits)):
            apart[j] = logits[j]
            logits[j] = p[j] * ((logits[j] + entropy) * bonus - push)
        logits[action] += push
        if loss[6] > _single(0):
            _pull(logits, p, apart, columns[len(columns) - len(logits) :, row], loss[6])
        change = ratio - one
        stats[0] -= bound if gain > bound else gain
        stats[1] += entropy
        stats[2] += change - log_ratio
        stats[3] += one if ratio < lowest or ratio > highest else _single(0)


@njit(**OPTIONS)
def judge_values(out: Any, rows: Any, columns: Any, loss: Any, stats: Any) -> None:
    """Turn the critics' values [n, C] into the loss's gradient there.

    Args:
        out: [n, C].
        rows: [n] of the columns.
        columns: [2 + C or more, R], the targets from the third row on.
        loss: see `judge_policy`.
        stats: added to.

    """
    for i in range(len(out)):
        for c in range(out.shape[1]):
            error = out[i, c] - columns[2 + c, rows[i]]
            stats[4] += error * error
            out[i, c] = error * loss[4]


@njit(**OPTIONS)
def _judge_gaussian(
    out: Any, rows: Any, columns: Any, log_std: Any, to_log_std: Any, loss: Any, stats: Any
) -> None:
    """The same for the means [n, A] of Gaussians, squashed or not: squashing moves with neither.

    With s = (raw - mean) / σ: d log p / d mean = s / σ, and d log p / d log σ = s² - 1.
    """
    one, lowest, highest, per_row = loss[0], loss[1], loss[2], loss[3]
    bonus, pull, size = loss[5], loss[6], len(log_std)
    spread, scaled = np.empty(size, np.float32), np.empty(size, np.float32)
    entropy = _single(0)
    for j in range(size):
        spread[j] = math.exp(log_std[j])
        entropy += log_std[j] + _ENTROPY
    reference = len(columns) - size
    for i in range(len(out)):
        mean, row, log_p = out[i], rows[i], _single(0)
        for j in range(size):
            raw = columns[j, row]
            scaled[j] = (raw - mean[j]) / spread[j]
            log_p -= _single(0.5) * scaled[j] * scaled[j] + _DENSITY + log_std[j]
            beyond = math.log1p(math.exp(-abs(_single(2) * raw)))  # softplus without overflow
            softplus = beyond + (_single(-2) * raw if raw < _single(0) else _single(0))
            log_p -= _single(2) * (_LOG_2 - raw - softplus)
        log_ratio, advantage = log_p - columns[size, row], columns[size + 1, row]
        ratio = math.exp(log_ratio)
        within = lowest if ratio < lowest else (highest if ratio > highest else ratio)
        gain, bound = ratio * advantage, within * advantage
        push = _single(0) if gain > bound else -gain * per_row  # NaN stays: the step is skipped
        for j in range(size):
            s = scaled[j]
            mean_before = mean[j]
            mean[j] = push * s / spread[j]
            to_log_std[j] += push * (s * s - one) - bonus
            if pull > _single(0):
                other = columns[reference + j, row]
                log_other = loss[7 + j]
                ratio_of = math.exp(_single(2) * (log_std[j] - log_other))
                mean[j] += pull * (mean_before - other) * math.exp(_single(-2) * log_other)
                to_log_std[j] += pull * (ratio_of - one)
        change = ratio - one
        stats[0] -= bound if gain > bound else gain
        stats[1] += entropy
        stats[2] += change - log_ratio
        stats[3] += one if ratio < lowest or ratio > highest else _single(0)


@njit(**OPTIONS)
def judge_policy(
    out: Any, rows: Any, columns: Any, head: Any, params: Any, grads: Any, loss: Any, stats: Any
) -> None:
    """Turn the actor's outputs [n, O] into the loss's gradient there.

    Args:
        out: logits of choices, or means of Gaussians.
        rows: [n] of the columns.
        columns: [E, R] action, log-probability, advantage, targets and, with a reference policy,
            its outputs.
        head: [2] rows of the columns that hold the action, and where the log standard deviations
            are among the parameters; -1 for choices, which have none.
        params, grads: [P]; the gradient of log standard deviations is added to.
        loss: see `_compiled_kernel.gradients`.
        stats: [`STATS`], added to.

    """
    if head[1] < 0:
        _judge_choices(out, rows, columns, loss, stats)
    else:
        first, last = head[1], head[1] + out.shape[1]
        _judge_gaussian(out, rows, columns, params[first:last], grads[first:last], loss, stats)
