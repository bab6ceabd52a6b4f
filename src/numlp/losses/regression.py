"""Losses for numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.attributes import number
from numlp.errors import (
    ArgumentError,
    DTypeError,
    ShapeError,
    as_array,
    check_finite,
    check_matrix,
    check_number,
    check_within,
)
from numlp.losses.classification import Loss, as_column, row_blocks

Array = NDArray[Any]


class RegressionLoss(Loss):
    """A loss of numbers: l_n = sum_c l(y_nc, t_nc), each output by itself. A loss states l and dl/dy.

    Shapes  y, target (N, C); target (N,) for C = 1.
    """

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return the target as `dtype`, of shape (N, C)."""
        target = as_column(as_array(target, where, "y"), n_outputs)
        if target.ndim == 1 and target.dtype.kind in "iub":
            raise ShapeError(
                f"{where}: y must have shape (n, {n_outputs}), got {target.shape} integers; "
                "labels want a classification loss, such as SoftmaxCrossEntropy()"
            )
        if target.ndim == 1 and len(target) != n_outputs:
            raise ShapeError(
                f"{where}: y must have shape (n, {n_outputs}), got {target.shape}; give y as many columns, or build the "
                "network for one number a row"
            )
        target = check_matrix(target, where, "y", n_outputs)
        check_within(*check_finite(target, where, "y"), target, dtype, where, "y")
        return target.astype(dtype)

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        target = self._numbers(y, target, y.shape[1])
        with np.errstate(under="ignore"):
            for rows in row_blocks(y):
                value, dy[rows] = self._pointwise(y[rows], target[rows])
                value.sum(axis=1, out=losses[rows])
        return weight

    def _pointwise(self, y: Array, target: Array) -> tuple[Array, Array]:
        """Return (l, dl/dy), both of the shape of y, for a few rows."""
        raise NotImplementedError

    def _numbers(self, y: Array, target: Array, n_columns: int) -> Array:
        """Return the target with `n_columns` columns, checked by shape and kind."""
        where, target = type(self).__name__, as_column(target, n_columns)
        if target.shape != (len(y), n_columns):
            raise ShapeError(f"{where}: target must have shape {(len(y), n_columns)}, got {target.shape}")
        if target.dtype.kind not in "fiu":
            raise DTypeError(f"{where}: target must hold real numbers, got dtype {target.dtype}")
        return target if target.dtype.kind == "f" else target.astype(y.dtype)


def check_least(target: Array, least: float, inclusive: bool, where: str, what: str) -> None:
    """Raise ArgumentError, naming the first row, unless all numbers are at least (or above) `least`."""
    bad = np.flatnonzero((target < least if inclusive else target <= least).any(axis=1))
    if len(bad):
        raise ArgumentError(
            f"{where}: y must hold {what}, got {target[bad[0]].min():g} at row {bad[0]}",
        )


class SquaredError(RegressionLoss):
    """Half the squared distance to the target: the loss for numbers.

        L = 1/N sum_n sum_c (y_nc - t_nc)^2 / 2,  dL/dy = (y - t) / N    (1)

    Shapes  y, target (N, C); target (N,) for C = 1.
    Units   half the square of the target's unit.
    Errors  ShapeError, DTypeError, ArgumentError for a target that does not fit.
    Source  Legendre 1805.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.SquaredError()(np.array([[3.0]]), np.array([[1.0]]))
    >>> value, dy.tolist()
    (2.0, [[2.0]])
    """

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        kernels.squared_error(y, self._numbers(y, target, y.shape[1]), losses, dy)
        return weight


class AbsoluteError(RegressionLoss):
    """The distance to the target: outliers pull no harder than anything else, and the best constant is the median.

        L = 1/N sum_n sum_c |y_nc - t_nc|,  dL/dy = sign(y - t) / N      (1)

    At y = t the slope is taken as 0.

    Shapes  y, target (N, C); target (N,) for C = 1.
    Units   the target's unit.
    Errors  ShapeError, DTypeError, ArgumentError for a target that does not fit.
    Source  Laplace 1774.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.AbsoluteError()(np.array([[3.0]]), np.array([[1.0]]))
    >>> value, dy.tolist()
    (2.0, [[1.0]])
    """

    def _pointwise(self, y: Array, target: Array) -> tuple[Array, Array]:
        d = y - target
        return np.abs(d), np.sign(d)


class Huber(RegressionLoss):
    """Squared error near the target, absolute error far from it.

        l = d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2),  d = y - t     (1)
        dl/dy = s = min(max(d, -delta), delta)                                       (2)

    Both lines of (1) are s (d - s / 2). L is the mean over the rows, the sum over the columns.

    Shapes  y, target (N, C); target (N,) for C = 1.
    Units   as SquaredError near the target.
    Errors  ShapeError, DTypeError, ArgumentError for a target that does not fit, or a delta not above 0.
    Source  Huber 1964.

    Parameters
    ----------
    delta
        Where the square ends, above 0, in the target's unit.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.Huber(1.0)(np.array([[3.0]]), np.array([[1.0]]))
    >>> value, dy.tolist()
    (1.5, [[1.0]])
    """

    delta: float = number(above=0)

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = delta

    def _pointwise(self, y: Array, target: Array) -> tuple[Array, Array]:
        d = y - target
        slope = np.clip(d, -self.delta, self.delta)
        return slope * (d - slope / 2), slope


class LogCosh(RegressionLoss):
    """A smooth Huber loss: d^2 / 2 near the target, |d| - log 2 far from it.

        l = log cosh d = |d| + log(1 + exp(-2 |d|)) - log 2,  d = y - t  (1)
        dl/dy = tanh d                                                   (2)

    The second form of (1) cannot overflow. L is the mean over the rows, the sum over the columns.

    Shapes  y, target (N, C); target (N,) for C = 1.
    Errors  ShapeError, DTypeError, ArgumentError for a target that does not fit.
    Source  Green 1990.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.LogCosh()(np.array([[1.0]]), np.array([[0.0]]))
    >>> round(value, 4), dy.round(4).tolist()
    (0.4338, [[0.7616]])
    """

    def _pointwise(self, y: Array, target: Array) -> tuple[Array, Array]:
        d = y - target
        size = np.abs(d)
        return size + np.log1p(np.exp(-2 * size)) - np.log(y.dtype.type(2)), np.tanh(d)


class Pinball(RegressionLoss):
    """One output for each quantile of one number: output q is right if a share tau_q of the targets lies below it.

        l_n = sum_q max(tau_q (t_n - y_nq), (1 - tau_q) (y_nq - t_n))    (1)
        dl/dy_nq = [y_nq > t_n] (1 - tau_q) - [y_nq < t_n] tau_q         (2)

    At y = t the slope is taken as 0. For tau = 1/2 this is half the absolute error.

    Shapes  y (N, Q); target (N,) or (N, 1).
    Units   the target's unit.
    Errors  ShapeError if there is not one output a quantile; DTypeError, ArgumentError for a target that does not fit.
    Source  Koenker and Bassett 1978.

    Parameters
    ----------
    quantiles
        Q different numbers tau between 0 and 1, rising; or one.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.Pinball([0.1, 0.9])(np.array([[1.0, 1.0]]), np.array([2.0]))
    >>> value, dy.tolist()
    (1.0, [[-0.1, -0.9]])
    """

    def __init__(self, quantiles: float | Sequence[float] = (0.1, 0.5, 0.9)) -> None:
        values = quantiles if isinstance(quantiles, Sequence | np.ndarray) else (quantiles,)
        self.quantiles = tuple(check_number(value, "Pinball", "quantiles", above=0, below=1) for value in values)
        if not values or any(a >= b for a, b in zip(self.quantiles, self.quantiles[1:], strict=False)):
            raise ArgumentError(f"Pinball: quantiles must be at least 1 number, rising, got {list(self.quantiles)}")

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return the target as `dtype`, of shape (N, 1)."""
        self._check_width(n_outputs, where)
        return super().prepare(target, 1, dtype, where)

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return outputs (5, Q) and a target (5, 1)."""
        return rng.uniform(0.1, 0.9, size=(5, len(self.quantiles))), rng.normal(size=(5, 1))

    def _check_width(self, n_outputs: int, where: str) -> None:
        if n_outputs != len(self.quantiles):
            raise ShapeError(
                f"{where}: Pinball must have 1 output for each of {len(self.quantiles)} quantiles, got {n_outputs}"
            )

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        self._check_width(y.shape[1], "Pinball")
        target, tau = self._numbers(y, target, 1), np.asarray(self.quantiles, y.dtype)
        for rows in row_blocks(y):
            d = y[rows] - target[rows]
            dy[rows] = (d > 0) * (1 - tau) - (d < 0) * tau
            (d * dy[rows]).sum(axis=1, out=losses[rows])
        return weight
