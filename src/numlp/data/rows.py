"""What is no data frame as an array: rows in lists keep the type of each cell, and what is no table is refused."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import ArgumentError, DTypeError, ShapeError

Array = NDArray[Any]

# {method of what is no table yet: how to make one of it}
_NO_TABLES = {
    "collect": "x.collect()", "compute": "x.compute()", "items": "pandas.DataFrame(x)",
    "__next__": "list(x)", "isidentifier": "a data frame read from the file", "issubset": "list(x)",
}  # fmt: skip


def matrix_of(x: Any, where: str) -> Array:
    """Return what is no data frame as an array; rows in lists keep the type of each cell.

    Errors  DTypeError if it is no table; ShapeError for rows of different length; ArgumentError for masked cells.
    """
    refuse_no_table(x, where)
    if hasattr(x, "tocsr"):
        raise DTypeError(f"{where}: x must be a table or a dense matrix, got a sparse one; use x.toarray()")
    if not isinstance(x, list | tuple):
        return np.asarray(x)
    return np.asarray(x, dtype=object)


def refuse_no_table(x: Any, where: str) -> None:
    """Raise an error with what to do for what is neither a table nor a matrix.

    Errors  as `matrix_of`.
    """
    if type(x) is np.ndarray and x.dtype.names is None:
        return
    check_unmasked(x, where, "x")
    expected = f"{where}: x must be a table or a matrix"
    if isinstance(x, list | tuple) and any(isinstance(row, dict) for row in x):
        raise DTypeError(f"{expected}, got dicts; use pandas.DataFrame(x)")
    lengths = [_length(row) for row in x] if isinstance(x, list | tuple) else []
    for row, length in enumerate(lengths):
        if length != lengths[0]:
            raise ShapeError(f"{where}: x must have rows of one length, got {lengths[0]} cells, and {length} in row {row}")
    if getattr(getattr(x, "dtype", None), "names", None):
        raise DTypeError(f"{expected}, got an array with the fields {', '.join(x.dtype.names)}; use pandas.DataFrame(x)")
    for method, use in _NO_TABLES.items():
        if hasattr(x, method) and not hasattr(x, "tocsr"):
            raise DTypeError(f"{expected}, got {type(x).__name__}; use {use}")


def _length(row: Any) -> int:
    return len(row) if isinstance(row, list | tuple) or (isinstance(row, np.ndarray) and row.ndim) else 0


def check_unmasked(x: Any, where: str, name: str) -> None:
    """Raise ArgumentError if `x` is an array with masked cells: what is behind a mask would be taken as it is."""
    if isinstance(x, np.ma.MaskedArray) and (masked := int(np.ma.getmaskarray(x).sum())):
        raise ArgumentError(f"{where}: {name} must have no masked numbers, got {masked}; fill or drop the masked numbers")
