"""Exponential and logarithm of float32 as polynomials, to be compiled into loops over vectors.

A call of the C library per number stands in the way of vectors; these become part of the loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from tradinghf.learning.ppo._tanh_kernel import OPTIONS

_I32 = ir.IntType(32)
_single = np.float32

# exp(x) = 2^n exp(r) with |r| <= log(2) / 2, and log(2^n m) = n log(2) + log(m) with m around 1.
# Source: Cephes, expf.c and logf.c (Moshier 1989: coefficients and the two parts of log 2).
_LEAST, _MOST = _single(-87.3), _single(88.3)
_LOG2_E, _LN2_HIGH, _LN2_LOW = _single(1.44269504), _single(0.693359375), _single(-2.12194440e-4)
_ROUND = _single(12582912)  # 1.5 · 2^23: what is added to it is rounded to a whole number
_E0, _E1, _E2, _E3, _E4, _E5 = (
    _single(c)
    for c in (
        *(1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2),
        *(1.6666665459e-1, 5.0000001201e-1),
    )
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = (
    _single(c)
    for c in (
        *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1),
        *(1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1),
        3.3333331174e-1,
    )
)
_ONE, _HALF = _single(1), _single(0.5)
_ROOT_BITS, _ONE_BITS = np.uint32(0x3F3504F3), np.uint32(0x3F800000)  # of sqrt(1 / 2) and 1
_FRACTION, _POINT, _BIAS = np.uint32(0x7FFFFF), np.uint32(23), np.uint32(127)


@intrinsic
def bits(_typing: Any, _number: Any) -> Any:
    """The bits of a float32, as uint32."""

    def write(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _I32)

    return types.uint32(types.float32), write


@intrinsic
def number(_typing: Any, _bits: Any) -> Any:
    """The float32 of some bits."""

    def write(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), write


@njit(inline="always", **OPTIONS)
def exp(x: Any) -> Any:
    """E to the x, to 2e-7 of itself; beyond float32's range its ends, and of NaN a NaN."""
    x = _LEAST if x < _LEAST else (_MOST if x > _MOST else x)
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    return (p * r * r + r + _ONE) * number((bits(shifted) + _BIAS) << _POINT)


@njit(inline="always", **OPTIONS)
def log(x: Any) -> Any:
    """The natural logarithm of a positive, normal number, to 2e-7; of NaN a NaN."""
    moved = bits(x) + (_ONE_BITS - _ROOT_BITS)
    n = _single(np.int32(moved >> _POINT) - np.int32(127))
    r = number((moved & _FRACTION) + _ROOT_BITS) - _ONE
    p = ((((_L0 * r + _L1) * r + _L2) * r + _L3) * r + _L4) * r + _L5
    p = ((p * r + _L6) * r + _L7) * r + _L8
    square = r * r
    small = r * square * p + n * _LN2_LOW - _HALF * square
    return r + small + n * _LN2_HIGH + (x - x)
