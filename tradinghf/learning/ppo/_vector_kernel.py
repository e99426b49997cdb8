"""What happens to numbers between products on the matrix unit, sixteen at a time (AVX-512).

Processors with the matrix unit have these vectors, with conversions to bfloat16. Two rows are
written together: as they are, and as pairs, which is how `_matrix_unit.product` reads them.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 2, and LLVM's
`llvm.x86.avx512*` intrinsics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from tradinghf.learning.ppo._matrix_unit import half
from tradinghf.learning.ppo._memory_kernel import ask_for
from tradinghf.learning.ppo._tanh_kernel import OPTIONS

LANES = 16  # columns that are worked on together
_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_WORDS = ir.VectorType(_I32, LANES)
_ROW = ir.VectorType(_I16, LANES)
_BOTH = ir.VectorType(_I16, 2 * LANES)

# tanh by Lambert's continued fraction, cut off after seven terms, constant beyond the bound.
_FLAT = 4.97
_ABOVE = (1.0, 378.0, 17325.0, 135135.0)  # of x² from the highest power on, times x
_BELOW = (28.0, 3150.0, 62370.0, 135135.0)


class _BFloat(ir.Type):  # type: ignore[misc]  # llvmlite has no types
    """LLVM's bfloat, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"


def _every(number: float) -> Any:
    return ir.Constant(_FLOATS, [number] * LANES)


def _declared(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, arguments)
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)


def _load(builder: Any, address: Any, kind: Any = _FLOATS) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=2)


def _store(builder: Any, vector: Any, address: Any) -> None:
    builder.store(vector, builder.inttoptr(address, vector.type.as_pointer()), align=2)


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """The product of a and b, plus c, rounded once."""
    function = _declared(builder, "llvm.fma.v16f32", _FLOATS, [_FLOATS] * 3)
    return builder.call(function, [a, b, c])


def _polynomial(builder: Any, s: Any, factors: tuple[float, ...]) -> Any:
    total = _every(factors[0])
    for factor in factors[1:]:
        total = _fused(builder, total, s, _every(factor))
    return total


def _tanh(builder: Any, x: Any) -> Any:
    """The hyperbolic tangent to within 4e-5, where bfloat16 holds 2e-3; NaN stays NaN."""
    for sign, bound in (("<", -_FLAT), (">", _FLAT)):
        beyond = builder.fcmp_ordered(sign, x, _every(bound))
        x = builder.select(beyond, _every(bound), x)
    s = builder.fmul(x, x)
    above, below = (_polynomial(builder, s, factors) for factors in (_ABOVE, _BELOW))
    # A division would take most of the time: a guess of 14 bits, made better by Newton's step.
    name = "llvm.x86.avx512.rcp14.ps.512"
    inverse = _declared(builder, name, _FLOATS, [_FLOATS, _FLOATS, _I16])
    guess = builder.call(inverse, [below, _every(0.0), ir.Constant(_I16, -1)])
    over = builder.fmul(builder.fmul(x, above), guess)
    return _fused(builder, over, _fused(builder, builder.fneg(below), guess, _every(1.0)), over)


def _narrow(builder: Any, low: Any, high: Any) -> Any:
    """[32] bfloat16, as uint16, of two vectors of float32: nearest, ties to even."""
    kind = ir.VectorType(_BFloat(), 2 * LANES)
    name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
    function = _declared(builder, name, kind, [_FLOATS, _FLOATS])
    return builder.bitcast(builder.call(function, [high, low]), _BOTH)


def _store_pairs(builder: Any, low: Any, high: Any, there: Any, step: Any, both: Any) -> None:
    """Write two vectors as bfloat16: one below the other, and side by side in pairs."""
    found, halves = _narrow(builder, low, high), (range(LANES), range(LANES, 2 * LANES))
    for at, lanes in zip((there, builder.add(there, step)), halves, strict=True):
        mask = ir.Constant(_WORDS, list(lanes))
        _store(builder, builder.shuffle_vector(found, found, mask), at)
    mask = ir.Constant(
        ir.VectorType(_I32, 2 * LANES), [n // 2 + LANES * (n % 2) for n in range(32)]
    )
    _store(builder, builder.shuffle_vector(found, found, mask), both)


def _whole(builder: Any, address: Any) -> Any:
    """The float32 of bfloat16 in memory."""
    wide = builder.zext(_load(builder, address, _ROW), _WORDS)
    return builder.bitcast(builder.shl(wide, ir.Constant(_WORDS, [LANES] * LANES)), _FLOATS)


def _slope(builder: Any, p: Any) -> Any:
    """Of tanh, where it is p."""
    return _fused(builder, builder.fneg(p), p, _every(1.0))


@intrinsic
def _squash_block(
    _typing: Any, _z: Any, _onward: Any, _bias: Any, _there: Any, _step: Any, _both: Any
) -> Any:
    def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        z, onward, bias, there, step, both = arguments
        shift = _load(builder, bias)
        low, high = (
            _tanh(builder, builder.fadd(_load(builder, at), shift))
            for at in (z, builder.add(z, onward))
        )
        _store_pairs(builder, low, high, there, step, both)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), write


@intrinsic
def _through_block(
    _typing: Any, _grad: Any, _onward: Any, _value: Any, _step: Any, _bias: Any, _there: Any,
    _both: Any,
) -> Any:  # fmt: skip
    def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        grad, onward, value, step, bias, there, both = arguments
        low, high = (
            builder.fmul(_load(builder, g), _slope(builder, _whole(builder, v)))
            for g, v in ((grad, value), (builder.add(grad, onward), builder.add(value, step)))
        )
        total = builder.fadd(_load(builder, bias), builder.fadd(low, high))
        _store(builder, total, bias)
        _store_pairs(builder, low, high, there, step, both)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), write


@intrinsic
def _pair_block(
    _typing: Any, _z: Any, _onward: Any, _bias: Any, _there: Any, _step: Any, _both: Any
) -> Any:
    def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        z, onward, bias, there, step, both = arguments
        low, high = (_load(builder, at) for at in (z, builder.add(z, onward)))
        _store(builder, builder.fadd(_load(builder, bias), builder.fadd(low, high)), bias)
        _store_pairs(builder, low, high, there, step, both)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), write


@intrinsic
def _narrow_block(_typing: Any, _source: Any, _target: Any) -> Any:
    def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        source, target = arguments
        low = _load(builder, source)
        high = _load(builder, builder.add(source, ir.Constant(_I64, 4 * LANES)))
        _store(builder, _narrow(builder, low, high), target)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), write


@njit(**OPTIONS)
def squash(z: Any, bias: Any, there: Any, both: Any, ahead: Any) -> None:
    """Write tanh of products plus the bias in bfloat16.

    Args:
        z: [n, m] float32; n is even, m a multiple of `LANES`.
        bias: [m].
        there: [n, m] uint16, written.
        both: [n / 2, m] uint32, written: in pairs of rows.
        ahead: rows of memory to be brought along, see `ask_for`; up to n of them.

    """
    table, columns, rows = ahead
    onward, step = z.shape[1] * 4, z.shape[1] * 2
    of_z, of_bias = z.ctypes.data, bias.ctypes.data
    of_there, of_both = there.ctypes.data, both.ctypes.data
    for i in range(0, len(z), 2):
        if len(rows):
            ask_for(table, columns, rows[i : i + 2])
        for j in range(0, z.shape[1], LANES):
            _squash_block(
                of_z + i * onward + j * 4, onward, of_bias + j * 4,
                of_there + i * step + j * 2, step, of_both + i * step + j * 4,
            )  # fmt: skip


@njit(**OPTIONS)
def through(grad: Any, value: Any, bias: Any, there: Any, both: Any) -> None:
    """Carry gradients back through tanh in bfloat16, and add their sums to the bias's.

    Args:
        grad: [n, m] float32 at the outputs; n is even, m a multiple of `LANES`.
        value: [n, m] uint16, what tanh gave; [0, m] where there is none to go through.
        bias: [m], added to.
        there: [n, m] uint16, written.
        both: [n / 2, m] uint32, written: in pairs of rows.

    """
    onward, step = grad.shape[1] * 4, grad.shape[1] * 2
    of_grad, of_value, of_bias = grad.ctypes.data, value.ctypes.data, bias.ctypes.data
    of_there, of_both = there.ctypes.data, both.ctypes.data
    for i in range(0, len(grad), 2):
        for j in range(0, grad.shape[1], LANES):
            g, v, b = of_grad + i * onward + j * 4, of_value + i * step + j * 2, of_bias + j * 4
            t, p = of_there + i * step + j * 2, of_both + i * step + j * 4
            if len(value):
                _through_block(g, onward, v, step, b, t, p)
            else:
                _pair_block(g, onward, b, t, step, p)


@njit(**OPTIONS)
def narrow_row(source: Any, target: Any) -> None:
    """Write float32 [m] as bfloat16 into the first m of uint16 [m']."""
    step, count = 2 * LANES, len(source)
    of_source, of_target = source.ctypes.data, target.ctypes.data
    for j in range(0, count - step + 1, step):
        _narrow_block(of_source + j * 4, of_target + j * 2)
    if count >= step:  # the last ones again, with those before them
        _narrow_block(of_source + (count - step) * 4, of_target + (count - step) * 2)
    else:
        for j in range(count):
            target[j] = np.uint16(half(source[j]))
