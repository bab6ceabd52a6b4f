"""Steps of optimizers over flat arrays."""

import math

import numpy as np
from numba import njit, prange

from numlp.kernels.fused.compiled import FLAGS, kernel

_ALONE = 2**14  # numbers that one core has read before another one is awake


@kernel
def sgd(parts, params, grads, learning_rate, scratch):
    n, rate = params.size, params.dtype.type(learning_rate)
    for p in prange(parts):
        first, last = n * p // parts, n * (p + 1) // parts
        w, g = params[first:last], grads[first:last]
        for i in range(len(w)):
            w[i] -= rate * g[i]


@kernel
def sgd_momentum(parts, params, grads, velocity, learning_rate, momentum, nesterov, scratch):
    n, rate, mu = params.size, params.dtype.type(learning_rate), params.dtype.type(momentum)
    for p in prange(parts):
        first, last = n * p // parts, n * (p + 1) // parts
        w, g, v = params[first:last], grads[first:last], velocity[first:last]
        if nesterov:
            for i in range(len(w)):
                v[i] = mu * v[i] + g[i]
                w[i] -= rate * (g[i] + mu * v[i])
        else:
            for i in range(len(w)):
                v[i] = mu * v[i] + g[i]
                w[i] -= rate * v[i]


@kernel
def adam(parts, params, grads, m, v, step, learning_rate, beta1, beta2, epsilon, scratch):
    n, t = params.size, params.dtype.type
    rate, root = t(learning_rate / (1 - beta1**step)), t(1 / math.sqrt(1 - beta2**step))
    keep1, keep2, e = t(1 - beta1), t(1 - beta2), t(epsilon)
    for p in prange(parts):
        first, last = n * p // parts, n * (p + 1) // parts
        w, g, mean, square = params[first:last], grads[first:last], m[first:last], v[first:last]
        for i in range(len(w)):
            mean[i] += keep1 * (g[i] - mean[i])
            square[i] += keep2 * (g[i] * g[i] - square[i])
            w[i] -= rate * mean[i] / (np.sqrt(square[i]) * root + e)


@kernel
def shrink(parts, params, factor):
    n, by = params.size, params.dtype.type(factor)
    for p in prange(parts):
        w = params[n * p // parts : n * (p + 1) // parts]
        for i in range(len(w)):
            w[i] *= by


@kernel
def add_decay(parts, grads, params, l2):
    n, by = params.size, params.dtype.type(l2)
    for p in prange(parts):
        first, last = n * p // parts, n * (p + 1) // parts
        w, g = params[first:last], grads[first:last]
        for i in range(len(w)):
            g[i] += by * w[i]


@njit(nogil=True, fastmath=FLAGS)
def _squares(values):
    total = values.dtype.type(0)
    for i in range(len(values)):
        total += values[i] * values[i]
    return float(total)


@kernel
def sum_of_squares(parts, values):
    n = values.size
    if n <= _ALONE:
        return _squares(values)
    sums = np.zeros(parts)
    for p in prange(parts):
        sums[p] = _squares(values[n * p // parts : n * (p + 1) // parts])
    total = 0.0
    for p in range(parts):
        total += sums[p]
    return total


@kernel(parallel=False)
def all_finite(parts, values):
    total = values.dtype.type(0)
    for i in range(len(values)):
        total += values[i] * values.dtype.type(0)  # NaN and infinity leave NaN
    return total == 0
