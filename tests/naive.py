"""What the parts of numlp are, written as loops over Python floats from the papers. Imports nothing of numlp.

Slow and plain on purpose: this is what `numlp.kernels.reference` is compared with. N rows, I inputs, O outputs or
columns, C classes; arrays go in and come out as float64.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any
Rate = Callable[[int, int], float]


def dense(x: Array, W: Array, b: Array) -> Array:
    """z_no = sum_i x_ni W_io + b_o."""
    z = np.zeros((len(x), W.shape[1]))
    for n in range(len(x)):
        for o in range(W.shape[1]):
            z[n, o] = math.fsum([*(float(x[n, i]) * float(W[i, o]) for i in range(W.shape[0])), float(b[o])])
    return z


def dense_backward(dz: Array, x: Array, W: Array) -> dict[str, Array]:
    """dx_ni = sum_o dz_no W_io;  dW_io = sum_n x_ni dz_no;  db_o = sum_n dz_no."""
    (n_rows, n_in), n_out = x.shape, W.shape[1]
    dx, dW, db = np.zeros((n_rows, n_in)), np.zeros((n_in, n_out)), np.zeros(n_out)
    for n in range(n_rows):
        for o in range(n_out):
            db[o] += dz[n, o]
            for i in range(n_in):
                dx[n, i] += dz[n, o] * W[i, o]
                dW[i, o] += x[n, i] * dz[n, o]
    return {"x": dx, "W": dW, "b": db}


def pointwise(f: Callable[[float], float], z: Array) -> Array:
    """y_no = f(z_no)."""
    y = np.zeros(z.shape)
    for index in np.ndindex(z.shape):
        y[index] = f(float(z[index]))
    return y


def pointwise_backward(df: Callable[[float], float], dy: Array, z: Array) -> Array:
    """dz_no = dy_no f'(z_no)."""
    dz = np.zeros(z.shape)
    for index in np.ndindex(z.shape):
        dz[index] = float(dy[index]) * df(float(z[index]))
    return dz


def identity(z: float) -> float:
    return z


def identity_slope(z: float) -> float:
    return 1.0


def relu(z: float) -> float:
    return z if z > 0 else 0.0


def relu_slope(z: float) -> float:
    return 1.0 if z > 0 else 0.0


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def sigmoid_slope(z: float) -> float:
    return sigmoid(z) * sigmoid(-z)


def tanh(z: float) -> float:
    return math.tanh(z)


def tanh_slope(z: float) -> float:
    return 1 / math.cosh(z) ** 2 if abs(z) < 350 else 0.0


def softmax(z: Array) -> Array:
    """y_nc = exp z_nc / sum_k exp z_nk; the same with any number taken from a whole row."""
    y = np.zeros(z.shape)
    for n, row in enumerate(z):
        exponentials = [math.exp(float(value) - float(max(row))) for value in row]
        for c, value in enumerate(exponentials):
            y[n, c] = value / math.fsum(exponentials)
    return y


def softmax_backward(dy: Array, z: Array) -> Array:
    """dz_nc = sum_k dy_nk dy_k/dz_c, with the whole Jacobian dy_k/dz_c = y_k ([k = c] - y_c)."""
    y, dz = softmax(z), np.zeros(z.shape)
    for n in range(len(z)):
        for c in range(z.shape[1]):
            dz[n, c] = math.fsum(dy[n, k] * y[n, k] * ((k == c) - y[n, c]) for k in range(z.shape[1]))
    return dz


def distribution(target: Array, n_classes: int, smoothing: float = 0.0) -> Array:
    """(1 - s) q + s / C for labels (N,), or for rows that are distributions already (N, C)."""
    q = np.zeros((len(target), n_classes))
    for n in range(len(target)):
        for c in range(n_classes):
            share = float(target[n] == c) if target.ndim == 1 else float(target[n, c])
            q[n, c] = (1 - smoothing) * share + smoothing / n_classes
    return q


def softmax_cross_entropy(z: Array, target: Array, label_smoothing: float = 0.0) -> tuple[float, Array]:
    """L = -1/N sum_n sum_c q_nc (z_nc - log sum_k exp z_nk);  dz = (softmax(z) - q) / N."""
    q, p = distribution(target, z.shape[1], label_smoothing), softmax(z)
    terms, dz = [], np.zeros(z.shape)
    for n, row in enumerate(z):
        most = float(max(row))
        log_sum = most + math.log(math.fsum(math.exp(float(value) - most) for value in row))
        for c in range(len(row)):
            terms.append(q[n, c] * (log_sum - float(row[c])))
            dz[n, c] = (p[n, c] - q[n, c]) / len(z)
    return math.fsum(terms) / len(z), dz


def cross_entropy(p: Array, target: Array, label_smoothing: float = 0.0) -> tuple[float, Array]:
    """L = -1/N sum_n sum_c q_nc log p_nc;  dp = -q / (p N)."""
    q = distribution(target, p.shape[1], label_smoothing)
    terms, dp = [], np.zeros(p.shape)
    for n, c in np.ndindex(p.shape):
        terms.append(-q[n, c] * math.log(p[n, c]))
        dp[n, c] = -q[n, c] / (p[n, c] * len(p))
    return math.fsum(terms) / len(p), dp


def squared_error(y: Array, target: Array) -> tuple[float, Array]:
    """L = 1/N sum_n sum_c (y_nc - t_nc)^2 / 2;  dy = (y - t) / N."""
    terms, dy = [], np.zeros(y.shape)
    for n, c in np.ndindex(y.shape):
        difference = float(y[n, c]) - float(target[n, c])
        terms.append(difference**2 / 2)
        dy[n, c] = difference / len(y)
    return math.fsum(terms) / len(y), dy


def dropout(x: Array, kept: Array, rate: float) -> Array:
    """y = x / (1 - rate) where `kept`, else 0; the gradient goes the same way."""
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = float(x[index]) / (1 - rate) if kept[index] else 0.0
    return y


def mean_and_variance(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each column: Ioffe, Szegedy 2015, algorithm 1."""
    mean, variance = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for o in range(x.shape[1]):
        column = [float(value) for value in x[:, o]]
        mean[o] = math.fsum(column) / len(column)
        variance[o] = math.fsum((value - mean[o]) ** 2 for value in column) / len(column)
    return mean, variance


def normalize(x: Array, mean: Array, variance: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
    """y = gamma (x - mean) / sqrt(variance + e) + beta."""
    y = np.zeros(x.shape)
    for n, o in np.ndindex(x.shape):
        y[n, o] = gamma[o] * (float(x[n, o]) - mean[o]) / math.sqrt(variance[o] + epsilon) + beta[o]
    return y


def batch_norm_backward(dy: Array, x: Array, gamma: Array, epsilon: float) -> dict[str, Array]:
    """The chain rule step by step, through x_hat, variance and mean: Ioffe, Szegedy 2015, section 3."""
    n_rows, n_columns = x.shape
    mean, variance = mean_and_variance(x)
    dx, dgamma, dbeta = np.zeros(x.shape), np.zeros(n_columns), np.zeros(n_columns)
    for o in range(n_columns):
        sigma = math.sqrt(variance[o] + epsilon)
        dx_hat = [dy[n, o] * gamma[o] for n in range(n_rows)]
        dvariance = sum(dx_hat[n] * (x[n, o] - mean[o]) * -0.5 * sigma**-3 for n in range(n_rows))
        dmean = sum(-d / sigma for d in dx_hat) + dvariance * sum(-2 * (x[n, o] - mean[o]) for n in range(n_rows)) / n_rows
        for n in range(n_rows):
            dx[n, o] = dx_hat[n] / sigma + dvariance * 2 * (x[n, o] - mean[o]) / n_rows + dmean / n_rows
            dgamma[o] += dy[n, o] * (x[n, o] - mean[o]) / sigma
            dbeta[o] += dy[n, o]
    return {"x": dx, "gamma": dgamma, "beta": dbeta}


def running(old: Array, new: Array, momentum: float) -> Array:
    """(1 - momentum) old + momentum new."""
    return np.array([(1 - momentum) * float(a) + momentum * float(b) for a, b in zip(old, new, strict=True)])


def sgd(
    params: Array, grads: Array, rates: Sequence[float], n_weights: int, momentum: float = 0.0, nesterov: bool = False
) -> Array:
    """v <- mu v + g;  p <- p - lr v, or p <- p - lr (g + mu v): Sutskever et al. 2013."""
    p, v = [float(value) for value in params], [0.0] * len(params)
    for rate, gradient in zip(rates, grads, strict=True):
        for i, g in enumerate(gradient):
            v[i] = momentum * v[i] + g
            p[i] -= rate * (g + momentum * v[i] if nesterov else v[i])
    return np.array(p)


def adam(
    params: Array, grads: Array, rates: Sequence[float], n_weights: int,
    beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.0,
) -> Array:  # fmt: skip
    """Kingma, Ba 2015, algorithm 1; with the decay of Loshchilov, Hutter 2019, algorithm 2, on the first `n_weights`."""
    p, m, v = [float(value) for value in params], [0.0] * len(params), [0.0] * len(params)
    for t, (rate, gradient) in enumerate(zip(rates, grads, strict=True), start=1):
        for i, g in enumerate(gradient):
            if i < n_weights:
                p[i] -= rate * weight_decay * p[i]
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g * g
            m_hat, v_hat = m[i] / (1 - beta1**t), v[i] / (1 - beta2**t)
            p[i] -= rate * m_hat / (math.sqrt(v_hat) + epsilon)
    return np.array(p)


def adamw(
    params: Array, grads: Array, rates: Sequence[float], n_weights: int, weight_decay: float = 0.01, **options: float
) -> Array:
    """Adam with a decay that is 0.01 where nothing is said."""
    return adam(params, grads, rates, n_weights, weight_decay=weight_decay, **options)


def constant(t: int, total: int, learning_rate: float) -> float:
    return learning_rate


def between(first: float, last: float, share: float) -> float:
    """From `first` to `last` along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def cosine(t: int, total: int, learning_rate: float, final: float = 0.0) -> float:
    """Loshchilov, Hutter 2017, eq. 5, with one period of `total` steps."""
    return between(learning_rate, final, t / total)


def warm_up(t: int, total: int, steps: int, then: Rate) -> float:
    """Goyal et al. 2017: a straight line to the first rate of `then` in `steps` steps, which follows."""
    rest = max(total - steps, 1)
    return then(0, rest) * (t + 1) / steps if t < steps else then(t - steps, rest)


def one_cycle(
    t: int, total: int, peak: float, rise: float = 0.3, start_divisor: float = 25.0, end_divisor: float = 1e4
) -> float:
    """Smith, Topin 2018, with cosines; the peak lies at step rise * total - 1, or at 0 if that is negative."""
    top, first = rise * total - 1, peak / start_divisor
    if top > 0 and t <= top:
        return between(first, peak, t / top)
    top = max(top, 0)
    return peak if t == top else between(peak, first / end_divisor, (t - top) / (total - 1 - top))


def hits(scores: Array, target: Array) -> int:
    """Rows whose largest score (the first of equal ones) stands at the target's class."""
    count = 0
    for n, row in enumerate(scores):
        label = target[n] if target.ndim == 1 else list(target[n]).index(max(target[n]))
        count += list(row).index(max(row)) == label
    return count


def accuracy(predicted: Array, labels: Array) -> float:
    """Share of equal labels."""
    return sum(int(a == b) for a, b in zip(predicted, labels, strict=True)) / len(labels)


def confusion_matrix(predicted: Array, labels: Array, n_classes: int) -> Array:
    """M[i, j]: rows of class i that were called j."""
    counts = [[0] * n_classes for _ in range(n_classes)]
    for is_called, is_class in zip(predicted, labels, strict=True):
        counts[is_class][is_called] += 1
    return np.array(counts)
