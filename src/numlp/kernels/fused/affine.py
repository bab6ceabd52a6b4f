"""The products of a dense layer, and the loops that belong to them."""

from typing import Any

import llvmlite.binding
import numpy as np
from numba import types
from numba.extending import overload

from numlp.kernels.fused.compiled import LITTLE, kernel, part, total
from numlp.kernels.fused.products import find_products
from numlp.kernels.fused.threads import spread
from numlp.kernels.fused.zeros import NUMBERS, mostly_zeros, multiply

# Products. Their addresses become symbols, because compiled code with an address in it could not be kept on disk. Integers
# are passed as 64 bits: a BLAS of 32-bit integers reads the lower half of the register.

for _symbol, _address in find_products().items():
    llvmlite.binding.add_symbol(f"numlp_{_symbol}", _address)


def _declare(symbol: str, number: Any) -> Any:
    sizes = [types.int64] * 3
    operand = [types.uintp, types.int64]
    signature = types.void(*[types.int32] * 3, *sizes, number, *operand, *operand, number, *operand)
    return types.ExternalFunction(f"numlp_{symbol}", signature)


_sgemm, _dgemm = _declare("sgemm", types.float32), _declare("dgemm", types.float64)
_get_threads = types.ExternalFunction("numlp_get_threads", types.int32(types.int32))
_set_threads = types.ExternalFunction("numlp_set_threads", types.void(types.int32))
_ROW_MAJOR, _AS_IS, _TRANSPOSED = 101, 111, 112  # the numbers CBLAS gives them


def _gemm(kind, t_a, t_b, m, n, k, alpha, a, wide_a, b, wide_b, out, wide_out):
    """Write alpha op(a) op(b), m x n with k terms each; a, b and out are addresses of numbers, of the dtype of `kind`."""


@overload(_gemm)
def _gemm_of_dtype(kind, t_a, t_b, m, n, k, alpha, a, wide_a, b, wide_b, out, wide_out):
    gemm, number = (_sgemm, np.float32) if kind.dtype == types.float32 else (_dgemm, np.float64)

    def call(kind, t_a, t_b, m, n, k, alpha, a, wide_a, b, wide_b, out, wide_out):
        gemm(_ROW_MAJOR, t_a, t_b, m, n, k, number(alpha), a, wide_a, b, wide_b, number(0), out, wide_out)

    return call


# Around them: the BLAS works on one thread, whatever number it has otherwise, because the parts are on all of them.


@part
def _limit():
    """Let the BLAS use one thread, and return how many it had."""
    before = _get_threads(1)
    if before > 1:
        _set_threads(1)
    return before


@part
def _restore(before):
    if before > 1:  # else another Python thread is inside too, and that one restores
        _set_threads(before)


# How a product is split. By inputs: part p multiplies its columns of x with its rows of W, the same rows whose gradient it
# makes and whose step it takes, so that they never leave the cache of its core. The partial products must then be added, and
# where `scratch` is too small for them it is better to split the rows of x or the columns of W.


@part
def _tile(n, o, parts, p):
    """Return (first row, last row, first column, last column) of part p: of the longer side, so that less is packed."""
    if n > o:
        return n * p // parts, n * (p + 1) // parts, 0, o
    return 0, n, o * p // parts, o * (p + 1) // parts


@part
def one_row(x, W, scale, out):
    """out = scale x W, without packing W, which would take longer than the product, or reading what a zero multiplies."""
    out[:] = 0
    for i in range(len(x)):
        z = x[i] * out.dtype.type(scale)
        if z != 0:
            for j in range(len(out)):
                out[j] += z * W[i, j]


@part
def _add(p, parts, partial, n_products, b, rectify, out):
    """Add the partial products, if any, and b to the rows of out, in order, and rectify."""
    (n, o), zero = out.shape, out.dtype.type(0)
    for i in range(n * p // parts, n * (p + 1) // parts):
        y = out[i]
        for k in range(n_products):
            own = partial[(k * n + i) * o : (k * n + i + 1) * o]
            if k == 0:
                for j in range(len(y)):
                    y[j] = own[j]
            else:
                for j in range(len(y)):
                    y[j] += own[j]
        if rectify:
            for j in range(len(y)):
                z = y[j] + b[j]
                y[j] = zero if z < zero else z
        else:
            for j in range(len(y)):
                y[j] += b[j]


_ALONE, _FEW = 2**18, 2**16  # weights that one core has read, products it has made, before another one is awake
_PARTIAL = 2**18  # numbers in all partial products, at most: more would not stay in the caches until they are added


@part
def _multiply(p, parts, x, W, scale, skip, n_products, scratch, out):
    """Make part p of s x W, or partial product p at the beginning of `scratch`, without the zeros of x if `skip`."""
    (n, o), wide, size = out.shape, len(W), out.itemsize
    first, last, target = 0, wide, out.ctypes.data
    top, bottom, left, right = _tile(n, o, parts, p)
    if n_products:
        first, last, target = wide * p // parts, wide * (p + 1) // parts, scratch.ctypes.data + size * p * n * o
        top, bottom, left, right = 0, n, 0, o
    rows, columns, k = bottom - top, right - left, last - first
    if k == 0 or (n == 1 and columns == o):
        one_row(x[0, first:last], W[first:last], scale, scratch[p * n * o : (p + 1) * n * o] if n_products else out[0])
    elif rows > 0 and columns > 0:
        some, terms = x.ctypes.data + size * (top * wide + first), W.ctypes.data + size * (first * o + left)
        y = target + size * (top * o + left)
        if skip:
            spare = scratch.ctypes.data + size * (n_products * n * o + p * NUMBERS)
            multiply(out, some, wide, False, terms, o, False, k, scale, y, o, rows, columns, spare)
        else:
            _gemm(out, _AS_IS, _AS_IS, rows, columns, k, scale, some, wide, terms, o, y, o)


@kernel
def affine(parts, x, W, b, scale, rectify, out, scratch):
    (n, o), threads = out.shape, _limit()
    few = n * W.size <= _FEW or (n == 1 and W.size <= _ALONE)
    if few:
        parts = 1
    n_products = parts if 1 < parts and parts * n * o <= min(_PARTIAL, len(scratch)) else 0
    skip = not few and n_products * n * o + parts * NUMBERS <= len(scratch) and mostly_zeros(x, o)
    spread(_multiply, parts, (x, W, scale, skip, n_products, scratch, out))
    spread(_add, parts if n * o > LITTLE else 1, (scratch, n_products, b, rectify, out))
    _restore(threads)


@part
def _rectify_and_sum(p, parts, dy, y, rectify, sums):
    """dz = dy [y > 0] if `rectify`, in the place of dy;  sums_p = sum of dz over the rows of part p."""
    n, own, zero, one = len(dy), sums[p], dy.dtype.type(0), dy.dtype.type(1)
    own[:] = zero
    for i in range(n * p // parts, n * (p + 1) // parts):
        dz, f = dy[i], y[i]
        if rectify:
            for j in range(len(own)):
                dz[j] *= one if f[j] > zero else zero  # a select, not a branch, and so it vectorizes
        for j in range(len(own)):
            own[j] += dz[j]


@part
def _multiply_back(p, parts, x, W, scale, skip_x, skip_dy, dy, dW, dx, scratch):
    """Make part p of dW = s x^T dy and, unless it is empty, of dx = s dy W^T, without the zeros of x and dy if told so."""
    (n, o), wide, size = dy.shape, len(W), dy.itemsize
    z, spare = dy.ctypes.data, scratch.ctypes.data + size * p * NUMBERS
    first, last = wide * p // parts, wide * (p + 1) // parts
    some, target = x.ctypes.data + size * first, dW.ctypes.data + size * first * o
    if first < last and skip_x:
        multiply(dW, some, wide, True, z, o, False, n, scale, target, o, last - first, o, spare)
    elif first < last:
        _gemm(dW, _TRANSPOSED, _AS_IS, last - first, o, n, scale, some, wide, z, o, target, o)
    top, bottom, left, right = _tile(len(dx), wide, parts, p)
    rows, columns = bottom - top, right - left
    z, terms, target = z + size * top * o, W.ctypes.data + size * left * o, dx.ctypes.data + size * (top * wide + left)
    if rows > 0 and columns > 0 and skip_dy:
        multiply(dx, z, o, False, terms, o, True, o, scale, target, wide, rows, columns, spare)
    elif rows > 0 and columns > 0:
        _gemm(dx, _AS_IS, _TRANSPOSED, rows, columns, o, scale, z, o, terms, o, target, wide)


@kernel
def affine_backward(parts, x, y, W, scale, rectify, dy, dW, db, dx, scratch):
    threads = _limit()
    few = len(dy) * W.size <= _FEW
    if few:
        parts = 1
    strips = parts if dy.size > LITTLE and parts * len(db) <= len(scratch) else 1
    sums = (db if strips == 1 else scratch[: strips * len(db)]).reshape((strips, len(db)))
    spread(_rectify_and_sum, strips, (dy, y, rectify, sums))
    if strips > 1:
        total(sums, db)
    may_skip = not few and parts * NUMBERS <= len(scratch)
    skip_x = may_skip and mostly_zeros(x, len(db))
    skip_dy = may_skip and len(dx) > 0 and mostly_zeros(dy, dx.shape[1])
    spread(_multiply_back, parts, (x, W, scale, skip_x, skip_dy, dy, dW, dx, scratch))
    _restore(threads)
