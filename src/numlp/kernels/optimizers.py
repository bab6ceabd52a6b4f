"""The specification of what optimizers do with flat arrays, in place; a part of `reference`.

`scratch` is as long as the parameters. What makes a step returns whether the parameters are finite after it.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.kernels.smooth import BLOCK

Array = NDArray[Any]


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
    for start in range(0, len(params), BLOCK):
        part = slice(start, start + BLOCK)
        grads[part] += l2 * params[part]


def sum_of_squares(values: Array) -> float:
    """s = sum_i x_i^2: of gradients for their norm, of weights for their penalty."""
    return float(np.dot(values, values))


def all_finite(values: Array) -> bool:
    """f = all_i [|x_i| < inf]: whether no number of a flat array is NaN or infinite."""
    return math.isfinite(np.dot(values, values)) or bool(np.isfinite(values).all())  # the first needs no array
