"""Layers without a product: dropout and normalizations."""

import numpy as np
from numba import njit, prange

from numlp.kernels.fused.compiled import CAREFUL, kernel, total


@njit(nogil=True)
def _mix(h):
    """Return the finalizer of MurmurHash3 (every operation is cut to 32 bits: Numba widens it to 64)."""
    u = np.uint32
    h = u(u(h ^ (h >> u(16))) * u(0x85EBCA6B))
    h = u(u(h ^ (h >> u(13))) * u(0xC2B2AE35))
    return u(h ^ (h >> u(16)))


@njit(nogil=True)
def _hash(first, i, low, high):
    """Return h of the place first + i."""
    u = np.uint32
    return _mix(u(_mix(u(u(first) + u(i) + low)) + high))


@kernel
def random_mask(parts, key, rate, value, mask):
    flat, kept, none = mask.reshape(-1), mask.dtype.type(value), mask.dtype.type(0)
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    threshold, n = np.uint32(int(rate * 2**32)), flat.size
    for p in prange(parts):
        first, last = n * p // parts, n * (p + 1) // parts
        m = flat[first:last]
        for i in range(len(m)):
            m[i] = kept if _hash(first, i, low, high) >= threshold else none


@kernel
def dropout(parts, x, key, rate, mask, out):
    kept, none = mask.dtype.type(1 / (1 - rate)), mask.dtype.type(0)
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    threshold, n = np.uint32(int(rate * 2**32)), mask.size
    for p in prange(parts):
        first, last = n * p // parts, n * (p + 1) // parts
        m, z, y = mask.reshape(-1)[first:last], x.reshape(-1)[first:last], out.reshape(-1)[first:last]
        for i in range(len(m)):
            m[i] = kept if _hash(first, i, low, high) >= threshold else none
            y[i] = z[i] * m[i]


@kernel
def dropout_backward(parts, dy, mask):
    n = mask.size
    for p in prange(parts):
        first, last = n * p // parts, n * (p + 1) // parts
        d, m = dy.reshape(-1)[first:last], mask.reshape(-1)[first:last]
        for i in range(len(d)):
            d[i] *= m[i]


# A batch norm is split by columns: a part then knows its means, and the product that follows takes the same columns.


@njit(nogil=True, error_model="numpy", fastmath=CAREFUL)
def _normalize(x, gamma, beta, epsilon, x_hat, out, mean, variance, inverse, first, last):
    share, e, one = x.dtype.type(1 / len(x)), x.dtype.type(epsilon), x.dtype.type(1)
    for j in range(first, last):
        mean[j] = variance[j] = 0
    for i in range(len(x)):
        for j in range(first, last):
            mean[j] += x[i, j]
    for j in range(first, last):
        mean[j] *= share
    for i in range(len(x)):
        for j in range(first, last):
            x_hat[i, j] = x[i, j] - mean[j]
            variance[j] += x_hat[i, j] * x_hat[i, j]
    for j in range(first, last):
        variance[j] *= share
        inverse[j] = one / np.sqrt(variance[j] + e)
    for i in range(len(x)):
        for j in range(first, last):
            x_hat[i, j] *= inverse[j]
            out[i, j] = x_hat[i, j] * gamma[j] + beta[j]


@kernel
def batch_norm(parts, x, gamma, beta, epsilon, x_hat, out):
    o, mean, variance, inverse = len(gamma), np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    for p in prange(parts):
        first, last = o * p // parts, o * (p + 1) // parts
        _normalize(x, gamma, beta, epsilon, x_hat, out, mean, variance, inverse, first, last)
    return mean, variance, inverse


@njit(nogil=True, fastmath=CAREFUL)
def _normalize_backward(dy, x_hat, gamma, inverse, dgamma, dbeta, need_dx, first, last):
    share = dy.dtype.type(1 / len(dy))
    for j in range(first, last):
        dgamma[j] = dbeta[j] = 0
    for i in range(len(dy)):
        for j in range(first, last):
            dbeta[j] += dy[i, j]
            dgamma[j] += dy[i, j] * x_hat[i, j]
    if need_dx:
        for i in range(len(dy)):
            for j in range(first, last):
                d = dy[i, j] - dbeta[j] * share - x_hat[i, j] * (dgamma[j] * share)
                dy[i, j] = gamma[j] * inverse[j] * d


@kernel
def batch_norm_backward(parts, dy, x_hat, gamma, inverse, dgamma, dbeta, need_dx):
    o = len(gamma)
    for p in prange(parts):
        first, last = o * p // parts, o * (p + 1) // parts
        _normalize_backward(dy, x_hat, gamma, inverse, dgamma, dbeta, need_dx, first, last)


@kernel
def layer_norm(parts, x, gamma, beta, epsilon, x_hat, out):
    n, o = x.shape
    share, e, one = x.dtype.type(1 / o), x.dtype.type(epsilon), x.dtype.type(1)
    inverse = np.empty((n, 1), x.dtype)
    for p in prange(parts):
        for i in range(n * p // parts, n * (p + 1) // parts):
            row, hat, y = x[i], x_hat[i], out[i]
            mean, square = x.dtype.type(0), x.dtype.type(0)
            for j in range(o):
                mean += row[j]
            mean *= share
            for j in range(o):
                hat[j] = row[j] - mean
                square += hat[j] * hat[j]
            inverse[i, 0] = one / np.sqrt(square * share + e)
            for j in range(o):
                hat[j] *= inverse[i, 0]
                y[j] = hat[j] * gamma[j] + beta[j]
    return inverse


@kernel
def layer_norm_backward(parts, dy, x_hat, gamma, inverse, dgamma, dbeta, need_dx):
    n, o = dy.shape
    share = dy.dtype.type(1 / o)
    sums, products = np.zeros((parts, o), dy.dtype), np.zeros((parts, o), dy.dtype)
    for p in prange(parts):
        own, along = sums[p], products[p]
        for i in range(n * p // parts, n * (p + 1) // parts):
            d, hat = dy[i], x_hat[i]
            plain, inner = dy.dtype.type(0), dy.dtype.type(0)
            for j in range(o):
                own[j] += d[j]
                along[j] += d[j] * hat[j]
                d[j] *= gamma[j]
                plain += d[j]
                inner += d[j] * hat[j]
            for j in range(o):
                d[j] = inverse[i, 0] * (d[j] - plain * share - hat[j] * inner * share)
    total(sums, dbeta)
    total(products, dgamma)
