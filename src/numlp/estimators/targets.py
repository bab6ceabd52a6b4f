"""Targets of tables: classes and numbers as arrays, from anything that holds one for each row."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from numlp.data.cells import is_gap
from numlp.data.rows import check_unmasked
from numlp.errors import ArgumentError, CheckpointError, DTypeError, ShapeError, check_finite, check_same_length, printable
from numlp.tensors import parse_json

Array = NDArray[Any]

_LARGEST = 1e150  # target: its square is a number

_CLASSES = "text, whole numbers or truth values"


def classes_of(y: Any, n: int, where: str) -> Array:
    """Return the classes of n rows as text, numbers or truth values, (n,), that a model file can hold.

    Errors  ShapeError; ArgumentError naming a row without a class; DTypeError for classes of another kind, or of several.
    """
    y = labels_of(y, where)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if y.ndim != 1:
        raise ShapeError(f"{where}: y must have shape (n,), got {y.shape}")
    check_same_length(np.empty((n, 0)), y, where)
    if y.dtype.kind not in "fiubOU":
        raise DTypeError(f"{where}: y must hold {_CLASSES}, got {y.dtype}; convert them, as with y.astype(str)")
    check_classification_targets(y)
    classes = np.unique(y)
    try:  # as a model file keeps them
        text = json.dumps(classes.tolist())
        kept = array_of_classes(parse_json(text, where, finite=False)).tolist() == classes.tolist()
    except (CheckpointError, TypeError):  # TypeError of long double
        kept = False
    if not kept:
        raise DTypeError(f"{where}: y must hold classes that a file can keep, got {printable(repr(classes.tolist()), 60)}")
    return y


def array_of_classes(classes: list[Any]) -> Array:
    """Return classes from a file as an array; NumPy alone would round integers beyond 2^63 that are beside smaller ones."""
    found = np.array(classes)
    is_rounded = found.dtype.kind == "f" and all(isinstance(value, int) and value >= 0 for value in classes)
    return np.array(classes, np.uint64) if is_rounded else found


def labels_of(y: Any, where: str) -> Array:
    """Return classes as an array, of one type if they are objects.

    Errors  ArgumentError naming a row without a class; DTypeError if classes are of several kinds.
    """
    array = _array(y, where)
    array = array.astype(object) if array.dtype.kind == "T" else array  # NumPy's StringDType
    if isinstance(y, list | tuple) and array.dtype.kind == "U":  # NumPy makes text of numbers beside text
        array = array if all(isinstance(cell, str) for cell in np.asarray(y, object).flat) else np.asarray(y, object)
    gaps = _gaps(array)
    if gaps.any():
        row = np.argwhere(gaps)[0, 0]
        raise ArgumentError(
            f"{where}: y must have a class in each row, got a gap at row {row}, {gaps.sum()} in all; drop these rows"
        )
    return _of_one_kind(array, where) if array.dtype.kind == "O" and array.ndim == 1 and len(array) else array


def numbers_of(y: Any, n: int | None, where: str) -> Array:
    """Return the numbers of n rows, or of any, as float64, (n,) or (n, outputs).

    Errors  ShapeError; DTypeError for what is no number; ArgumentError for numbers that are not finite.
    """
    y = _array(y, where)
    if y.ndim not in (1, 2):
        raise ShapeError(f"{where}: y must have shape (n,) or (n, outputs), got {y.shape}")
    if n is not None:
        check_same_length(np.empty((n, 0)), y, where)
    if y.dtype.kind not in "fiubOU":
        raise DTypeError(f"{where}: y must hold real numbers, got dtype {y.dtype}")
    if y.dtype.kind == "O":
        y = np.where(_gaps(y), np.nan, y)
    try:
        found = y.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        index, cell = next((index, cell) for index, cell in np.ndenumerate(y.astype(object)) if not _is_number(cell))
        at = ", ".join(map(str, index))
        raise DTypeError(f"{where}: y must hold numbers, got {printable(repr(cell), 60)} at y[{at}]") from None
    largest = max(map(abs, check_finite(found, where, "y")))
    if largest > _LARGEST:
        raise ArgumentError(f"{where}: y must hold numbers up to {_LARGEST:g}, got {largest:g}; divide y by a power of ten")
    return found


def _array(y: Any, where: str) -> Array:
    if y is None:  # scikit-learn wants the words
        raise ShapeError(f"{where}: y must have shape (n,), got None; fit requires y to be passed, but the target y is None")
    check_unmasked(y, where, "y")
    try:
        array = np.asarray(y)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{where}: y must have shape (n,), got rows of different length") from error
    if array.ndim == 0:
        raise ShapeError(f"{where}: y must have shape (n,), got a {type(y).__name__}; use a list of one value for each row")
    return array


def _gaps(y: Array) -> Array:
    """Return which targets are gaps."""
    if y.dtype.kind == "O":
        return np.array([is_gap(cell) for cell in y.flat], bool).reshape(y.shape)
    return np.isnan(y) if y.dtype.kind == "f" else np.zeros(y.shape, bool)


def _of_one_kind(y: Array, where: str) -> Array:
    """Return text as it is, and numbers or truth values in an array of their type."""
    for kinds in ((str,), (bool, np.bool_), (int, np.integer), (int, float, np.integer, np.floating)):
        if all(isinstance(cell, kinds) and (bool in kinds or not isinstance(cell, bool)) for cell in y):
            found = y if str in kinds else np.array(y.tolist())
            if str in kinds or found.dtype.kind != "O":  # of integers beyond 64 bits
                return found
    kind = type(y[0])
    row = next((n for n, cell in enumerate(y) if type(cell) is not kind), 0)
    got = f"{kind.__name__} at row 0" + (f" and {type(y[row]).__name__} at row {row}" if row else "")
    raise DTypeError(f"{where}: y must hold {_CLASSES}, all of one kind, got {got}; convert them, as with y.astype(str)")


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return True
