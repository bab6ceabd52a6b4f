"""Loops over the rows of a batch: picking them, activations, the loss."""

import math

import numpy as np
from numba import types
from numba.extending import overload

from numlp.kernels.fused.compiled import CAREFUL, LITTLE, kernel, part
from numlp.kernels.fused.threads import spread


@part
def _relu(p, parts, z, out):
    n, zero = len(z), out.dtype.type(0)
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(z.shape[1]):
            out[i, j] = zero if z[i, j] < zero else z[i, j]


@kernel
def relu(parts, z, out):
    spread(_relu, parts, (z, out))


@part
def _relu_backward(p, parts, dy, y, out):
    n, zero, one = len(y), out.dtype.type(0), out.dtype.type(1)
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(y.shape[1]):
            out[i, j] = dy[i, j] * (one if y[i, j] > zero else zero)


@kernel
def relu_backward(parts, dy, y, out):
    spread(_relu_backward, parts, (dy, y, out))


@kernel
def gather(parts, x, rows, out):
    for i in range(len(rows)):
        row = x[rows[i]]
        for j in range(len(row)):
            out[i, j] = row[j]


@part
def _pixels(p, parts, x, out):
    """Divide the columns of part p: where rows are few, a product splits the columns too."""
    (n, o), unit = x.shape, out.dtype.type(1 / 255)
    first, last = o * p // parts, o * (p + 1) // parts
    for i in range(n):
        a, b = x[i, first:last], out[i, first:last]
        for j in range(len(a)):
            b[j] = a[j] * unit


@kernel
def pixels(parts, x, out):
    spread(_pixels, parts, (x, out))


@kernel
def hits(parts, y, labels):
    right = 0
    for i in range(len(y)):
        best = 0
        for j in range(y.shape[1]):
            if y[i, j] > y[i, best]:
                best = j
            if y[i, j] != y[i, j]:  # NaN is the largest, as in argmax
                best = j
                break
        right += best == labels[i]
    return right


@kernel
def one_hot(parts, labels, smoothing, out):
    n, c = out.shape
    other, right = out.dtype.type(smoothing / c), out.dtype.type(1 - smoothing + smoothing / c)
    for i in range(n):
        if not 0 <= labels[i] < c:
            return False
        for j in range(c):
            out[i, j] = other
        out[i, labels[i]] = right
    return True


@part(flags=CAREFUL)  # in another order, the last bits of r would be lost
def _exp32(x):
    """exp x = 2^n exp r, x = n log 2 + r, by a polynomial in r (Moshier, Cephes), for x <= 88; 0 below -87.3."""
    f = np.float32
    n = np.rint(x * f(1.44269504))
    r = (x - n * f(0.693359375)) + n * f(2.12194440e-4)  # log 2 in two parts
    p = f(1.9875691500e-4)
    p = p * r + f(1.3981999507e-3)
    p = p * r + f(8.3334519073e-3)
    p = p * r + f(4.1665795894e-2)
    p = p * r + f(1.6666665459e-1)
    p = p * r + f(5.0000001201e-1)
    p = p * r * r + r + f(1)
    power = np.int32((np.int32(n) + 127) << 23).view(np.float32)
    return f(0) if x < f(-87.3) else p * power


def _exp(x):
    """E to the power of x."""


@overload(_exp)
def _exp_of_dtype(x):
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: math.exp(x))


@kernel
def softmax_cross_entropy(parts, z, q, losses, dz):
    n, c = z.shape
    for i in range(n):
        m = z[i, 0]
        for j in range(1, c):
            m = z[i, j] if z[i, j] > m else m
        expected = z.dtype.type(0)
        for j in range(c):
            dz[i, j] = z[i, j] - m
            expected += q[i, j] * dz[i, j]
        losses[i] = expected
    flat = dz.reshape(-1)  # all at once: a row of ten is too short to vectorize
    for i in range(len(flat)):
        flat[i] = _exp(flat[i])
    for i in range(n):
        total = z.dtype.type(0)
        for j in range(c):
            total += dz[i, j]
        losses[i] = math.log(total) - losses[i]
        for j in range(c):
            dz[i, j] = dz[i, j] / total - q[i, j]


@part
def _squared_error(p, parts, y, target, losses, dy):
    (n, c), half = y.shape, y.dtype.type(0.5)
    for i in range(n * p // parts, n * (p + 1) // parts):
        total = y.dtype.type(0)
        for j in range(c):
            dy[i, j] = y[i, j] - target[i, j]
            total += dy[i, j] * dy[i, j]
        losses[i] = half * total


@kernel
def squared_error(parts, y, target, losses, dy):
    spread(_squared_error, parts if y.size > LITTLE else 1, (y, target, losses, dy))


@kernel
def mean_loss(parts, losses, dy):
    n, divisor, total = len(losses), dy.dtype.type(len(losses)), 0.0
    for i in range(n):
        total += losses[i]
    for i in range(len(dy)):
        dy[i] /= divisor
    return total / n
