"""What numlp raises, and the one place where complaints about arguments are worded.

Every message reads `<where>: <what> must be <expected>, got <actual>[; <what to do>]`. Every class
also derives from the built-in exception a Python programmer would catch.
"""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray


class NumlpError(Exception):
    """Base of everything numlp raises on purpose."""


class ShapeError(NumlpError, ValueError):
    """An array has the wrong number of dimensions, columns or rows."""


class DTypeError(NumlpError, TypeError):
    """An array or argument is of the wrong kind."""


class ArgumentError(NumlpError, ValueError):
    """A value lies outside its range, or a name is unknown."""


class OutputError(ArgumentError):
    """A network gives NaN or infinite outputs."""


class FormatError(NumlpError, ValueError):
    """A data file does not hold what its format promises."""


class CheckpointError(NumlpError, ValueError):
    """A model file cannot be read, or a model cannot be written."""


class DivergenceError(NumlpError, ArithmeticError):
    """Training produced a number that is not finite."""


class ReadOnlyError(NumlpError, AttributeError):
    """An attribute cannot take another value after construction."""


class BusyError(NumlpError, RuntimeError):
    """An object is at work in another training."""


class DownloadError(NumlpError, OSError):
    """No mirror delivered a file, or no network may be used."""


class MissingExtraError(NumlpError, ImportError):
    """A part needs a package that is not installed; the message has the line that installs it."""


class UnknownCategoryWarning(UserWarning):
    """Nearly all cells of a column hold categories that training did not see."""


def printable(text: str, most: int = 500) -> str:
    r"""Return text from a file as one line of at most `most` characters that cannot drive a terminal.

    >>> printable("cat" + chr(27) + "[2J")
    'cat\\x1b[2J'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:most])


def typed(text: str) -> str:
    r"""Return a text as it is typed into a shell.

    >>> print(typed("n/a"), typed("two words"), typed("a" + chr(9) + "b"))
    n/a 'two words' $'a\tb'
    """
    if text.isprintable():
        return quote(text)
    return "$'" + "".join("\\" + c if c in "\\'" else printable(c) for c in text) + "'"


def as_array(values: Any, where: str, name: str) -> NDArray[Any]:
    """Return `values` as an array.

    Errors  ArgumentError for masked numbers; ShapeError for rows of unequal length; DTypeError for what is no array.
    """
    hint = ""
    if isinstance(values, np.ma.MaskedArray):
        masked = np.argwhere(np.ma.getmaskarray(values))
        if len(masked):
            index = ", ".join(str(i) for i in masked[0])
            raise ArgumentError(
                f"{where}: {name} must hold no masked numbers, got {len(masked)}, the first at {name}[{index}]; fill or "
                f"drop them: {name}.filled(0)"
            )
    elif hasattr(values, "toarray"):  # a sparse matrix
        hint = f"; make it dense: {name}.toarray()"
    elif isinstance(values, Iterator):
        hint = f"; make it an array: np.stack(list({name}))"
    elif isinstance(values, Mapping | set | frozenset):
        hint = "; give one array" + (", such as a value of it" if isinstance(values, Mapping) else "")
    if hint:
        raise DTypeError(f"{where}: {name} must be an array, got {type(values).__name__}{hint}")
    try:
        return np.asarray(values)
    except Exception as error:  # of NumPy, or of the object's own __array__
        if isinstance(values, list | tuple):
            raise ShapeError(f"{where}: {name} must have rows of equal length, got {_lengths(values)}") from error
        raise DTypeError(
            f"{where}: {name} must be an array or lists of numbers, got {type(values).__name__}: {error}"
        ) from error


def _lengths(rows: Sequence[Any]) -> str:
    """Return the lengths of rows, and the first row whose length is not that of row 0."""
    lengths = [str(len(row)) if hasattr(row, "__len__") else "no rows" for row in rows]
    others = [i for i, length in enumerate(lengths) if length != lengths[0]]
    if not others:
        return "others further inside"
    return f"lengths {', '.join(sorted(set(lengths))[:5])}, the first other one in row {others[0]}"


def check_matrix(x: Any, where: str, name: str, n_columns: int) -> NDArray[Any]:
    """Return `x` as an array of shape (n, n_columns), n >= 1, of real numbers.

    Errors  as `as_array`; ShapeError, DTypeError.
    """
    if type(x) is not np.ndarray:
        x = as_array(x, where, name)
    if x.ndim != 2 or x.shape[1] != n_columns:
        hints = {0: "", 1: f"; for one sample use {name}[None, :]", 2: ""}
        hint = hints.get(x.ndim, f"; flatten each sample: {name}.reshape(len({name}), -1)")
        raise ShapeError(f"{where}: {name} must have shape (n, {n_columns}), got {x.shape}{hint}")
    if len(x) == 0:
        raise ShapeError(f"{where}: {name} must have at least 1 row, got {x.shape}")
    check_real(x, where, name)
    return x


def check_real(x: NDArray[Any], where: str, name: str) -> None:
    """Raise DTypeError unless `x` holds integers, booleans or real floating point numbers."""
    if x.dtype.kind in "fiub":
        return
    hint = ""
    if x.dtype.kind == "O":  # a table with a gap or a word in a column, or numbers as objects
        others = ((index, value) for index, value in np.ndenumerate(x) if not isinstance(value, Real))
        index, value = next(others, ((), None))
        at = ", ".join(map(str, index))
        hint = f", the first that is no number {value!r:.40} at {name}[{at}]; fill or drop it" if index else ""
        hint = hint or f"; write {name}.astype(float)"
    raise DTypeError(f"{where}: {name} must hold real numbers, got dtype {x.dtype}{hint}")


def check_finite(x: NDArray[Any], where: str, name: str) -> tuple[float, float]:
    """Return (minimum, maximum) of `x`; ArgumentError with count and first index if any value is NaN or infinite."""
    low, high = float(x.min()), float(x.max())  # both carry a NaN on, and show an infinity: no temporary array
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    bad = np.argwhere(~np.isfinite(x))
    if not len(bad):  # beyond float64, in which low and high are
        return low, high
    index = ", ".join(str(i) for i in bad[0])
    raise ArgumentError(
        f"{where}: {name} must hold finite numbers, got {len(bad)} NaN or infinite, "
        f"the first {x[tuple(bad[0])]} at {name}[{index}]"
    )


def check_within(low: float, high: float, x: NDArray[Any], dtype: np.dtype[Any], where: str, name: str) -> None:
    """Raise ArgumentError, naming the first, if a number of `x`, whose minimum and maximum are given, is beyond `dtype`."""
    most = float(np.finfo(dtype).max)
    if -most <= low and high <= most:
        return
    first = tuple(np.argwhere(np.abs(x.astype(np.float64)) > most)[0])
    index = ", ".join(str(i) for i in first)
    raise ArgumentError(
        f"{where}: {name} must hold numbers from -{most:.4g} to {most:.4g}, got {x[first]:g} at {name}[{index}], beyond "
        f"{dtype}; scale that column, or build the network with dtype=np.float64"
    )


def check_labels(y: NDArray[Any], n_classes: int, where: str, name: str, of_outputs: bool = False) -> None:
    """Raise unless `y` holds class labels 0 .. n_classes - 1, as integers; `of_outputs`: each is an output of a network.

    Errors  DTypeError if not integers, ArgumentError with the labels found and the first row that does not fit.
    """
    if y.dtype.kind not in "iu":
        raise DTypeError(
            f"{where}: {name} must be integer labels 0..{n_classes - 1}, got dtype {y.dtype}; "
            f"map them with classes, {name} = np.unique({name}, return_inverse=True)"
        )
    outside = np.flatnonzero((y < 0) | (y >= n_classes))
    if len(outside):
        found = np.unique(y)
        shown = ", ".join(str(v) for v in found[:10]) + (", ..." if len(found) > 10 else "")
        mapping = f"map them with classes, {name} = np.unique({name}, return_inverse=True)"
        if of_outputs and len(found) > n_classes:
            outputs = f"give the last layer {len(found)} outputs instead of {n_classes}"
            mapping = outputs if found[0] == 0 and found[-1] == len(found) - 1 else f"{mapping}, and {outputs}"
        raise ArgumentError(
            f"{where}: {name} must be integer labels 0..{n_classes - 1}, got {len(found)} different labels ({shown}), "
            f"the first outside is {y[outside[0]]} at row {outside[0]}; {mapping}"
        )


def check_same_length(x: NDArray[Any], y: NDArray[Any], where: str) -> None:
    """Raise ShapeError unless `x` and `y` have equally many rows."""
    if y.ndim == 0 or len(x) != len(y):
        rows = len(y) if y.ndim else "none"
        raise ShapeError(f"{where}: x has {len(x)} rows, y has {rows}; they must be equal")


def check_weight(weight: Any, n: int, where: str, name: str = "weight") -> NDArray[np.float64]:
    """Return the weights of n rows as float64: finite, at least 0, not all 0.

    Errors  ShapeError, DTypeError, ArgumentError, with the first row that does not fit.
    """
    weight = as_array(weight, where, name)
    if weight.shape != (n,):
        raise ShapeError(f"{where}: {name} must have shape ({n},), one number for each row, got {weight.shape}")
    check_real(weight, where, name)
    check_finite(weight, where, name)
    negative = np.flatnonzero(weight < 0)
    if len(negative):
        raise ArgumentError(f"{where}: {name} must be at least 0, got {weight[negative[0]]:g} at row {negative[0]}")
    if not weight.any():
        raise ArgumentError(f"{where}: {name} must be above 0 in at least 1 row, got 0 in all {n}")
    weight = weight.astype(np.float64)
    if weight.max() > np.finfo(np.float64).max / n:  # their sum
        raise ArgumentError(f"{where}: {name} must have a sum in float64, got weights up to {weight.max():g}; scale them")
    return weight


def check_choice(value: Any, choices: Iterable[str], where: str, name: str) -> str:
    """Return `value` if it is one of `choices`; ArgumentError with the nearest one otherwise."""
    choices = sorted(choices)
    if isinstance(value, str) and value in choices:
        return value
    lower = {choice.lower(): choice for choice in reversed(choices)}
    close = difflib.get_close_matches(value.lower(), lower, n=1) if isinstance(value, str) else []
    hint = f"; did you mean {lower[close[0]]!r}?" if close else ""
    raise ArgumentError(f"{where}: {name} must be one of {', '.join(choices)}, got {value!r}{hint}")


def check_count(value: Any, where: str, name: str, most: int | None = None, least: int = 1) -> int:
    """Return `value` as an int if it is a whole number of at least `least` (and at most `most`)."""
    expected = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise DTypeError(f"{where}: {name} must be {expected}, got {value!r}")
    if value < least or (most is not None and value > most):
        raise ArgumentError(f"{where}: {name} must be {expected}, got {value}")
    return int(value)


def check_number(
    value: Any,
    where: str,
    name: str,
    *,
    above: float | None = None,
    low: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a float if it is finite and above < value, low <= value, value < below (each where given)."""
    limits = [(above, "above"), (low, "at least"), (below, "below")]
    bounds = " and ".join(f"{word} {limit:g}" for limit, word in limits if limit is not None)
    expected = f"a number {bounds}" if bounds else "a finite number"
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise DTypeError(f"{where}: {name} must be {expected}, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond all floats
        number = math.inf
    inside = (
        math.isfinite(number)
        and (above is None or number > above)
        and (low is None or number >= low)
        and (below is None or number < below)
    )
    if not inside:
        raise ArgumentError(f"{where}: {name} must be {expected}, got {value}")
    return number
