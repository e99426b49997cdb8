"""Products of bfloat16 matrices on a processor's matrix unit (AMX), for compiled loops.

A tile is 16 rows of 64 bytes. The unit multiplies a tile of A, 16 rows of 32 bfloat16, with one of
B, where two rows lie side by side in pairs, and adds up in float32. Numbers of bfloat16 are kept
as unsigned integers: the upper half of a float32's bits. Without the unit, or before
`workers.has_matrix_unit` has asked for it, these operations end the process.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 1, ch. 18, and LLVM's
`llvm.x86.tile*` intrinsics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from tradinghf.learning.ppo._elementary_kernel import bits
from tradinghf.learning.ppo._tanh_kernel import OPTIONS

STEP = 32  # rows and columns of operands are multiples of this many
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_POINTER = _I8.as_pointer()
_VECTOR = ir.VectorType(_I32, 16)

# Palette 1; for each of the eight tiles 64 bytes a row, and 16 rows.
_TILES = np.zeros(64, np.uint8)
_TILES[0], _TILES[16:32:2], _TILES[48:56] = 1, 64, 16


def _declared(module: Any, name: str, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(ir.VoidType(), arguments)
    return module.globals.get(name) or ir.Function(module, kind, name)


def _tile_operation(name: str, *tiles: int) -> Any:
    """An operation on tiles alone, whose numbers have to be constants."""

    @intrinsic
    def operation(_typing: Any) -> Any:
        def write(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
            function = _declared(builder.module, name, [_I8] * len(tiles))
            builder.call(function, [ir.Constant(_I8, tile) for tile in tiles])
            return context.get_dummy_value()

        return types.void(), write

    return operation


def _tile_transfer(name: str, tile: int) -> Any:
    """A load or store of a tile: (address of its first row, bytes from row to row)."""

    @intrinsic
    def transfer(_typing: Any, _address: Any, _stride: Any) -> Any:
        def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            function = _declared(builder.module, name, [_I8, _POINTER, _I64])
            address = builder.inttoptr(arguments[0], _POINTER)
            builder.call(function, [ir.Constant(_I8, tile), address, arguments[1]])
            return context.get_dummy_value()

        return types.void(types.intp, types.intp), write

    return transfer


@intrinsic
def _configure(_typing: Any, _address: Any) -> Any:
    def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        function = _declared(builder.module, "llvm.x86.ldtilecfg", [_POINTER])
        builder.call(function, [builder.inttoptr(arguments[0], _POINTER)])
        return context.get_dummy_value()

    return types.void(types.intp), write


_LOAD, _STORE = "llvm.x86.tileloadd64", "llvm.x86.tilestored64"
_load = tuple(_tile_transfer(_LOAD, tile) for tile in range(8))
_load0, _load1, _load2, _load3, _load4, _load5, _load6, _load7 = _load
_store0, _store1, _store2, _store3 = (_tile_transfer(_STORE, tile) for tile in range(4))
_zero0, _zero1, _zero2, _zero3 = (_tile_operation("llvm.x86.tilezero", t) for t in range(4))
_dot0, _dot1, _dot2, _dot3 = (
    _tile_operation("llvm.x86.tdpbf16ps", c, 4 + c // 2, 6 + c % 2) for c in range(4)
)
release = _tile_operation("llvm.x86.tilerelease")  # once a thread needs the unit no more


@intrinsic
def _turn_block(_typing: Any, _source: Any, _step: Any, _target: Any, _onward: Any) -> Any:
    """Transpose 16 x 16 uint32: addresses, and bytes from row to row."""

    def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        source, step, target, onward = arguments
        rows = []
        for k in range(16):
            at = builder.add(source, builder.mul(step, ir.Constant(_I64, k)))
            place = builder.inttoptr(at, _VECTOR.as_pointer())
            rows.append(builder.load(place, align=4))
        # Each round interleaves rows k and k + 8; four rounds move every bit of a place's number
        # from the row to the column.
        low = [n // 2 + 16 * (n % 2) for n in range(16)]
        for _ in range(4):
            following = []
            for k in range(8):
                for half in (low, [n + 8 for n in low]):
                    mask = ir.Constant(_VECTOR, half)
                    following.append(builder.shuffle_vector(rows[k], rows[k + 8], mask))
            rows = following
        for k in range(16):
            at = builder.add(target, builder.mul(onward, ir.Constant(_I64, k)))
            place = builder.inttoptr(at, _VECTOR.as_pointer())
            builder.store(rows[k], place, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), write


@intrinsic
def _pair_block(_typing: Any, _row: Any, _other: Any, _copy: Any, _next: Any, _both: Any) -> Any:
    """Copy two rows of 32 uint16, and interleave them: addresses."""
    narrow = ir.VectorType(ir.IntType(16), 32)

    def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        places = [builder.inttoptr(a, narrow.as_pointer()) for a in arguments]
        one, two = (builder.load(place, align=2) for place in places[:2])
        builder.store(one, places[2], align=2)
        builder.store(two, places[3], align=2)
        for part in range(2):
            lanes = [n // 2 + 16 * part + 32 * (n % 2) for n in range(32)]
            mask = ir.Constant(ir.VectorType(_I32, 32), lanes)
            at = builder.gep(places[4], [ir.Constant(_I64, part)])
            builder.store(builder.shuffle_vector(one, two, mask), at, align=2)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), write


@njit(**OPTIONS)
def gather(table: Any, rows: Any, x: Any, paired: Any) -> None:
    """Write some rows of a table, as they are and in pairs; zeros beyond them.

    Args:
        table: [R, N] uint16; N is a multiple of `STEP`.
        rows: [B] of the table.
        x: [B', N] uint16; B' is a multiple of 2.
        paired: [B' / 2, N] uint32, the first of two rows in the lower half.

    """
    step, last = table.shape[1] * 2, len(rows) - 1
    first, copy, both = table.ctypes.data, x.ctypes.data, paired.ctypes.data
    for i in range(0, len(rows), 2):
        row, other = first + rows[i] * step, first + rows[min(i + 1, last)] * step
        for j in range(0, step, 64):
            at = copy + i * step + j
            _pair_block(row + j, other + j, at, at + step, both + i * step + 2 * j)
    x[len(rows) :] = 0
    if len(rows) % 2:
        for j in range(table.shape[1]):
            paired[len(rows) // 2, j] = np.uint32(x[last, j])
    paired[(len(rows) + 1) // 2 :] = 0


@njit(inline="always", **OPTIONS)
def half(x: Any) -> Any:
    """The nearest bfloat16 of a float32, ties to even, as the lower bits of a uint32."""
    u = bits(x)
    return (u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)


@njit(**OPTIONS)
def configure(tiles: Any) -> None:
    """Prepare this thread's tiles; `tiles` is `tile_shapes()`."""
    _configure(tiles.ctypes.data)


def tile_shapes() -> Any:
    """[64] uint8, what `configure` takes."""
    return _TILES


@njit(**OPTIONS)
def transpose(source: Any, target: Any) -> None:
    """Write uint32 [M, N] turned [N, M]; both are multiples of 16."""
    step, onward = source.shape[1] * 4, target.shape[1] * 4
    first, into = source.ctypes.data, target.ctypes.data
    for i in range(0, source.shape[0], 16):
        for j in range(0, source.shape[1], 16):
            _turn_block(first + i * step + j * 4, step, into + j * onward + i * 4, onward)


@njit(**OPTIONS)
def product(a: Any, b: Any, c: Any, add: Any) -> None:
    """Write, or add to, float32 [M, N] the product of bfloat16 matrices.

    Args:
        a: [M, K] uint16.
        b: [K / 2, N] uint32, two rows of [K, N] side by side, the first in the lower half.
        c: [M, N] float32; M, N and K are multiples of `STEP`.
        add: to what is in `c`.

    """
    wide, deep, over = a.shape[1] * 2, b.shape[1] * 4, c.shape[1] * 4
    of_a, of_b, of_c = a.ctypes.data, b.ctypes.data, c.ctypes.data
    for i in range(0, c.shape[0], 32):
        for j in range(0, c.shape[1], 32):
            corner = of_c + i * over + j * 4
            if add:
                _load0(corner, over)
                _load1(corner + 64, over)
                _load2(corner + 16 * over, over)
                _load3(corner + 16 * over + 64, over)
            else:
                _zero0()
                _zero1()
                _zero2()
                _zero3()
            left, top = of_a + i * wide, of_b + j * 4
            for k in range(0, a.shape[1], 32):
                _load4(left + k * 2, wide)
                _load6(top + k // 2 * deep, deep)
                _dot0()
                _load7(top + k // 2 * deep + 64, deep)
                _dot1()
                _load5(left + 16 * wide + k * 2, wide)
                _dot2()
                _dot3()
            _store0(corner, over)
            _store1(corner + 64, over)
            _store2(corner + 16 * over, over)
            _store3(corner + 16 * over + 64, over)
