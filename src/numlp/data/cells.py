"""Any table, from arrays or data frames, column by column: numbers, categories or dates, with gaps."""

import hashlib
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.data.dates import Dates, days_of, texts_of
from numlp.data.value_texts import GAP_WORDS, TRUTHS
from numlp.errors import ArgumentError, DTypeError, MissingExtraError, ShapeError, printable

Array = NDArray[Any]

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: a product with it spreads bits upwards
_A_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


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

    A data frame comes in through the Arrow interface (pandas, polars, pyarrow and others), which needs pyarrow; else `x` is
    what NumPy makes a matrix of. Numbers are numbers, dates and times dates, text and truth values categories.

    Errors  ShapeError if it has no rows and columns; MissingExtraError without pyarrow.
    """

    def __init__(self, x: Any, where: str) -> None:
        self._where, self._matrix = where, np.empty((0, 0))
        self._frame: Any = None
        self.names: list[str] | None = None
        if hasattr(x, "__arrow_c_stream__"):
            self._frame = _arrow(x)
            self.names = [str(name) for name in self._frame.column_names]
            self.shape = (self._frame.num_rows, self._frame.num_columns)
        elif hasattr(x, "tocsr"):
            raise DTypeError(f"{where}: x must be a table or a dense matrix, got a sparse one; use x.toarray()")
        else:
            self._matrix = np.asarray(x)
            if self._matrix.ndim != 2:
                raise ShapeError(f"{where}: x must have shape (n, columns), got {self._matrix.shape}")
            self.shape = self._matrix.shape
        if 0 in self.shape:
            raise ShapeError(f"{where}: x must have at least 1 row and 1 column, got {self.shape}")
        if self.names is not None and len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ArgumentError(f"{where}: x must have each column once, got {printable(twice)!r} twice")

    def column(self, i: int, kind: str | None = None) -> Column:
        """Return column i as a "number", a "category" or a "date"; None leaves it as it is.

        Errors  DTypeError, ArgumentError naming the column if it is not what it is to be.
        """
        found = self._matrix_column(i) if self._frame is None else self._frame_column(i)
        if isinstance(found, Labels):
            return found if kind in (None, "category") else self._read(found, i, kind)
        there = is_there(found)
        if kind == "category":
            different, codes = np.unique(np.where(there, cells(found), 0), return_inverse=True)
            levels = texts_of(different) if isinstance(found, Dates) else [_text(value) for value in different.tolist()]
            return Labels(np.where(there, codes, -1), levels)
        own = kind_of(found)
        if kind not in (None, own) and there.any():
            raise DTypeError(f"{self._where}: {self.name(i)} must hold {kind}s, as when it was fitted, got {own}s")
        floats = _floats(found)
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

    def _frame_column(self, i: int) -> Column:
        import pyarrow as pa

        chunks, is_a = self._frame.column(i), pa.types
        coded = is_a.is_dictionary(chunks.type)
        kind = chunks.type.value_type if coded else chunks.type
        number = is_a.is_integer(kind) or is_a.is_floating(kind) or is_a.is_decimal(kind)
        text = is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind) or is_a.is_boolean(kind)
        if is_a.is_null(kind):
            return np.full(len(chunks), np.nan)
        if (is_a.is_date(kind) or is_a.is_timestamp(kind)) and not coded:
            return Dates(_days(chunks))
        if not (number or text):
            raise DTypeError(
                f"{self._where}: {self.name(i)} must hold numbers, text or dates, got {kind}; drop or convert it"
            )
        if number and not coded:
            return np.asarray(chunks.cast(pa.float64()).to_numpy(), np.float64)
        known: dict[str, int] = {}
        codes = []
        for chunk in (chunks if coded else chunks.cast(pa.large_string()).dictionary_encode()).chunks:  # each its own levels
            levels = chunk.dictionary.to_pylist()
            place = [-1 if _is_gap(level) else known.setdefault(_text(level), len(known)) for level in levels]
            codes.append(np.array([*place, -1])[chunk.indices.fill_null(len(levels)).to_numpy(zero_copy_only=False)])
        return Labels(np.concatenate(codes), list(known))

    def _matrix_column(self, i: int) -> Column:
        column = self._matrix[:, i]
        if column.dtype.kind in "fiu":
            return column.astype(np.float64)
        if column.dtype.kind in "cm":
            raise DTypeError(
                f"{self._where}: {self.name(i)} must hold numbers, text or dates, got {column.dtype}; drop or convert it"
            )
        known: dict[str, int] = {}
        given = list(column)
        if column.dtype.kind in "OM":
            if all(_is_number(cell) or _is_gap(cell) for cell in given):
                return np.array([np.nan if _is_gap(cell) else cell for cell in given], np.float64)
            if all(isinstance(cell, date | np.datetime64) or _is_gap(cell) for cell in given):
                return Dates(np.array([np.nan if _is_gap(cell) else days_of(cell) for cell in given]))
        codes = [-1 if _is_gap(cell) else known.setdefault(_text(cell), len(known)) for cell in given]
        return Labels(np.array(codes), list(known))

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


def _arrow(x: Any) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError(f"a data frame needs pyarrow: pip install 'numlp[table]' ({error})") from error
    return pyarrow.table(x)


def _days(chunks: Any) -> Array:
    """Return the days since the start of 1970 for Arrow's dates or times, with NaN for gaps."""
    import pyarrow as pa

    kind = chunks.type
    unit = 1 if pa.types.is_date32(kind) else _A_DAY["ms" if pa.types.is_date64(kind) else kind.unit]
    counts = chunks.cast(pa.int32() if unit == 1 else pa.int64()).cast(pa.float64(), safe=False)  # in UTC
    return np.asarray(counts.to_numpy(), np.float64) / unit


def _floats(column: Array | Dates) -> Array:
    return column.days if isinstance(column, Dates) else column


def _finite(text: str) -> float:
    """Return the number that a text is; ValueError if it is none, or none that is finite."""
    number = float(text)
    if "_" in text or not np.isfinite(number):  # Python reads 1_000 as a number
        raise ValueError(text)
    return number


def _is_gap(cell: Any) -> bool:
    return cell is None or cell != cell or type(cell).__name__ in ("NAType", "NaTType")


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float | np.number) and not isinstance(cell, bool)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _text(cell: Any) -> str:
    """Return a category's name, the same for an array as for a frame: 3 and 3.0 are one, and True is true."""
    if isinstance(cell, bool | np.bool_):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
