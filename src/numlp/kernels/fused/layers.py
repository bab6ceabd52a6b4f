"""Layers without a product: dropout and normalizations."""

import numpy as np

from numlp.kernels.fused.compiled import CAREFUL, kernel, part, total
from numlp.kernels.fused.threads import spread


@part(flags=CAREFUL)
def _scale(values, factor):
    """values *= factor."""
    for j in range(len(values)):
        values[j] *= values.dtype.type(factor)


@part(flags=CAREFUL)
def _inverse_root(values, epsilon, out):
    """out = 1 / sqrt(values + e)."""
    for j in range(len(values)):
        out[j] = values.dtype.type(1) / np.sqrt(values[j] + values.dtype.type(epsilon))


@part
def _mix(h):
    """Return the finalizer of MurmurHash3 (every operation is cut to 32 bits: Numba widens it to 64)."""
    u = np.uint32
    h = u(u(h ^ (h >> u(16))) * u(0x85EBCA6B))
    h = u(u(h ^ (h >> u(13))) * u(0xC2B2AE35))
    return u(h ^ (h >> u(16)))


@part
def _hash(first, i, low, high):
    """Return h of the place first + i."""
    u = np.uint32
    return _mix(u(_mix(u(u(first) + u(i) + low)) + high))


@part
def _random_mask(p, parts, key, rate, value, mask):
    flat, kept, none = mask.reshape(-1), mask.dtype.type(value), mask.dtype.type(0)
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    threshold, n = np.uint32(int(rate * 2**32)), flat.size
    first, last = n * p // parts, n * (p + 1) // parts
    m = flat[first:last]
    for i in range(len(m)):
        m[i] = kept if _hash(first, i, low, high) >= threshold else none


@kernel
def random_mask(parts, key, rate, value, mask):
    spread(_random_mask, parts, (key, rate, value, mask))


@part
def _dropout(p, parts, x, key, rate, mask, out):
    kept, none = mask.dtype.type(1 / (1 - rate)), mask.dtype.type(0)
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    threshold, (n, o) = np.uint32(int(rate * 2**32)), mask.shape
    for i in range(n * p // parts, n * (p + 1) // parts):
        m, z, y = mask[i], x[i], out[i]
        for j in range(len(m)):
            m[j] = kept if _hash(i * o, j, low, high) >= threshold else none
            y[j] = z[j] * m[j]


@kernel
def dropout(parts, x, key, rate, mask, out):
    spread(_dropout, parts, (x, key, rate, mask, out))


@part
def _dropout_backward(p, parts, dy, mask):
    n = len(mask)
    for i in range(n * p // parts, n * (p + 1) // parts):
        d, m = dy[i], mask[i]
        for j in range(len(d)):
            d[j] *= m[j]


@kernel
def dropout_backward(parts, dy, mask):
    spread(_dropout_backward, parts, (dy, mask))


@part
def _sum_rows(p, parts, x, sums):
    """sums_p = sum over the rows of part p."""
    own, n = sums[p], len(x)
    own[:] = 0
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(len(own)):
            own[j] += x[i, j]


@part
def _center(p, parts, x, mean, x_hat, sums):
    """x_hat = x - mean;  sums_p = sum x_hat^2."""
    own, n = sums[p], len(x)
    own[:] = 0
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(len(own)):
            x_hat[i, j] = x[i, j] - mean[j]
            own[j] += x_hat[i, j] * x_hat[i, j]


@part
def _normalize(p, parts, x_hat, inverse, gamma, beta, out):
    n = len(x_hat)
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(len(gamma)):
            x_hat[i, j] *= inverse[j]
            out[i, j] = x_hat[i, j] * gamma[j] + beta[j]


@kernel(allocates=True)
def batch_norm(parts, x, gamma, beta, epsilon, x_hat, out):
    n, sums = len(x), np.empty((parts, x.shape[1]), x.dtype)
    mean, variance, inverse = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    spread(_sum_rows, parts, (x, sums))
    total(sums, mean)
    _scale(mean, 1 / n)
    spread(_center, parts, (x, mean, x_hat, sums))
    total(sums, variance)
    _scale(variance, 1 / n)
    _inverse_root(variance, epsilon, inverse)
    spread(_normalize, parts, (x_hat, inverse, gamma, beta, out))
    return mean, variance, inverse


@part
def _sum_products(p, parts, dy, x_hat, sums, products):
    own, along, n = sums[p], products[p], len(dy)
    own[:], along[:] = 0, 0
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(len(own)):
            own[j] += dy[i, j]
            along[j] += dy[i, j] * x_hat[i, j]


@part
def _batch_norm_dx(p, parts, dy, x_hat, gamma, inverse, dgamma, dbeta):
    n, share = len(dy), dy.dtype.type(1 / len(dy))
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(len(gamma)):
            d = dy[i, j] - dbeta[j] * share - x_hat[i, j] * (dgamma[j] * share)
            dy[i, j] = gamma[j] * inverse[j] * d


@kernel(allocates=True)
def batch_norm_backward(parts, dy, x_hat, gamma, inverse, dgamma, dbeta, need_dx):
    sums, products = np.empty((parts, len(gamma)), dy.dtype), np.empty((parts, len(gamma)), dy.dtype)
    spread(_sum_products, parts, (dy, x_hat, sums, products))
    total(sums, dbeta)
    total(products, dgamma)
    if need_dx:
        spread(_batch_norm_dx, parts, (dy, x_hat, gamma, inverse, dgamma, dbeta))


@part
def _layer_norm(p, parts, x, gamma, beta, epsilon, x_hat, inverse, out):
    n, o = x.shape
    share, e, one = x.dtype.type(1 / o), x.dtype.type(epsilon), x.dtype.type(1)
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


@kernel(allocates=True)
def layer_norm(parts, x, gamma, beta, epsilon, x_hat, out):
    inverse = np.empty((len(x), 1), x.dtype)
    spread(_layer_norm, parts, (x, gamma, beta, epsilon, x_hat, inverse, out))
    return inverse


@part
def _layer_norm_backward(p, parts, dy, x_hat, gamma, inverse, sums, products):
    n, o = dy.shape
    share = dy.dtype.type(1 / o)
    own, along = sums[p], products[p]
    own[:], along[:] = 0, 0
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


@kernel(allocates=True)
def layer_norm_backward(parts, dy, x_hat, gamma, inverse, dgamma, dbeta, need_dx):
    sums, products = np.empty((parts, len(gamma)), dy.dtype), np.empty((parts, len(gamma)), dy.dtype)
    spread(_layer_norm_backward, parts, (dy, x_hat, gamma, inverse, sums, products))
    total(sums, dbeta)
    total(products, dgamma)
