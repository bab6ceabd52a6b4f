"""The specification of the functions of one number that networks for tables use at every step; a part of `reference`."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al. 2017, eq. 14: mean 0 and variance 1 are a fixed point
SELU_ALPHA = 1.6732632423543772848170429916717
MISH_FLAT = 20.0  # from here on mish z = z to the last bit of float64

BLOCK = 6_144  # numbers: two temporaries of this size stay in the first-level cache
_CURVED = 2_048  # of the curved functions, which have more temporaries


def blocks(shape: tuple[int, ...], size: int = BLOCK) -> Iterator[slice]:
    """Yield slices of `size` // O rows = about `size` numbers, so that a temporary stays small and in cache."""
    rows = max(1, size // shape[1])
    for start in range(0, shape[0], rows):
        yield slice(start, start + rows)


@np.errstate(under="ignore")
def selu(z: Array, out: Array) -> None:
    """y = s (max(z, 0) + a (exp(min(z, 0)) - 1)), s = 1.0507..., a = 1.6732... (Klambauer et al. 2017)."""
    for rows in blocks(z.shape, _CURVED):
        below = SELU_ALPHA * np.expm1(np.minimum(z[rows], 0))
        np.maximum(z[rows], 0, out=out[rows])
        out[rows] += below
        out[rows] *= SELU_SCALE


@np.errstate(under="ignore")
def selu_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = s dy if y > 0, else dy (y + s a)."""
    for rows in blocks(y.shape, _CURVED):
        slope = np.minimum(y[rows], 0) + SELU_SCALE * SELU_ALPHA
        slope -= (y[rows] > 0) * dy.dtype.type(SELU_SCALE * SELU_ALPHA - SELU_SCALE)
        np.multiply(dy[rows], slope, out=out[rows])


@np.errstate(under="ignore")
def mish(z: Array, out: Array) -> None:
    """y = z tanh(log(1 + exp z)) = z k / (k + 2), k = u^2 + 2 u, u = exp(min(z, 20)) (Misra 2019)."""
    for rows in blocks(z.shape, _CURVED):
        u = np.exp(np.minimum(z[rows], MISH_FLAT))
        k = u * (u + 2)
        np.multiply(z[rows], k / (k + 2), out=out[rows])


@np.errstate(under="ignore")
def mish_backward(dy: Array, z: Array, out: Array) -> None:
    """dz = dy (k / (k + 2) + m 4 u (u + 1) / (k + 2)^2), m = min(z, 20), u = exp m, k = u^2 + 2 u."""
    for rows in blocks(z.shape, _CURVED):
        m = np.minimum(z[rows], MISH_FLAT)
        u = np.exp(m)
        k = u * (u + 2)
        slope = (k + m * (4 * u * (u + 1) / (k + 2))) / (k + 2)
        np.multiply(dy[rows], slope, out=out[rows])


def blend(x: Array, fx: Array, alpha: Array, out: Array) -> None:
    """y = x + alpha (f(x) - x), column by column."""
    np.subtract(fx, x, out=out)
    out *= alpha
    out += x


def blend_backward(dy: Array, x: Array, fx: Array, alpha: Array, through: Array, dalpha: Array) -> None:
    """dalpha = sum_n dy (f(x) - x);  through = alpha dy, which goes on through f;  dy <- (1 - alpha) dy."""
    np.subtract(fx, x, out=through)
    np.einsum("no,no->o", dy, through, out=dalpha)
    np.multiply(dy, alpha, out=through)
    dy *= 1 - alpha


def waves(x: Array, w: Array, b: Array, V: Array, c: Array, out: Array) -> None:
    """t_nik = w_ik x_ni + b_ik / 2 pi;  y_nid = sum_k V_idk cos(2 pi t_nik) + c_id, and y_niD = x_ni.

    Whole turns are taken out of t first, which is exact. Columns of x behind the I waved ones pass, behind all the others.

    x (N, I + rest), w and b (I, K), V (I, D, K), c (I, D), y (N, I (D + 1) + rest).
    """
    n_waved, size = c.shape[0], c.shape[1] + 1
    for i in range(n_waved):
        for rows in blocks((len(x), w.shape[1]), _CURVED):
            y = out[rows, i * size : (i + 1) * size]
            y[:, :-1] = np.cos(_angles(x[rows, i], w[i], b[i])) @ V[i].T + c[i]
            y[:, -1] = x[rows, i]
    out[:, n_waved * size :] = x[:, n_waved:]


def _angles(x: Array, w: Array, b: Array) -> Array:
    """Return 2 pi (t - round t) of one column, (N, K)."""
    t = x[:, None] * w + b * b.dtype.type(0.5 / math.pi)
    t -= np.rint(t)
    t *= 2 * math.pi
    return t


def waves_backward(
    dy: Array, x: Array, w: Array, b: Array, V: Array, dw: Array, db: Array, dV: Array, dc: Array, dx: Array
) -> None:
    """g_nik = -sin(2 pi t_nik) sum_d dy_nid V_idk;  dw = 2 pi sum_n g x,  db = sum_n g,  dV = sum_n dy cos(2 pi t).

    dc = sum_n dy, and dx = 2 pi sum_k g w + dy_niD where it has rows; a dx of no rows is not wanted.
    """
    n_waved, size = V.shape[0], V.shape[1] + 1
    for array in (dw, db, dV, dc):
        array.fill(0)
    for i in range(n_waved):
        for rows in blocks((len(x), w.shape[1]), _CURVED):
            angles, d = _angles(x[rows, i], w[i], b[i]), dy[rows, i * size : (i + 1) * size]
            g = (d[:, :-1] @ V[i]) * -np.sin(angles)
            dw[i] += 2 * math.pi * (x[rows, i] @ g)
            db[i] += g.sum(axis=0)
            dV[i] += d[:, :-1].T @ np.cos(angles)
            dc[i] += d[:, :-1].sum(axis=0)
            if len(dx):
                dx[rows, i] = 2 * math.pi * (g @ w[i]) + d[:, -1]
    if len(dx):
        dx[:, n_waved:] = dy[:, n_waved * size :]


def interpolate(x: Array, knots: Array, starts: Array, V: Array, out: Array) -> None:
    """y_nid = V_kd + s (V_(k+1)d - V_kd),  s = (x_ni - q_k) / (q_(k+1) - q_k) within [0, 1], and y_niD = x_ni.

    q_k is the last knot of column i that is at most x, but never its last one. Columns of x behind the I with knots pass,
    behind all the others. The two or more knots of column i and their rows of V are `starts`[i] to `starts`[i + 1].

    x (N, I + rest), knots (M,), starts (I + 1,), V (M, D), y (N, I (D + 1) + rest).
    """
    size = V.shape[1] + 1
    for i, (first, last) in enumerate(pairwise(starts.tolist())):
        for rows in blocks((len(x), size), _CURVED):
            k, share, _ = _place(x[rows, i], knots[first:last])
            y = out[rows, i * size : (i + 1) * size]
            y[:, :-1] = V[first + k] + share * (V[first + k + 1] - V[first + k])
            y[:, -1] = x[rows, i]
    out[:, (len(starts) - 1) * size :] = x[:, len(starts) - 1 :]


def _place(x: Array, knots: Array) -> tuple[Array, Array, Array]:
    """Return k (N,), the share s (N, 1), and the distance of the knots around where x lies between knots, else infinity."""
    k = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    gap = knots[k + 1] - knots[k]
    share = (x - knots[k]) / gap
    within = np.where((share >= 0) & (share < 1), gap, gap.dtype.type(np.inf))
    return k, np.clip(share, 0, 1)[:, None], within


def interpolate_backward(dy: Array, x: Array, knots: Array, starts: Array, V: Array, dV: Array, dx: Array) -> None:
    """dV_jd = sum_n dy_nid ((1 - s) [k = j] + s [k + 1 = j]).

    dx = sum_d dy_nid (V_(k+1)d - V_kd) / (q_(k+1) - q_k) + dy_niD; outside the knots the sum is 0. A dx of no rows is not
    wanted.
    """
    size, n_columns = V.shape[1] + 1, len(starts) - 1
    dV.fill(0)
    for i, (first, last) in enumerate(pairwise(starts.tolist())):
        for rows in blocks((len(x), size), _CURVED):
            k, share, gap = _place(x[rows, i], knots[first:last])
            d = dy[rows, i * size : (i + 1) * size]
            above = share * d[:, :-1]
            np.add.at(dV, first + k, d[:, :-1] - above)
            np.add.at(dV, first + k + 1, above)
            if len(dx):
                rise = np.einsum("nd,nd->n", d[:, :-1], V[first + k + 1] - V[first + k])
                dx[rows, i] = rise / gap + d[:, -1]
    if len(dx):
        dx[:, n_columns:] = dy[:, n_columns * size :]
