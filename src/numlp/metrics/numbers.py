"""How good predicted numbers are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import ShapeError, as_array, check_finite, check_real, check_same_length, check_weight

Array = NDArray[Any]


def r2(predicted: Any, target: Any, weight: Any = None) -> float:
    """Return the share of the target's variance that is explained, at most 1; the mean over the columns.

        R^2 = 1 - sum_n w_n (t_n - y_n)^2 / sum_n w_n (t_n - mean t)^2   (1)

    Always calling the mean gives 0; worse is negative. For a target without variance: 1 if it is met, else 0.

    Shapes  predicted, target (N,) or (N, C), N at least 2; weight (N,).
    Errors  ShapeError, DTypeError, ArgumentError about the arrays or the weight.
    Source  Wright 1921.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> round(nl.r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])), 4)
    0.7857
    """
    predicted, target, w = _pair(predicted, target, weight, "r2")
    if len(target) < 2:
        raise ShapeError(f"r2: target must have at least 2 rows, got {len(target)}")
    missed = w @ (target - predicted) ** 2
    spread = w @ (target - np.average(target, axis=0, weights=w)) ** 2
    shares = 1 - np.divide(missed, spread, out=(missed > 0).astype(np.float64), where=spread > 0)
    return float(shares.mean())


def mean_absolute_error(predicted: Any, target: Any, weight: Any = None) -> float:
    """Return the mean distance to the target, in the target's unit; the mean over the columns.

        sum_n w_n |t_n - y_n| / sum_n w_n                                (1)

    Shapes  predicted, target (N,) or (N, C); weight (N,).
    Errors  ShapeError, DTypeError, ArgumentError about the arrays or the weight.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.mean_absolute_error(np.array([1.0, 2.0]), np.array([1.0, 5.0]))
    1.5
    """
    predicted, target, w = _pair(predicted, target, weight, "mean_absolute_error")
    return float(np.average(np.abs(target - predicted), axis=0, weights=w).mean())


def root_mean_squared_error(predicted: Any, target: Any, weight: Any = None) -> float:
    """Return the root of the mean squared distance to the target, in the target's unit; the mean over the columns.

        sqrt(sum_n w_n (t_n - y_n)^2 / sum_n w_n)                        (1)

    Shapes  predicted, target (N,) or (N, C); weight (N,).
    Errors  ShapeError, DTypeError, ArgumentError about the arrays or the weight.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.root_mean_squared_error(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 6.0]))
    1.0
    """
    predicted, target, w = _pair(predicted, target, weight, "root_mean_squared_error")
    return float(np.sqrt(np.average((target - predicted) ** 2, axis=0, weights=w)).mean())


def _pair(predicted: Any, target: Any, weight: Any, where: str) -> tuple[Array, Array, Array]:
    """Return both as float64 (N, C) and the weights; a column stands for its numbers."""
    predicted, target = as_array(predicted, where, "predicted"), as_array(target, where, "target")
    check_same_length(predicted, target, where)
    rows = len(target)
    if rows == 0 or target.ndim > 2:
        raise ShapeError(f"{where}: target must have shape (n,) or (n, n_columns), n at least 1, got {target.shape}")
    if predicted.size != target.size or predicted.ndim > 2:
        raise ShapeError(f"{where}: predicted must have the shape of target, {target.shape}, got {predicted.shape}")
    for array, name in ((predicted, "predicted"), (target, "target")):
        check_real(array, where, name)
        check_finite(array, where, name)
    w = np.ones(rows) if weight is None else check_weight(weight, rows, where)
    return predicted.reshape(rows, -1).astype(np.float64), target.reshape(rows, -1).astype(np.float64), w
