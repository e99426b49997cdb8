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
from tradinghf.learning.ppo._loss_kernel import STATS, judge_values
from tradinghf.learning.ppo._matrix_unit import (
    STEP,
    configure,
    gather,
    half,
    product,
    release,
    tile_shapes,
    transpose,
)
from tradinghf.learning.ppo._tanh_kernel import OPTIONS
from tradinghf.learning.ppo._vector_kernel import narrow_row, squash, through
from tradinghf.learning.ppo._vector_loss_kernel import judge_policy

_BLOCK = 160  # rows that are in the cache together; a multiple of STEP
_TILES = tile_shapes()
_HIGH = np.uint32(16)


@njit(inline="always", **OPTIONS)
def _padded(n: int) -> int:
    return (n + STEP - 1) // STEP * STEP


@njit(**OPTIONS)
def _pack_layer(
    layer: Any, first: int, wide: int, params: Any, forward: Any, backward: Any, biases: Any
) -> None:
    """Write a layer's weights as right factors, [in, out] and [out, in] in pairs of rows.

    Args:
        layer: [5].
        first: which output of the factors is the layer's first; 0 clears what was there.
        wide: outputs of the factors, a multiple of `STEP`.
        params: [P].
        forward, backward: [..] uint32, written; nothing is where no gradients follow.
        biases: [..] written.

    """
    weight, bias, inputs, outputs, _ = layer
    source = params[weight : weight + inputs * outputs].reshape(outputs, inputs)
    deep = _padded(inputs)
    on = forward[: deep // 2 * wide].reshape(deep // 2, wide)
    if first == 0:
        biases[:] = 0
        on[:] = 0
    biases[first : first + outputs] = params[bias : bias + outputs]
    for o in range(outputs):
        row = source[o]
        for i in range(0, inputs - 1, 2):
            on[i // 2, first + o] = half(row[i]) | (half(row[i + 1]) << _HIGH)
        if inputs % 2:
            on[inputs // 2, first + o] = half(row[inputs - 1])
    if len(backward) == 0:
        return
    back = backward[: wide // 2 * deep].reshape(wide // 2, deep)
    if first == 0:
        back[:] = 0
    for o in range(outputs):
        row, into, high = source[o], back[(first + o) // 2], _HIGH * np.uint32((first + o) % 2)
        for i in range(inputs):
            into[i] |= half(row[i]) << high


@njit(**OPTIONS)
def _pack(networks: Any, both: Any, params: Any, forward: Any, backward: Any, biases: Any) -> None:
    """Write the weights of trunk, actor and critics; see `_pack_layer`."""
    _, actor, critic = networks
    if len(both):
        wide, place = _padded(both[0, 3]), (1, 0)
        none = backward[1, 0] if len(backward) else forward[1, 0, :0]
        _pack_layer(actor[0], 0, wide, params, forward[place], none, biases[place])
        _pack_layer(critic[0], actor[0, 3], wide, params, forward[place], none, biases[place])
    for part in range(3):
        if part > 0 and len(both):
            return
        layers = networks[part]
        for k in range(len(layers)):
            none = backward[part, k] if len(backward) else forward[part, k, :0]
            wide = _padded(layers[k, 3])
            _pack_layer(layers[k], 0, wide, params, forward[part, k], none, biases[part, k])


@njit(**OPTIONS)
def _merged(networks: Any, widest: int) -> Any:
    """[1, 5] actor and critics as one layer, where each is one on the trunk's features; or [0, 5].

    Both together fill a tile that each of them alone would fill with zeros.
    """
    trunk, actor, critic = networks
    both = actor[:1].copy()
    both[0, 3] += critic[0, 3]
    single = len(trunk) > 0 and len(actor) == 1 and len(critic) == 1
    return both if single and both[0, 3] <= _padded(widest) else both[:0]


@njit(**OPTIONS)
def _shift(z: Any, bias: Any) -> None:
    for i in range(len(z)):
        row = z[i]
        for j in range(len(bias)):
            row[j] += bias[j]


@njit(**OPTIONS)
def _forward(
    layers: Any, forward: Any, biases: Any, x: Any, z: Any, values: Any, pairs: Any, ahead: Any
) -> Any:
    """Carry bfloat16 [n, in] through layers.

    Args:
        layers: [K, 5].
        forward, biases: see `_pack_layer`.
        x: [n, in] uint16; n is a multiple of `STEP`.
        z: room for products.
        values, pairs: [K, ..] written: what tanh gives, as rows and in pairs of rows.
        ahead: a table, columns and up to n rows of them that are brought along: asked for all at
            once, they would be waited for.

    Returns:
        Features [n, out] uint16 in `values` and, where no tanh follows the last layer, its outputs
        in `z` [n, out] float32.

    """
    count, (table, columns, rows) = len(x), ahead
    out = z[: count * STEP].reshape(count, STEP)
    for k in range(len(layers)):
        _, _, inputs, outputs, squashed = layers[k]
        deep, wide = _padded(inputs), _padded(outputs)
        matrix = forward[k, : deep // 2 * wide].reshape(deep // 2, wide)
        if not squashed:
            out = z[: count * wide].reshape(count, wide)
            product(x, matrix, out, False)
            _shift(out, biases[k, :wide])
            continue
        there = values[k, : count * wide].reshape(count, wide)
        paired = pairs[k, : count // 2 * wide].reshape(count // 2, wide)
        few = z[: STEP * wide].reshape(STEP, wide)
        for i in range(0, count, STEP):  # products stay in the nearest cache until they are read
            product(x[i : i + STEP], matrix, few, False)
            below = paired[i // 2 : (i + STEP) // 2]
            some = rows[i : i + STEP] if k == 0 else rows[:0]
            squash(few, biases[k, :wide], there[i : i + STEP], below, (table, columns, some))
        x = there
    return x, out


@njit(**OPTIONS)
def narrow(first: int, last: int, obs: Any, there: Any) -> None:
    """Write the rows [first, last) of float32 [R, D] as bfloat16, the first D of uint16 [R, D']."""
    for i in range(first, last):
        narrow_row(obs[i], there[i])


@njit(**OPTIONS)
def outputs(
    first: int, last: int, params: Any, obs: Any, copy: Any, out: Any, values: Any,
    networks: Any, widest: int,
) -> None:  # fmt: skip
    """See `_compiled_kernel.outputs`."""
    configure(_TILES)
    trunk, actor, critic = networks
    wide, both = _padded(widest), _merged(networks, widest)
    depth = max(len(trunk), len(actor), len(critic))
    forward = np.empty((3, depth, wide * wide // 2), np.uint32)
    biases = np.empty((3, depth, wide), np.float32)
    _pack(networks, both, params, forward, forward[:0], biases)
    seen = np.zeros((ACTING, _padded(obs.shape[1])), np.uint16)
    z = np.empty(ACTING * wide, np.float32)
    between = np.empty((depth, ACTING * wide), np.uint16)
    above = np.empty((depth, ACTING * wide), np.uint16)
    pairs = np.empty((depth, ACTING // 2 * wide), np.uint32)
    outs, critics = out.shape[1], values.shape[1]
    nothing = seen, values, np.empty(0, np.int64)
    for block in range(first, last):
        begin, end = block * ACTING, min((block + 1) * ACTING, len(obs))
        count = end - begin
        for i in range(count):
            narrow_row(obs[begin + i], seen[i])
        if len(copy):
            copy[begin:end] = obs[begin:end]
        x, _ = _forward(
            trunk, forward[0], biases[0], seen[: _padded(count)], z, between, pairs, nothing
        )
        if len(both):
            _, found = _forward(both, forward[1], biases[1], x, z, above, pairs, nothing)
            out[begin:end] = found[:count, :outs]
            values[begin:end] = found[:count, outs : outs + critics]
            continue
        _, found = _forward(actor, forward[1], biases[1], x, z, above, pairs, nothing)
        out[begin:end] = found[:count, :outs]
        _, found = _forward(critic, forward[2], biases[2], x, z, above, pairs, nothing)
        values[begin:end] = found[:count, :critics]
    release()


@njit(**OPTIONS)
def _backward(
    layers: Any, backward: Any, paired: Any, values: Any, pairs: Any, grad: Any, spare: Any,
    room: Any, weights: Any, biases: Any, below: Any, add: Any,
) -> None:  # fmt: skip
    """Add the parameters' gradients, padded; write or add that at the input to `below` [n, in].

    Args:
        layers: [K, 5].
        backward: see `_pack_layer`.
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
        through(grad, there if squashed else there[:0], biases[k, :wide], rows, two)
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
def _unpack_layer(layer: Any, first: int, weights: Any, biases: Any, grads: Any) -> None:
    """Write padded gradients, of outputs from `first` on, where the parameters' are."""
    weight, bias, inputs, outputs, _ = layer
    deep = _padded(inputs)
    for o in range(outputs):
        into = grads[weight + o * inputs : weight + (o + 1) * inputs]
        into[:] = weights[(first + o) * deep : (first + o) * deep + inputs]
    grads[bias : bias + outputs] = biases[first : first + outputs]


@njit(**OPTIONS)
def _unpack(networks: Any, both: Any, weights: Any, biases: Any, grads: Any) -> None:
    """The same of trunk, actor and critics."""
    _, actor, critic = networks
    if len(both):
        _unpack_layer(actor[0], 0, weights[1, 0], biases[1, 0], grads)
        _unpack_layer(critic[0], actor[0, 3], weights[1, 0], biases[1, 0], grads)
    for part in range(3):
        if part > 0 and len(both):
            return
        layers = networks[part]
        for k in range(len(layers)):
            _unpack_layer(layers[k], 0, weights[part, k], biases[part, k], grads)


@njit(**OPTIONS)
def _write_gradient(
    params: Any, grads: Any, stats: Any, obs: Any, columns: Any, rows: Any, networks: Any,
    widest: int, head: Any, loss: Any,
) -> None:  # fmt: skip
    """Write the gradient and the sums of statistics of some rows."""
    grads[:] = 0
    stats[:] = 0
    trunk, actor, critic = networks
    joint, both = len(trunk) > 0, _merged(networks, widest)
    wide, depth = _padded(widest), max(len(trunk), len(actor), len(critic))
    forward = np.empty((3, depth, wide * wide // 2), np.uint32)
    backward = np.empty((3, depth, wide * wide // 2), np.uint32)
    biases = np.empty((3, depth, wide), np.float32)
    weight_grads = np.zeros((3, depth, wide * wide), np.float32)
    bias_grads = np.zeros((3, depth, wide), np.float32)
    _pack(networks, both, params, forward, backward, biases)
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
    outs, critics, nothing = actor[-1, 3], critic[-1, 3], (obs, columns.T, rows[:0])
    for first in range(0, len(rows), _BLOCK):
        some = rows[first : first + _BLOCK]
        count = len(some)
        full = _padded(count)
        gather(obs, some, seen[:full], paired[: full // 2])
        ahead = obs, columns.T, rows[first + _BLOCK : first + 2 * _BLOCK]
        x, _ = _forward(trunk, forward[0], biases[0], seen[:full], z, between, pairs, ahead)
        source, below = paired[: full // 2], under[:0].reshape(0, 1)
        if joint:
            features = _padded(trunk[-1, 3])
            source = pairs[len(trunk) - 1, : full // 2 * features].reshape(full // 2, features)
            below = under[: full * features].reshape(full, features)
        # One network after the other: the second works in the memory of the first.
        for part in range(1, 3):
            layers = both if len(both) else networks[part]
            _, out = _forward(
                layers, forward[part], biases[part], x, z, above, pairs_above,
                nothing if joint or part > 1 else ahead,
            )  # fmt: skip
            if part == 1:
                judge_policy(out[:count, :outs], some, columns.T, head, params, grads, loss, stats)
            if len(both):
                found = out[:count, outs : outs + critics]
                judge_values(found, some, columns.T[head[0] :], loss, stats)
            elif part == 2:
                judge_values(out[:count, :critics], some, columns.T[head[0] :], loss, stats)
            out[count:] = 0
            _backward(
                layers, backward[part], source, above, pairs_above, out, spare, room,
                weight_grads[part], bias_grads[part], below, part > 1,
            )  # fmt: skip
            if len(both):
                break
        if joint:
            _backward(
                trunk, backward[0], paired[: full // 2], between, pairs, below, spare, room,
                weight_grads[0], bias_grads[0], under[:0].reshape(0, 1), False,
            )  # fmt: skip
    _unpack(networks, both, weight_grads, bias_grads, grads)


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
