"""What numlp raises, and the one place where complaints about arguments are worded.

Every message reads `<where>: <what> must be <expected>, got <actual>[; <what to do>]`. Every class
also derives from the built-in exception a Python programmer would catch.
"""

import difflib
import math
from collections.abc import Iterable
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


class FormatError(NumlpError, ValueError):
    """A data file does not hold what its format promises."""


class CheckpointError(NumlpError, ValueError):
    """A model file cannot be read, or a model cannot be written."""


class DivergenceError(NumlpError, ArithmeticError):
    """Training produced a number that is not finite."""


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


def as_array(value: Any, where: str, name: str) -> NDArray[Any]:
    """Return `value` as an array.

    Errors  ShapeError if it holds rows of different lengths; DTypeError if it cannot be one.
    """
    try:
        return np.asarray(value)
    except Exception as error:  # an object makes an array of itself as it likes
        if not isinstance(value, list | tuple):
            raise DTypeError(
                f"{where}: {name} must be an array or lists of numbers, got {type(value).__name__}: {error}"
            ) from error
        lengths = {len(row) if hasattr(row, "__len__") else "no rows" for row in value}
        found = f"lengths {', '.join(sorted(map(str, lengths))[:5])}" if len(lengths) > 1 else "others further inside"
        raise ShapeError(f"{where}: {name} must have rows of equal length, got {found}") from None


def check_matrix(x: Any, where: str, name: str, n_columns: int) -> NDArray[Any]:
    """Return `x` as an array of shape (n, n_columns), n >= 1, of real numbers.

    Errors  ShapeError, DTypeError.
    """
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
    if x.dtype.kind not in "fiub":
        raise DTypeError(f"{where}: {name} must hold real numbers, got dtype {x.dtype}")


def check_finite(x: NDArray[Any], where: str, name: str) -> tuple[float, float]:
    """Return (minimum, maximum) of `x`; ArgumentError with count and first index if any value is NaN or infinite."""
    low, high = float(x.min()), float(x.max())  # both carry a NaN on, and show an infinity: no temporary array
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    bad = np.argwhere(~np.isfinite(x))
    index = ", ".join(str(i) for i in bad[0])
    raise ArgumentError(
        f"{where}: {name} must hold finite numbers, got {len(bad)} NaN or infinite, "
        f"the first {x[tuple(bad[0])]} at {name}[{index}]"
    )


def check_labels(y: NDArray[Any], n_classes: int, where: str, name: str) -> None:
    """Raise unless `y` holds class labels 0 .. n_classes - 1, as integers.

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
        raise ArgumentError(
            f"{where}: {name} must be integer labels 0..{n_classes - 1}, got {len(found)} different labels ({shown}), "
            f"the first outside is {y[outside[0]]} at row {outside[0]}; map them with "
            f"classes, {name} = np.unique({name}, return_inverse=True)"
        )


def check_same_length(x: NDArray[Any], y: NDArray[Any], where: str) -> None:
    """Raise ShapeError unless `x` and `y` have equally many rows."""
    if y.ndim == 0 or len(x) != len(y):
        rows = len(y) if y.ndim else "none"
        raise ShapeError(f"{where}: x has {len(x)} rows, y has {rows}; they must be equal")


def check_weight(weight: Any, n: int, where: str) -> NDArray[np.float64]:
    """Return the weights of n rows as float64: finite, at least 0, not all 0.

    Errors  ShapeError, DTypeError, ArgumentError, with the first row that does not fit.
    """
    weight = as_array(weight, where, "weight")
    if weight.shape != (n,):
        raise ShapeError(f"{where}: weight must have shape ({n},), one number for each row, got {weight.shape}")
    check_real(weight, where, "weight")
    check_finite(weight, where, "weight")
    negative = np.flatnonzero(weight < 0)
    if len(negative):
        raise ArgumentError(f"{where}: weight must be at least 0, got {weight[negative[0]]:g} at row {negative[0]}")
    if not weight.any():
        raise ArgumentError(f"{where}: weight must be above 0 in at least 1 row, got 0 in all {n}")
    return weight.astype(np.float64)


def check_choice(value: Any, choices: Iterable[str], where: str, name: str) -> str:
    """Return `value` if it is one of `choices`; ArgumentError with the nearest one otherwise."""
    choices = sorted(choices)
    if isinstance(value, str) and value in choices:
        return value
    close = difflib.get_close_matches(value.lower(), choices, n=1) if isinstance(value, str) else []
    hint = f"; did you mean {close[0]!r}?" if close else ""
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
