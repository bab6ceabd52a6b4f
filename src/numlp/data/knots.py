"""Where a column of numbers is cut into stretches."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numlp.errors import ShapeError, check_count, check_finite, check_real

Array = NDArray[Any]


def quantiles(column: ArrayLike, bins: int = 16) -> list[float]:
    """Return knots among a column's numbers (N,) that part them into as many bins of equal size, as far as they differ.

    One number counts as at most one bin, however often it is there: in a column of many zeros the others have their knots,
    too. A column of few different numbers has all of them as knots; one that does not vary has its number and a larger one.

    Errors  ShapeError, DTypeError, ArgumentError about the column or the bins.
    """
    column = np.asarray(column)
    if column.ndim != 1 or not len(column):
        raise ShapeError(f"quantiles: column must have shape (n,) with n at least 1, got {column.shape}")
    check_real(column, "quantiles", "column")
    check_finite(column, "quantiles", "column")
    check_count(bins, "quantiles", "bins")
    values, counts = np.unique(column.astype(np.float32), return_counts=True)
    if len(values) == 1:
        return [float(values[0]), 2 * abs(float(values[0])) + 1]
    if len(values) > bins + 1:
        shares, weights = np.linspace(0, 1, bins + 1), np.minimum(counts, _size_of_bin(counts, bins))
        values = np.unique(np.quantile(values, shares, weights=weights, method="inverted_cdf"))
    found: list[float] = values.tolist()
    return found


def _size_of_bin(counts: Array, bins: int) -> float:
    """Return the c with c = sum_i min(count_i, c) / bins, for more counts than bins."""
    ordered = np.sort(counts)[::-1]
    rest = ordered[::-1].cumsum()[::-1]  # of count j and all that are smaller
    j = next(j for j in range(bins) if ordered[j] * (bins - j) <= rest[j])  # the j largest are above c
    return float(rest[j] / (bins - j))
