"""Products that skip the zeros of x: most pixels of a digit are black, most words are not in a text.

    out_n = s sum_(i: x_ni != 0) x_ni W_i

The nonzeros of some rows are listed once; then a panel of W that fits the first cache, 112 x 128 numbers, is used for all
those rows, and 128 sums stay in registers. A dense product does all additions at the speed of the registers, this one a few
of them at the speed of the first cache: faster as long as most numbers are zeros.
"""

from functools import partial

import llvmlite.binding
import numpy as np
from numba import cfunc, njit, types
from numba.extending import overload

from numlp.kernels.fused.compiled import FLAGS, cached
from numlp.kernels.fused.vectors import FAST, LANES, WIDEST, add_rows, copy_some, keep_nonzeros, keep_nonzeros_of_columns

_DEEP = 7 * LANES  # rows of a panel, which is 56 kB
_SLAB = 3 * _DEEP  # terms of the sums whose nonzeros are listed at a time
_ROOM = _SLAB + LANES  # of a list: what is written goes on to the end of a register
_LISTS = 25 * LANES  # lists at a time: about a megabyte, as a second cache has, because the panels are copied for each time
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
    values, places, panel = scratch, _at(scratch, _ENTRIES), _at(scratch, 2 * _ENTRIES)
    panel += -panel % _at(0, LANES)  # to a multiple of a register
    ends = np.empty((_LISTS, _SLAB // _DEEP), np.int64)
    for top in range(0, n, _LISTS):
        rows = min(_LISTS, n - top)
        for start in range(0, k, _SLAB):
            terms = min(_SLAB, k - start)
            if transposed:
                _list_columns(_at(x, start * pitch_x + top), pitch_x, terms, rows, values, places, ends)
            else:
                _list_rows(_at(x, top * pitch_x + start), pitch_x, rows, terms, values, places, ends)
            target, terms_of_W = _at(out, top * pitch_out), _at(W, start * pitch_W)
            _add(values, places, ends, terms_of_W, pitch_W, terms, scale, start == 0, target, pitch_out, rows, o, panel)


@_inline
def _at(address, number):
    """Return the address of a number of 4 bytes, counted from `address`."""
    return address + 4 * number


@_inline
def _list_rows(x, pitch_x, n, wide, values, places, ends):
    """List the nonzeros of each row, and where they stand in their panel; ends[n, p] is where those of panel p end."""
    for row in range(n):
        count = 0
        for i in range(0, wide, LANES):
            end = row * _ROOM + count
            count += keep_nonzeros(_at(x, row * pitch_x + i), wide - i, i % _DEEP, _at(values, end), _at(places, end))
            ends[row, i // _DEEP] = count


@_inline
def _list_columns(x, pitch_x, n, wide, values, places, ends):
    """List the nonzeros of each column in the same way."""
    counts, last = np.empty(LANES, np.int64), np.zeros((LANES, LANES), np.float32)
    counts_at, last_at = np.int64(counts.ctypes.data), np.int64(last.ctypes.data)
    for i in range(0, wide, LANES):
        counts[:] = 0
        for row in range(0, n, LANES):
            square, wide_row = _at(x, row * pitch_x + i), pitch_x
            if n - row < LANES:
                for k in range(n - row):
                    copy_some(_at(square, k * pitch_x), wide - i, 1.0, _at(last_at, k * LANES))
                square, wide_row = last_at, LANES
            start = i * _ROOM
            keep_nonzeros_of_columns(
                square, wide_row, wide - i, row % _DEEP, _at(values, start), _at(places, start), _ROOM, counts_at
            )
            for k in range(LANES):  # as one assignment it would take the compiler a second
                ends[i + k, row // _DEEP] = counts[k]


@_inline
def _add(values, places, ends, W, pitch_W, terms, scale, fresh, out, pitch_out, n, o, panel):
    """out = s x what the lists say, of one panel of W after the other; or `out` plus that unless `fresh`."""
    registers = -(-o // LANES)
    tiles = -(-registers // WIDEST)
    for tile in range(tiles):
        left, right = registers * tile // tiles * LANES, min(registers * (tile + 1) // tiles * LANES, o)
        for deep in range(0, terms, _DEEP):
            _copy_panel(_at(W, deep * pitch_W + left), pitch_W, min(_DEEP, terms - deep), right - left, scale, panel)
            for row in range(n):
                first = 0 if deep == 0 else ends[row, deep // _DEEP - 1]
                count, place = ends[row, deep // _DEEP] - first, row * _ROOM + first
                add_rows(
                    _at(values, place), _at(places, place), count, panel, right - left, fresh and deep == 0,
                    _at(out, row * pitch_out + left),
                )  # fmt: skip


@_inline
def _copy_panel(W, pitch_W, n, wide, scale, panel):
    """Copy s x rows of W one behind the other, each filled with zeros up to a whole register."""
    place = 0
    for i in range(n):
        for j in range(0, wide, LANES):
            copy_some(_at(W, i * pitch_W + j), wide - j, scale, _at(panel, place))
            place += LANES


# Compiled once, and called by its address: as a part of each kernel that calls it, it would take the compiler seconds.


_address, _size = types.int64, types.int64
_signature = types.void(
    _address, _size, types.int64, _address, _size, _size, types.float64, _address, _size, _size, _size, _address
)
if FAST:
    _compiled = cached(partial(cfunc, _signature, nopython=True), _multiply_at)
    llvmlite.binding.add_symbol("numlp_skip_zeros", _compiled.address)
_multiply = types.ExternalFunction("numlp_skip_zeros", _signature)
