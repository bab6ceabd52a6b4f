"""How weights are drawn: f(shape, rng, dtype) for W of shape (fan_in, fan_out).

A layer multiplies the variance of its input by fan_in Var(W), and on the way back by fan_out Var(W). Each rule
chooses Var(W) so that signals neither die out nor blow up through many layers:

    LeCun    Var(W) = 1 / fan_in                  LeCun, Bottou, Orr, Müller 1998, eq. 16
    Glorot   Var(W) = 2 / (fan_in + fan_out)      Glorot, Bengio 2010, eq. 12 and 16
    He       Var(W) = 2 / fan_in                  He, Zhang, Ren, Sun 2015, eq. 10 (ReLU halves the variance)

A uniform draw from [-a, a] has variance a^2 / 3, so a = sqrt(3 Var(W)).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]
Initializer = Callable[[Shape, np.random.Generator, np.dtype[Any]], NDArray[Any]]


def _lecun(shape: Shape) -> float:
    return 1 / shape[0]


def _glorot(shape: Shape) -> float:
    return 2 / (shape[0] + shape[1])


def _he(shape: Shape) -> float:
    return 2 / shape[0]


def _normal(variance: Callable[[Shape], float]) -> Initializer:
    def draw(shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> NDArray[Any]:
        return rng.normal(0, math.sqrt(variance(shape)), shape).astype(dtype)

    return draw


def _uniform(variance: Callable[[Shape], float]) -> Initializer:
    def draw(shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> NDArray[Any]:
        limit = math.sqrt(3 * variance(shape))
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return draw


INITIALIZERS: dict[str, Initializer] = {
    "lecun_normal": _normal(_lecun),
    "lecun_uniform": _uniform(_lecun),
    "glorot_normal": _normal(_glorot),
    "glorot_uniform": _uniform(_glorot),
    "he_normal": _normal(_he),
    "he_uniform": _uniform(_he),
}
