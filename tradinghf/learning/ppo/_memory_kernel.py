"""Bringing memory into the cache before it is read, in compiled loops.

Rows of a minibatch are read in no order: without a word the processor waits for each of them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from tradinghf.learning.ppo._tanh_kernel import OPTIONS

_LINE = 64  # bytes that are brought at once


@intrinsic
def _prefetch(_typing: Any, _address: Any) -> Any:
    """Ask for the line of an address; no address is wrong."""
    pointer, whole = ir.IntType(8).as_pointer(), ir.IntType(32)

    def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [pointer, whole, whole, whole])
        name = "llvm.prefetch.p0"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        place = builder.inttoptr(arguments[0], pointer)
        builder.call(function, [place, *(ir.Constant(whole, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(types.intp), write


@njit(**OPTIONS)
def ask_for(obs: Any, columns: Any, rows: Any) -> None:
    """Have some rows brought into the cache while others are worked on.

    Args:
        obs: [R, D].
        columns: [E, R].
        rows: [B] of both.

    """
    first, step = obs.ctypes.data, obs.strides[0]
    others, apart, along = columns.ctypes.data, columns.strides[0], columns.strides[1]
    for row in rows:
        for line in range(0, step, _LINE):
            _prefetch(first + row * step + line)
        for c in range(len(columns)):
            _prefetch(others + c * apart + row * along)
