"""Losses of counts, positive amounts and numbers of unknown spread: what is learnt is the logarithm of a scale."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.attributes import number
from numlp.errors import ShapeError
from numlp.losses.classification import row_blocks
from numlp.losses.regression import RegressionLoss, check_least

Array = NDArray[Any]

MOST = 40.0  # where exp is left along its tangent: e^40 = 2.4e17 is no mean of anything, and float32 still has room above


def exp(u: Array) -> tuple[Array, Array]:
    """Return (e, de/du): the exponential, above u = 40 continued along its tangent, so that neither overflows.

    e = exp(u),  above m = 40: e = exp(m) (1 + u - m),  de/du = exp(min(u, m))        (1)
    """
    slope = np.exp(np.minimum(u, MOST))
    return slope * (1 + np.maximum(u - MOST, 0)), slope


class Poisson(RegressionLoss):
    """Negative log-likelihood of counts whose mean is exp(y).

        l = exp(y) - t y,  dl/dy = exp(y) - t                            (1)

    log t! is left out: it does not depend on y. L is the mean over the rows, the sum over the columns. Above y = 40 the
    exponential goes on along its tangent. Predictions are logarithms: np.exp(network.predict(x)) are the means.

    Shapes  y, target (N, C); target (N,) for C = 1.
    Units   nats, up to a constant.
    Errors  ShapeError, DTypeError; ArgumentError for a target below 0, naming the row.
    Source  McCullagh and Nelder 1989, chapter 6.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.Poisson()(np.array([[0.0]]), np.array([[3.0]]))
    >>> value, dy.tolist()
    (1.0, [[-2.0]])
    """

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return the counts as `dtype`, of shape (N, C)."""
        target = super().prepare(target, n_outputs, dtype, where)
        check_least(target, 0, True, where, "counts of at least 0")
        return target

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return logarithms and counts."""
        return rng.uniform(0.1, 0.9, size=(5, 4)), rng.poisson(2.0, size=(5, 4)).astype(np.float64)

    def _pointwise(self, y: Array, target: Array) -> tuple[Array, Array]:
        mean, slope = exp(y)
        return mean - target * y, slope - target


class Gamma(RegressionLoss):
    """Unit deviance of the gamma distribution, for positive amounts whose mean is exp(y): what counts are ratios.

        l = 2 (t exp(-y) - 1 - log t + y),  dl/dy = 2 (1 - t exp(-y))    (1)

    Zero where exp(y) = t. It is twice the negative log-likelihood of shape 1, up to a term without y. L is the mean over
    the rows, the sum over the columns. Below y = -40 the exponential goes on along its tangent.

    Shapes  y, target (N, C); target (N,) for C = 1.
    Units   none: a ratio of 2 costs 0.39 or 0.61.
    Errors  ShapeError, DTypeError; ArgumentError for a target not above 0, naming the row.
    Source  McCullagh and Nelder 1989, chapter 8.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.Gamma()(np.array([[0.0]]), np.array([[2.0]]))
    >>> round(value, 4), dy.tolist()
    (0.6137, [[-2.0]])
    """

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return the amounts as `dtype`, of shape (N, C)."""
        target = super().prepare(target, n_outputs, dtype, where)
        check_least(target, 0, False, where, "numbers above 0")
        return target

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return logarithms and positive amounts."""
        return rng.uniform(0.1, 0.9, size=(5, 4)), rng.gamma(2.0, size=(5, 4))

    def _pointwise(self, y: Array, target: Array) -> tuple[Array, Array]:
        inverse, slope = exp(-y)
        return 2 * (target * inverse - 1 - np.log(target) + y), 2 * (1 - target * slope)


class Tweedie(RegressionLoss):
    """Unit deviance of a compound Poisson-gamma distribution, for amounts that are often exactly zero (rain, claims).

        l = 2 (t^(2-p) / ((1-p) (2-p)) - t exp((1-p) y) / (1-p) + exp((2-p) y) / (2-p))   (1)
        dl/dy = 2 (exp((2-p) y) - t exp((1-p) y))                                         (2)

    The mean is exp(y), the variance grows as its power p; zero where exp(y) = t. L is the mean over the rows, the sum over
    the columns. Where an exponent passes 40 the exponential goes on along its tangent.

    Shapes  y, target (N, C); target (N,) for C = 1.
    Errors  ShapeError, DTypeError; ArgumentError for a target below 0, naming the row, or a power outside (1, 2).
    Source  Jorgensen 1987; as deviance: Dunn and Smyth 2005.

    Parameters
    ----------
    power
        p above 1 (Poisson) and below 2 (gamma).

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.Tweedie(1.5)(np.array([[0.0]]), np.array([[0.0]]))
    >>> value, dy.tolist()
    (4.0, [[2.0]])
    """

    power: float = number(above=1, below=2)

    def __init__(self, power: float = 1.5) -> None:
        self.power = power

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return the amounts as `dtype`, of shape (N, C)."""
        target = super().prepare(target, n_outputs, dtype, where)
        check_least(target, 0, True, where, "numbers of at least 0")
        return target

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return logarithms and amounts, some of them zero."""
        return rng.uniform(0.1, 0.9, size=(5, 4)), np.maximum(rng.normal(size=(5, 4)), 0)

    def _pointwise(self, y: Array, target: Array) -> tuple[Array, Array]:
        a, b = 1 - self.power, 2 - self.power
        (falling, falling_slope), (rising, rising_slope) = exp(a * y), exp(b * y)
        value = target**b / (a * b) - target * falling / a + rising / b
        return 2 * value, 2 * (rising_slope - target * falling_slope)


class GaussianNLL(RegressionLoss):
    """Negative log-likelihood of numbers whose mean and spread are both learnt: two outputs for each number.

        y = (m, s),  l_n = 1/2 sum_c (s_nc + (t_nc - m_nc)^2 exp(-s_nc))  (1)
        dl/dm = (m - t) exp(-s),  dl/ds = (1 - (t - m)^2 exp(-s)) / 2     (2)

    s is the logarithm of the variance; log(2 pi) / 2 is left out. Below s = -40 the exponential goes on along its tangent.

    Shapes  y (N, 2C): C means, then C log-variances; target (N, C), or (N,) for C = 1.
    Units   nats, up to a constant.
    Errors  ShapeError if the outputs are not twice as many as the target's columns; DTypeError, ArgumentError.
    Source  Nix and Weigend 1994.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.GaussianNLL()(np.array([[3.0, 0.0]]), np.array([[1.0]]))
    >>> value, dy.tolist()
    (2.0, [[2.0, -1.5]])
    """

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return the target as `dtype`, of shape (N, C)."""
        self._check_width(n_outputs, where)
        return super().prepare(target, n_outputs // 2, dtype, where)

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return (5, 2 * 2) outputs and (5, 2) numbers."""
        return rng.uniform(0.1, 0.9, size=(5, 4)), rng.normal(size=(5, 2))

    def _check_width(self, n_outputs: int, where: str) -> None:
        if n_outputs % 2:
            raise ShapeError(f"{where}: GaussianNLL must have 2 outputs for each number, got {n_outputs}")

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        self._check_width(y.shape[1], "GaussianNLL")
        n_numbers = y.shape[1] // 2
        target = self._numbers(y, target, n_numbers)
        with np.errstate(under="ignore"):
            for rows in row_blocks(y):
                m, s = y[rows, :n_numbers], y[rows, n_numbers:]
                d = m - target[rows]
                precision, slope = exp(-s)
                dy[rows, :n_numbers] = d * precision
                dy[rows, n_numbers:] = (1 - d * d * slope) / 2
                (s + d * d * precision).sum(axis=1, out=losses[rows])
        losses *= 0.5
        return weight
