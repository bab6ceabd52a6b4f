"""Numbers on their way into a network, and out of it, that are finite."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import OutputError

Array = NDArray[Any]

FEW = 8  # rows for which a bar, a choice of threads or a change of NumPy's settings would take longer than the work


def cast(x: Array, dtype: np.dtype[Any]) -> Array:
    """Return x as another dtype, contiguous; what is beyond it becomes infinite, for the caller to find."""
    if len(x) <= FEW:
        try:
            return x.astype(dtype, "C")
        except (RuntimeWarning, FloatingPointError):  # where warnings are errors
            pass
    with np.errstate(over="ignore"):
        return x.astype(dtype, "C")


def output_error(y: Array, x: Array, start: int, where: str, is_network_finite: bool) -> OutputError:
    """Return the error about outputs y that are not all finite, of the rows of x from `start` on."""
    finite = np.isfinite(y)
    i = int(np.argmin(finite.all(axis=1)))
    row, value = x[start + i], y[i][~finite[i]][0]
    column = int(np.argmax(np.abs(row)))
    cause = f"x[{start + i}, {column}] is {row[column]:g}, the largest number of that row; scale x"
    if not is_network_finite:
        cause = "the network holds NaN or infinite numbers; train it anew, or load it"
    return OutputError(f"{where}: outputs must be finite numbers, got {value} in row {start + i}: {cause}")
