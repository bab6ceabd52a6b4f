"""The specification: every loop over numbers that is not a matrix product, in plain NumPy, one equation each.

All functions write into `out` (or the arrays named in their docstring), allocate nothing of the size of a batch
or of the parameters, and expect C-contiguous arrays of one dtype; `out` may be one of the inputs. N rows, O columns.
Nothing is checked here: the checks stand at the door.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BLOCK = 6_144  # numbers: two temporaries of this size stay in the first-level cache


def blocks(shape: tuple[int, ...], size: int = _BLOCK) -> Iterator[slice]:
    """Yield slices of `size` // O rows = about `size` numbers, so that a temporary stays small and in cache."""
    rows = max(1, size // shape[1])
    for start in range(0, shape[0], rows):
        yield slice(start, start + rows)


# Activations: y = f(z); backward takes dy and the *output* y, and gives dz = dy * f'(z).


def identity(z: Array, out: Array) -> None:
    """y = z."""
    if out is not z:
        np.copyto(out, z)


def identity_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = dy."""
    if out is not dy:
        np.copyto(out, dy)


def relu(z: Array, out: Array) -> None:
    """y = max(z, 0)."""
    np.maximum(z, 0, out=out)


def relu_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = dy [y > 0]; at the kink the derivative is taken as 0."""
    for rows in blocks(y.shape):
        np.multiply(dy[rows], y[rows] > 0, out=out[rows])


def sigmoid(z: Array, out: Array) -> None:
    """y = 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2; the second form cannot overflow."""
    np.multiply(z, 0.5, out=out)
    np.tanh(out, out=out)
    out += 1
    out *= 0.5


def sigmoid_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = dy * y (1 - y)."""
    for rows in blocks(y.shape):
        np.multiply(dy[rows], y[rows] * (1 - y[rows]), out=out[rows])


def tanh(z: Array, out: Array) -> None:
    """y = tanh(z)."""
    np.tanh(z, out=out)


def tanh_backward(dy: Array, y: Array, out: Array) -> None:
    """dz = dy * (1 - y^2)."""
    for rows in blocks(y.shape):
        np.multiply(dy[rows], 1 - y[rows] * y[rows], out=out[rows])


def softmax(z: Array, out: Array) -> None:
    """y_nc = exp(z_nc - m_n) / sum_k exp(z_nk - m_n), m_n = max_k z_nk."""
    # subtract the row maximum: exp overflows float32 at 88.7; what underflows is a probability of zero
    with np.errstate(under="ignore"):
        np.subtract(z, z.max(axis=1, keepdims=True), out=out)
        np.exp(out, out=out)
        out /= out.sum(axis=1, keepdims=True)


def softmax_backward(dy: Array, y: Array, out: Array) -> None:
    """dz_nc = y_nc (dy_nc - sum_k dy_nk y_nk): every output depends on every input of its row."""
    with np.errstate(under="ignore"):
        inner = np.einsum("nc,nc->n", dy, y)
        np.subtract(dy, inner[:, None], out=out)
        out *= y


# Losses: the loss of each row and its gradient; the mean over the rows is taken by `Loss`, in one place.


def one_hot(labels: Array, smoothing: float, out: Array) -> None:
    """q_nc = (1 - e) [c = labels_n] + e / C, with e = `smoothing`, C = number of columns."""
    n, n_classes = out.shape
    out.fill(smoothing / n_classes)
    out[np.arange(n), labels] = 1 - smoothing + smoothing / n_classes


def softmax_cross_entropy(z: Array, q: Array, losses: Array, dz: Array) -> None:
    """l_n = log sum_c exp z_nc - sum_c q_nc z_nc,  dz = softmax(z) - q.

    The rows of q sum to one. With m the row maximum, log sum exp z = m + log sum exp (z - m), which cannot overflow.
    """
    with np.errstate(under="ignore"):
        np.subtract(z, z.max(axis=1, keepdims=True), out=dz)
        expected = np.einsum("nc,nc->n", q, dz)
        np.exp(dz, out=dz)
        total = dz.sum(axis=1, keepdims=True)
        np.subtract(np.log(total[:, 0]), expected, out=losses)
        dz /= total
        dz -= q


def cross_entropy(p: Array, q: Array, losses: Array, dp: Array) -> None:
    """l_n = -sum_c q_nc log p_nc,  dp = -q / p; p is kept above the smallest normal number."""
    np.maximum(p, np.finfo(p.dtype).tiny, out=dp)
    for rows in blocks(p.shape):
        np.einsum("nc,nc->n", q[rows], -np.log(dp[rows]), out=losses[rows])
    np.divide(q, dp, out=dp)
    np.negative(dp, out=dp)


def squared_error(y: Array, target: Array, losses: Array, dy: Array) -> None:
    """l_n = sum_c (y_nc - t_nc)^2 / 2,  dy = y - t."""
    np.subtract(y, target, out=dy)
    np.einsum("nc,nc->n", dy, dy, out=losses)
    losses *= 0.5


# Layers without a matrix product.


def dropout(x: Array, random: Array, rate: float, mask: Array, out: Array) -> None:
    """mask = [random >= rate] / (1 - rate), y = x * mask: inverted dropout, so that the mean of y is x."""
    np.greater_equal(random, rate, out=mask)
    mask *= 1 / (1 - rate)
    np.multiply(x, mask, out=out)


def batch_norm(x: Array, gamma: Array, beta: Array, epsilon: float, x_hat: Array, out: Array) -> tuple[Array, Array, Array]:
    """Return the batch's (mean, biased variance, 1 / sqrt(variance + e)) and write x_hat and y.

    x_hat = (x - mean) / sqrt(variance + e),  y = gamma x_hat + beta, column by column.
    """
    mean = x.mean(axis=0)
    np.subtract(x, mean, out=x_hat)
    variance = np.einsum("no,no->o", x_hat, x_hat) / len(x)
    inverse = 1 / np.sqrt(variance + epsilon)
    x_hat *= inverse
    np.multiply(x_hat, gamma, out=out)
    out += beta
    return mean, variance, inverse


def batch_norm_backward(
    dy: Array, x_hat: Array, gamma: Array, inverse: Array, dgamma: Array, dbeta: Array, dx: Array | None
) -> None:
    """dbeta = sum_n dy, dgamma = sum_n dy x_hat, dx = gamma inverse (dy - dbeta / N - x_hat dgamma / N).

    The two means stand for the way of dx through the batch's mean and variance. Overwrites `x_hat`; skips a dx of None.
    """
    n = len(dy)
    np.einsum("no,no->o", dy, x_hat, out=dgamma)
    dy.sum(axis=0, out=dbeta)
    if dx is None:
        return
    x_hat *= dgamma / n
    np.subtract(dy, x_hat, out=dx)
    dx -= dbeta / n
    dx *= gamma * inverse


def standardize(x: Array, mean: Array, inverse: Array, gamma: Array, beta: Array, x_hat: Array, out: Array) -> None:
    """x_hat = (x - mean) inverse,  y = gamma x_hat + beta, column by column: batch norm with given values."""
    np.subtract(x, mean, out=x_hat)
    x_hat *= inverse
    np.multiply(x_hat, gamma, out=out)
    out += beta


def standardize_backward(
    dy: Array, x_hat: Array, gamma: Array, inverse: Array, dgamma: Array, dbeta: Array, dx: Array | None
) -> None:
    """dbeta = sum_n dy, dgamma = sum_n dy x_hat, dx = gamma inverse dy; skips a dx of None."""
    np.einsum("no,no->o", dy, x_hat, out=dgamma)
    dy.sum(axis=0, out=dbeta)
    if dx is not None:
        np.multiply(dy, gamma * inverse, out=dx)


# Optimizers: flat arrays, updated in place; `scratch` is as long as the parameters.


def sgd(params: Array, grads: Array, learning_rate: float, scratch: Array) -> None:
    """p <- p - lr g."""
    np.multiply(grads, learning_rate, out=scratch)
    params -= scratch


def sgd_momentum(
    params: Array, grads: Array, velocity: Array, learning_rate: float, momentum: float, nesterov: bool, scratch: Array
) -> None:
    """v <- mu v + g; p <- p - lr v, or p <- p - lr (g + mu v) with Nesterov's look-ahead."""
    velocity *= momentum
    velocity += grads
    if nesterov:
        np.multiply(velocity, momentum, out=scratch)
        scratch += grads
        scratch *= learning_rate
    else:
        np.multiply(velocity, learning_rate, out=scratch)
    params -= scratch


def running_mean(mean: Array, values: Array, decay: float, scratch: Array) -> None:
    """m <- b m + (1 - b) x."""
    np.subtract(values, mean, out=scratch)
    scratch *= 1 - decay
    mean += scratch


def running_square(mean: Array, values: Array, decay: float, scratch: Array) -> None:
    """v <- b v + (1 - b) x^2."""
    np.multiply(values, values, out=scratch)
    scratch -= mean
    scratch *= 1 - decay
    mean += scratch


def adam(
    params: Array, grads: Array, m: Array, v: Array, step: int, learning_rate: float,
    beta1: float, beta2: float, epsilon: float, scratch: Array,
) -> None:  # fmt: skip
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m' / (sqrt(v') + e).

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t) undo the start at zero; t = `step` counts from 1.
    """
    running_mean(m, grads, beta1, scratch)
    running_square(v, grads, beta2, scratch)
    np.sqrt(v, out=scratch)
    scratch *= 1 / math.sqrt(1 - beta2**step)
    scratch += epsilon
    np.divide(m, scratch, out=scratch)
    scratch *= learning_rate / (1 - beta1**step)
    params -= scratch


def add_decay(grads: Array, params: Array, l2: float) -> None:
    """g <- g + l2 p: the gradient of l2 / 2 sum p^2."""
    for start in range(0, len(params), _BLOCK):
        part = slice(start, start + _BLOCK)
        grads[part] += l2 * params[part]
