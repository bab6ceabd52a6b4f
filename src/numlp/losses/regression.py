"""Losses for numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import DTypeError, ShapeError, check_finite, check_matrix
from numlp.kernels import reference as kernels
from numlp.losses.classification import Loss

Array = NDArray[Any]


class SquaredError(Loss):
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

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return the target as `dtype`, of shape (N, C)."""
        target = np.asarray(target)
        if target.ndim == 1 and n_outputs == 1:
            target = target[:, None]
        target = check_matrix(target, where, "y", n_outputs)
        check_finite(target, where, "y")
        return target.astype(dtype)

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        if target.ndim == 1 and y.shape[1] == 1:
            target = target[:, None]
        if target.shape != y.shape:
            raise ShapeError(f"SquaredError: target must have shape {y.shape}, got {target.shape}")
        if target.dtype.kind not in "fiu":
            raise DTypeError(f"SquaredError: target must hold real numbers, got dtype {target.dtype}")
        kernels.squared_error(y, target, losses, dy)
        return weight
