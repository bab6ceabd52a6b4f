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
from numlp.kernels.fused.vectors import FAST, LANES, WIDEST, add_rows, copy_some, copy_transposed, keep_nonzeros

_DEEP = 4 * LANES  # rows of a panel, which is 32 kB: the lists pass through the same cache
_WIDE = WIDEST * LANES
_SLAB = 6 * _DEEP  # terms of the sums whose nonzeros are listed at a time
_LISTS = 20 * LANES  # sums at a time: what they need stays in a second cache, and the panels are copied for each time
_ENTRIES = _LISTS * _SLAB + LANES  # what is written goes on to the end of a register
NUMBERS = 2 * _ENTRIES + (_DEEP + 1) * _WIDE + LANES * _DEEP  # of float32, that one product needs besides

_SHARE = 0.58  # of nonzeros, at most, where the sums fill many registers;
_TOO_NARROW = 24  # few sums wait for one another: no share at all is small enough at so many outputs
_LOOK = 8  # rows that are looked at


@njit(nogil=True, fastmath=FLAGS)
def mostly_zeros(x, width):
    """Whether some rows of x hold so few other numbers that `width` outputs are made faster without the zeros."""
    n, i = x.shape
    if not FAST or x.itemsize != 4 or width <= _TOO_NARROW or x.size == 0:
        return False
    count, looked = 0, 0
    for row in range(0, n, max(1, n // _LOOK)):
        looked += i
        for j in range(i):
            count += x[row, j] != 0
    return count < _SHARE * (1 - _TOO_NARROW / width) * looked


_inline = njit(nogil=True, inline="always")  # of one function, which the compiler then sees once


def multiply(kind, x, pitch_x, x_transposed, W, pitch_W, W_transposed, k, scale, out, pitch_out, n, o, scratch):
    """out = s op(x) op(W);  op(A) is A, or A^T if it says `transposed`; n rows, o columns, k terms in each sum.

    x, W, out and scratch are addresses of numbers of the dtype of `kind`; rows begin `pitch` numbers apart. `scratch` has
    NUMBERS numbers. Only where `mostly_zeros` says so.
    """


@overload(multiply)
def _multiply_of_dtype(kind, x, pitch_x, x_transposed, W, pitch_W, W_transposed, k, scale, out, pitch_out, n, o, scratch):
    def call(kind, x, pitch_x, x_transposed, W, pitch_W, W_transposed, k, scale, out, pitch_out, n, o, scratch):
        _multiply(x, pitch_x, x_transposed, W, pitch_W, W_transposed, k, scale, out, pitch_out, n, o, scratch)

    def nothing(kind, x, pitch_x, x_transposed, W, pitch_W, W_transposed, k, scale, out, pitch_out, n, o, scratch):
        """Stand for what `mostly_zeros` never says."""

    return call if FAST and kind.dtype == types.float32 else nothing


def _multiply_at(x, pitch_x, x_transposed, W, pitch_W, W_transposed, k, scale, out, pitch_out, n, o, scratch):
    """Multiply, with addresses for arrays: k terms in each sum, n rows and o columns of out."""
    values, places, panel = scratch, _at(scratch, _ENTRIES), _at(scratch, 2 * _ENTRIES)
    panel += -panel % _at(0, LANES)  # to a multiple of a register
    square = _at(panel, _DEEP * _WIDE)
    begins = np.empty((_SLAB // _DEEP, _LISTS + 1), np.int64)  # of each list
    for top in range(0, n, _LISTS):
        rows = min(_LISTS, n - top)
        for start in range(0, k, _SLAB):
            terms = min(_SLAB, k - start)
            if x_transposed:
                _list_columns(_at(x, start * pitch_x + top), pitch_x, terms, rows, values, places, begins, square)
            else:
                _list_rows(_at(x, top * pitch_x + start), pitch_x, rows, terms, values, places, begins)
            term = _at(W, start if W_transposed else start * pitch_W)
            target = _at(out, top * pitch_out)
            _add(
                values, places, begins, term, pitch_W, W_transposed, terms, scale, start == 0, target, pitch_out, rows, o,
                panel,
            )  # fmt: skip


@_inline
def _at(address, number):
    """Return the address of a number of 4 bytes, counted from `address`."""
    return address + 4 * number


@_inline
def list_nonzeros(x, count, pitch, values, places, end):
    """Append those of `count` numbers that are not zero, one for each row of a matrix, and return where the list ends."""
    for i in range(0, count, LANES):
        end += keep_nonzeros(_at(x, i), count - i, i, pitch, _at(values, end), _at(places, end))
    return end


@_inline
def _list_rows(x, pitch_x, n, wide, values, places, begins):
    """List the nonzeros of each row, panel after panel: begins[p, row] is where the list of a row begins."""
    end = 0
    for deep in range(0, wide, _DEEP):
        for row in range(n):
            begins[deep // _DEEP, row] = end
            end = list_nonzeros(_at(x, row * pitch_x + deep), min(_DEEP, wide - deep), _WIDE, values, places, end)
        begins[deep // _DEEP, n] = end


@_inline
def _list_columns(x, pitch_x, n, wide, values, places, begins, square):
    """List the nonzeros of each column in the same way; sixteen columns are made rows first, in `square`."""
    end = 0
    for deep in range(0, n, _DEEP):
        rows = min(_DEEP, n - deep)
        for i in range(0, wide, LANES):
            for row in range(0, rows, LANES):
                corner = _at(x, (deep + row) * pitch_x + i)
                copy_transposed(corner, pitch_x, rows - row, wide - i, 1.0, _at(square, row), _DEEP)
            for column in range(min(LANES, wide - i)):
                begins[deep // _DEEP, i + column] = end
                end = list_nonzeros(_at(square, column * _DEEP), rows, _WIDE, values, places, end)
        begins[deep // _DEEP, wide] = end


@_inline
def _add(values, places, begins, W, pitch_W, W_transposed, terms, scale, fresh, out, pitch_out, n, o, panel):
    """out = s x what the lists say, of one panel of W after the other; or `out` plus that unless `fresh`."""
    registers = -(-o // LANES)
    tiles = -(-registers // WIDEST)
    for tile in range(tiles):
        left, right = registers * tile // tiles * LANES, min(registers * (tile + 1) // tiles * LANES, o)
        for deep in range(0, terms, _DEEP):
            rows = min(_DEEP, terms - deep)
            if W_transposed:
                _copy_transposed(_at(W, left * pitch_W + deep), pitch_W, rows, right - left, scale, panel)
            else:
                _copy(_at(W, deep * pitch_W + left), pitch_W, rows, right - left, scale, panel)
            for row in range(n):
                begin = begins[deep // _DEEP, row]
                count = begins[deep // _DEEP, row + 1] - begin
                add_rows(
                    _at(values, begin), _at(places, begin), count, panel, right - left, fresh and deep == 0,
                    _at(out, row * pitch_out + left),
                )  # fmt: skip


@_inline
def _copy(W, pitch_W, n, wide, scale, panel):
    """Copy s x the rows of W, each filled with zeros up to a whole register."""
    for i in range(n):
        for j in range(0, wide, LANES):
            copy_some(_at(W, i * pitch_W + j), wide - j, scale, _at(panel, i * _WIDE + j))


@_inline
def _copy_transposed(W, pitch_W, n, wide, scale, panel):
    """Copy s x the columns of W in the same way."""
    for j in range(0, wide, LANES):
        for i in range(0, n, LANES):
            corner = _at(W, j * pitch_W + i)
            copy_transposed(corner, pitch_W, wide - j, n - i, scale, _at(panel, i * _WIDE + j), _WIDE)


# Compiled once, and called by its address: as a part of each kernel that calls it, it would take the compiler seconds.


_address, _size = types.int64, types.int64
_array = (_address, _size)
_signature = types.void(
    *_array, types.boolean, *_array, types.boolean, _size, types.float64, *_array, _size, _size, _address
)
if FAST:
    _compiled = cached(partial(cfunc, _signature, nopython=True), _multiply_at)
    llvmlite.binding.add_symbol("numlp_skip_zeros", _compiled.address)
_multiply = types.ExternalFunction("numlp_skip_zeros", _signature)
