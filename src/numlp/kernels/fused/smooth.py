"""Functions of one number: activations with an exponential, waves, and tables between whose numbers lie straight lines."""

import math

import numpy as np
from numba import types
from numba.extending import overload

from numlp.kernels.fused.compiled import CAREFUL, kernel, part, total
from numlp.kernels.fused.rows import _exp
from numlp.kernels.fused.threads import spread
from numlp.kernels.smooth import MISH_FLAT, SELU_ALPHA, SELU_SCALE

_TURN = 2 * math.pi
_SINE = [(-1) ** k * _TURN ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(6)]  # Taylor: 6e-8 for a quarter turn
_S0, _S1, _S2, _S3, _S4, _S5 = (np.float32(value) for value in _SINE)


@part
def _selu(p, parts, z, out):
    n, t = len(z), out.dtype.type
    scale, below, zero, one = t(SELU_SCALE), t(SELU_SCALE * SELU_ALPHA), t(0), t(1)
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(z.shape[1]):
            x = z[i, j]
            out[i, j] = scale * x if x > zero else below * (_exp(x if x <= zero else x + zero) - one)


@kernel
def selu(parts, z, out):
    spread(_selu, parts, (z, out))


@part
def _selu_backward(p, parts, dy, y, out):
    n, t = len(y), out.dtype.type
    scale, below, zero = t(SELU_SCALE), t(SELU_SCALE * SELU_ALPHA), t(0)
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(y.shape[1]):
            out[i, j] = dy[i, j] * (scale if y[i, j] > zero else y[i, j] + below)


@kernel
def selu_backward(parts, dy, y, out):
    spread(_selu_backward, parts, (dy, y, out))


@part
def _mish(p, parts, z, out):
    n, flat, two = len(z), out.dtype.type(MISH_FLAT), out.dtype.type(2)
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(z.shape[1]):
            x = z[i, j]
            u = _exp(flat if x > flat else x)
            k = u * (u + two)
            out[i, j] = x * (k / (k + two))


@kernel(flags=CAREFUL)  # in another order, x k would overflow
def mish(parts, z, out):
    spread(_mish, parts, (z, out))


@part
def _mish_backward(p, parts, dy, z, out):
    n, t = len(z), out.dtype.type
    flat, one, two, four = t(MISH_FLAT), t(1), t(2), t(4)
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(z.shape[1]):
            m = flat if z[i, j] > flat else z[i, j]
            u = _exp(m)
            k = u * (u + two)
            r = one / (k + two)
            out[i, j] = dy[i, j] * ((k + m * (four * u * (u + one) * r)) * r)


@kernel(flags=CAREFUL)
def mish_backward(parts, dy, z, out):
    spread(_mish_backward, parts, (dy, z, out))


@part
def _blend(p, parts, x, fx, alpha, out):
    n, o = x.shape
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(o):
            out[i, j] = x[i, j] + alpha[j] * (fx[i, j] - x[i, j])


@kernel
def blend(parts, x, fx, alpha, out):
    spread(_blend, parts, (x, fx, alpha, out))


@part
def _blend_backward(p, parts, dy, x, fx, alpha, through, sums):
    (n, o), own, one = x.shape, sums[p], x.dtype.type(1)
    own[:] = 0
    for i in range(n * p // parts, n * (p + 1) // parts):
        for j in range(o):
            d = dy[i, j]
            own[j] += d * (fx[i, j] - x[i, j])
            through[i, j] = d * alpha[j]
            dy[i, j] = d * (one - alpha[j])


@kernel(allocates=True)
def blend_backward(parts, dy, x, fx, alpha, through, dalpha):
    sums = np.empty((parts, x.shape[1]), x.dtype)
    spread(_blend_backward, parts, (dy, x, fx, alpha, through, sums))
    total(sums, dalpha)


# Sine and cosine of turns, |t| <= 1/2, by one polynomial for a quarter turn to either side.


def _sine(t):
    """Return sin(2 pi t)."""


def _cosine(t):
    """Return cos(2 pi t)."""


@part(flags=CAREFUL)
def _quarter32(s):
    q = s * s
    return s * (_S0 + q * (_S1 + q * (_S2 + q * (_S3 + q * (_S4 + q * _S5)))))


@part(flags=CAREFUL)
def _sine32(t):
    f = np.float32
    far = f(0.5) - t if t > f(0) else f(-0.5) - t
    return _quarter32(far if abs(t) > f(0.25) else t)


@part(flags=CAREFUL)
def _cosine32(t):
    return _quarter32(np.float32(0.25) - abs(t))


@overload(_sine)
def _sine_of_dtype(t):
    return (lambda t: _sine32(t)) if t == types.float32 else (lambda t: math.sin(_TURN * t))


@overload(_cosine)
def _cosine_of_dtype(t):
    return (lambda t: _cosine32(t)) if t == types.float32 else (lambda t: math.cos(_TURN * t))


@part(flags=CAREFUL)
def _turns(x, w, b, out):
    """out = t - round t, t = w x + b / 2 pi."""
    share = w.dtype.type(1 / _TURN)
    for k in range(len(w)):
        t = w[k] * x + b[k] * share
        out[k] = t - np.rint(t)


@part
def _waves(p, parts, x, w, b, V, c, turns, out):
    n, (n_waved, n_out), t = len(x), c.shape, turns[p]
    for row in range(n * p // parts, n * (p + 1) // parts):
        for i in range(n_waved):
            y = out[row, i * (n_out + 1) : (i + 1) * (n_out + 1)]
            _turns(x[row, i], w[i], b[i], t)
            for k in range(len(t)):
                t[k] = _cosine(t[k])
            for d in range(n_out):
                v, s = V[i, d], x.dtype.type(0)
                for k in range(len(t)):
                    s += v[k] * t[k]
                y[d] = s + c[i, d]
            y[n_out] = x[row, i]
        rest = out[row, n_waved * (n_out + 1) :]
        for j in range(len(rest)):
            rest[j] = x[row, n_waved + j]


@kernel(allocates=True)
def waves(parts, x, w, b, V, c, out):
    turns = np.empty((parts, w.shape[1]), x.dtype)
    spread(_waves, parts, (x, w, b, V, c, turns, out))


@part
def _wave_back(d, x, t, V, g, dw, db, dV, dc):
    """Add one number's part of dw, db, dV and dc, and write g; t becomes its cosine."""
    n_out, n_waves = V.shape
    g[:] = 0
    for o in range(n_out):
        v = V[o]
        for k in range(n_waves):
            g[k] += d[o] * v[k]
        dc[o] += d[o]
    for k in range(n_waves):
        g[k] *= -_sine(t[k])
        t[k] = _cosine(t[k])
        dw[k] += x * g[k]
        db[k] += g[k]
    for o in range(n_out):
        row = dV[o]
        for k in range(n_waves):
            row[k] += d[o] * t[k]


@part
def _waves_backward(p, parts, dy, x, w, b, V, dw, db, dV, dc, dx, turns, slopes):
    """Take a part of the columns: each sum over rows belongs to one part."""
    n, turn, zero = len(x), x.dtype.type(_TURN), x.dtype.type(0)
    (n_waved, n_out, n_waves), t, g = V.shape, turns[p], slopes[p]
    for i in range(n_waved * p // parts, n_waved * (p + 1) // parts):
        dw[i], db[i], dV[i], dc[i] = zero, zero, zero, zero
        for row in range(n):
            d = dy[row, i * (n_out + 1) : (i + 1) * (n_out + 1)]
            _turns(x[row, i], w[i], b[i], t)
            _wave_back(d, x[row, i] * turn, t, V[i], g, dw[i], db[i], dV[i], dc[i])
            if len(dx):
                s = zero
                for k in range(n_waves):
                    s += g[k] * w[i, k]
                dx[row, i] = turn * s + d[n_out]


@kernel(allocates=True)
def waves_backward(parts, dy, x, w, b, V, dw, db, dV, dc, dx):
    turns, slopes = np.empty((parts, w.shape[1]), x.dtype), np.empty((parts, w.shape[1]), x.dtype)
    spread(_waves_backward, parts, (dy, x, w, b, V, dw, db, dV, dc, dx, turns, slopes))
    n_waved, n_out = dc.shape
    for row in range(len(dx)):
        for j in range(n_waved, x.shape[1]):
            dx[row, j] = dy[row, j + n_waved * n_out]


@part(flags=CAREFUL)
def _place(x, knots):
    """Return k and the share s, before it is brought within [0, 1]."""
    k, above = 0, len(knots) - 1
    while above - k > 1:
        middle = (k + above) // 2
        if x < knots[middle]:
            above = middle
        else:  # NaN too, as in a sorted array
            k = middle
    return k, (x - knots[k]) / (knots[k + 1] - knots[k])


@part(flags=CAREFUL)
def _bounded(share, zero, one):
    """Return a share within [0, 1]; NaN stays."""
    return zero if share < zero else one if share > one else share


@part(flags=CAREFUL)
def _interpolate(p, parts, x, knots, starts, V, out):
    n, n_columns, n_out, zero, one = len(x), len(starts) - 1, V.shape[1], x.dtype.type(0), x.dtype.type(1)
    for row in range(n * p // parts, n * (p + 1) // parts):
        for i in range(n_columns):
            first, y = starts[i], out[row, i * (n_out + 1) : (i + 1) * (n_out + 1)]
            k, share = _place(x[row, i], knots[first : starts[i + 1]])
            share = _bounded(share, zero, one)
            for d in range(n_out):
                y[d] = V[first + k, d] + share * (V[first + k + 1, d] - V[first + k, d])
            y[n_out] = x[row, i]
        rest = out[row, n_columns * (n_out + 1) :]
        for j in range(len(rest)):
            rest[j] = x[row, n_columns + j]


@kernel
def interpolate(parts, x, knots, starts, V, out):
    spread(_interpolate, parts, (x, knots, starts, V, out))


@part(flags=CAREFUL)
def _interpolate_backward(p, parts, dy, x, knots, starts, V, dV, dx):
    """Take a part of the columns: each sum over rows belongs to one part."""
    n_columns, n_out, zero, one = len(starts) - 1, V.shape[1], x.dtype.type(0), x.dtype.type(1)
    for i in range(n_columns * p // parts, n_columns * (p + 1) // parts):
        first, last = starts[i], starts[i + 1]
        dV[first:last] = zero
        for row in range(len(x)):
            d = dy[row, i * (n_out + 1) : (i + 1) * (n_out + 1)]
            k, share = _place(x[row, i], knots[first:last])
            within = _bounded(share, zero, one)
            for o in range(n_out):
                dV[first + k, o] += d[o] - within * d[o]
                dV[first + k + 1, o] += within * d[o]
            if len(dx):
                rise = zero
                for o in range(n_out):
                    rise += d[o] * (V[first + k + 1, o] - V[first + k, o])
                gap = knots[first + k + 1] - knots[first + k]
                dx[row, i] = rise / (gap if zero <= share < one else x.dtype.type(np.inf)) + d[n_out]


@kernel
def interpolate_backward(parts, dy, x, knots, starts, V, dV, dx):
    spread(_interpolate_backward, parts, (dy, x, knots, starts, V, dV, dx))
    n_columns, n_out = len(starts) - 1, V.shape[1]
    for row in range(len(dx)):
        for j in range(n_columns, x.shape[1]):
            dx[row, j] = dy[row, j + n_columns * n_out]
