"""PPO's minibatch gradient of tanh perceptrons, compiled by numba.

The tensor code walks over a whole minibatch per operation: its activations fall out of the cache,
and a small minibatch waits for Python. Here a block of rows is gathered, carried through the
networks and back while it stays in the cache, and a minibatch is one call that holds no lock.
Matrix products are BLAS (numba's `np.dot`). The tensor code (`update`) stays the definition:
`tests/learning/ppo/test_compiled.py` holds the two together.

Parameters are one vector; `layers` [K, 5] say where a layer's are: first weight [out, in], first
bias, inputs, outputs, and whether tanh follows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from tradinghf.learning.ppo._loss_kernel import STATS, judge_policy, judge_values
from tradinghf.learning.ppo._memory_kernel import ask_for
from tradinghf.learning.ppo._tanh_kernel import OPTIONS, tanh

_BLOCK = 160  # rows that are in the cache together
ACTING = 256  # the same where no gradients follow
_FEW = 8  # outputs for which loops are faster than BLAS
_single = np.float32


@njit(**OPTIONS)
def _finish(z: Any, bias: Any, squashed: Any) -> None:
    """Add the bias to products [n, out], and take tanh."""
    for i in range(len(z)):
        row = z[i]
        if squashed:
            for j in range(len(bias)):
                row[j] = tanh(row[j] + bias[j])
        else:
            for j in range(len(bias)):
                row[j] += bias[j]


@njit(**OPTIONS)
def _turned(layers: Any, params: Any, widest: int) -> Any:
    """[K, ..] weights [in, out]: products with them are a third faster than with [out, in]."""
    turned = np.empty((len(layers), widest * widest), np.float32)
    for k in range(len(layers)):
        weight, _, inputs, outputs, _ = layers[k]
        source = params[weight : weight + inputs * outputs].reshape(outputs, inputs)
        target = turned[k, : inputs * outputs].reshape(inputs, outputs)
        for i in range(inputs):
            for j in range(outputs):
                target[i, j] = source[j, i]
    return turned


@njit(fastmath={"reassoc", "contract"}, **OPTIONS)
def _few_out(x: Any, weight: Any, z: Any) -> None:
    """Products [n, out] of [n, in] and [out, in], for so few outputs that BLAS is no help."""
    for i in range(len(x)):
        row = x[i]
        for o in range(len(weight)):
            of, total = weight[o], _single(0)
            for j in range(len(of)):
                total += row[j] * of[j]
            z[i, o] = total


@njit(fastmath={"contract"}, **OPTIONS)
def _few_back(grad: Any, x: Any, into: Any) -> None:
    """Add the gradient of the weights [out, in] of few outputs, of [n, out] and [n, in]."""
    for i in range(len(x)):
        row = x[i]
        for o in range(len(into)):
            target, times = into[o], grad[i, o]
            for j in range(len(target)):
                target[j] += times * row[j]


@njit(**OPTIONS)
def _forward(layers: Any, params: Any, turned: Any, x: Any, values: Any) -> Any:
    """Outputs [n, out] of [n, in]; what is between goes into `values` [K, ..]."""
    count = len(x)
    for k in range(len(layers)):
        _, bias, inputs, outputs, squashed = layers[k]
        z = values[k, : count * outputs].reshape(count, outputs)
        if outputs <= _FEW:
            weight = layers[k, 0]
            _few_out(x, params[weight : weight + inputs * outputs].reshape(outputs, inputs), z)
        else:
            np.dot(x, turned[k, : inputs * outputs].reshape(inputs, outputs), z)
        _finish(z, params[bias : bias + outputs], squashed)
        x = z
    return x


@njit(**OPTIONS)
def outputs(
    first: int, last: int, params: Any, obs: Any, copy: Any, out: Any, values: Any,
    networks: Any, widest: int,
) -> None:  # fmt: skip
    """Carry the blocks [first, last) of rows through actor and critics, which share the trunk.

    Args:
        first, last: blocks of `ACTING` rows.
        params: [P].
        obs: [N, D] float32.
        copy: [N, D], written likewise, or [0, D].
        out, values: [N, O] and [N, C], written.
        networks, widest: see `gradients`.

    """
    trunk, actor, critic = networks
    between = np.empty((len(trunk), ACTING * widest), np.float32)
    above = np.empty((max(len(actor), len(critic)), ACTING * widest), np.float32)
    turned_trunk = _turned(trunk, params, widest)
    turned_actor = _turned(actor, params, widest)
    turned_critic = _turned(critic, params, widest)
    for block in range(first, last):
        begin, end = block * ACTING, min((block + 1) * ACTING, len(obs))
        x = obs[begin:end]
        if len(copy):
            copy[begin:end] = x
        features = _forward(trunk, params, turned_trunk, x, between)
        out[begin:end] = _forward(actor, params, turned_actor, features, above)
        values[begin:end] = _forward(critic, params, turned_critic, features, above)


@njit(**OPTIONS)
def _through(grad: Any, values: Any, bias: Any, squashed: Any) -> None:
    """Carry [n, out] gradients back through tanh, and add them to the bias's."""
    one = _single(1)
    for i in range(len(grad)):
        row, value = grad[i], values[i]
        if squashed:
            for j in range(len(bias)):
                back = row[j] * (one - value[j] * value[j])
                row[j] = back
                bias[j] += back
        else:
            for j in range(len(bias)):
                bias[j] += row[j]


@njit(**OPTIONS)
def _add(source: Any, target: Any) -> None:
    for k in range(len(target)):
        target[k] += source[k]


@njit(**OPTIONS)
def _add_product(grad: Any, x: Any, spare: Any, into: Any) -> None:
    """The same of many outputs, by BLAS."""
    outputs, inputs = grad.shape[1], x.shape[1]
    product = spare[: inputs * outputs]
    np.dot(grad.T, x, product.reshape(outputs, inputs))
    _add(product, into)


@njit(**OPTIONS)
def _backward(
    layers: Any, params: Any, grads: Any, x: Any, values: Any, grad: Any, spare: Any, to_input: bool
) -> Any:
    """Add the parameters' gradients; returns that at the input [n, in], if `to_input`."""
    count = len(x)
    for k in range(len(layers) - 1, -1, -1):
        weight, bias, inputs, outputs, squashed = layers[k]
        z = values[k, : count * outputs].reshape(count, outputs)
        _through(grad, z, grads[bias : bias + outputs], squashed)
        source = x if k == 0 else values[k - 1, : count * inputs].reshape(count, inputs)
        if outputs <= _FEW:
            _few_back(
                grad, source, grads[weight : weight + inputs * outputs].reshape(outputs, inputs)
            )
        else:
            _add_product(grad, source, spare[2], grads[weight : weight + inputs * outputs])
        if k > 0 or to_input:
            matrix = params[weight : weight + inputs * outputs].reshape(outputs, inputs)
            below = spare[k % 2, : count * inputs].reshape(count, inputs)
            np.dot(grad, matrix, below)
            grad = below
    return grad


@njit(**OPTIONS)
def _write_gradient(
    params: Any, grads: Any, stats: Any, obs: Any, columns: Any, rows: Any, networks: Any,
    widest: int, head: Any, loss: Any,
) -> None:  # fmt: skip
    """Write the gradient and the sums of statistics of some rows."""
    grads[:] = 0
    stats[:] = 0
    trunk, actor, critic = networks
    width = obs.shape[1]
    seen = np.empty(_BLOCK * width, np.float32)
    between = np.empty((len(trunk), _BLOCK * widest), np.float32)
    values = np.empty((max(len(actor), len(critic)), _BLOCK * widest), np.float32)
    spare = np.empty((3, max(_BLOCK, widest) * widest), np.float32)
    above = np.empty((len(trunk), _BLOCK * widest), np.float32)
    turned_trunk = _turned(trunk, params, widest)
    turned_actor = _turned(actor, params, widest)
    turned_critic = _turned(critic, params, widest)
    for first in range(0, len(rows), _BLOCK):
        some = rows[first : first + _BLOCK]
        x = seen[: len(some) * width].reshape(len(some), width)
        for i in range(len(some)):
            source, target = obs[some[i]], x[i]
            for j in range(width):
                target[j] = source[j]
        ask_for(obs, columns, rows[first + _BLOCK : first + 2 * _BLOCK])
        features = _forward(trunk, params, turned_trunk, x, between)
        joint = len(trunk) > 0
        # One network after the other: the second works in the memory of the first.
        out = _forward(critic, params, turned_critic, features, values)
        judge_values(out, some, columns[head[0] :], loss, stats)
        grad = _backward(critic, params, grads, features, values, out, spare, joint)
        if joint:
            kept = above[0, : grad.size]
            kept[:] = grad.ravel()
        out = _forward(actor, params, turned_actor, features, values)
        judge_policy(out, some, columns, head, params, grads, loss, stats)
        grad = _backward(actor, params, grads, features, values, out, spare, joint)
        if joint:
            both = above[0, : grad.size]
            _add(grad.ravel(), both)
            _backward(trunk, params, grads, x, between, both.reshape(grad.shape), spare, False)


@njit(**OPTIONS)
def gradients(
    first: int, last: int, params: Any, grads: Any, stats: Any, obs: Any, columns: Any,
    rows: Any, networks: Any, widest: int, head: Any, loss: Any,
) -> None:  # fmt: skip
    """Work on the shares [first, last) of a minibatch; threads take some shares each.

    Args:
        first, last: shares to work on, of J.
        params: [P].
        grads: [J, P] float32, written: gradient of a share's rows, as part of the whole's.
        stats: [J, 5] float64, written: sums over a share's rows (`STATS`).
        obs: [R, D] float32.
        columns: [E, R] float32 action, log-probability, advantage, targets and, with a reference
            policy, its outputs.
        rows: [B] of `obs` and `columns`.
        networks: layers of trunk, actor and critics; the trunk may have none.
        widest: the largest number of a layer's inputs or outputs.
        head: see `_loss_kernel.judge_policy`.
        loss: [7 + A] float32 numbers of the loss: 1, 1 - clip, 1 + clip, 1 / B, what critics'
            errors, the entropy and the divergence from the reference weigh in a row's gradient,
            and the reference's log standard deviations.

    """
    shares, size = len(grads), len(rows)
    for share in range(first, last):
        own = rows[size * share // shares : size * (share + 1) // shares]
        _write_gradient(
            params, grads[share], stats[share], obs, columns, own, networks, widest, head, loss
        )


@njit(fastmath={"reassoc"}, **OPTIONS)
def _norm(grads: Any) -> Any:
    total = _single(0)
    for k in range(len(grads)):
        total += grads[k] * grads[k]
    return math.sqrt(total)


@njit(**OPTIONS)
def _adam(
    params: Any, grads: Any, mean: Any, square: Any, count: Any, rate: float, limit: float,
    eps: Any, norm: Any,
) -> bool:  # fmt: skip
    """`update.Adam.step`, of a gradient's norm; returns whether it skipped the step."""
    if not math.isfinite(norm):
        return True
    count[0] += 1
    steps = float(count[0])
    shrink = _single(1 / max((norm + 1e-6) / limit, 1.0))
    size = _single(rate / (1 - 0.9**steps))
    unbias = _single(1 / math.sqrt(1 - 0.999**steps))
    keep, take = _single(0.9), _single(1 - 0.9)
    keep_square, take_square = _single(0.999), _single(1 - 0.999)
    for k in range(len(params)):
        grad = grads[k] * shrink
        mean[k] = keep * mean[k] + take * grad
        square[k] = keep_square * square[k] + take_square * grad * grad
        params[k] -= size * mean[k] / (np.sqrt(square[k]) * unbias + eps)
    return False


@njit(**OPTIONS)
def take_step(
    params: Any, grads: Any, mean: Any, square: Any, count: Any, rate: float, limit: float,
    eps: Any, found: Any, size: int, stats: Any,
) -> None:  # fmt: skip
    """Follow the gradient of B rows, whose statistics were `found`; see `epoch`."""
    for n in range(STATS):
        stats[n] += found[n] / size if math.isfinite(found[n]) else 0.0
    norm = _norm(grads)
    skipped = _adam(params, grads, mean, square, count, rate, limit, eps, norm)
    stats[STATS] += 1.0 if skipped else 0.0
    stats[STATS + 1] += 0.0 if skipped else norm


@njit(**OPTIONS)
def epoch(
    size: int, rate: float, limit: float, eps: Any, params: Any, grads: Any, mean: Any,
    square: Any, count: Any, stats: Any, obs: Any, columns: Any, order: Any, networks: Any,
    widest: int, head: Any, loss: Any,
) -> None:  # fmt: skip
    """Take a gradient step of Adam on each minibatch; parameters and moments stay in the cache.

    Args:
        size: B.
        rate, limit, eps: see `update.Adam`.
        params, grads, mean, square: [P]; `grads` receives the last minibatch's gradient.
        count: [1] steps taken.
        stats: [7] float64, written: `STATS`, skipped steps and the gradient's norm, as means per
            row or minibatch summed over minibatches.
        obs, columns: see `gradients`.
        order: [R] rows in the order of minibatches; a rest shorter than B is left out.
        networks, widest, head, loss: see `gradients`.

    """
    found = np.empty(STATS, np.float64)
    stats[:] = 0
    for begin in range(0, len(order) - size + 1, size):
        rows = order[begin : begin + size]
        _write_gradient(params, grads, found, obs, columns, rows, networks, widest, head, loss)
        take_step(params, grads, mean, square, count, rate, limit, eps, found, size, stats)
