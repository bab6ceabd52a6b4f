"""The specification: every loop over numbers, in plain NumPy, one equation each.

All functions write into `out` (or the arrays named in their docstring), allocate nothing of the size of a batch
or of the parameters, and expect C-contiguous arrays of one dtype; `out` may be one of the inputs. N rows, I columns in,
O columns out. Nothing is checked here: the checks stand at the door. `fused` has faster twins of some of them.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.kernels.images import distort as distort
from numlp.kernels.layers import batch_norm as batch_norm
from numlp.kernels.layers import batch_norm_backward as batch_norm_backward
from numlp.kernels.layers import dropout as dropout
from numlp.kernels.layers import dropout_backward as dropout_backward
from numlp.kernels.layers import layer_norm as layer_norm
from numlp.kernels.layers import layer_norm_backward as layer_norm_backward
from numlp.kernels.layers import random_mask as random_mask
from numlp.kernels.layers import standardize as standardize
from numlp.kernels.layers import standardize_backward as standardize_backward
from numlp.kernels.smooth import BLOCK as _BLOCK
from numlp.kernels.smooth import blend as blend
from numlp.kernels.smooth import blend_backward as blend_backward
from numlp.kernels.smooth import blocks as blocks
from numlp.kernels.smooth import interpolate as interpolate
from numlp.kernels.smooth import interpolate_backward as interpolate_backward
from numlp.kernels.smooth import mish as mish
from numlp.kernels.smooth import mish_backward as mish_backward
from numlp.kernels.smooth import selu as selu
from numlp.kernels.smooth import selu_backward as selu_backward
from numlp.kernels.smooth import waves as waves
from numlp.kernels.smooth import waves_backward as waves_backward

Array = NDArray[Any]


# The affine map of a dense layer, with the one activation that costs a product's worth of time if it stands alone.


def affine(x: Array, W: Array, b: Array, scale: float, rectify: bool, out: Array, scratch: Array) -> None:
    """z = s x W + b, s = `scale`; and where `rectify`, y = max(z, 0) in its place. `scratch` may be of any length."""
    np.matmul(x, W, out=out)
    if scale != 1:
        out *= scale
    out += b
    if rectify:
        relu(out, out)


def affine_backward(
    x: Array, y: Array, W: Array, scale: float, rectify: bool, dy: Array, dW: Array, db: Array, dx: Array, scratch: Array
) -> None:
    """dz = dy [y > 0] where `rectify`, else dy, in the place of dy;  db = sum_n dz, dW = s x^T dz, dx = s dz W^T.

    A dx of no rows is not wanted. `scratch` may be of any length.
    """
    if rectify:
        relu_backward(dy, y, dy)
    dy.sum(axis=0, out=db)
    np.matmul(x.T, dy, out=dW)
    if len(dx):
        np.matmul(dy, W.T, out=dx)
    if scale != 1:
        dW *= scale
        dx *= scale


def mlp(x: Array, params: Array, plan: Array, scratch: Array, out: Array) -> bool:
    """y_0 = x; y_l = max(y_(l-1) W_l + b_l, 0), or without the max; out = y_L. Returns whether x and out are finite.

    A row of `plan`: where W and b begin in `params`, I, O, whether to rectify. `scratch`: 4 (I + 16) numbers, I the largest.
    """
    if not all_finite(x.reshape(-1)):
        return False
    for W, b, i, o, rectify in plan:
        x = x @ params[W : W + i * o].reshape(i, o) + params[b : b + o]
        x = np.maximum(x, 0) if rectify else x
    out[...] = x
    return all_finite(out.reshape(-1))


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


# Batches: rows picked from the data, and bytes made numbers.


def gather(x: Array, rows: Array, out: Array) -> None:
    """out_n = x_(rows_n), converted to the dtype of `out`; every row number must be one of x's."""
    for part in blocks((len(rows), out[0].size)):
        out[part] = x[rows[part]]


def pixels(x: Array, out: Array) -> None:
    """y = x / 255 for bytes x."""
    np.multiply(x, out.dtype.type(1 / 255), out=out)


def hits(y: Array, labels: Array) -> int:
    """Count the rows whose largest column is the label: sum_n [argmax_c y_nc = labels_n], of equal ones the first."""
    return int(np.count_nonzero(y.argmax(axis=1) == labels))


# Losses: the loss of each row and its gradient; the mean over the rows is taken by `Loss`, in one place.


def one_hot(labels: Array, smoothing: float, out: Array) -> bool:
    """q_nc = (1 - e) [c = labels_n] + e / C, with e = `smoothing`, C = number of columns. Whether each label is below C."""
    n, n_classes = out.shape
    fit = bool(labels.min() >= 0 and labels.max() < n_classes)
    if fit:
        out.fill(smoothing / n_classes)
        out[np.arange(n), labels] = 1 - smoothing + smoothing / n_classes
    return fit
    return True


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


def mean_loss(losses: Array, dy: Array) -> float:
    """L = sum_n l_n / N, dL/dy = dy / N, in the place of dy, which is flat."""
    dy /= len(losses)
    return float(np.add.reduce(losses, dtype=np.float64)) / len(losses)


# Optimizers: flat arrays, updated in place; `scratch` is as long as the parameters. A step returns whether all are finite.


def sgd(params: Array, grads: Array, learning_rate: float, scratch: Array) -> bool:
    """p <- p - lr g."""
    np.multiply(grads, learning_rate, out=scratch)
    params -= scratch
    return all_finite(params)


def sgd_momentum(
    params: Array, grads: Array, velocity: Array, learning_rate: float, momentum: float, nesterov: bool, scratch: Array
) -> bool:
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
    return all_finite(params)


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
) -> bool:  # fmt: skip
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
    return all_finite(params)


def shrink(params: Array, factor: float) -> None:
    """p <- factor p: decoupled weight decay."""
    params *= factor


def add_decay(grads: Array, params: Array, l2: float) -> None:
    """g <- g + l2 p: the gradient of l2 / 2 sum p^2."""
    for start in range(0, len(params), _BLOCK):
        part = slice(start, start + _BLOCK)
        grads[part] += l2 * params[part]


def sum_of_squares(values: Array) -> float:
    """s = sum_i x_i^2: of gradients for their norm, of weights for their penalty."""
    return float(np.dot(values, values))


@np.errstate(over="ignore", under="ignore")
def all_finite(values: Array) -> bool:
    """f = all_i [|x_i| < inf]: whether no number of a flat array is NaN or infinite."""
    return math.isfinite(np.dot(values, values)) or bool(np.isfinite(values).all())  # the first needs no array


def few_finite(values: Array) -> bool:
    """found = all_finite(values), for so few numbers that the call itself takes most of the time."""
    return all_finite(values)
