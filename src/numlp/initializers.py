"""How weights are drawn: f(shape, rng, dtype) for W of shape (fan_in, fan_out).

A layer multiplies the variance of its input by fan_in Var(W), and on the way back by fan_out Var(W). Each rule
chooses Var(W) so that signals neither die out nor blow up through many layers:

    LeCun    Var(W) = 1 / fan_in                  LeCun, Bottou, Orr, Müller 1998, eq. 16
    Glorot   Var(W) = 2 / (fan_in + fan_out)      Glorot, Bengio 2010, eq. 12 and 16
    He       Var(W) = 2 / fan_in                  He, Zhang, Ren, Sun 2015, eq. 10 (ReLU halves the variance)

A uniform draw from [-a, a] has variance a^2 / 3, so a = sqrt(3 Var(W)). A truncated normal draw is one from N(0, s^2) again
until it lies within 2 s; s is Var(W)^(1/2) / 0.8796..., so that Var(W) is the rule's. An orthogonal W keeps lengths:

    W^T W = 1, or W W^T = 1 if fan_in < fan_out   Saxe, McClelland, Ganguli 2014; Mezzadri 2007, section 5

Instead of a name, a number stands for a constant: `Dense(3, 2, initializer=0.5)`; "zeros" is 0.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import ArgumentError, DTypeError, check_choice

Shape = tuple[int, int]
Variance = Callable[[Shape], float]
Initializer = Callable[[Shape, np.random.Generator, np.dtype[Any]], NDArray[Any]]


def _lecun(shape: Shape) -> float:
    return 1 / shape[0]


def _glorot(shape: Shape) -> float:
    return 2 / (shape[0] + shape[1])


def _he(shape: Shape) -> float:
    return 2 / shape[0]


# the first argument is given by `partial`, because a function inside a function could not be pickled
def _normal(variance: Variance, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> NDArray[Any]:
    return rng.normal(0, math.sqrt(variance(shape)), shape).astype(dtype)


def _uniform(variance: Variance, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> NDArray[Any]:
    limit = math.sqrt(3 * variance(shape))
    return rng.uniform(-limit, limit, shape).astype(dtype)


# the standard deviation of N(0, 1) cut at +-2: sqrt(1 - 2 c phi(c) / (2 Phi(c) - 1)), c = 2
_CUT = 2.0
_CUT_DEVIATION = math.sqrt(1 - _CUT * math.sqrt(2 / math.pi) * math.exp(-(_CUT**2) / 2) / math.erf(_CUT / math.sqrt(2)))


def _truncated_normal(variance: Variance, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> NDArray[Any]:
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > _CUT).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return (values * (math.sqrt(variance(shape)) / _CUT_DEVIATION)).astype(dtype)


def _orthogonal(shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> NDArray[Any]:
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q *= np.copysign(1.0, np.diag(r))  # with a positive diagonal of R, Q is unique and uniformly distributed
    return np.ascontiguousarray(q if shape[0] >= shape[1] else q.T, dtype)


def _constant(value: float, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.full(shape, value, dtype)


INITIALIZERS: dict[str, Initializer] = {
    "zeros": partial(_constant, 0.0),
    "lecun_normal": partial(_normal, _lecun),
    "lecun_uniform": partial(_uniform, _lecun),
    "lecun_truncated_normal": partial(_truncated_normal, _lecun),
    "glorot_normal": partial(_normal, _glorot),
    "glorot_uniform": partial(_uniform, _glorot),
    "glorot_truncated_normal": partial(_truncated_normal, _glorot),
    "he_normal": partial(_normal, _he),
    "he_uniform": partial(_uniform, _he),
    "he_truncated_normal": partial(_truncated_normal, _he),
    "orthogonal": _orthogonal,
}


def find_initializer(initializer: str | float, where: str) -> Initializer:
    """Return the initializer of a name, or for a number the one that fills with it.

    Errors  ArgumentError for another name, or a number that is not finite; DTypeError for anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from numlp.initializers import find_initializer
    >>> find_initializer(0.5, "example")((1, 2), np.random.default_rng(0), np.dtype("float32")).tolist()
    [[0.5, 0.5]]
    """
    if isinstance(initializer, str):
        return INITIALIZERS[check_choice(initializer, INITIALIZERS, where, "initializer")]
    if isinstance(initializer, bool) or not isinstance(initializer, int | float | np.integer | np.floating):
        raise DTypeError(f"{where}: initializer must be a name or a finite number, got {initializer!r}")
    if not math.isfinite(initializer):
        raise ArgumentError(f"{where}: initializer must be a name or a finite number, got {initializer}")
    return partial(_constant, float(initializer))
