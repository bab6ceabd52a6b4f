"""The products of a dense layer, and the loops that belong to them."""

from typing import Any

import llvmlite.binding
import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from numlp.kernels.fused.compiled import CAREFUL, FLAGS, kernel, total
from numlp.kernels.fused.products import find_products
from numlp.kernels.fused.zeros import NUMBERS, mostly_zeros, multiply, pitch

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


def _gemm(t_a, t_b, m, n, k, alpha, a, wide_a, b, wide_b, out, wide_out):
    """Write alpha op(a) op(b), m x n with k terms each; a, b and out begin at their first number."""


@overload(_gemm)
def _gemm_of_dtype(t_a, t_b, m, n, k, alpha, a, wide_a, b, wide_b, out, wide_out):
    gemm, number = (_sgemm, np.float32) if out.dtype == types.float32 else (_dgemm, np.float64)

    def call(t_a, t_b, m, n, k, alpha, a, wide_a, b, wide_b, out, wide_out):
        gemm(
            _ROW_MAJOR, t_a, t_b, m, n, k, number(alpha), a.ctypes.data, wide_a, b.ctypes.data, wide_b, number(0),
            out.ctypes.data, wide_out,
        )  # fmt: skip

    return call


# Around them: the BLAS works on one thread, whatever number it has otherwise, because the parts are on all of them.


@njit(nogil=True)
def _limit():
    """Let the BLAS use one thread, and return how many it had."""
    before = _get_threads(1)
    if before > 1:
        _set_threads(1)
    return before


@njit(nogil=True)
def _restore(before):
    if before > 1:  # else another Python thread is inside too, and that one restores
        _set_threads(before)


# How a product is split. By inputs: part p multiplies its columns of x with its rows of W, the same rows whose gradient it
# makes and whose step it takes, so that they never leave the cache of its core. The partial products must then be added, and
# where `scratch` is too small for them it is better to split the rows of x or the columns of W.


@njit(nogil=True)
def _tile(n, o, parts, p):
    """Return (first row, last row, first column, last column) of part p: of the longer side, so that less is packed."""
    if n > o:
        return n * p // parts, n * (p + 1) // parts, 0, o
    return 0, n, o * p // parts, o * (p + 1) // parts


@njit(nogil=True, fastmath=FLAGS)
def _one_row(x, W, scale, out):
    """out = scale x W, without packing W, which would take longer than the product, or reading what a zero multiplies."""
    out[:] = 0
    for i in range(len(x)):
        z = x[i] * out.dtype.type(scale)
        if z != 0:
            for j in range(len(out)):
                out[j] += z * W[i, j]


@njit(nogil=True, fastmath=CAREFUL)
def _add(partial, b, rectify, first, last, out):
    """Add the partial products, if any, and b to the rows of out, in order, and rectify."""
    zero = out.dtype.type(0)
    for i in range(first, last):
        y = out[i]
        for p in range(len(partial)):
            if p == 0:
                for j in range(len(y)):
                    y[j] = partial[0, i, j]
            else:
                for j in range(len(y)):
                    y[j] += partial[p, i, j]
        if rectify:
            for j in range(len(y)):
                z = y[j] + b[j]
                y[j] = zero if z < zero else z
        else:
            for j in range(len(y)):
                y[j] += b[j]


# what one core has done before another one is awake: weights read, products of numbers made
_ALONE, _FEW = 2**18, 2**16
_PARTIAL = 2**18  # numbers in all partial products, at most: more would not stay in the caches until they are added


@njit(nogil=True)
def _product(x, W, scale, skip, out, scratch):
    """out = s x W, where x, W and out are parts of larger arrays."""
    if skip:
        multiply(x, False, W, scale, out, scratch)
        return
    (n, i), o = x.shape, W.shape[1]
    _gemm(_AS_IS, _AS_IS, n, o, i, scale, x, pitch(x), W, pitch(W), out, pitch(out))


@kernel
def affine(parts, x, W, b, scale, rectify, out, scratch):
    (n, o), wide, threads = out.shape, len(W), _limit()
    if (n == 1 and W.size <= _ALONE) or n * W.size <= _FEW:
        if n == 1:
            _one_row(x[0], W, scale, out[0])
        else:
            _gemm(_AS_IS, _AS_IS, n, o, wide, scale, x, wide, W, o, out, o)
        _add(scratch[:0].reshape(0, n, o), b, rectify, 0, n, out)
        _restore(threads)
        return
    by_inputs = (1 < parts or n == 1) and parts * n * o <= min(_PARTIAL, len(scratch))
    n_products = parts if by_inputs else 0
    partial = scratch[: n_products * n * o].reshape(n_products, n, o)
    rest = scratch[partial.size :]
    room = len(rest) // parts
    skip = room >= NUMBERS and mostly_zeros(x, o)
    for p in prange(parts):
        first, last, target = 0, wide, out
        top, bottom, left, right = _tile(n, o, parts, p)
        if by_inputs:
            first, last, target = wide * p // parts, wide * (p + 1) // parts, partial[p]
            top, bottom, left, right = 0, n, 0, o
        if by_inputs and (n == 1 or first == last):
            _one_row(x[0, first:last], W[first:last], scale, partial[p].reshape(-1))
        elif top < bottom and left < right:
            _product(
                x[top:bottom, first:last], W[first:last, left:right], scale, skip, target[top:bottom, left:right],
                rest[room * p :],
            )  # fmt: skip
    for p in prange(parts):
        _add(partial, b, rectify, n * p // parts, n * (p + 1) // parts, out)
    _restore(threads)


@njit(nogil=True, fastmath=FLAGS)
def _rectify_and_sum(dy, y, rectify, out):
    """dz = dy [y > 0] if `rectify`, in the place of dy;  out = sum_n dz."""
    zero, one = dy.dtype.type(0), dy.dtype.type(1)
    out[:] = zero
    for i in range(len(dy)):
        dz, f = dy[i], y[i]
        if rectify:
            for j in range(len(out)):
                dz[j] *= one if f[j] > zero else zero  # a select, not a branch, and so it vectorizes
        for j in range(len(out)):
            out[j] += dz[j]


@kernel
def affine_backward(parts, x, y, W, scale, rectify, dy, dW, db, dx, scratch):
    (n, o), wide, threads = dy.shape, len(W), _limit()
    if n * W.size <= _FEW:
        _rectify_and_sum(dy, y, rectify, db)
        _gemm(_TRANSPOSED, _AS_IS, wide, o, n, scale, x, wide, dy, o, dW, o)
        if len(dx):
            _gemm(_AS_IS, _TRANSPOSED, n, wide, o, scale, dy, o, W, o, dx, wide)
        _restore(threads)
        return
    sums = np.empty((parts, o), dy.dtype)
    for p in prange(parts):
        _rectify_and_sum(dy[n * p // parts : n * (p + 1) // parts], y[n * p // parts :], rectify, sums[p])
    total(sums, db)
    room = len(scratch) // parts
    skip = room >= NUMBERS and mostly_zeros(x, o)
    for p in prange(parts):
        first, last = wide * p // parts, wide * (p + 1) // parts
        if first < last and skip:
            multiply(x[:, first:last], True, dy, scale, dW[first:last], scratch[room * p :])
        elif first < last:
            _gemm(_TRANSPOSED, _AS_IS, last - first, o, n, scale, x[:, first:], wide, dy, o, dW[first:], o)
        top, bottom, left, right = _tile(len(dx), wide, parts, p)
        if top < bottom and left < right:
            _gemm(_AS_IS, _TRANSPOSED, bottom - top, right - left, o, scale, dy[top:], o, W[left:], o, dx[top:, left:], wide)
    _restore(threads)
