"""scikit-learn's check of X and y, behind a look at what it and NumPy would take wrongly or name badly."""

import re
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from numlp.data.arrow_columns import check_names, is_data_frame, without_index
from numlp.data.cells import Table, kind_of
from numlp.data.rows import check_unmasked, refuse_no_table
from numlp.errors import ArgumentError, DTypeError
from numlp.estimators.targets import labels_of, numbers_of

_OTHERS = "TabularClassifier and TabularRegressor take text and dates"
# how NumPy begins to complain about a cell that is no number
_NO_NUMBER = re.compile("could not convert|float\\(\\) argument must be|setting an array element|Cannot cast|The DType")


def validated(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """Return what scikit-learn's `validate_data` returns.

    Errors  DTypeError, ArgumentError for masked numbers, what is no table, a column twice or that is not of numbers, and
        targets with gaps or of several kinds; else scikit-learn's.
    """
    where = type(estimator).__name__
    if is_data_frame(X):
        check_names(X, where)
        X = without_index(X)
    else:
        refuse_no_table(X, where)
    if y and not hasattr(X, "tocsr") and len(getattr(X, "shape", ())) == 2 and np.asarray(X[:1]).dtype.kind in "mM":
        raise DTypeError(f"{where}: X must hold numbers, got {_first_other(X)}; {_OTHERS}")
    try:
        return validate_data(estimator, X, *(checked_targets(estimator, each, where) for each in y), **options)
    except (TypeError, ValueError) as error:
        if not _NO_NUMBER.match(str(error)):
            raise
        kind = DTypeError if isinstance(error, TypeError) else ArgumentError
        got = f"{_first_other(X)}; {_OTHERS} ({str(error).splitlines()[0]})"
        raise kind(f"{where}: X must hold numbers, got {got}") from error


def checked_targets(estimator: Any, y: Any, where: str) -> Any:
    """Return targets for scikit-learn, which would take masked numbers and dates as numbers, and no objects."""
    check_unmasked(y, where, "y")
    if y is None or hasattr(y, "tocsr"):
        return y
    if not isinstance(estimator, RegressorMixin):
        return labels_of(y, where)
    kind = np.asarray(y, dtype=None if hasattr(y, "dtype") else object).dtype.kind
    return numbers_of(y, None, where) if kind in "OUmM" else y


def _first_other(X: Any) -> str:
    """Name the first column of X that does not hold numbers."""
    table = Table(X, "X")
    for i in range(table.shape[1]):
        try:
            kind = kind_of(table.column(i))
        except DTypeError:
            return f"neither numbers nor text in {table.name(i)}"
        if kind != "number":
            return f"{'text' if kind == 'category' else 'dates'} in {table.name(i)}"
    return "others"
