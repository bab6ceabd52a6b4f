"""Any table, from arrays or data frames, column by column: numbers, categories or dates, with gaps."""

import hashlib
import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.data.arrow_columns import Coded, Integers, frame_columns, is_data_frame, objects, read_chunks
from numlp.data.dates import Dates, days_of, texts_of
from numlp.data.rows import matrix_of
from numlp.data.value_texts import GAP_WORDS, TRUTHS, is_gap_word, text_of
from numlp.errors import ArgumentError, DTypeError, ShapeError, printable

Array = NDArray[Any]

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: a product with it spreads bits upwards
_MOST_EXACT = 2.0**53 - 1  # beyond it float64 does not have all integers
_COMPLEX, _SPANS = (complex, np.complexfloating), (timedelta, np.timedelta64)
# what a cell cannot be: neither a number, nor text, nor a date
_NO_CELLS = (*_COMPLEX, *_SPANS, bytes, bytearray, time, list, tuple, set, frozenset, dict, np.ndarray)


class Labels(NamedTuple):
    """A column of categories: `levels[codes[n]]` is the n-th one, and a code of -1 is a gap."""

    codes: Array
    levels: list[str]


Column = Array | Labels | Dates


def is_there(column: Column) -> Array:
    """Return which cells of a column are no gaps, (n,)."""
    return column.codes >= 0 if isinstance(column, Labels) else ~np.isnan(_floats(column))


def cells(column: Column) -> Array:
    """Return a column's numbers, texts, or days since 1970, (n,); a gap is NaN, or an empty text."""
    return np.array([*column.levels, ""])[column.codes] if isinstance(column, Labels) else _floats(column)


def kind_of(column: Column) -> str:
    """Return "category", "date" or "number"."""
    return "category" if isinstance(column, Labels) else "date" if isinstance(column, Dates) else "number"


class Table:
    """Any table, column by column: numbers (float64, NaN is a gap), Labels or Dates.

    A data frame (pandas, polars, pyarrow and others) comes in through Arrow, which needs pyarrow; its index is no column.
    Else `x` is an array, or rows, of which each cell keeps its type. Numbers are numbers, dates and times dates, text and
    truth values categories. Of an array of text, which NumPy makes of rows of numbers and words, a column whose cells are
    all numbers is one of numbers.

    Errors  ShapeError if it has no rows and columns; DTypeError if it is no table; ArgumentError for masked cells;
        MissingExtraError without pyarrow.
    """

    def __init__(self, x: Any, where: str) -> None:
        self._where, self._matrix = where, np.empty((0, 0))
        self._frame: list[Any] | None = None
        self.names: list[str] | None = None
        if is_data_frame(x):
            columns = frame_columns(x, where)
            self.names, self._frame = list(columns), list(columns.values())
            self.shape = (_length(self._frame[0]) if self._frame else 0, len(self._frame))
        else:
            self._matrix = matrix_of(x, where)
            if self._matrix.ndim != 2:
                raise ShapeError(f"{where}: x must have shape (n, columns), got {self._matrix.shape}")
            self.shape = self._matrix.shape
        if 0 in self.shape:
            raise ShapeError(f"{where}: x must have at least 1 row and 1 column, got {self.shape}")

    def column(self, i: int, kind: str | None = None) -> Column:
        """Return column i as a "number", a "category" or a "date"; None leaves it as it is.

        Errors  DTypeError, ArgumentError naming the column if it is not what it is to be.
        """
        found = self._found(i, kind == "category")
        if isinstance(found, Labels):
            return found if kind in (None, "category") else self._read(found, i, kind)
        if kind == "category":
            values, there = found if isinstance(found, Integers) else (_floats(found), is_there(found))
            different, codes = np.unique(np.where(there, values, 0), return_inverse=True)
            levels = texts_of(different) if isinstance(found, Dates) else [text_of(value) for value in different.tolist()]
            return Labels(np.where(there, codes, -1), levels)
        own = "date" if isinstance(found, Dates) else "number"
        floats = _rounded(found) if isinstance(found, Integers) else _floats(found)
        if kind not in (None, own) and not np.isnan(floats).all():
            raise DTypeError(f"{self._where}: {self.name(i)} must hold {kind}s, as when it was fitted, got {own}s")
        if np.isinf(floats).any():
            row = int(np.argmax(np.isinf(floats)))
            raise ArgumentError(
                f"{self._where}: {self.name(i)} must hold finite numbers or gaps, got {floats[row]} at row {row}"
            )
        return Dates(floats) if (kind or own) == "date" else floats

    def keys(self) -> Array:
        """Return 64 bits for each row, the same for equal rows; for two others only by chance, 1 in 10^19."""
        found = np.zeros(self.shape[0], np.uint64)
        for i in range(self.shape[1]):
            column = self.column(i)
            if isinstance(column, Labels):
                bits = np.array([*map(_digest, column.levels), 0], np.uint64)[column.codes]
            else:
                bits = np.where(is_there(column), cells(column) + 0.0, np.nan).view(np.uint64)  # one NaN, and no -0
            found = (found ^ bits) * _ODD
            found ^= found >> np.uint64(32)
        return found

    def name(self, i: int) -> str:
        """Return how a message names column i."""
        return f"column {i}" if self.names is None else f"column {printable(self.names[i], 60)!r}"

    def _found(self, i: int, exact: bool) -> Column | Integers:
        """Return column i as it is; text that reads as numbers stays text if it is to be `exact`."""
        column = self._matrix[:, i] if self._frame is None else self._frame[i]
        if isinstance(column, np.ndarray) and column.dtype.kind == "f":
            return column.astype(np.float64, copy=False)
        name = f"{self._where}: {self.name(i)}"
        if isinstance(column, Coded):
            return _labels([column])
        if not isinstance(column, np.ndarray):
            found = read_chunks(column, name)
            return _labels(found) if isinstance(found, list) else found
        if column.dtype.kind in "iu":
            return Integers(column, np.ones(len(column), bool))
        if column.dtype.kind not in "bOMU":
            raise DTypeError(f"{name} must hold numbers, text or dates, got {column.dtype}; drop or convert it")
        if column.dtype.kind == "U" and not exact and (numbers := _text_numbers(column)) is not None:
            return numbers
        return _cells(list(column), name)

    def _read(self, labels: Labels, i: int, kind: str) -> Array | Dates:
        """Read text as numbers or dates: a column that had them when the model was fitted."""
        given = [level.strip().lower() for level in labels.levels]
        truths = kind == "number" and all(text in TRUTHS or text in GAP_WORDS for text in given)
        read: list[float] = []
        for text, level in zip(given, labels.levels, strict=True):
            try:
                if text in GAP_WORDS:
                    read.append(np.nan)
                elif kind == "number":
                    read.append(TRUTHS[text] if truths else _finite(text))
                else:
                    read.append(days_of(datetime.fromisoformat(level.strip())))
            except ValueError:
                raise DTypeError(
                    f"{self._where}: {self.name(i)} must hold {kind}s, as when it was fitted, got {printable(level, 40)!r}"
                ) from None
        found = np.array([*read, np.nan])[labels.codes]
        return found if kind == "number" else Dates(found)


def _length(column: Any) -> int:
    return len(column.codes if isinstance(column, Coded) else column)


def _rounded(integers: Integers) -> Array:
    """Return integers as float64, with NaN for gaps."""
    values, there = integers
    floats = np.array([*map(_float, values)]) if values.dtype == object else values.astype(np.float64)
    floats[~there] = np.nan
    return floats


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return math.inf if value > 0 else -math.inf


def _labels(parts: Sequence[Coded]) -> Labels:
    """Return categories whose levels may differ from part to part."""
    known: dict[str, int] = {}
    codes = []
    for part in parts:
        place = [-1 if is_gap(level) else known.setdefault(text_of(level), len(known)) for level in part.levels]
        codes.append(np.array([*place, -1])[part.codes])
    return Labels(np.concatenate([np.zeros(0, np.intp), *codes]), list(known))


def _cells(given: list[Any], name: str) -> Column | Integers:
    """Return cells of any types: all numbers, all dates, or categories."""
    kinds = set(map(type, given))
    for kind in kinds:
        if issubclass(kind, _NO_CELLS) or kind.__name__ == "Period":
            row = next(n for n, cell in enumerate(given) if type(cell) is kind)
            raise DTypeError(
                f"{name} must hold numbers, text or dates, got {kind.__name__} at row {row}; drop or convert it"
            )
    if str in kinds and len(kinds) > 1:
        given = _without_gap_words(given)
    if all(_is_number(cell) or is_gap(cell) for cell in given):
        values = np.array([np.nan if is_gap(cell) else _float(cell) for cell in given])
        there = ~np.isnan(values)
        if (np.abs(values) > _MOST_EXACT).any() and all(_is_whole(cell) for cell in compress(given, there)):
            whole = objects(int(cell) if known else 0 for cell, known in zip(given, there, strict=True))
            return Integers(whole, there)
        return values
    if all(isinstance(cell, date | np.datetime64) or is_gap(cell) for cell in given):
        return Dates(np.array([np.nan if is_gap(cell) else days_of(cell) for cell in given]))
    known: dict[str, int] = {}
    codes = [-1 if is_gap(cell) else known.setdefault(text_of(cell), len(known)) for cell in given]
    return Labels(np.array(codes), list(known))


def _without_gap_words(given: list[Any]) -> list[Any]:
    """Return cells with None for words such as N/A, if the others are numbers or dates."""
    if not all(is_gap_word(cell) for cell in given if isinstance(cell, str)):
        return given
    found = [None if isinstance(cell, str) else cell for cell in given]
    values = [cell for cell in found if not is_gap(cell)]
    dates_or_numbers = all(_is_number(cell) or isinstance(cell, date | np.datetime64) for cell in values)
    return found if values and dates_or_numbers else given


def _text_numbers(column: Array) -> Array | None:
    """Return text as numbers with gaps for words such as N/A; None if some of it is neither, or all are gaps."""
    levels, codes = np.unique(column, return_inverse=True)
    try:
        numbers = np.array([np.nan if is_gap_word(level) else _finite(level) for level in levels.tolist()])
    except ValueError:
        return None
    return None if np.isnan(numbers).all() else numbers[codes]


def _floats(column: Array | Dates) -> Array:
    return column.days if isinstance(column, Dates) else column


def _finite(text: str) -> float:
    """Return the number that a text is; ValueError if it is none, or none that is finite."""
    number = float(text)
    if "_" in text or not np.isfinite(number):  # Python reads 1_000 as a number
        raise ValueError(text)
    return number


def is_gap(cell: Any) -> bool:
    """Return True for None, NaN, and the gaps of pandas."""
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or bool(cell != cell)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float | np.number | Decimal | Fraction) and not isinstance(cell, bool)


def _is_whole(cell: Any) -> bool:
    return isinstance(cell, int | np.integer) or (isinstance(cell, Decimal) and cell.as_tuple().exponent == 0)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
