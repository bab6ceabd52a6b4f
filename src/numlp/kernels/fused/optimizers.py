"""Steps of optimizers over flat arrays."""

import math

import numpy as np
from numba import njit

from numlp.kernels.fused.compiled import kernel, part, times_zero
from numlp.kernels.fused.threads import spread

_ALONE = 2**14  # numbers that one core has read before another one is awake


@part
def _add_times(p, parts, values, factor, out):
    """out += factor x values."""
    n = out.size
    first, last = n * p // parts, n * (p + 1) // parts
    x, y = values[first:last], out[first:last]
    for i in range(len(y)):
        y[i] += factor * x[i]


# Where a step passes over the parameters anyway, it also sums 0 w over each part, in `scratch`: NaN if a w is not finite.


@part
def _sums_are_zero(sums, parts):
    for p in range(parts):
        if sums[p] != 0:
            return False
    return True


@part
def _sgd(p, parts, params, grads, rate, sums):
    n, total, zero = params.size, params.dtype.type(0), params.dtype.type(0)
    first, last = n * p // parts, n * (p + 1) // parts
    w, g = params[first:last], grads[first:last]
    for i in range(len(w)):
        w[i] -= rate * g[i]
        total += zero * w[i]
    sums[p] = total


@kernel
def sgd(parts, params, grads, learning_rate, scratch):
    parts = min(parts, params.size)
    spread(_sgd, parts, (params, grads, params.dtype.type(learning_rate), scratch))
    return _sums_are_zero(scratch, parts)


@part
def _sgd_momentum(p, parts, params, grads, velocity, rate, mu, nesterov, sums):
    n, total, zero = params.size, params.dtype.type(0), params.dtype.type(0)
    first, last = n * p // parts, n * (p + 1) // parts
    w, g, v = params[first:last], grads[first:last], velocity[first:last]
    if nesterov:
        for i in range(len(w)):
            v[i] = mu * v[i] + g[i]
            w[i] -= rate * (g[i] + mu * v[i])
            total += zero * w[i]
    else:
        for i in range(len(w)):
            v[i] = mu * v[i] + g[i]
            w[i] -= rate * v[i]
            total += zero * w[i]
    sums[p] = total


@kernel
def sgd_momentum(parts, params, grads, velocity, learning_rate, momentum, nesterov, scratch):
    t, parts = params.dtype.type, min(parts, params.size)
    spread(_sgd_momentum, parts, (params, grads, velocity, t(learning_rate), t(momentum), nesterov, scratch))
    return _sums_are_zero(scratch, parts)


@part
def _adam(p, parts, params, grads, m, v, rate, root, keep1, keep2, e, sums):
    n, total, zero = params.size, params.dtype.type(0), params.dtype.type(0)
    first, last = n * p // parts, n * (p + 1) // parts
    w, g, mean, square = params[first:last], grads[first:last], m[first:last], v[first:last]
    for i in range(len(w)):
        mean[i] += keep1 * (g[i] - mean[i])
        square[i] += keep2 * (g[i] * g[i] - square[i])
        w[i] -= rate * mean[i] / (np.sqrt(square[i]) * root + e)
        total += zero * w[i]
    sums[p] = total


@kernel
def adam(parts, params, grads, m, v, step, learning_rate, beta1, beta2, epsilon, scratch):
    t, parts = params.dtype.type, min(parts, params.size)
    rate, root = t(learning_rate / (1 - beta1**step)), t(1 / math.sqrt(1 - beta2**step))
    spread(_adam, parts, (params, grads, m, v, rate, root, t(1 - beta1), t(1 - beta2), t(epsilon), scratch))
    return _sums_are_zero(scratch, parts)


@part
def _shrink(p, parts, params, by):
    n = params.size
    w = params[n * p // parts : n * (p + 1) // parts]
    for i in range(len(w)):
        w[i] *= by


@kernel
def shrink(parts, params, factor):
    spread(_shrink, parts, (params, params.dtype.type(factor)))


@kernel
def add_decay(parts, grads, params, l2):
    spread(_add_times, parts, (params, params.dtype.type(l2), grads))


@part
def _add_up(p, parts, values, square, sums):
    """sums_p = sum_i v_i^2 over part p, or sum_i 0 v_i."""
    n, total = values.size, values.dtype.type(0)
    own = values[n * p // parts : n * (p + 1) // parts]
    if square:
        for i in range(len(own)):
            total += own[i] * own[i]
    else:
        total = times_zero(own)
    sums[p] = total


@njit(nogil=True, inline="always")
def _sum(parts, values, square):
    if values.size <= _ALONE:
        parts = 1
    sums = np.empty(parts)
    spread(_add_up, parts, (values, square, sums))
    total = 0.0
    for p in range(parts):
        total += sums[p]
    return total


@kernel(allocates=True)
def sum_of_squares(parts, values):
    return _sum(parts, values, True)


@kernel(allocates=True)
def all_finite(parts, values):
    return _sum(parts, values, False) == 0
