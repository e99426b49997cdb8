"""PPO's minibatch gradient with products in bfloat16 on the processor's matrix unit.

The same passes as `_compiled_kernel`, over blocks that stay in the cache. What a product reads is
rounded to bfloat16 where it is computed anyway; sums, parameters, the loss and Adam stay in
float32. Matrices are padded with zeros to multiples of `STEP`. `tests/learning/ppo/test_half.py`
holds this to the same roundings in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tradinghf.learning.ppo._compiled_kernel import ACTING, take_step
from tradinghf.learning.ppo._loss_kernel import STATS, judge_policy, judge_values
from tradinghf.learning.ppo._matrix_unit import (
    STEP,
    configure,
    gather,
    half,
    product,
    release,
    tile_shapes,
    transpose,
    whole,
)
from tradinghf.learning.ppo._memory_kernel import ask_for
from tradinghf.learning.ppo._tanh_kernel import OPTIONS

_BLOCK = 160  # rows that are in the cache together; a multiple of STEP
_TILES = tile_shapes()
_single = np.float32
_HIGH = np.uint32(16)

# tanh by Lambert's continued fraction, cut off after seven terms, constant beyond the bound.
_FLAT = _single(4.97)
_A0, _A1, _A2 = _single(135135), _single(17325), _single(378)
_B1, _B2, _B3 = _single(62370), _single(3150), _single(28)


@njit(inline="always", **OPTIONS)
def _padded(n: int) -> int:
    return (n + STEP - 1) // STEP * STEP


@njit(**OPTIONS)
def _pack(layers: Any, params: Any, forward: Any, backward: Any, biases: Any) -> None:
    """Write weights as right factors, [in, out] and [out, in] in pairs of rows, and biases."""
    biases[:] = 0
    for k in range(len(layers)):
        weight, bias, inputs, outputs, _ = layers[k]
        biases[k, :outputs] = params[bias : bias + outputs]
        source = params[weight : weight + inputs * outputs].reshape(outputs, inputs)
        deep, wide = _padded(inputs), _padded(outputs)
        on = forward[k, : deep // 2 * wide].reshape(deep // 2, wide)
        on[:] = 0
        for o in range(outputs):
            row = source[o]
            for i in range(0, inputs - 1, 2):
                on[i // 2, o] = half(row[i]) | (half(row[i + 1]) << _HIGH)
            if inputs % 2:
                on[inputs // 2, o] = half(row[inputs - 1])
        if len(backward) == 0:
            continue
        back = backward[k, : wide // 2 * deep].reshape(wide // 2, deep)
        back[:] = 0
        for o in range(0, outputs - 1, 2):
            row, other = source[o], source[o + 1]
            for i in range(inputs):
                back[o // 2, i] = half(row[i]) | (half(other[i]) << _HIGH)
        if outputs % 2:
            row = source[outputs - 1]
            for i in range(inputs):
                back[outputs // 2, i] = half(row[i])


@njit(inline="always", **OPTIONS)
def _tanh(x: Any) -> Any:
    """The hyperbolic tangent to within 4e-5, where bfloat16 holds 2e-3."""
    x = -_FLAT if x < -_FLAT else (_FLAT if x > _FLAT else x)  # NaN stays NaN
    s = x * x
    return x * (((s + _A2) * s + _A1) * s + _A0) / (((_B3 * s + _B2) * s + _B1) * s + _A0)


@njit(fastmath={"contract"}, **OPTIONS)
def _squash(z: Any, bias: Any, there: Any, paired: Any) -> None:
    """Write tanh of products [n, out] plus the bias: as rows, and rows in pairs unless empty."""
    for i in range(len(z)):
        row = z[i]
        for j in range(len(bias)):
            row[j] = _tanh(row[j] + bias[j])
    if len(paired):
        _write_pairs(z, there, paired)
        return
    for i in range(len(z)):
        row, mine = z[i], there[i]
        for j in range(len(bias)):
            mine[j] = np.uint16(half(row[j]))


@njit(**OPTIONS)
def _write_pairs(z: Any, there: Any, paired: Any) -> None:
    """Write float32 [n, m] in bfloat16, as rows and in pairs of rows."""
    for i in range(0, len(z), 2):
        row, other, mine, next_one, both = z[i], z[i + 1], there[i], there[i + 1], paired[i // 2]
        for j in range(z.shape[1]):
            a, b = half(row[j]), half(other[j])
            mine[j], next_one[j] = np.uint16(a), np.uint16(b)
            both[j] = a | (b << _HIGH)


@njit(**OPTIONS)
def _shift(z: Any, bias: Any) -> None:
    for i in range(len(z)):
        row = z[i]
        for j in range(len(bias)):
            row[j] += bias[j]


@njit(**OPTIONS)
def _forward(
    layers: Any, forward: Any, biases: Any, x: Any, z: Any, values: Any, pairs: Any
) -> Any:
    """Carry bfloat16 [n, in] through layers.

    Args:
        layers: [K, 5].
        forward, biases: see `_pack`.
        x: [n, in] uint16; n is a multiple of `STEP`.
        z: room for products.
        values, pairs: [K, ..] written: what tanh gives, as rows and in pairs of rows, or [0, ..].

    Returns:
        Features [n, out] uint16 in `values` and, where no tanh follows the last layer, its outputs
        in `z` [n, out] float32.

    """
    count = len(x)
    out = z[: count * STEP].reshape(count, STEP)
    for k in range(len(layers)):
        _, _, inputs, outputs, squashed = layers[k]
        deep, wide = _padded(inputs), _padded(outputs)
        out = z[: count * wide].reshape(count, wide)
        product(x, forward[k, : deep // 2 * wide].reshape(deep // 2, wide), out, False)
        if squashed:
            there = values[k, : count * wide].reshape(count, wide)
            paired = pairs[:0].reshape(0, 1)
            if len(pairs):
                paired = pairs[k, : count // 2 * wide].reshape(count // 2, wide)
            _squash(out, biases[k, :wide], there, paired)
            x = there
        else:
            _shift(out, biases[k, :wide])
    return x, out


@njit(**OPTIONS)
def narrow(first: int, last: int, obs: Any, there: Any) -> None:
    """Write the rows [first, last) of float32 [R, D] as bfloat16 [R, D'] uint16, zeros beyond D."""
    width = obs.shape[1]
    for i in range(first, last):
        source, target = obs[i], there[i]
        for j in range(width):
            target[j] = np.uint16(half(source[j]))
        target[width:] = 0


@njit(**OPTIONS)
def outputs(
    first: int, last: int, params: Any, obs: Any, copy: Any, out: Any, values: Any,
    networks: Any, widest: int,
) -> None:  # fmt: skip
    """See `_compiled_kernel.outputs`."""
    configure(_TILES)
    trunk, actor, critic = networks
    wide = _padded(widest)
    depth = max(len(trunk), len(actor), len(critic))
    forward = np.empty((3, depth, wide * wide // 2), np.uint32)
    biases = np.empty((3, depth, wide), np.float32)
    none = np.empty((0, 1), np.uint32)
    _pack(trunk, params, forward[0], none, biases[0])
    _pack(actor, params, forward[1], none, biases[1])
    _pack(critic, params, forward[2], none, biases[2])
    width = obs.shape[1]
    seen = np.zeros((ACTING, _padded(width)), np.uint16)
    z = np.empty(ACTING * wide, np.float32)
    between = np.empty((depth, ACTING * wide), np.uint16)
    above = np.empty((depth, ACTING * wide), np.uint16)
    for block in range(first, last):
        begin, end = block * ACTING, min((block + 1) * ACTING, len(obs))
        count = end - begin
        for i in range(count):
            source, target = obs[begin + i], seen[i]
            for j in range(width):
                target[j] = np.uint16(half(source[j]))
        if len(copy):
            copy[begin:end] = obs[begin:end]
        x, _ = _forward(trunk, forward[0], biases[0], seen[: _padded(count)], z, between, none)
        _, found = _forward(actor, forward[1], biases[1], x, z, above, none)
        out[begin:end] = found[:count, : out.shape[1]]
        _, found = _forward(critic, forward[2], biases[2], x, z, above, none)
        values[begin:end] = found[:count, : values.shape[1]]
    release()


@njit(fastmath={"contract"}, **OPTIONS)
def _through(grad: Any, there: Any, squashed: Any, bias: Any) -> None:
    """Carry gradients [n, out] back through tanh, and add them to the bias's."""
    one = _single(1)
    for i in range(len(grad)):
        row, value = grad[i], there[i]
        if squashed:
            for j in range(len(bias)):
                p = whole(value[j])
                back = row[j] * (one - p * p)
                row[j] = back
                bias[j] += back
        else:
            for j in range(len(bias)):
                bias[j] += row[j]


@njit(**OPTIONS)
def _backward(
    layers: Any, backward: Any, paired: Any, values: Any, pairs: Any, grad: Any, spare: Any,
    room: Any, weights: Any, biases: Any, below: Any, add: Any,
) -> None:  # fmt: skip
    """Add the parameters' gradients, padded; write or add that at the input to `below` [n, in].

    Args:
        layers: [K, 5].
        backward: see `_pack`.
        paired: [n / 2, in] the input in pairs of rows.
        values, pairs: see `_forward`.
        grad: [n, out] at the output.
        spare: room for a gradient between layers.
        room: [3, ..] uint32 room for it as rows, in pairs of rows, and turned.
        weights, biases: [K, ..] added to.
        below: written unless empty.
        add: to what is in `below`.

    """
    count = len(grad)
    for k in range(len(layers) - 1, -1, -1):
        _, _, inputs, outputs, squashed = layers[k]
        deep, wide = _padded(inputs), _padded(outputs)
        rows = room[0].view(np.uint16)[: count * wide].reshape(count, wide)
        two = room[1, : count // 2 * wide].reshape(count // 2, wide)
        there = values[k, : count * wide].reshape(count, wide)
        _through(grad, there, squashed, biases[k, :wide])
        _write_pairs(grad, rows, two)
        turned = room[2, : count // 2 * wide].reshape(wide, count // 2)
        transpose(two, turned)
        left = room[2].view(np.uint16)[: count * wide].reshape(wide, count)
        source = paired
        if k > 0:
            source = pairs[k - 1, : count // 2 * deep].reshape(count // 2, deep)
        product(left, source, weights[k, : wide * deep].reshape(wide, deep), True)
        matrix = backward[k, : wide // 2 * deep].reshape(wide // 2, deep)
        if k > 0:
            grad = spare[: count * deep].reshape(count, deep)
            product(rows, matrix, grad, False)
        elif len(below):
            product(rows, matrix, below, add)


@njit(**OPTIONS)
def _unpack(layers: Any, weights: Any, biases: Any, grads: Any) -> None:
    """Write padded gradients where the parameters' are."""
    for k in range(len(layers)):
        weight, bias, inputs, outputs, _ = layers[k]
        deep = _padded(inputs)
        for o in range(outputs):
            into = grads[weight + o * inputs : weight + (o + 1) * inputs]
            into[:] = weights[k, o * deep : o * deep + inputs]
        grads[bias : bias + outputs] = biases[k, :outputs]


@njit(**OPTIONS)
def _write_gradient(
    params: Any, grads: Any, stats: Any, obs: Any, columns: Any, rows: Any, networks: Any,
    widest: int, head: Any, loss: Any,
) -> None:  # fmt: skip
    """Write the gradient and the sums of statistics of some rows."""
    grads[:] = 0
    stats[:] = 0
    trunk, actor, critic = networks
    joint = len(trunk) > 0
    wide, depth = _padded(widest), max(len(trunk), len(actor), len(critic))
    forward = np.empty((3, depth, wide * wide // 2), np.uint32)
    backward = np.empty((3, depth, wide * wide // 2), np.uint32)
    biases = np.empty((3, depth, wide), np.float32)
    weight_grads = np.zeros((3, depth, wide * wide), np.float32)
    bias_grads = np.zeros((3, depth, wide), np.float32)
    _pack(trunk, params, forward[0], backward[0], biases[0])
    _pack(actor, params, forward[1], backward[1], biases[1])
    _pack(critic, params, forward[2], backward[2], biases[2])
    cells = _BLOCK * wide
    seen = np.zeros((_BLOCK, obs.shape[1]), np.uint16)
    paired = np.zeros((_BLOCK // 2, seen.shape[1]), np.uint32)
    between, above = np.empty((depth, cells), np.uint16), np.empty((depth, cells), np.uint16)
    pairs = np.empty((depth, cells // 2), np.uint32)
    pairs_above = np.empty((depth, cells // 2), np.uint32)
    room = np.empty((3, cells // 2), np.uint32)
    z, spare, under = (
        np.empty(cells, np.float32), np.empty(cells, np.float32), np.empty(cells, np.float32),
    )  # fmt: skip
    for first in range(0, len(rows), _BLOCK):
        some = rows[first : first + _BLOCK]
        count = len(some)
        full = _padded(count)
        gather(obs, some, seen[:full], paired[: full // 2])
        ask_for(obs, columns.T, rows[first + _BLOCK : first + 2 * _BLOCK])
        x, _ = _forward(trunk, forward[0], biases[0], seen[:full], z, between, pairs)
        source, below = paired[: full // 2], under[:0].reshape(0, 1)
        if joint:
            features = _padded(trunk[-1, 3])
            source = pairs[len(trunk) - 1, : full // 2 * features].reshape(full // 2, features)
            below = under[: full * features].reshape(full, features)
        # One network after the other: the second works in the memory of the first.
        _, out = _forward(critic, forward[2], biases[2], x, z, above, pairs_above)
        judge_values(out[:count, : critic[-1, 3]], some, columns.T[head[0] :], loss, stats)
        out[count:] = 0
        _backward(
            critic, backward[2], source, above, pairs_above, out, spare, room, weight_grads[2],
            bias_grads[2], below, False,
        )  # fmt: skip
        _, out = _forward(actor, forward[1], biases[1], x, z, above, pairs_above)
        outs = out[:count, : actor[-1, 3]]
        judge_policy(outs, some, columns.T, head, params, grads, loss, stats)
        out[count:] = 0
        _backward(
            actor, backward[1], source, above, pairs_above, out, spare, room, weight_grads[1],
            bias_grads[1], below, True,
        )  # fmt: skip
        if joint:
            _backward(
                trunk, backward[0], paired[: full // 2], between, pairs, below, spare, room,
                weight_grads[0], bias_grads[0], under[:0].reshape(0, 1), False,
            )  # fmt: skip
    _unpack(trunk, weight_grads[0], bias_grads[0], grads)
    _unpack(actor, weight_grads[1], bias_grads[1], grads)
    _unpack(critic, weight_grads[2], bias_grads[2], grads)


@njit(**OPTIONS)
def gradients(
    first: int, last: int, params: Any, grads: Any, stats: Any, obs: Any, columns: Any,
    rows: Any, networks: Any, widest: int, head: Any, loss: Any,
) -> None:  # fmt: skip
    """See `_compiled_kernel.gradients`; `obs` are `narrow`, and `columns` are [R, 3 + C]."""
    configure(_TILES)
    shares, size = len(grads), len(rows)
    for share in range(first, last):
        own = rows[size * share // shares : size * (share + 1) // shares]
        _write_gradient(
            params, grads[share], stats[share], obs, columns, own, networks, widest, head, loss
        )
    release()


@njit(**OPTIONS)
def epoch(
    size: int, rate: float, limit: float, eps: Any, params: Any, grads: Any, mean: Any,
    square: Any, count: Any, stats: Any, obs: Any, columns: Any, order: Any, networks: Any,
    widest: int, head: Any, loss: Any,
) -> None:  # fmt: skip
    """See `_compiled_kernel.epoch`."""
    configure(_TILES)
    found = np.empty(STATS, np.float64)
    stats[:] = 0
    for begin in range(0, len(order) - size + 1, size):
        rows = order[begin : begin + size]
        _write_gradient(params, grads, found, obs, columns, rows, networks, widest, head, loss)
        take_step(params, grads, mean, square, count, rate, limit, eps, found, size, stats)
    release()
