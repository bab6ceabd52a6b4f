"""Activations by name: how to apply one, how to go back through it, how to draw weights before it.

The first five, selu and mish are kernels. The others are written here, block of rows by block of rows, so that a temporary
is never as large as a batch; where a number underflows, zero is what is meant.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.kernels import blocks

Array = NDArray[Any]

_BLOCK = 2_048  # numbers: up to seven temporaries of this size stay in the first-level cache

LEAK = 0.01
TANH_CUBIC = 0.044715  # Hendrycks, Gimpel 2016


class Activation(NamedTuple):
    """`apply(z, out)` writes y = f(z); `backward(dy, kept, out)` writes dz = dy * f'(z).

    `kept` is the output y, so that y may take the place of z; only where f'(z) cannot be told from y it is the input z, and
    `keeps_input` says so. Both may work in place (`backward` on dy). `initializer` names the weights that keep the variance
    of a signal through f. `pointwise` is False where an output depends on its whole row.
    """

    apply: Callable[[Array, Array], None]
    backward: Callable[[Array, Array, Array], None]
    initializer: str
    keeps_input: bool = False
    pointwise: bool = True


def _kernels(name: str) -> tuple[Callable[[Array, Array], None], Callable[[Array, Array, Array], None]]:
    """Return the kernels `name` and `name`_backward, looked up at each call: the table in use may change.

    No functions of their own, because these could not be pickled.
    """
    found = partial(_call, name), partial(_call, f"{name}_backward")
    for kernel in found:
        kernel.__doc__ = getattr(kernels, kernel.args[0]).__doc__
    return found


def _call(name: str, *arrays: Array) -> None:
    getattr(kernels, name)(*arrays)


def _leaky_relu(z: Array, out: Array) -> None:
    """y = max(z, 0) + min(z, 0) / 100 (Maas, Hannun, Ng 2013)."""
    for rows in blocks(z.shape, _BLOCK):
        np.maximum(z[rows], LEAK * z[rows], out=out[rows])


def _leaky_relu_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = dy if y > 0, else dy / 100."""
    for rows in blocks(y.shape, _BLOCK):
        slope = (y[rows] > 0).astype(dy.dtype)
        np.multiply(dy[rows], np.maximum(slope, LEAK), out=out[rows])


@np.errstate(under="ignore")
def _elu(z: Array, out: Array) -> None:
    """y = max(z, 0) + exp(min(z, 0)) - 1 (Clevert, Unterthiner, Hochreiter 2016; with alpha = 1 it is celu as well)."""
    for rows in blocks(z.shape, _BLOCK):
        below = np.expm1(np.minimum(z[rows], 0))
        np.maximum(z[rows], 0, out=out[rows])
        out[rows] += below


@np.errstate(under="ignore")
def _elu_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = dy (1 + min(y, 0)): left of zero exp z = y + 1."""
    for rows in blocks(y.shape, _BLOCK):
        np.multiply(dy[rows], 1 + np.minimum(y[rows], 0), out=out[rows])


@np.errstate(under="ignore")
def _gelu(z: Array, out: Array) -> None:
    """y = z P(z), P(z) = (1 + erf(z / sqrt 2)) / 2 (Hendrycks, Gimpel 2016)."""
    from scipy.special import erf

    for rows in blocks(z.shape, _BLOCK):
        share = erf(z[rows] * math.sqrt(0.5))
        share += 1
        share *= 0.5
        np.multiply(z[rows], share, out=out[rows])


@np.errstate(under="ignore")
def _gelu_backward(dy: Array, z: Array, out: Array) -> None:
    """dz = dy (P(z) + z exp(-z^2 / 2) / sqrt(2 pi))."""
    from scipy.special import erf

    for rows in blocks(z.shape, _BLOCK):
        slope = z[rows] * np.exp(-0.5 * z[rows] * z[rows]) / math.sqrt(2 * math.pi)
        slope += 0.5 * (1 + erf(z[rows] * math.sqrt(0.5)))
        np.multiply(dy[rows], slope, out=out[rows])


def _gelu_tanh(z: Array, out: Array) -> None:
    """y = z (1 + tanh u) / 2, u = sqrt(2 / pi) (z + 0.044715 z^3)."""
    for rows in blocks(z.shape, _BLOCK):
        t = np.tanh(math.sqrt(2 / math.pi) * z[rows] * (1 + TANH_CUBIC * z[rows] * z[rows]))
        np.multiply(z[rows], 0.5 * (1 + t), out=out[rows])


@np.errstate(under="ignore")
def _gelu_tanh_backward(dy: Array, z: Array, out: Array) -> None:
    """dz = dy ((1 + t) / 2 + z / 2 (1 - t^2) u'), t = tanh u, u' = sqrt(2 / pi) (1 + 3 * 0.044715 z^2)."""
    for rows in blocks(z.shape, _BLOCK):
        square = z[rows] * z[rows]
        t = np.tanh(math.sqrt(2 / math.pi) * z[rows] * (1 + TANH_CUBIC * square))
        slope = math.sqrt(2 / math.pi) * (1 + 3 * TANH_CUBIC * square)
        slope *= 0.5 * z[rows] * (1 - t * t)
        slope += 0.5 * (1 + t)
        np.multiply(dy[rows], slope, out=out[rows])


def _logistic(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2 of one block."""
    s = np.tanh(0.5 * z)
    s += 1
    s *= 0.5
    return s


def _log_one_plus_exp(z: Array) -> Array:
    """Return log(1 + exp z) = max(z, 0) + log(1 + exp(-|z|)) of one block; the second form cannot overflow."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


@np.errstate(under="ignore")
def _silu(z: Array, out: Array) -> None:
    """y = z s, s = 1 / (1 + exp(-z)) (Elfwing, Uchibe, Doya 2018)."""
    for rows in blocks(z.shape, _BLOCK):
        np.multiply(z[rows], _logistic(z[rows]), out=out[rows])


@np.errstate(under="ignore")
def _silu_backward(dy: Array, z: Array, out: Array) -> None:
    """dz = dy s (1 + z (1 - s))."""
    for rows in blocks(z.shape, _BLOCK):
        s = _logistic(z[rows])
        np.multiply(dy[rows], s * (1 + z[rows] * (1 - s)), out=out[rows])


@np.errstate(under="ignore")
def _softplus(z: Array, out: Array) -> None:
    """y = log(1 + exp z) (Dugas, Bengio, Bélisle, Nadeau, Garcia 2001)."""
    for rows in blocks(z.shape, _BLOCK):
        out[rows] = _log_one_plus_exp(z[rows])


@np.errstate(under="ignore")
def _softplus_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = dy (1 - exp(-y)), which is dy / (1 + exp(-z))."""
    for rows in blocks(y.shape, _BLOCK):
        np.multiply(dy[rows], -np.expm1(-y[rows]), out=out[rows])


def _hard_sigmoid(z: Array, out: Array) -> None:
    """y = min(max(z / 6 + 1/2, 0), 1) (Courbariaux, Bengio, David 2015; the slope 1/6 is Howard et al.'s of 2019)."""
    np.multiply(z, 1 / 6, out=out)
    out += 0.5
    np.clip(out, 0, 1, out=out)


def _hard_sigmoid_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = dy / 6 [0 < y < 1]."""
    for rows in blocks(y.shape, _BLOCK):
        np.multiply(dy[rows], ((y[rows] > 0) & (y[rows] < 1)) * dy.dtype.type(1 / 6), out=out[rows])


def _hard_swish(z: Array, out: Array) -> None:
    """y = z min(max(z / 6 + 1/2, 0), 1) (Howard et al. 2019)."""
    for rows in blocks(z.shape, _BLOCK):
        np.multiply(z[rows], np.clip(z[rows] / 6 + 0.5, 0, 1), out=out[rows])


def _hard_swish_backward(dy: Array, z: Array, out: Array) -> None:
    """dz = 0 if z < -3, dy if z > 3, else dy (z / 3 + 1/2)."""
    for rows in blocks(z.shape, _BLOCK):
        slope = z[rows] / 3 + 0.5
        slope[z[rows] < -3] = 0
        slope[z[rows] > 3] = 1
        np.multiply(dy[rows], slope, out=out[rows])


def _softsign(z: Array, out: Array) -> None:
    """y = z / (1 + |z|) (Bergstra, Desjardins, Lamblin, Bengio 2009)."""
    for rows in blocks(z.shape, _BLOCK):
        np.divide(z[rows], 1 + np.abs(z[rows]), out=out[rows])


def _softsign_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = dy (1 - |y|)^2, because 1 - |y| = 1 / (1 + |z|)."""
    for rows in blocks(y.shape, _BLOCK):
        np.multiply(dy[rows], (1 - np.abs(y[rows])) ** 2, out=out[rows])


@np.errstate(under="ignore")
def _log_softmax(z: Array, out: Array) -> None:
    """y_nc = z_nc - m_n - log sum_k exp(z_nk - m_n), m_n = max_k z_nk."""
    for rows in blocks(z.shape, _BLOCK):
        np.subtract(z[rows], z[rows].max(axis=1, keepdims=True), out=out[rows])
        out[rows] -= np.log(np.exp(out[rows]).sum(axis=1, keepdims=True))


@np.errstate(under="ignore")
def _log_softmax_backward(dy: Array, y: Array, out: Array) -> None:
    """dz_nc = dy_nc - exp(y_nc) sum_k dy_nk."""
    for rows in blocks(y.shape, _BLOCK):
        np.subtract(dy[rows], np.exp(y[rows]) * dy[rows].sum(axis=1, keepdims=True), out=out[rows])


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(*_kernels("identity"), "glorot_uniform"),
    "relu": Activation(*_kernels("relu"), "he_normal"),
    "sigmoid": Activation(*_kernels("sigmoid"), "glorot_uniform"),
    "tanh": Activation(*_kernels("tanh"), "glorot_uniform"),
    "softmax": Activation(*_kernels("softmax"), "glorot_uniform", pointwise=False),
    "leaky_relu": Activation(_leaky_relu, _leaky_relu_backward, "he_normal"),
    "elu": Activation(_elu, _elu_backward, "he_normal"),
    "selu": Activation(*_kernels("selu"), "lecun_normal"),
    "celu": Activation(_elu, _elu_backward, "he_normal"),
    "gelu": Activation(_gelu, _gelu_backward, "he_normal", keeps_input=True),
    "gelu_tanh": Activation(_gelu_tanh, _gelu_tanh_backward, "he_normal", keeps_input=True),
    "silu": Activation(_silu, _silu_backward, "he_normal", keeps_input=True),
    "mish": Activation(*_kernels("mish"), "he_normal", keeps_input=True),
    "softplus": Activation(_softplus, _softplus_backward, "glorot_uniform"),
    "hard_sigmoid": Activation(_hard_sigmoid, _hard_sigmoid_backward, "glorot_uniform"),
    "hard_swish": Activation(_hard_swish, _hard_swish_backward, "he_normal", keeps_input=True),
    "softsign": Activation(_softsign, _softsign_backward, "glorot_uniform"),
    "log_softmax": Activation(_log_softmax, _log_softmax_backward, "glorot_uniform", pointwise=False),
}
