"""The specification: every loop over numbers, in plain NumPy, one equation each.

All functions write into `out` (or the arrays named in their docstring), allocate nothing of the size of a batch
or of the parameters, and expect C-contiguous arrays of one dtype; `out` may be one of the inputs. N rows, I columns in,
O columns out. Nothing is checked here: the checks stand at the door. `fused` has faster twins of some of them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.kernels.images import distort as distort
from numlp.kernels.optimizers import adam as adam
from numlp.kernels.optimizers import add_decay as add_decay
from numlp.kernels.optimizers import all_finite as all_finite
from numlp.kernels.optimizers import running_mean as running_mean
from numlp.kernels.optimizers import running_square as running_square
from numlp.kernels.optimizers import sgd as sgd
from numlp.kernels.optimizers import sgd_momentum as sgd_momentum
from numlp.kernels.optimizers import shrink as shrink
from numlp.kernels.optimizers import sum_of_squares as sum_of_squares
from numlp.kernels.smooth import BLOCK as _BLOCK
from numlp.kernels.smooth import blend as blend
from numlp.kernels.smooth import blend_backward as blend_backward
from numlp.kernels.smooth import blocks as blocks
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
    """y_0 = x; y_l = max(y_(l-1) W_l + b_l, 0), or without the max; out = y_L. Unless x is not finite: then only False.

    A row of `plan`: where W and b begin in `params`, I, O, whether to rectify. `scratch`: 4 (I + 16) numbers, I the largest.
    """
    if not all_finite(x.reshape(-1)):
        return False
    for W, b, i, o, rectify in plan:
        x = x @ params[W : W + i * o].reshape(i, o) + params[b : b + o]
        x = np.maximum(x, 0) if rectify else x
    out[...] = x
    return True


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
    """L = sum_n l_n / N, dL/dy = dy / N, in the place of dy."""
    dy /= len(dy)
    return float(np.add.reduce(losses, dtype=np.float64)) / len(dy)


# Layers without a matrix product.


def random_mask(key: int | np.integer[Any], rate: float, value: float, mask: Array) -> None:
    """mask_i = value with probability 1 - rate, else 0, by a hash of the place i and the 64 bits of `key`.

        h_i = f(f(i + key mod 2^32) + key div 2^32) mod 2^32,  mask_i = value [h_i >= floor(rate 2^32)]

    f is the finalizer of MurmurHash3 (Appleby 2011). A number depends on its place alone, so that any part of the mask
    can be made by anybody, in any order.
    """
    flat, threshold = mask.reshape(-1), np.uint32(int(rate * 2**32))
    size = _BLOCK // 3  # of the integers there are three temporaries, one of them twice as wide
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    for start in range(0, flat.size, size):
        h = np.arange(start, min(start + size, flat.size)).astype(np.uint32)
        for part in (low, high):
            h += part
            h ^= h >> np.uint32(16)
            h *= np.uint32(0x85EBCA6B)
            h ^= h >> np.uint32(13)
            h *= np.uint32(0xC2B2AE35)
            h ^= h >> np.uint32(16)
        np.multiply(h >= threshold, flat.dtype.type(value), out=flat[start : start + size])


def dropout(x: Array, key: int | np.integer[Any], rate: float, mask: Array, out: Array) -> None:
    """mask is random, 1 / (1 - rate) or 0, and y = x * mask: inverted dropout, so that the mean of y is x."""
    random_mask(key, rate, 1 / (1 - rate), mask)
    np.multiply(x, mask, out=out)


def dropout_backward(dy: Array, mask: Array) -> None:
    """dx = dy * mask, in the place of dy."""
    dy *= mask


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
    dy: Array, x_hat: Array, gamma: Array, inverse: Array, dgamma: Array, dbeta: Array, need_dx: bool
) -> None:
    """dbeta = sum_n dy, dgamma = sum_n dy x_hat, dx = gamma inverse (dy - dbeta / N - x_hat dgamma / N).

    The two means stand for the way of dx through the batch's mean and variance. dx takes the place of dy, if it is
    wanted. Overwrites `x_hat`.
    """
    n = len(dy)
    np.einsum("no,no->o", dy, x_hat, out=dgamma)
    dy.sum(axis=0, out=dbeta)
    if need_dx:
        x_hat *= dgamma / n
        dy -= x_hat
        dy -= dbeta / n
        dy *= gamma * inverse


def standardize(x: Array, mean: Array, inverse: Array, gamma: Array, beta: Array, x_hat: Array, out: Array) -> None:
    """x_hat = (x - mean) inverse,  y = gamma x_hat + beta, column by column: batch norm with given values."""
    np.subtract(x, mean, out=x_hat)
    x_hat *= inverse
    np.multiply(x_hat, gamma, out=out)
    out += beta


def standardize_backward(
    dy: Array, x_hat: Array, gamma: Array, inverse: Array, dgamma: Array, dbeta: Array, need_dx: bool
) -> None:
    """dbeta = sum_n dy, dgamma = sum_n dy x_hat, dx = gamma inverse dy in the place of dy, if it is wanted."""
    np.einsum("no,no->o", dy, x_hat, out=dgamma)
    dy.sum(axis=0, out=dbeta)
    if need_dx:
        dy *= gamma * inverse


def layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float, x_hat: Array, out: Array) -> Array:
    """x_hat = (x - mean) / sqrt(variance + e), row by row,  y = gamma x_hat + beta. Return 1 / sqrt(variance + e) (N, 1)."""
    np.subtract(x, x.mean(axis=1, keepdims=True), out=x_hat)
    variance = np.einsum("no,no->n", x_hat, x_hat)[:, None] / x.shape[1]
    inverse = 1 / np.sqrt(variance + epsilon)
    x_hat *= inverse
    np.multiply(x_hat, gamma, out=out)
    out += beta
    return inverse


def layer_norm_backward(
    dy: Array, x_hat: Array, gamma: Array, inverse: Array, dgamma: Array, dbeta: Array, need_dx: bool
) -> None:
    """dbeta = sum_n dy, dgamma = sum_n dy x_hat; dx = inverse (g - mean_o g - x_hat mean_o (g x_hat)), g = gamma dy.

    dx takes the place of dy, if it is wanted. Overwrites `x_hat`.
    """
    np.einsum("no,no->o", dy, x_hat, out=dgamma)
    dy.sum(axis=0, out=dbeta)
    if not need_dx:
        return
    dy *= gamma
    along = np.einsum("no,no->n", dy, x_hat)[:, None] / dy.shape[1]
    dy -= dy.mean(axis=1, keepdims=True)
    x_hat *= along
    dy -= x_hat
    dy *= inverse
