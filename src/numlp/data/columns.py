"""Tables of numbers and categories, with gaps, as one matrix of float32: fitted once, for any table of these columns."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.errors import ArgumentError, CheckpointError, DTypeError, MissingExtraError, ShapeError, printable

Array = NDArray[Any]

ONE_HOT = 8  # the most levels a category has if it is to be one column for each level; with more it is coded
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: a product with it spreads bits upwards
MOST_LEVELS = 1_000  # of a category, the most frequent ones; the others count as unknown


class Labels(NamedTuple):
    """A column of categories: `levels[codes[n]]` is the n-th one, and a code of -1 is a gap."""

    codes: Array
    levels: list[str]


def is_there(column: Array | Labels) -> Array:
    """Return which cells of a column are no gaps, (n,)."""
    return column.codes >= 0 if isinstance(column, Labels) else ~np.isnan(column)


def cells(column: Array | Labels) -> Array:
    """Return a column's numbers or texts, (n,); a gap is NaN, or an empty text."""
    return np.array([*column.levels, ""])[column.codes] if isinstance(column, Labels) else column


class Table:
    """Any table, column by column: numbers (float64, NaN is a gap) or Labels.

    A data frame comes in through the Arrow interface (pandas, polars, pyarrow and others), which needs pyarrow; else `x` is
    what NumPy makes a matrix of. Numbers are numbers, text and truth values are categories, unless `categorical` names them.

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

    def column(self, i: int, categorical: bool | None = None) -> Array | Labels:
        """Return column i; `categorical` says what it is to be, None leaves it as it is.

        Errors  DTypeError, ArgumentError naming the column if it is not what it is to be.
        """
        found = self._matrix_column(i) if self._frame is None else self._frame_column(i)
        if isinstance(found, Labels):
            return found if categorical is not False else self._as_numbers(found, i)
        if categorical:
            gaps = np.isnan(found)
            values, codes = np.unique(np.where(gaps, 0, found), return_inverse=True)
            return Labels(np.where(gaps, -1, codes), [_text(value) for value in values.tolist()])
        if np.isinf(found).any():
            row = int(np.argmax(np.isinf(found)))
            raise ArgumentError(
                f"{self._where}: {self.name(i)} must hold finite numbers or gaps, got {found[row]} at row {row}"
            )
        return found

    def keys(self) -> Array:
        """Return 64 bits for each row, the same for equal rows; for two others only by chance, 1 in 10^19."""
        found = np.zeros(self.shape[0], np.uint64)
        for i in range(self.shape[1]):
            column = self.column(i)
            if isinstance(column, Labels):
                bits = np.array([*map(_digest, column.levels), 0], np.uint64)[column.codes]
            else:
                bits = np.where(np.isnan(column), np.nan, column + 0.0).view(np.uint64)  # one NaN, and no -0
            found = (found ^ bits) * _ODD
            found ^= found >> np.uint64(32)
        return found

    def name(self, i: int) -> str:
        """Return how a message names column i."""
        return f"column {i}" if self.names is None else f"column {printable(self.names[i], 60)!r}"

    def _frame_column(self, i: int) -> Array | Labels:
        import pyarrow as pa

        chunks, is_a = self._frame.column(i), pa.types
        coded = is_a.is_dictionary(chunks.type)
        kind = chunks.type.value_type if coded else chunks.type
        number = is_a.is_integer(kind) or is_a.is_floating(kind) or is_a.is_decimal(kind)
        text = is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind) or is_a.is_boolean(kind)
        if is_a.is_null(kind):
            return np.full(len(chunks), np.nan)
        if not (number or text):
            raise DTypeError(f"{self._where}: {self.name(i)} must hold numbers or text, got {kind}")
        if number and not coded:
            return np.asarray(chunks.cast(pa.float64()).to_numpy(), np.float64)
        known: dict[str, int] = {}
        codes = []
        for chunk in (chunks if coded else chunks.cast(pa.large_string()).dictionary_encode()).chunks:  # each its own levels
            levels = chunk.dictionary.to_pylist()
            place = [-1 if _is_gap(level) else known.setdefault(_text(level), len(known)) for level in levels]
            codes.append(np.array([*place, -1])[chunk.indices.fill_null(len(levels)).to_numpy(zero_copy_only=False)])
        return Labels(np.concatenate(codes), list(known))

    def _matrix_column(self, i: int) -> Array | Labels:
        values = self._matrix[:, i]
        if values.dtype.kind in "fiu":
            return values.astype(np.float64)
        if values.dtype.kind == "c":
            raise DTypeError(f"{self._where}: {self.name(i)} must hold numbers or text, got {values.dtype}")
        known: dict[str, int] = {}
        cells = values.tolist()
        if values.dtype.kind == "O" and all(_is_number(cell) or _is_gap(cell) for cell in cells):
            return np.array([np.nan if _is_gap(cell) else cell for cell in cells], np.float64)
        codes = [-1 if _is_gap(cell) else known.setdefault(_text(cell), len(known)) for cell in cells]
        return Labels(np.array(codes), list(known))

    def _as_numbers(self, labels: Labels, i: int) -> Array:
        """Read text as numbers: a column that had numbers when the model was fitted."""
        try:
            values = np.array([*map(float, labels.levels), np.nan])
        except ValueError:
            wrong = next(level for level in labels.levels if not _is_float(level))
            raise DTypeError(
                f"{self._where}: {self.name(i)} must hold numbers, as when it was fitted, got {printable(wrong, 40)!r}"
            ) from None
        return values[labels.codes]


def _arrow(x: Any) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError(f"a data frame needs pyarrow: pip install 'numlp[table]' ({error})") from error
    return pyarrow.table(x)


def _is_gap(cell: Any) -> bool:
    return cell is None or cell != cell or type(cell).__name__ in ("NAType", "NaTType")


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float | np.number) and not isinstance(cell, bool)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(cell: Any) -> str:
    """Return a category's name, the same for an array as for a frame: 3 and 3.0 are one, and True is true."""
    if isinstance(cell, bool | np.bool_):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


class Columns:
    """How a table becomes a matrix: numbers first, then columns of ones and zeros, then codes.

        numbers     z = (x - median) s, s = 1 / (q75 - q25), or 2 / (max - min) where that is 0, or 0;  a gap is 0   (1)
        categories  of at most 8 levels: one column a level, 1 or 0; of two: one column, 1 or -1; a gap or an
                    unknown one is 0 in all of them; then (1) as for numbers                                         (2)
        both        y = z / sqrt(1 + (z / 3)^2), within (-3, 3)                                                      (3)
        categories  of more levels: the code 1 .. K of the level; 0 for a gap or an unknown one                      (4)

    A column of numbers that had gaps when fitted has a second one like (2), which says where they are. Everything is fitted
    by `fit` and then fixed; `to_config` gives all of it in JSON's types.

    Source  Holzmüller, Grinsztajn, Steinwart 2024, section 3 and appendix A (RealMLP).
    """

    def __init__(self, parts: Sequence[dict[str, Any]], names: Sequence[str] | None) -> None:
        self.parts, self.names = [dict(part) for part in parts], None if names is None else list(names)
        kinds = ("number", "levels", "codes")
        placed = [(kind, i) for kind in kinds for i, part in enumerate(self.parts) if part["kind"] == kind]
        self._spans: dict[int, slice] = {}
        self._gap_at: dict[int, int] = {}
        at = sum(part["kind"] == "number" for part in self.parts)
        self.n_numbers = at
        for place, (_, i) in enumerate(item for item in placed if item[0] == "number"):
            self._spans[i] = slice(place, place + 1)
            if self.parts[i]["gap"]:
                self._gap_at[i], at = at, at + 1
        for kind, i in placed:
            if kind != "number":
                width = 1 if kind == "codes" else len(self.parts[i]["values"][0])
                self._spans[i], at = slice(at, at + width), at + width
        self.width = at

    @property
    def coded(self) -> dict[int, int]:
        """Return {index of a coded column of the matrix: the number of its codes}."""
        return {
            self._spans[i].start: len(part["levels"]) + 1 for i, part in enumerate(self.parts) if part["kind"] == "codes"
        }

    def places(self, i: int) -> list[int]:
        """Return which columns of the matrix column i of the table becomes."""
        own = range(self.width)[self._spans[i]]
        return [*own, self._gap_at[i]] if i in self._gap_at else list(own)

    @classmethod
    def fit(cls, table: Table, rows: Array, categorical: Sequence[str | int] | None) -> "Columns":
        """Fit to some rows of a table; `categorical` are names or indices of columns of numbers that are categories."""
        chosen = _chosen(table, categorical)
        parts = []
        for i in range(table.shape[1]):
            column = table.column(i, True if i in chosen else None)
            if isinstance(column, Labels):
                parts.append(_category(Labels(column.codes[rows], column.levels)))
            else:
                parts.append(_number(column[rows]))
        return cls(parts, table.names)

    def matrix(self, table: Table, where: str, rows: Array | None = None) -> Array:
        """Return the matrix (n, width) float32 of a table, or of some of its rows in this order.

        Errors  ArgumentError, ShapeError naming a column that is missing, renamed or too many; DTypeError naming one of
            another kind.
        """
        order = self._order(table, where)
        out = np.empty((table.shape[0] if rows is None else len(rows), self.width), np.float32)
        for i, part in enumerate(self.parts):
            column = table.column(order[i], part["kind"] != "number")
            if isinstance(column, Labels):
                codes = _coded(column, part["levels"])
                codes = codes if rows is None else codes[rows]
                out[:, self._spans[i]] = codes[:, None] if part["kind"] == "codes" else np.array(part["values"])[codes]
                continue
            column = column if rows is None else column[rows]
            gaps = np.isnan(column)
            out[:, self._spans[i].start] = np.where(gaps, 0, clip((column - part["median"]) * part["scale"]))
            if part["gap"]:
                out[:, self._gap_at[i]] = np.array(part["gap"])[gaps.astype(int)]
        return out

    def unknown(self, table: Table, where: str) -> dict[int, tuple[int, str]]:
        """Return {column: (number of cells, one of them)} for categories that are new, which `matrix` takes as gaps.

        Errors  as `matrix`.
        """
        found, order = {}, self._order(table, where)
        for i, part in enumerate(self.parts):
            column = table.column(order[i], part["kind"] != "number")
            if isinstance(column, Labels):
                new = (_coded(column, part["levels"]) == 0) & is_there(column)
                if new.any():
                    found[i] = int(new.sum()), column.levels[column.codes[int(np.argmax(new))]]
        return found

    def _order(self, table: Table, where: str) -> list[int]:
        """Return where in the table each column is."""
        if self.names is None or table.names is None:
            if table.shape[1] != len(self.parts):
                raise ShapeError(f"{where}: x must have {len(self.parts)} columns, got {table.shape[1]}")
            return list(range(len(self.parts)))
        missing, extra = self.difference(table.names)
        if missing or extra:
            lacks, more = (", ".join(repr(printable(name, 40)) for name in names[:5]) for names in (missing, extra))
            got = " and ".join(
                word for word in (f"no {lacks}" if missing else "", f"{more} besides" if extra else "") if word
            )
            raise ArgumentError(f"{where}: x must have the columns the model was fitted to, got {got}")
        place = {name: i for i, name in enumerate(table.names)}
        return [place[name] for name in self.names]

    def difference(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return which of the fitted columns are not among `names`, and which names are of no fitted column."""
        own = self.names or []
        known, given = set(own), set(names)
        return [name for name in own if name not in given], [name for name in names if name not in known]

    def to_config(self) -> dict[str, Any]:
        """Return everything in JSON's types."""
        return {"names": self.names, "parts": self.parts}

    @classmethod
    def from_config(cls, config: Any, where: str) -> "Columns":
        """Return what `to_config` described.

        Errors  CheckpointError if it is not what `to_config` gives.
        """
        try:
            names, parts = config["names"], config["parts"]
            ok = all(_is_part(part) for part in parts) and len(parts) > 0
            ok = ok and (names is None or (len(names) == len(parts) and all(isinstance(name, str) for name in names)))
        except (TypeError, KeyError, LookupError):
            ok = False
        if not ok:
            raise CheckpointError(f"{where}: columns must be those of a fitted table, got {repr(config)[:60]}")
        return cls(parts, names)


def _is_part(part: Any) -> bool:
    """Whether a part from a file is one that `fit` could have made."""

    def numbers(values: Any, n: int | None = None) -> bool:
        fits = isinstance(values, list) and all(isinstance(v, int | float) and abs(v) < np.inf for v in values)
        return fits and (n is None or len(values) == n)

    if part["kind"] == "number":
        return numbers([part["median"], part["scale"]]) and (part["gap"] is None or numbers(part["gap"], 2))
    texts = isinstance(part["levels"], list) and all(isinstance(level, str) for level in part["levels"])
    if part["kind"] == "codes":
        return texts
    n, rows = len(part["levels"]) + 1, part["values"]
    width = len(rows[0])
    return part["kind"] == "levels" and texts and len(rows) == n and width > 0 and all(numbers(row, width) for row in rows)


def _chosen(table: Table, categorical: Sequence[str | int] | None) -> set[int]:
    chosen = set()
    for item in categorical or ():
        if isinstance(item, str) and table.names is not None and item in table.names:
            chosen.add(table.names.index(item))
        elif isinstance(item, int | np.integer) and 0 <= item < table.shape[1]:
            chosen.add(int(item))
        else:
            names = "" if table.names is None else f" ({printable(', '.join(table.names))})"
            raise ArgumentError(f"fit: categorical must name columns of x{names}, got {item!r}")
    return chosen


def clip(z: Array) -> Array:
    """Equation (3) of `Columns`."""
    return z / np.sqrt(1 + (z / 3) ** 2)


def _robust(values: Array) -> tuple[float, float]:
    """Return median and s of equation (1), for values without gaps."""
    if not len(values):
        return 0.0, 0.0
    low, q25, median, q75, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    spread = q75 - q25 if q75 > q25 else (high - low) / 2
    return float(median), float(1 / spread) if spread > 0 and np.isfinite(1 / spread) else 0.0


def _number(column: Array) -> dict[str, Any]:
    gaps = np.isnan(column)
    median, scale = _robust(column[~gaps])
    gap = _scaled(np.where(gaps, 1.0, -1.0), np.array([-1.0, 1.0])).tolist() if gaps.any() and not gaps.all() else None
    return {"kind": "number", "median": median, "scale": scale, "gap": gap}


def _category(column: Labels) -> dict[str, Any]:
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    frequent = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    levels = [column.levels[k] for k in sorted(frequent, key=lambda k: column.levels[k]) if counts[k]]
    n = len(levels)
    if n > ONE_HOT:
        return {"kind": "codes", "levels": levels}
    codes = _coded(column, levels)
    hot = np.array([[0.0], [1.0], [-1.0]]) if n == 2 else np.eye(n + 1)[:, 1:] if n else np.zeros((1, 1))
    values = np.stack([_scaled(hot[codes, k], hot[:, k]) for k in range(hot.shape[1])], axis=1)
    return {"kind": "levels", "levels": levels, "values": values.tolist()}


def _coded(column: Labels, levels: Sequence[str]) -> Array:
    """Return the code of each cell: k + 1 for `levels[k]`, 0 for a gap or any other."""
    place = {level: k + 1 for k, level in enumerate(levels)}
    return np.array([*(place.get(level, 0) for level in column.levels), 0])[column.codes]


def _scaled(column: Array, values: Array) -> Array:
    """Return `values` scaled and clipped by (1) and (3), as fitted to the column."""
    median, scale = _robust(column)
    return clip((values - median) * scale)
