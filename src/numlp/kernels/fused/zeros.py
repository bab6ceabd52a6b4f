"""Products that skip the zeros of x: most pixels of a digit are black, most words are not in a text.

    out_n = s sum_(i: x_ni != 0) x_ni W_i

The nonzeros of some rows are listed once; then a panel of W that fits the first cache, 112 x 128 numbers, is used for all
those rows, and 128 sums stay in registers. A dense product does all additions at the speed of the registers, this one a few
of them at the speed of the first cache: faster as long as most numbers are zeros.
"""

from functools import partial

import llvmlite.binding
import numpy as np
from numba import carray, cfunc, njit, types
from numba.extending import overload

from numlp.kernels.fused.compiled import FLAGS, cached
from numlp.kernels.fused.vectors import FAST, LANES, WIDEST, add_rows, copy_some, keep_nonzeros, keep_nonzeros_of_columns

_DEEP = 7 * LANES  # rows of a panel, which is 56 kB
_SLAB = 3 * _DEEP  # terms of the sums whose nonzeros are listed at a time
_ROOM = _SLAB + LANES  # of a list: what is written goes on to the end of a register
_LISTS = 16 * LANES  # lists at a time: as many as fit the second cache, because each time the panels are copied anew
_ENTRIES = _LISTS * _ROOM
NUMBERS = 2 * _ENTRIES + (_DEEP * WIDEST + 1) * LANES  # of float32, that one product needs besides

_SHARE = 0.3  # of nonzeros, at most
_LOOK = 16  # rows that are looked at
_WIDTH = 3 * LANES  # outputs, at least: fewer sums would wait for one another


@njit(nogil=True)
def pitch(x):
    """Return how many numbers lie between the beginnings of two rows."""
    return x.strides[0] // x.itemsize


@njit(nogil=True, fastmath=FLAGS)
def mostly_zeros(x, width):
    """Whether some rows of x hold so few other numbers that `width` outputs are made faster without the zeros."""
    n, i = x.shape
    if not FAST or x.itemsize != 4 or width < _WIDTH or x.size == 0:
        return False
    count, looked = 0, 0
    for row in range(0, n, max(1, n // _LOOK)):
        looked += i
        for j in range(i):
            count += x[row, j] != 0
    return count < _SHARE * looked


_inline = njit(nogil=True, inline="always")  # of one function, which the compiler then sees once


def multiply(x, transposed, W, scale, out, scratch):
    """out = s op(x) W;  op(x) is x, or x^T if `transposed`. The rows of the arrays may be parts of longer ones.

    `scratch` has NUMBERS numbers. Only where `mostly_zeros` says so.
    """


@overload(multiply)
def _multiply_of_dtype(x, transposed, W, scale, out, scratch):
    def call(x, transposed, W, scale, out, scratch):
        _multiply(
            x.ctypes.data, pitch(x), transposed, W.ctypes.data, pitch(W), len(W), scale, out.ctypes.data, pitch(out),
            len(out), out.shape[1], scratch.ctypes.data,
        )  # fmt: skip

    def nothing(x, transposed, W, scale, out, scratch):
        """Stand for what `mostly_zeros` never says."""

    return call if FAST and out.dtype == types.float32 else nothing


def _multiply_at(x, pitch_x, transposed, W, pitch_W, k, scale, out, pitch_out, n, o, scratch):
    """Multiply, with addresses for arrays: k terms in each sum, n rows and o columns of out."""
    W, out = carray(W, (k, pitch_W))[:, :o], carray(out, (n, pitch_out))[:, :o]
    x = carray(x, (k if transposed else n, pitch_x))
    values, places = carray(scratch, (_ENTRIES,)), carray(scratch, (2 * _ENTRIES,))[_ENTRIES:].view(np.int32)
    panel = carray(scratch, (NUMBERS,))[2 * _ENTRIES :]
    ends = np.empty((_LISTS, _SLAB // _DEEP), np.int64)
    for top in range(0, n, _LISTS):
        bottom = min(top + _LISTS, n)
        for start in range(0, k, _SLAB):
            stop = min(start + _SLAB, k)
            if transposed:
                _list_columns(x[start:stop, top:bottom], values, places, ends)
            else:
                _list_rows(x[top:bottom, start:stop], values, places, ends)
            _add(values, places, ends, W[start:stop], start == 0, out[top:bottom], panel)
    if scale != 1:
        for i in range(n):
            for j in range(o):
                out[i, j] *= scale


@_inline
def _list_rows(x, values, places, ends):
    """List the nonzeros of each row, and where they stand in their panel; ends[n, p] is where those of panel p end."""
    n, wide = x.shape
    for row in range(n):
        count, start = 0, row * _ROOM
        for i in range(0, wide, LANES):
            end = start + count
            count += keep_nonzeros(
                x[row, i:].ctypes.data, wide - i, i % _DEEP, values[end:].ctypes.data, places[end:].ctypes.data
            )
            ends[row, i // _DEEP] = count


@_inline
def _list_columns(x, values, places, ends):
    """List the nonzeros of each column in the same way."""
    n, wide = x.shape
    counts, last = np.empty(LANES, np.int64), np.zeros((LANES, LANES), np.float32)
    for i in range(0, wide, LANES):
        counts[:] = 0
        for row in range(0, n, LANES):
            square, wide_row = x[row:, i:].ctypes.data, pitch(x)
            if n - row < LANES:
                for k in range(n - row):
                    copy_some(x[row + k, i:].ctypes.data, wide - i, last[k].ctypes.data)
                square, wide_row = last.ctypes.data, LANES
            keep_nonzeros_of_columns(
                square, wide_row, wide - i, row % _DEEP, values[i * _ROOM :].ctypes.data, places[i * _ROOM :].ctypes.data,
                _ROOM, counts.ctypes.data,
            )  # fmt: skip
            for k in range(LANES):  # as one assignment it would take the compiler a second
                ends[i + k, row // _DEEP] = counts[k]


@_inline
def _add(values, places, ends, W, fresh, out, scratch):
    """out = what the lists say, of one panel of W after the other; or `out` plus that unless `fresh`."""
    registers = -(-out.shape[1] // LANES)
    tiles = -(-registers // WIDEST)
    skipped = -(scratch.ctypes.data // scratch.itemsize) % LANES  # to a multiple of a register
    panel = scratch[skipped:]
    for tile in range(tiles):
        left, right = registers * tile // tiles * LANES, min(registers * (tile + 1) // tiles * LANES, out.shape[1])
        for deep in range(0, len(W), _DEEP):
            _copy_panel(W[deep : deep + _DEEP, left:right], panel)
            for n in range(len(out)):
                first = 0 if deep == 0 else ends[n, deep // _DEEP - 1]
                count, at = ends[n, deep // _DEEP] - first, n * _ROOM + first
                add_rows(
                    values[at:].ctypes.data, places[at:].ctypes.data, count, panel.ctypes.data, right - left,
                    fresh and deep == 0, out[n, left:].ctypes.data,
                )  # fmt: skip


@_inline
def _copy_panel(W, panel):
    """Copy rows of W one behind the other, each filled with zeros up to a whole register."""
    place = 0
    for i in range(len(W)):
        for j in range(0, W.shape[1], LANES):
            copy_some(W[i, j:].ctypes.data, W.shape[1] - j, panel[place:].ctypes.data)
            place += LANES


# Compiled once, and called by its address: as a part of each kernel that calls it, it would take the compiler seconds.


def _signature(pointer):
    integer = types.int64
    return types.void(
        pointer, integer, types.int64, pointer, integer, integer, types.float64, pointer, integer, integer, integer, pointer
    )


if FAST:
    _compiled = cached(partial(cfunc, _signature(types.CPointer(types.float32)), nopython=True), _multiply_at)
    llvmlite.binding.add_symbol("numlp_skip_zeros", _compiled.address)
_multiply = types.ExternalFunction("numlp_skip_zeros", _signature(types.uintp))
