"""Triton kernel of PPO's minibatch gradient: rows gathered by index, forward, loss and backward.

One launch in the place of about a hundred: activations of a block of rows never reach the card's
memory. Perceptrons of two hidden layers with one categorical action; the definition is
`_update.Update.gradients`. Each program adds up the gradients of its blocks in a row of its own, so
that sums do not depend on which one is faster.

`PRECISION` is that of products: "ieee", "tf32", or "bf16", which rounds what they read and adds up
in float32, as `_half_kernel` does; "bf16 by ieee" does so where Triton's interpreter is to run it,
which multiplies no bfloat16.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """By an exponential that cannot overflow."""
    fall = tl.exp(-2.0 * tl.abs(x))
    size = (1.0 - fall) / (1.0 + fall)
    return tl.where(x < 0, -size, size)


@triton.jit
def rounded(x):
    """The nearest numbers of bfloat16, in float32; by bits, since the interpreter cuts them off."""
    bits = x.to(tl.int32, bitcast=True)
    bits = bits + 32767 + ((bits >> 16) & 1)
    return ((bits >> 16) << 16).to(tl.float32, bitcast=True)


@triton.jit
def product(a, b, PRECISION: tl.constexpr):
    """a @ b, added up in float32."""
    if PRECISION == "bf16":
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    if PRECISION == "bf16 by ieee":
        return tl.dot(rounded(a), rounded(b), input_precision="ieee")
    return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
def squashed(z, PRECISION: tl.constexpr):
    """tanh, as the next product reads it."""
    h = tanh(z)
    if PRECISION == "bf16" or PRECISION == "bf16 by ieee":
        return rounded(h)
    return h


@triton.jit
def first_layer(
    source, bias, place, at, seen, width,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, CHUNK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """[ROWS, WIDTH] tanh of the first layer, whose inputs are gathered chunk by chunk."""
    o = tl.arange(0, WIDTH)
    z = tl.zeros([ROWS, WIDTH], tl.float32)
    for begin in range(0, seen, CHUNK):
        d = begin + tl.arange(0, CHUNK)
        x = tl.load(place[:, None] + d[None, :], mask=at[:, None] & (d < seen)[None, :], other=0.0)
        inside = (d < seen)[:, None] & (o < width)[None, :]
        w = tl.load(source + o[None, :] * seen + d[:, None], mask=inside, other=0.0)
        z += product(x, w, PRECISION)
    return squashed(z + tl.load(bias + o, mask=o < width, other=0.0)[None, :], PRECISION)


@triton.jit
def layer(
    x, source, bias, inputs, outputs,
    IN: tl.constexpr, OUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """[ROWS, OUT] of [ROWS, IN], without tanh."""
    i, o = tl.arange(0, IN), tl.arange(0, OUT)
    inside = (i < inputs)[:, None] & (o < outputs)[None, :]
    w = tl.load(source + o[None, :] * inputs + i[:, None], mask=inside, other=0.0)
    z = product(x, w, PRECISION)
    return z + tl.load(bias + o, mask=o < outputs, other=0.0)[None, :]


@triton.jit
def add(place, value, mask):
    """Add to what lies in memory that no other program writes."""
    tl.store(place, tl.load(place, mask=mask, other=0.0) + value, mask=mask)


@triton.jit
def layer_back(
    grad, x, source, into, into_bias, inputs, outputs,
    IN: tl.constexpr, OUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add the gradients of weights and bias; returns that at the input [ROWS, IN]."""
    i, o = tl.arange(0, IN), tl.arange(0, OUT)
    inside = (o < outputs)[:, None] & (i < inputs)[None, :]
    place = o[:, None] * inputs + i[None, :]
    add(into + place, product(tl.trans(grad), x, PRECISION), inside)
    add(into_bias + o, tl.sum(grad, 0), o < outputs)
    w = tl.load(source + place, mask=inside, other=0.0)
    return product(grad, w, PRECISION)


@triton.jit
def first_back(
    grad, into, into_bias, place, at, seen, width,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add the gradients of the first layer, whose inputs are gathered once more."""
    o = tl.arange(0, WIDTH)
    for begin in range(0, seen, CHUNK):
        d = begin + tl.arange(0, CHUNK)
        x = tl.load(place[:, None] + d[None, :], mask=at[:, None] & (d < seen)[None, :], other=0.0)
        inside = (o < width)[:, None] & (d < seen)[None, :]
        add(into + o[:, None] * seen + d[None, :], product(tl.trans(grad), x, PRECISION), inside)
    add(into_bias + o, tl.sum(grad, 0), o < width)


@triton.jit
def critics(
    values, columns, r, at, length, weight, count, critic,
    OUTS: tl.constexpr,
):  # fmt: skip
    """Gradient [ROWS, OUTS] of the critics' squared errors, and the sum of these."""
    c = tl.arange(0, OUTS)
    judged = at[:, None] & (c < critic)[None, :]
    target = tl.load(columns + (3 + c)[None, :] * length + r[:, None], mask=judged, other=0.0)
    error = tl.where(judged, values - target, 0.0)
    return error * (2.0 * weight / (count * critic)), tl.sum(error * error)


@triton.jit
def actor(
    logits, columns, r, at, length, clip, bonus, count, levels, stats,
    OUTS: tl.constexpr,
):  # fmt: skip
    """Gradient [ROWS, OUTS] of the policy's loss at its logits; adds four sums to `stats`."""
    o = tl.arange(0, OUTS)
    known = (o < levels)[None, :]
    chosen = tl.load(columns + r, mask=at, other=0.0).to(tl.int32)
    before = tl.load(columns + length + r, mask=at, other=0.0)
    advantage = tl.load(columns + 2 * length + r, mask=at, other=0.0)
    z = tl.where(known, logits, float("-inf"))
    z = z - tl.max(z, 1)[:, None]
    e = tl.exp(z)
    total = tl.sum(e, 1)[:, None]
    log_p = tl.where(known, z - tl.log(total), 0.0)
    p = e / total
    taken = chosen[:, None] == o[None, :]
    log_ratio = tl.sum(tl.where(taken, log_p, 0.0), 1) - before
    ratio = tl.exp(log_ratio)
    gain = ratio * advantage
    near = tl.where(ratio < 1.0 - clip, 1.0 - clip, ratio)
    near = tl.where(near > 1.0 + clip, 1.0 + clip, near)
    bound = near * advantage
    # Written so that a NaN stays one: the optimiser skips it, where a zero would pass unseen.
    push = tl.where(gain > bound, 0.0, gain) / -count
    entropy = -tl.sum(p * log_p, 1)
    grad = p * ((log_p + entropy[:, None]) * (bonus / count) - push[:, None])
    grad += tl.where(taken, push[:, None], 0.0)
    change = ratio - 1.0
    lost = tl.where(gain > bound, bound, gain)
    tl.store(stats, tl.load(stats) - tl.sum(tl.where(at, lost, 0.0)))
    tl.store(stats + 1, tl.load(stats + 1) + tl.sum(tl.where(at, entropy, 0.0)))
    tl.store(stats + 2, tl.load(stats + 2) + tl.sum(tl.where(at, change - log_ratio, 0.0)))
    far = at & (tl.abs(change) > clip)
    tl.store(stats + 3, tl.load(stats + 3) + tl.sum(tl.where(far, 1.0, 0.0)))
    return tl.where(at[:, None] & known, grad, 0.0)


@triton.jit
def gradients(
    params, partial, stats, obs, columns, rows, numbers,
    count, length, seen, size, levels, critic, width1, width2,
    trunk1, trunk1_bias, trunk2, trunk2_bias, other1, other1_bias, other2, other2_bias,
    actor3, actor3_bias, critic3, critic3_bias,
    SHARED: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr, WIDTH1: tl.constexpr,
    WIDTH2: tl.constexpr, OUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients and statistics of a minibatch: a row of `partial` and of `stats` per program.

    The hidden layers are the actor's and, where they are not shared, `other`s are the critics'.
    """
    program = tl.program_id(0)
    grads, found = partial + program.to(tl.int64) * size, stats + program * 5
    clip, bonus, weight = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
    for block in range(program, tl.cdiv(count, ROWS), tl.num_programs(0)):
        i = block * ROWS + tl.arange(0, ROWS)
        at = i < count
        r = tl.load(rows + i, mask=at, other=0)
        place = obs + r * seen
        h1 = first_layer(
            params + trunk1, params + trunk1_bias, place, at, seen, width1,
            ROWS, WIDTH1, CHUNK, PRECISION,
        )  # fmt: skip
        h2 = squashed(
            layer(
                h1, params + trunk2, params + trunk2_bias, width1, width2,
                WIDTH1, WIDTH2, PRECISION,
            ), PRECISION,
        )  # fmt: skip
        out = layer(
            h2, params + actor3, params + actor3_bias, width2, levels, WIDTH2, OUTS, PRECISION
        )
        to_out = actor(out, columns, r, at, length, clip, bonus, count, levels, found, OUTS)
        above = layer_back(
            to_out, h2, params + actor3, grads + actor3, grads + actor3_bias, width2, levels,
            WIDTH2, OUTS, PRECISION,
        )  # fmt: skip
        g1, g2 = h1, h2
        if not SHARED:
            g1 = first_layer(
                params + other1, params + other1_bias, place, at, seen, width1,
                ROWS, WIDTH1, CHUNK, PRECISION,
            )  # fmt: skip
            g2 = squashed(
                layer(
                    g1, params + other2, params + other2_bias, width1, width2,
                    WIDTH1, WIDTH2, PRECISION,
                ), PRECISION,
            )  # fmt: skip
        values = layer(
            g2, params + critic3, params + critic3_bias, width2, critic, WIDTH2, OUTS, PRECISION
        )
        to_values, errors = critics(values, columns, r, at, length, weight, count, critic, OUTS)
        tl.store(found + 4, tl.load(found + 4) + errors)
        below = layer_back(
            to_values, g2, params + critic3, grads + critic3, grads + critic3_bias, width2, critic,
            WIDTH2, OUTS, PRECISION,
        )  # fmt: skip
        if SHARED:
            above += below
        else:
            below = layer_back(
                below * (1.0 - g2 * g2), g1, params + other2, grads + other2, grads + other2_bias,
                width1, width2, WIDTH1, WIDTH2, PRECISION,
            )  # fmt: skip
            first_back(
                below * (1.0 - g1 * g1), grads + other1, grads + other1_bias, place, at, seen,
                width1, WIDTH1, CHUNK, PRECISION,
            )  # fmt: skip
        above = layer_back(
            above * (1.0 - h2 * h2), h1, params + trunk2, grads + trunk2, grads + trunk2_bias,
            width1, width2, WIDTH1, WIDTH2, PRECISION,
        )  # fmt: skip
        first_back(
            above * (1.0 - h1 * h1), grads + trunk1, grads + trunk1_bias, place, at, seen,
            width1, WIDTH1, CHUNK, PRECISION,
        )  # fmt: skip
        tl.debug_barrier()  # the next block's threads may read what others of this one wrote
