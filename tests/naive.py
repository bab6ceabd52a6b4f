"""What the parts of numlp are, written as loops over Python floats from the papers. Imports nothing of numlp.

Slow and plain on purpose: this is what `numlp.kernels.reference` is compared with. N rows, I inputs, O outputs or
columns, C classes; arrays go in and come out as float64.
"""

import math
from collections import defaultdict
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


def leaky_relu(z: float) -> float:
    return z if z > 0 else 0.01 * z


def leaky_relu_slope(z: float) -> float:
    return 1.0 if z > 0 else 0.01


def elu(z: float) -> float:
    return z if z > 0 else math.expm1(z)


def elu_slope(z: float) -> float:
    return 1.0 if z > 0 else math.exp(z)


def selu(z: float) -> float:
    return 1.0507009873554805 * (z if z > 0 else 1.6732632423543772 * math.expm1(z))


def selu_slope(z: float) -> float:
    return 1.0507009873554805 * (1.0 if z > 0 else 1.6732632423543772 * math.exp(z))


def gelu(z: float) -> float:
    return z * math.erfc(-z / math.sqrt(2)) / 2


def gelu_slope(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2 + z * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def gelu_tanh(z: float) -> float:
    return z / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def gelu_tanh_slope(z: float) -> float:
    u = math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)
    return (1 + math.tanh(u)) / 2 + z / 2 * tanh_slope(u) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)


def silu(z: float) -> float:
    return z * sigmoid(z)


def silu_slope(z: float) -> float:
    return sigmoid(z) + z * sigmoid_slope(z)


def softplus(z: float) -> float:
    return math.log1p(math.exp(z)) if z < 30 else z + math.exp(-z)


def mish(z: float) -> float:
    return z * math.tanh(softplus(z))


def mish_slope(z: float) -> float:
    return math.tanh(softplus(z)) + z * tanh_slope(softplus(z)) * sigmoid(z)


def hard_sigmoid(z: float) -> float:
    return 0.0 if z < -3 else 1.0 if z > 3 else (z + 3) / 6


def hard_sigmoid_slope(z: float) -> float:
    return 1 / 6 if -3 < z < 3 else 0.0


def hard_swish(z: float) -> float:
    return 0.0 if z < -3 else z if z > 3 else z * (z + 3) / 6


def hard_swish_slope(z: float) -> float:
    return 0.0 if z < -3 else 1.0 if z > 3 else (2 * z + 3) / 6


def softsign(z: float) -> float:
    return z / (1 + abs(z))


def softsign_slope(z: float) -> float:
    return 1 / (1 + abs(z)) ** 2


def log_softmax(z: Array) -> Array:
    """y_nc = z_nc - log sum_k exp z_nk; the same with any number taken from a whole row."""
    y = np.zeros(z.shape)
    for n, row in enumerate(z):
        most = float(max(row))
        log_sum = most + math.log(math.fsum(math.exp(float(value) - most) for value in row))
        for c, value in enumerate(row):
            y[n, c] = float(value) - log_sum
    return y


def log_softmax_backward(dy: Array, z: Array) -> Array:
    """dz_nc = sum_k dy_nk dy_k/dz_c, with the whole Jacobian dy_k/dz_c = [k = c] - p_c."""
    p, dz = softmax(z), np.zeros(z.shape)
    for n, c in np.ndindex(z.shape):
        dz[n, c] = math.fsum(dy[n, k] * ((k == c) - p[n, c]) for k in range(z.shape[1]))
    return dz


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


def softmax_cross_entropy(
    z: Array, target: Array, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
) -> tuple[float, Array]:
    """L = -sum_n w_n sum_c q_nc (z_nc - log sum_k exp z_nk) / sum w;  dz_n = w_n (softmax(z)_n - q_n) / sum w."""
    q, p = distribution(target, z.shape[1], label_smoothing), softmax(z)
    own = distribution(target, z.shape[1])
    v = class_weights or [1.0] * z.shape[1]
    weights = [math.fsum(own[n, c] * v[c] for c in range(len(v))) for n in range(len(z))]
    terms, dz = [], np.zeros(z.shape)
    for n, row in enumerate(z):
        most = float(max(row))
        log_sum = most + math.log(math.fsum(math.exp(float(value) - most) for value in row))
        for c in range(len(row)):
            terms.append(weights[n] * q[n, c] * (log_sum - float(row[c])))
            dz[n, c] = weights[n] * (p[n, c] - q[n, c]) / math.fsum(weights)
    return math.fsum(terms) / math.fsum(weights), dz


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


def _each(one: Callable[[float, float], tuple[float, float]], y: Array, target: Array) -> tuple[float, Array]:
    """L = 1/N sum_n sum_c l(y_nc, t_nc); `one` gives l and its slope. A target of one column belongs to all columns of y."""
    terms, dy = [], np.zeros(y.shape)
    for n, c in np.ndindex(y.shape):
        value, slope = one(float(y[n, c]), float(target[n, c if target.shape[1] > 1 else 0]))
        terms.append(value)
        dy[n, c] = slope / len(y)
    return math.fsum(terms) / len(y), dy


def absolute_error(y: Array, target: Array) -> tuple[float, Array]:
    """l = |y - t|."""
    return _each(lambda y, t: (abs(y - t), float(y > t) - float(y < t)), y, target)


def huber(y: Array, target: Array, delta: float = 1.0) -> tuple[float, Array]:
    """l = d^2 / 2 for |d| <= delta, else delta (|d| - delta / 2)."""

    def one(y: float, t: float) -> tuple[float, float]:
        d = y - t
        if abs(d) <= delta:
            return d**2 / 2, d
        return delta * (abs(d) - delta / 2), math.copysign(delta, d)

    return _each(one, y, target)


def log_cosh(y: Array, target: Array) -> tuple[float, Array]:
    """l = log cosh (y - t), which tends to |y - t| - log 2, and its slope to 1 or -1."""

    def each(y: float, t: float) -> tuple[float, float]:
        d = y - t
        if abs(d) > 300:
            return abs(d) - math.log(2), math.copysign(1, d)
        return math.log(math.cosh(d)), math.sinh(d) / math.cosh(d)

    return _each(each, y, target)


def pinball(y: Array, target: Array, quantiles: Sequence[float] | float) -> tuple[float, Array]:
    """l_n = sum_q tau_q (t - y_q) where y_q < t, (1 - tau_q) (y_q - t) where y_q > t."""
    taus = [quantiles] if isinstance(quantiles, float) else list(quantiles)
    terms, dy = [], np.zeros(y.shape)
    for n, c in np.ndindex(y.shape):
        d = float(y[n, c]) - float(target.reshape(-1)[n])
        terms.append((1 - taus[c]) * d if d > 0 else -taus[c] * d)
        dy[n, c] = (1 - taus[c] if d > 0 else -taus[c]) / len(y)
    return math.fsum(terms) / len(y), dy


def exp40(u: float) -> tuple[float, float]:
    """Return exp(u) and its slope; above 40 the tangent at 40."""
    if u <= 40:
        return math.exp(u), math.exp(u)
    return math.exp(40) * (u - 39), math.exp(40)


def poisson(y: Array, target: Array) -> tuple[float, Array]:
    """l = mean - t log mean, with y = log mean."""
    return _each(lambda y, t: (exp40(y)[0] - t * y, exp40(y)[1] - t), y, target)


def gamma(y: Array, target: Array) -> tuple[float, Array]:
    """l = 2 (t / mean - 1 - log (t / mean)), with y = log mean."""
    return _each(lambda y, t: (2 * (t * exp40(-y)[0] - 1 - math.log(t) + y), 2 - 2 * t * exp40(-y)[1]), y, target)


def tweedie(y: Array, target: Array, power: float = 1.5) -> tuple[float, Array]:
    """l = 2 (t^(2-p) / ((1-p)(2-p)) - t mean^(1-p) / (1-p) + mean^(2-p) / (2-p)), with y = log mean."""

    def one(y: float, t: float) -> tuple[float, float]:
        low, high = exp40((1 - power) * y), exp40((2 - power) * y)
        value = t ** (2 - power) / ((1 - power) * (2 - power)) - t * low[0] / (1 - power) + high[0] / (2 - power)
        return 2 * value, 2 * (high[1] - t * low[1])

    return _each(one, y, target)


def gaussian_nll(y: Array, target: Array) -> tuple[float, Array]:
    """l_n = 1/2 sum_c (log v_c + (t_c - m_c)^2 / v_c), y = (m, log v)."""
    terms, dy, half = [], np.zeros(y.shape), y.shape[1] // 2
    for n, c in np.ndindex(target.shape):
        d, s = float(y[n, c]) - float(target[n, c]), float(y[n, half + c])
        precision, slope = exp40(-s)
        terms.append((s + d**2 * precision) / 2)
        dy[n, c] = d * precision / len(y)
        dy[n, half + c] = (1 - d**2 * slope) / 2 / len(y)
    return math.fsum(terms) / len(y), dy


def sigmoid_cross_entropy(
    y: Array, target: Array, label_smoothing: float = 0.0, positive_weights: Sequence[float] | None = None
) -> tuple[float, Array]:
    """l_n = -sum_c (v_c t_c log p_c + (1 - t_c) log (1 - p_c)), p = 1 / (1 + exp(-y))."""
    v, terms, dy = positive_weights or [1.0] * y.shape[1], [], np.zeros(y.shape)
    for n, c in np.ndindex(y.shape):
        t, z = (1 - label_smoothing) * float(target[n, c]) + label_smoothing / 2, float(y[n, c])
        terms.append(v[c] * t * softplus(-z) + (1 - t) * softplus(z))  # log p = -softplus(-z), and so on
        dy[n, c] = ((1 - t) * sigmoid(z) - v[c] * t * sigmoid(-z)) / len(y)
    return math.fsum(terms) / len(y), dy


def focal(z: Array, target: Array, gamma: float = 2.0) -> tuple[float, Array]:
    """l_n = -sum_c q_c (1 - p_c)^g log p_c; dz_k = sum_c dl/dp_c dp_c/dz_k, with dp_c/dz_k = p_c ([c = k] - p_k)."""
    q, log_p = distribution(target, z.shape[1]), log_softmax(z)
    terms, dz = [], np.zeros(z.shape)
    for n in range(len(z)):
        p = [math.exp(value) for value in log_p[n]]
        # 1 - p_c is the sum of the others: no digits are lost where p_c is nearly one
        rest = [math.fsum(p[:c] + p[c + 1 :]) for c in range(len(p))]
        steep = []  # dl/dp_c times p_c
        for c in range(len(p)):
            terms.append(-q[n, c] * rest[c] ** gamma * float(log_p[n, c]))
            inner = gamma * rest[c] ** (gamma - 1) * float(log_p[n, c]) * p[c] if gamma and rest[c] else 0.0
            steep.append(q[n, c] * (inner - rest[c] ** gamma))
        for k in range(len(p)):
            others = math.fsum(steep[c] for c in range(len(p)) if c != k)
            dz[n, k] = (steep[k] * rest[k] - others * p[k]) / len(z)
    return math.fsum(terms) / len(z), dz


def kl_divergence(y: Array, target: Array) -> tuple[float, Array]:
    """l_n = sum_c q_c (log q_c - y_c), 0 log 0 = 0."""
    q, terms, dy = distribution(target, y.shape[1]), [], np.zeros(y.shape)
    for n, c in np.ndindex(y.shape):
        terms.append(q[n, c] * (math.log(q[n, c]) - float(y[n, c])) if q[n, c] else 0.0)
        dy[n, c] = -q[n, c] / len(y)
    return math.fsum(terms) / len(y), dy


def hinge(y: Array, target: Array, margin: float = 1.0) -> tuple[float, Array]:
    """l_n = 1/C sum of max(0, m - y_t + y_c) over the classes c other than t."""
    terms, dy = [], np.zeros(y.shape)
    for n, c in np.ndindex(y.shape):
        short = margin - float(y[n, target[n]]) + float(y[n, c])
        if c != target[n] and short > 0:
            terms.append(short / y.shape[1])
            dy[n, c] += 1 / y.shape[1] / len(y)
            dy[n, target[n]] -= 1 / y.shape[1] / len(y)
    return math.fsum(terms) / len(y), dy


def murmur3_finalizer(h: int) -> int:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ h >> shift) * factor % 2**32
    return h ^ h >> 16


def kept(key: int, rate: float, shape: tuple[int, ...]) -> Array:
    places = np.empty(shape, bool)
    for i in range(places.size):
        h = murmur3_finalizer((murmur3_finalizer((i + key) % 2**32) + key // 2**32) % 2**32)
        places.flat[i] = h >= int(rate * 2**32)
    return places


def dropout(x: Array, kept: Array, rate: float) -> Array:
    """y = x / (1 - rate) where `kept`, else 0; the gradient goes the same way."""
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = float(x[index]) / (1 - rate) if kept[index] else 0.0
    return y


def alpha_dropout(x: Array, kept: Array, rate: float) -> Array:
    """y = a x + b where `kept`, else a q + b: Klambauer et al. 2017, with q = -lambda alpha of selu.

    a and b are such that mean 0 and variance 1 stay: E y = a (1 - rate) 0 + a rate q + b = 0.
    """
    q = -1.0507009873554805 * 1.6732632423543772
    a = ((1 - rate) + rate * (1 - rate) * q**2) ** -0.5
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = a * (float(x[index]) if kept[index] else q) - a * rate * q
    return y


def alpha_dropout_backward(dy: Array, kept: Array, rate: float) -> Array:
    """dx = a dy where `kept`, else 0."""
    q = -1.0507009873554805 * 1.6732632423543772
    dx = np.zeros(dy.shape)
    for index in np.ndindex(dy.shape):
        dx[index] = float(dy[index]) / math.sqrt((1 - rate) + rate * (1 - rate) * q**2) if kept[index] else 0.0
    return dx


def gaussian_noise(x: Array, noise: Array, std: float) -> Array:
    """y = x + std e."""
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = float(x[index]) + std * float(noise[index])
    return y


def prelu(x: Array, alpha: Array) -> Array:
    """y = x if x > 0, else alpha x; one alpha for all columns or one for each."""
    y = np.zeros(x.shape)
    for n, o in np.ndindex(x.shape):
        y[n, o] = x[n, o] if x[n, o] > 0 else alpha[o % len(alpha)] * float(x[n, o])
    return y


def prelu_backward(dy: Array, x: Array, alpha: Array) -> dict[str, Array]:
    """dx = dy if x > 0, else alpha dy;  dalpha = sum dy x over x <= 0."""
    dx, dalpha = np.zeros(x.shape), np.zeros(len(alpha))
    for n, o in np.ndindex(x.shape):
        dx[n, o] = dy[n, o] * (1 if x[n, o] > 0 else alpha[o % len(alpha)])
        dalpha[o % len(alpha)] += dy[n, o] * x[n, o] if x[n, o] <= 0 else 0
    return {"x": dx, "alpha": dalpha}


def parametric(x: Array, fx: Array, alpha: Array) -> Array:
    """y = (1 - alpha) x + alpha f(x)."""
    y = np.zeros(x.shape)
    for n, o in np.ndindex(x.shape):
        y[n, o] = (1 - alpha[o]) * float(x[n, o]) + alpha[o] * fx[n, o]
    return y


def parametric_backward(dy: Array, through: Array, x: Array, fx: Array, alpha: Array) -> dict[str, Array]:
    """dx = (1 - alpha) dy + alpha dy f'(x), the last two factors `through`;  dalpha = sum_n dy (f(x) - x)."""
    dx, dalpha = np.zeros(x.shape), np.zeros(x.shape[1])
    for n, o in np.ndindex(x.shape):
        dx[n, o] = (1 - alpha[o]) * dy[n, o] + alpha[o] * through[n, o]
        dalpha[o] += dy[n, o] * (fx[n, o] - x[n, o])
    return {"x": dx, "alpha": dalpha}


def periodic(x: Array, w: Array, b: Array, V: Array, c: Array) -> Array:
    """y = (sum_k V_dk cos(2 pi w_k x + b_k) + c_d for each d, x) for each waved column, then the other columns."""
    n_waved, size, n_waves = V.shape
    y = np.zeros((len(x), x.shape[1] + n_waved * size))
    for n in range(len(x)):
        row: list[float] = []
        for i in range(n_waved):
            cosines = [math.cos(2 * math.pi * w[i, k] * x[n, i] + b[i, k]) for k in range(n_waves)]
            row += [c[i, d] + math.fsum(V[i, d, k] * cosines[k] for k in range(n_waves)) for d in range(size)]
            row.append(float(x[n, i]))
        y[n] = [*row, *x[n, n_waved:]]
    return y


def periodic_backward(dy: Array, x: Array, w: Array, b: Array, V: Array) -> dict[str, Array]:
    """The chain rule for each wave by itself."""
    n_waved, size, n_waves = V.shape
    found = {"x": np.zeros(x.shape), "w": 0 * w, "b": 0 * b, "V": 0 * V, "c": np.zeros((n_waved, size))}
    for n in range(len(x)):
        for i in range(n_waved):
            start = i * (size + 1)
            for d, k in np.ndindex(size, n_waves):
                angle = 2 * math.pi * w[i, k] * x[n, i] + b[i, k]
                dangle = -dy[n, start + d] * V[i, d, k] * math.sin(angle)
                found["V"][i, d, k] += dy[n, start + d] * math.cos(angle)
                found["w"][i, k] += 2 * math.pi * dangle * x[n, i]
                found["b"][i, k] += dangle
                found["x"][n, i] += 2 * math.pi * dangle * w[i, k]
            found["c"][i] += dy[n, start : start + size]
            found["x"][n, i] += dy[n, start + size]
        found["x"][n, n_waved:] = dy[n, n_waved * (size + 1) :]
    return found


def hat(x: float, knots: Sequence[float], j: int) -> float:
    """Return the function that is 1 at knot j, 0 at the others, straight between them and constant outside."""
    last = len(knots) - 1
    if j > 0 and knots[j - 1] <= x < knots[j]:
        return (x - knots[j - 1]) / (knots[j] - knots[j - 1])
    if j < last and knots[j] <= x < knots[j + 1]:
        return (knots[j + 1] - x) / (knots[j + 1] - knots[j])
    return float((j == 0 and x < knots[0]) or (j == last and x >= knots[-1]))


def hat_slope(x: float, knots: Sequence[float], j: int) -> float:
    """Return its derivative, at a knot that of what lies above."""
    if j > 0 and knots[j - 1] <= x < knots[j]:
        return 1 / (knots[j] - knots[j - 1])
    return -1 / (knots[j + 1] - knots[j]) if j < len(knots) - 1 and knots[j] <= x < knots[j + 1] else 0.0


def piecewise_linear(x: Array, V: Array, knots: Sequence[Sequence[float]]) -> Array:
    """y = (sum_j V_jd hat_j(x) for each d, x) for each column with knots, then the other columns."""
    y = []
    for numbers in x.astype(np.float64).tolist():
        row: list[float] = []
        first = 0
        for value, own in zip(numbers, knots, strict=False):
            hats = [hat(value, own, j) for j in range(len(own))]
            row += [math.fsum(V[first + j, d] * h for j, h in enumerate(hats)) for d in range(V.shape[1])]
            row.append(value)
            first += len(own)
        y.append([*row, *numbers[len(knots) :]])
    return np.array(y)


def piecewise_linear_backward(dy: Array, x: Array, V: Array, knots: Sequence[Sequence[float]]) -> dict[str, Array]:
    """The chain rule for each knot by itself."""
    dx, dV, size = np.zeros(x.shape), np.zeros(V.shape), V.shape[1]
    for n in range(len(x)):
        first = 0
        for i, own in enumerate(knots):
            start, value = i * (size + 1), float(x[n, i])
            for j, d in np.ndindex(len(own), size):
                dV[first + j, d] += dy[n, start + d] * hat(value, own, j)
                dx[n, i] += dy[n, start + d] * V[first + j, d] * hat_slope(value, own, j)
            dx[n, i] += dy[n, start + size]
            first += len(own)
        dx[n, len(knots) :] = dy[n, len(knots) * (size + 1) :]
    return {"x": dx, "V": dV}


def layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
    """y_no = gamma_o (x_no - mean_n) / sqrt(variance_n + e) + beta_o: Ba, Kiros, Hinton 2016, eq. 3."""
    y = np.zeros(x.shape)
    for n, row in enumerate(x):
        mean = math.fsum(map(float, row)) / len(row)
        variance = math.fsum((float(value) - mean) ** 2 for value in row) / len(row)
        for o in range(len(row)):
            y[n, o] = gamma[o] * (float(row[o]) - mean) / math.sqrt(variance + epsilon) + beta[o]
    return y


def layer_norm_backward(dy: Array, x: Array, gamma: Array, epsilon: float) -> dict[str, Array]:
    """The chain rule step by step, through x_hat, variance and mean of each row."""
    dx, dgamma, dbeta = np.zeros(x.shape), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for n, row in enumerate(x):
        size, mean = len(row), math.fsum(map(float, row)) / len(row)
        sigma = math.sqrt(math.fsum((float(value) - mean) ** 2 for value in row) / size + epsilon)
        dx_hat = [dy[n, o] * gamma[o] for o in range(size)]
        dvariance = sum(dx_hat[o] * (row[o] - mean) * -0.5 * sigma**-3 for o in range(size))
        dmean = sum(-d / sigma for d in dx_hat)
        for o in range(size):
            dx[n, o] = dx_hat[o] / sigma + dvariance * 2 * (row[o] - mean) / size + dmean / size
            dgamma[o] += dy[n, o] * (row[o] - mean) / sigma
            dbeta[o] += dy[n, o]
    return {"x": dx, "gamma": dgamma, "beta": dbeta}


def rms_norm(x: Array, gamma: Array, epsilon: float) -> Array:
    """y_no = gamma_o x_no / sqrt(mean_o x_no^2 + e): Zhang, Sennrich 2019, eq. 4."""
    y = np.zeros(x.shape)
    for n, row in enumerate(x):
        rms = math.sqrt(math.fsum(float(value) ** 2 for value in row) / len(row) + epsilon)
        for o in range(len(row)):
            y[n, o] = gamma[o] * float(row[o]) / rms
    return y


def rms_norm_backward(dy: Array, x: Array, gamma: Array, epsilon: float) -> dict[str, Array]:
    """dx_no = sum_k dy_nk dy_nk/dx_no, with the whole Jacobian gamma_k ([k = o] / r - x_k x_o / (O r^3))."""
    dx, dgamma = np.zeros(x.shape), np.zeros(x.shape[1])
    for n, row in enumerate(x):
        size = len(row)
        rms = math.sqrt(math.fsum(float(value) ** 2 for value in row) / size + epsilon)
        for o in range(size):
            dgamma[o] += dy[n, o] * row[o] / rms
            for k in range(size):
                dx[n, o] += dy[n, k] * gamma[k] * ((k == o) / rms - row[k] * row[o] / (size * rms**3))
    return {"x": dx, "gamma": dgamma}


def scale(x: Array, gamma: Array) -> Array:
    """y_no = gamma_o x_no."""
    y = np.zeros(x.shape)
    for n, o in np.ndindex(x.shape):
        y[n, o] = gamma[o] * float(x[n, o])
    return y


def scale_backward(dy: Array, x: Array, gamma: Array) -> dict[str, Array]:
    """dx_no = gamma_o dy_no;  dgamma_o = sum_n dy_no x_no."""
    dgamma = np.zeros(x.shape[1])
    for n, o in np.ndindex(x.shape):
        dgamma[o] += dy[n, o] * x[n, o]
    return {"x": scale(dy, gamma), "gamma": dgamma}


def standardize(x: Array, mean: Array, std: Array) -> Array:
    """y_no = (x_no - mean_o) / std_o, and 0 where std_o = 0."""
    y = np.zeros(x.shape)
    for n, o in np.ndindex(x.shape):
        y[n, o] = (float(x[n, o]) - mean[o]) / std[o] if std[o] > 0 else 0.0
    return y


def embedding(x: Array, tables: dict[int, Array]) -> Array:
    """Each row: the columns without a table, then T_i[x_i] for each table."""
    rows = []
    for row in x:
        vectors = [float(value) for table, i in ((t, i) for i, t in tables.items()) for value in table[int(row[i])]]
        rows.append([float(row[i]) for i in range(len(row)) if i not in tables] + vectors)
    return np.array(rows)


def embedding_backward(dy: Array, x: Array, tables: dict[int, Array]) -> dict[str, Array]:
    """What comes to a copied number goes back to it; what comes to T_i[k] is summed over the rows with code k."""
    dx, gradients = np.zeros(x.shape), {i: np.zeros(table.shape) for i, table in tables.items()}
    for n in range(len(x)):
        received = iter(dy[n])
        for i in range(x.shape[1]):
            if i not in tables:
                dx[n, i] = next(received)
        for i, gradient in gradients.items():
            for k in range(gradient.shape[1]):
                gradient[int(x[n, i]), k] += next(received)
    return {"x": dx} | {f"table{i}": gradient for i, gradient in gradients.items()}


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


def descend(
    direction: Callable[[float, int, dict[str, float]], float],
    params: Array,
    grads: Array,
    rates: Sequence[float],
    n_weights: int,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    factors: Sequence[tuple[float, float]] = ((1.0, 1.0), (1.0, 0.0)),
) -> Array:
    """p <- p - a lr c decay p - a lr direction(g, t, s), number by number.

    g is clipped, by value and then by the norm of the whole gradient; (a, c) are the factors of weights and of biases;
    s is what the rule remembers of one number.
    """
    p, memory = [float(value) for value in params], [defaultdict(float) for _ in params]
    for t, (rate, gradient) in enumerate(zip(rates, grads, strict=True), start=1):
        clipped = [float(g) if clip_value is None else min(max(g, -clip_value), clip_value) for g in gradient]
        norm = math.sqrt(sum(g * g for g in clipped))
        shrink = 1.0 if clip_norm is None or norm + 1e-6 <= clip_norm else clip_norm / (norm + 1e-6)
        for i, g in enumerate(clipped):
            a, c = factors[0] if i < n_weights else factors[1]
            p[i] -= a * rate * c * weight_decay * p[i]
            p[i] -= a * rate * direction(g * shrink, t, memory[i])
    return np.array(p)


def sgd(*start: Any, momentum: float = 0.0, nesterov: bool = False, **common: Any) -> Array:
    """v <- mu v + g;  p <- p - lr v, or p <- p - lr (g + mu v): Sutskever et al. 2013."""

    def direction(g: float, t: int, s: dict[str, float]) -> float:
        s["v"] = momentum * s["v"] + g
        return g + momentum * s["v"] if nesterov else s["v"]

    return descend(direction, *start, **common)


def lion(*start: Any, beta1: float = 0.9, beta2: float = 0.99, **common: Any) -> Array:
    """Chen et al. 2023, program 1: the update is the sign of an interpolation, the momentum another interpolation."""

    def direction(g: float, t: int, s: dict[str, float]) -> float:
        c = beta1 * s["m"] + (1 - beta1) * g
        s["m"] = beta2 * s["m"] + (1 - beta2) * g
        return 1.0 if c > 0 else -1.0 if c < 0 else 0.0

    return descend(direction, *start, **common)


def rmsprop(
    *start: Any, alpha: float = 0.99, epsilon: float = 1e-8, momentum: float = 0.0, centered: bool = False, **common: Any
) -> Array:
    """Tieleman, Hinton 2012; Graves 2013, eq. 38-45."""

    def direction(g: float, t: int, s: dict[str, float]) -> float:
        s["v"] = alpha * s["v"] + (1 - alpha) * g**2
        s["c"] = alpha * s["c"] + (1 - alpha) * g
        spread = math.sqrt(max(s["v"] - s["c"] ** 2, 0) if centered else s["v"])
        s["b"] = momentum * s["b"] + g / (spread + epsilon)
        return s["b"]

    return descend(direction, *start, **common)


def adagrad(*start: Any, epsilon: float = 1e-10, **common: Any) -> Array:
    """Duchi, Hazan, Singer 2011, figure 1."""

    def direction(g: float, t: int, s: dict[str, float]) -> float:
        s["total"] += g**2
        return g / (math.sqrt(s["total"]) + epsilon)

    return descend(direction, *start, **common)


def adadelta(*start: Any, rho: float = 0.9, epsilon: float = 1e-6, **common: Any) -> Array:
    """Zeiler 2012, algorithm 1: RMS[dx] / RMS[g] g."""

    def direction(g: float, t: int, s: dict[str, float]) -> float:
        s["g2"] = rho * s["g2"] + (1 - rho) * g**2
        dx = math.sqrt(s["dx2"] + epsilon) / math.sqrt(s["g2"] + epsilon) * g
        s["dx2"] = rho * s["dx2"] + (1 - rho) * dx**2
        return dx

    return descend(direction, *start, **common)


def adam(
    *start: Any, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, largest: bool = False, **common: Any
) -> Array:
    """Kingma, Ba 2015, algorithm 1; with `largest` Reddi, Kale, Kumar 2018, algorithm 2."""

    def direction(g: float, t: int, s: dict[str, float]) -> float:
        s["m"] = beta1 * s["m"] + (1 - beta1) * g
        s["v"] = beta2 * s["v"] + (1 - beta2) * g * g
        s["top"] = max(s["top"], s["v"]) if largest else s["v"]
        m_hat, v_hat = s["m"] / (1 - beta1**t), s["top"] / (1 - beta2**t)
        return m_hat / (math.sqrt(v_hat) + epsilon)

    return descend(direction, *start, **common)


def amsgrad(*start: Any, **options: Any) -> Array:
    return adam(*start, largest=True, **options)


def adamw(*start: Any, weight_decay: float = 0.01, **options: Any) -> Array:
    """Loshchilov, Hutter 2019, algorithm 2: Adam with a decay that is 0.01 where nothing is said."""
    return adam(*start, weight_decay=weight_decay, **options)


def nadam(
    *start: Any,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    momentum_decay: float = 4e-3,
    **common: Any,
) -> Array:
    """Dozat 2016, algorithm 2, with the schedule of mu of its section 3.2."""

    def mu(t: int) -> float:
        return beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    def direction(g: float, t: int, s: dict[str, float]) -> float:
        now = math.prod(mu(i) for i in range(1, t + 1))
        s["m"] = beta1 * s["m"] + (1 - beta1) * g
        s["n"] = beta2 * s["n"] + (1 - beta2) * g * g
        m_bar = (1 - mu(t)) * g / (1 - now) + mu(t + 1) * s["m"] / (1 - now * mu(t + 1))
        return m_bar / (math.sqrt(s["n"] / (1 - beta2**t)) + epsilon)

    return descend(direction, *start, **common)


def radam(*start: Any, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, **common: Any) -> Array:
    """Liu et al. 2020, algorithm 2; the threshold of 5 and the place of epsilon are PyTorch's."""
    rho_inf = 2 / (1 - beta2) - 1

    def direction(g: float, t: int, s: dict[str, float]) -> float:
        s["m"] = beta1 * s["m"] + (1 - beta1) * g
        s["v"] = beta2 * s["v"] + (1 - beta2) * g * g
        m_hat = s["m"] / (1 - beta1**t)
        rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        if rho <= 5:
            return m_hat
        r = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        return r * m_hat * math.sqrt(1 - beta2**t) / (math.sqrt(s["v"]) + epsilon)

    return descend(direction, *start, **common)


def constant(t: int, total: int, learning_rate: float) -> float:
    return learning_rate


def between(first: float, last: float, share: float) -> float:
    """From `first` to `last` along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def cosine(t: int, total: int, learning_rate: float, final: float = 0.0) -> float:
    """Loshchilov, Hutter 2017, eq. 5, with one period of `total` steps."""
    return between(learning_rate, final, t / total)


def step(t: int, total: int, learning_rate: float, every: int, factor: float = 0.1) -> float:
    """Multiplied by `factor` once for every full `every` steps."""
    for _ in range(every, t + 1, every):
        learning_rate *= factor
    return learning_rate


def exponential(t: int, total: int, learning_rate: float, factor: float) -> float:
    for _ in range(t):
        learning_rate *= factor
    return learning_rate


def polynomial(t: int, total: int, learning_rate: float, final: float = 0.0, power: float = 1.0) -> float:
    return final + (learning_rate - final) * ((total - t) / total) ** power


def cosine_restarts(t: int, total: int, learning_rate: float, period: int, growth: int = 1, final: float = 0.0) -> float:
    """Loshchilov, Hutter 2017, eq. 5, counted step by step."""
    since = 0
    for _ in range(t):
        since += 1
        if since == period:
            since, period = 0, period * growth
    return between(learning_rate, final, since / period)


def cos_log4(t: int, total: int, peak: float) -> float:
    """Holzmüller et al. 2024: 1/2 (1 - cos(2 pi log2(1 + 15 t)))."""
    return peak * 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t / total)))


def flat_cosine(t: int, total: int, learning_rate: float) -> float:
    """1 up to the middle, then (1 + cos(pi s)) / 2 with s from 0 to 1."""
    return learning_rate if 2 * t <= total else between(learning_rate, 0.0, (t - total / 2) / (total / 2))


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


def hits(predicted: Array, labels: Array, weight: Array | None = None) -> float:
    """Sum of the weights of the rows whose labels are all right."""
    total = 0.0
    for n in range(len(labels)):
        if np.array_equal(predicted[n], labels[n]):
            total += 1.0 if weight is None else float(weight[n])
    return total


def accuracy(predicted: Array, labels: Array) -> float:
    """Share of equal labels."""
    return sum(int(a == b) for a, b in zip(predicted, labels, strict=True)) / len(labels)


def confusion_matrix(predicted: Array, labels: Array, n_classes: int) -> Array:
    """M[i, j]: rows of class i that were called j."""
    counts = [[0] * n_classes for _ in range(n_classes)]
    for is_called, is_class in zip(predicted, labels, strict=True):
        counts[is_class][is_called] += 1
    return np.array(counts)


def shares(predicted: Array, labels: Array, weight: Array) -> list[tuple[float, float, float]]:
    """For each class that occurs: weight of the rows that are it and called it, are called it, are it."""
    rows = list(zip(predicted, labels, weight, strict=True))
    return [
        (
            math.fsum(w for a, b, w in rows if a == b == c),
            math.fsum(w for a, b, w in rows if a == c),
            math.fsum(w for a, b, w in rows if b == c),
        )
        for c in sorted({*predicted, *labels})
    ]


def precision(predicted: Array, labels: Array, weight: Array) -> float:
    """Mean over the classes of right / called."""
    each = [right / called if called else 0.0 for right, called, _ in shares(predicted, labels, weight)]
    return math.fsum(each) / len(each)


def recall(predicted: Array, labels: Array, weight: Array) -> float:
    """Mean over the classes of right / there."""
    each = [right / there if there else 0.0 for right, _, there in shares(predicted, labels, weight)]
    return math.fsum(each) / len(each)


def f1(predicted: Array, labels: Array, weight: Array) -> float:
    """Mean over the classes of the harmonic mean of precision and recall."""
    each = []
    for right, called, there in shares(predicted, labels, weight):
        each.append(2 / (called / right + there / right) if right else 0.0)
    return math.fsum(each) / len(each)


def balanced_accuracy(predicted: Array, labels: Array, weight: Array) -> float:
    """Mean over the classes that are there of right / there."""
    each = [right / there for right, _, there in shares(predicted, labels, weight) if there]
    return math.fsum(each) / len(each)


def top_k_accuracy(scores: Array, labels: Array, k: int, weight: Array) -> float:
    """Weight of the rows of whose scores fewer than k stand before the right one; of equal scores the later is first."""
    total = 0.0
    for n, label in enumerate(labels):
        own = (scores[n, label], label)
        total += float(weight[n]) * (sum((score, c) > own for c, score in enumerate(scores[n])) < k)
    return total / math.fsum(weight)


def roc_auc(scores: Array, labels: Array, weight: Array) -> float:
    """Mean over the classes of the weighted share of pairs that stand in the right order."""
    areas = []
    for c in range(scores.shape[1]):
        won, pairs = [], []
        for i, j in np.ndindex(len(labels), len(labels)):
            if labels[i] == c != labels[j]:
                pairs.append(weight[i] * weight[j])
                won.append(pairs[-1] * ((scores[i, c] > scores[j, c]) + (scores[i, c] == scores[j, c]) / 2))
        areas.append(math.fsum(won) / math.fsum(pairs))
    return math.fsum(areas) / len(areas)


def log_loss(p: Array, labels: Array, weight: Array) -> float:
    """Weighted mean of -log p of the right class."""
    return -math.fsum(w * math.log(p[n, t]) for n, (t, w) in enumerate(zip(labels, weight, strict=True))) / math.fsum(weight)


def brier_score(p: Array, labels: Array, weight: Array) -> float:
    """Weighted mean of the squared distance from the one-hot row."""
    terms = [weight[n] * (p[n, c] - (labels[n] == c)) ** 2 for n, c in np.ndindex(p.shape)]
    return math.fsum(terms) / math.fsum(weight)


def expected_calibration_error(p: Array, labels: Array, n_bins: int, weight: Array) -> float:
    """Weighted mean over the bins of |accuracy - sureness|."""
    total = 0.0
    for b in range(n_bins):
        rows = [n for n in range(len(p)) if b / n_bins < max(p[n]) <= (b + 1) / n_bins]
        total += abs(math.fsum(weight[n] * ((list(p[n]).index(max(p[n])) == labels[n]) - max(p[n])) for n in rows))
    return total / math.fsum(weight)


def r2(predicted: Array, target: Array, weight: Array) -> float:
    """1 - missed / spread, the mean over the columns."""
    shares_ = []
    for c in range(target.shape[1]):
        mean = math.fsum(w * t for w, t in zip(weight, target[:, c], strict=True)) / math.fsum(weight)
        missed = math.fsum(w * (t - y) ** 2 for w, t, y in zip(weight, target[:, c], predicted[:, c], strict=True))
        shares_.append(1 - missed / math.fsum(w * (t - mean) ** 2 for w, t in zip(weight, target[:, c], strict=True)))
    return math.fsum(shares_) / len(shares_)


def mean_absolute_error(predicted: Array, target: Array, weight: Array) -> float:
    """Weighted mean of |t - y| over all rows and columns."""
    terms = [weight[n] * abs(target[n, c] - predicted[n, c]) for n, c in np.ndindex(target.shape)]
    return math.fsum(terms) / math.fsum(weight) / target.shape[1]


def root_mean_squared_error(predicted: Array, target: Array, weight: Array) -> float:
    """Root of the weighted mean of (t - y)^2 of a column, the mean over the columns."""
    roots = []
    for c in range(target.shape[1]):
        terms = [weight[n] * (target[n, c] - predicted[n, c]) ** 2 for n in range(len(target))]
        roots.append(math.sqrt(math.fsum(terms) / math.fsum(weight)))
    return math.fsum(roots) / len(roots)
