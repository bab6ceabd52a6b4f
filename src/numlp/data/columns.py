"""Tables of numbers, categories and dates, with gaps, as one matrix of float32: fitted once, for any table like that."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.data.arrow_columns import is_index_level
from numlp.data.cells import Labels, Table, cells, is_there
from numlp.data.dates import N_PARTS, Dates, date_parts
from numlp.data.value_texts import TRUTHS, Levels
from numlp.errors import ArgumentError, CheckpointError, ShapeError, UnknownCategoryWarning, printable

Array = NDArray[Any]

ONE_HOT = 8  # the most levels a category has if it is to be one column for each level; with more it is coded
MOST_LEVELS = 1_000  # of a coded category, the most frequent ones; the others count as unknown
FEWEST_CELLS = 2  # of a level that has a code: what a single cell teaches is that row, not what the next one will be
_NUMBERS = ("number", "date")
_NEARLY_ALL = 0.9  # of the cells of a category: so many unknown ones are warned of
_FEW_UNKNOWN = 0.5  # if this share was not unknown in training, too
_MOST = 1e150  # of a scaled number: the square of a larger one overflows


class Columns:
    """How a table becomes a matrix: numbers first, then columns of ones and zeros, then codes.

        numbers     z = (x - median) s, s = 1 / (q75 - q25), or 2 / (max - min) where that is 0, or 0;  a gap is 0   (1)
        dates       four numbers, `numlp.data.dates.date_parts`: the time, the day of the year and of the week, the hour
        categories  of at most 8 levels: one column a level, 1 or 0; of two: one column, 1 or -1; a gap or an
                    unknown one is 0 in all of them; then (1) as for numbers                                         (2)
        both        y = z / sqrt(1 + (z / 3)^2), within (-3, 3)                                                      (3)
        categories  of more levels: the code 1 .. K of the level; 0 for a gap or an unknown one                      (4)

    A level that only one cell has counts as unknown in (4). So a network learns what an unknown one means, and cannot learn
    its rows by heart where nearly every cell differs, as in a column of names. Of what is left, (2) takes at most 8 levels.

    A column of numbers or dates that had gaps when fitted has one more like (2), which says where they are. Everything is
    fitted by `fit` and then fixed; `to_config` gives all of it in JSON's types.

    Source  Holzmüller, Grinsztajn, Steinwart 2024, section 3 and appendix A (RealMLP).
    """

    def __init__(self, parts: Sequence[dict[str, Any]], names: Sequence[str] | None) -> None:
        self.parts, self.names = [dict(part) for part in parts], None if names is None else list(names)
        self._levels = {i: Levels(part["levels"]) for i, part in enumerate(self.parts) if "levels" in part}
        self._scales = {i: _arrays(part) for i, part in enumerate(self.parts) if part["kind"] in _NUMBERS}
        self._spans: dict[int, slice] = {}
        self._gap_at: dict[int, int] = {}
        self.n_numbers = self.width = 0
        for kinds in (_NUMBERS, ("levels",), ("codes",)):
            placed = [i for i, part in enumerate(self.parts) if part["kind"] in kinds]
            for i in placed:
                width = _width(self.parts[i])
                self._spans[i], self.width = slice(self.width, self.width + width), self.width + width
            if kinds is _NUMBERS:
                self.n_numbers = self.width
                for i in placed:
                    if self.parts[i]["gap"]:
                        self._gap_at[i], self.width = self.width, self.width + 1

    def __getstate__(self) -> dict[str, Any]:
        """Return what the constructor takes, from which the rest follows."""
        return self.to_config()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["parts"], state["names"])  # type: ignore[misc]

    @property
    def coded(self) -> dict[int, int]:
        """Return {index of a coded column of the matrix: the number of its codes}."""
        return {
            self._spans[i].start: len(part["levels"]) + 1 for i, part in enumerate(self.parts) if part["kind"] == "codes"
        }

    @property
    def kinds(self) -> list[str]:
        """Return what each column of a table is to be: a "number", a "date" or a "category"."""
        return [part["kind"] if part["kind"] in _NUMBERS else "category" for part in self.parts]

    def places(self, i: int) -> list[int]:
        """Return which columns of the matrix column i of the table becomes."""
        own = range(self.width)[self._spans[i]]
        return [*own, self._gap_at[i]] if i in self._gap_at else list(own)

    @classmethod
    def fit(cls, table: Table, rows: Array, categorical: Any) -> "Columns":
        """Fit to some rows of a table; `categorical` are names or indices of columns that are categories, or a mask.

        Errors  ArgumentError if `categorical` names no column.
        """
        chosen = _chosen(table, categorical)
        parts = []
        for i in range(table.shape[1]):
            column = table.column(i, "category" if i in chosen else None)
            if isinstance(column, Labels):
                parts.append(_category(Labels(column.codes[rows], column.levels)))
            elif isinstance(column, Dates):
                parts.append(_date(column.days[rows]))
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
        for i, (part, kind) in enumerate(zip(self.parts, self.kinds, strict=True)):
            column = table.column(order[i], kind)
            if isinstance(column, Labels):
                codes = _coded(column, self._levels[i])
                self._warn_unknown(i, column, codes, where)
                codes = codes if rows is None else codes[rows]
                out[:, self._spans[i]] = codes[:, None] if part["kind"] == "codes" else np.array(part["values"])[codes]
                continue
            numbers = cells(column) if rows is None else cells(column)[rows]
            gaps = np.isnan(numbers)
            numbers = date_parts(numbers) if isinstance(column, Dates) else numbers[:, None]
            scaled = _standardized(numbers, *self._scales[i])
            out[:, self._spans[i]] = np.where(gaps[:, None], 0, scaled)
            if part["gap"]:
                out[:, self._gap_at[i]] = np.array(part["gap"])[gaps.astype(int)]
        return out

    def _warn_unknown(self, i: int, column: Labels, codes: Array, where: str) -> None:
        """Warn if nearly all cells of a column of categories are unknown, which in training were not."""
        if codes.all():
            return
        there = is_there(column)
        new, all_there = (codes == 0) & there, int(there.sum())
        if new.sum() < max(2, _NEARLY_ALL * all_there) or self.parts[i].get("unknown", 0) >= _FEW_UNKNOWN:
            return
        name = f"column {i}" if self.names is None else f"column {printable(self.names[i], 60)!r}"
        level = printable(column.levels[column.codes[int(np.argmax(new))]], 40)
        what = f"{new.sum():,} of {all_there:,} cells with categories that training saw once or never, such as {level!r}"
        warnings.warn(f"{where}: {name} has {what}; they count as missing", UnknownCategoryWarning, stacklevel=6)

    def unknown(self, table: Table, where: str) -> dict[int, tuple[int, str]]:
        """Return {column: (number of cells, one of them)} for categories that are new, which `matrix` takes as gaps.

        Errors  as `matrix`.
        """
        found, order = {}, self._order(table, where)
        for i, kind in enumerate(self.kinds):
            column = table.column(order[i], kind)
            if isinstance(column, Labels):
                new = (_coded(column, self._levels[i]) == 0) & is_there(column)
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
            if any(map(is_index_level, missing)):
                got += "; fit it again: an index, which it learnt from, is never a column"
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


def _width(part: dict[str, Any]) -> int:
    """Return how many columns of the matrix a part fills, beside the one for gaps."""
    return {"number": 1, "date": N_PARTS, "codes": 1}.get(part["kind"]) or len(part["values"][0])


def _is_part(part: Any) -> bool:
    """Whether a part from a file is one that `fit` could have made."""

    def numbers(values: Any, n: int | None = None) -> bool:
        fits = isinstance(values, list) and all(isinstance(v, int | float) and abs(v) < np.inf for v in values)
        return fits and (n is None or len(values) == n)

    if part["kind"] in _NUMBERS:
        scales = [part["median"], part["scale"]]
        ok = numbers(scales) if part["kind"] == "number" else all(numbers(each, N_PARTS) for each in scales)
        return ok and (part["gap"] is None or numbers(part["gap"], 2))
    share = part.get("unknown", 0)
    texts = (
        isinstance(share, int | float)
        and isinstance(part["levels"], list)
        and all(isinstance(level, str) for level in part["levels"])
    )
    if part["kind"] == "codes":
        return texts
    n, rows = len(part["levels"]) + 1, part["values"]
    width = len(rows[0])
    return part["kind"] == "levels" and texts and len(rows) == n and width > 0 and all(numbers(row, width) for row in rows)


def _chosen(table: Table, categorical: Any) -> set[int]:
    """Return the columns that `categorical` names: by names, indices, or one truth value for each column."""
    if categorical is None:
        return set()
    if isinstance(categorical, Iterator):  # which a second fit would find empty
        raise ArgumentError(
            f"fit: categorical must be a list of columns of x, got a {type(categorical).__name__}; use list()"
        )
    alone = isinstance(categorical, str) or not isinstance(categorical, Iterable) or getattr(categorical, "ndim", 1) == 0
    named = {str(key): value for key, value in categorical.items()} if hasattr(categorical, "items") else {}
    if named and all(isinstance(value, bool | np.bool_) for value in named.values()):
        if named.keys() <= set(table.names or ()):  # a mask of pandas, which may be in another order than the columns
            return {i for i, name in enumerate(table.names or ()) if named.get(name)}
    items = [categorical] if alone else list(categorical)
    if items and all(isinstance(item, bool | np.bool_) for item in items):
        if len(items) != table.shape[1]:
            raise ArgumentError(
                f"fit: categorical must have {table.shape[1]} truth values, one for each column of x, got {len(items)}"
            )
        return {i for i, item in enumerate(items) if item}
    places = [_place(table, item) for item in items]
    if len(set(places)) < len(places) == table.shape[1] and all(item in (0, 1) for item in items):
        raise ArgumentError(
            f"fit: categorical must name each column once, got {items!r}; a mask must hold truth values, as with == 1"
        )
    return set(places)


def _place(table: Table, item: Any) -> int:
    """Return the column that a name or an index means."""
    index = int(item) if isinstance(item, int | np.integer) and not isinstance(item, bool) else -1
    index = index if 0 <= index < table.shape[1] else -1
    names = table.names or []
    place = names.index(str(item)) if not isinstance(item, bool) and str(item) in names else -1
    if index >= 0 and place >= 0 and index != place:
        raise ArgumentError(
            f"fit: categorical must be clear, got {item!r}, the name of column {place} and the index of {names[index]!r}; "
            "use a truth value for each column"
        )
    if max(index, place) < 0:
        known = f" ({printable(', '.join(names))})" if names else ""
        raise ArgumentError(f"fit: categorical must name columns of x{known}, got {item!r}")
    return max(index, place)


def clip(z: Array) -> Array:
    """Equation (3) of `Columns`."""
    return z / np.sqrt(1 + (z / 3) ** 2)


def _arrays(part: dict[str, Any]) -> tuple[Array, Array]:
    """Return median and scale of a column of numbers or dates."""
    return np.array(part["median"]), np.array(part["scale"])


def _standardized(x: Array, median: Array, scale: Array) -> Array:
    """Return equations (1) and (3) of `Columns`, for any finite x."""
    try:
        with np.errstate(over="raise"):
            return clip((x - median) * scale)
    except FloatingPointError:  # a difference or a square: of so large a z, (3) gives 3
        most = np.finfo(np.float64).max
        with np.errstate(over="ignore"):
            return clip(np.clip(np.clip(x - median, -most, most) * scale, -_MOST, _MOST))


def _robust(values: Array) -> tuple[float, float]:
    """Return median and s of equation (1), for values without gaps."""
    if not len(values):
        return 0.0, 0.0
    low, q25, median, q75, high = np.quantile(values / 4, [0, 0.25, 0.5, 0.75, 1]) * 4  # differences may overflow
    with np.errstate(over="ignore"):
        spread = q75 - q25 if q75 > q25 else (high - low) / 2
        scale = 1 / spread if spread > 0 else 0.0
    return float(median), float(scale) if np.isfinite(scale) else 0.0


def _number(column: Array) -> dict[str, Any]:
    median, scale = _robust(column[~np.isnan(column)])
    return {"kind": "number", "median": median, "scale": scale, "gap": _gap(column)}


def _date(days: Array) -> dict[str, Any]:
    medians, scales = zip(*map(_robust, date_parts(days[~np.isnan(days)]).T), strict=True)
    return {"kind": "date", "median": list(medians), "scale": list(scales), "gap": _gap(days)}


def _gap(column: Array) -> list[float] | None:
    """Return what the column that says where the gaps are holds: for a value, and for a gap."""
    gaps = np.isnan(column)
    return _scaled(np.where(gaps, 1.0, -1.0), np.array([-1.0, 1.0])).tolist() if gaps.any() and not gaps.all() else None


def _category(column: Labels) -> dict[str, Any]:
    """Return the part of a category; spellings of one truth value are one level."""
    if not TRUTHS.keys().isdisjoint(map(str.lower, column.levels)):
        texts = [level.lower() if level.lower() in TRUTHS else level for level in column.levels]
        places = {text: k for k, text in enumerate(dict.fromkeys(texts))}
        column = Labels(np.array([*(places[text] for text in texts), -1])[column.codes], list(places))
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    frequent = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    fewest = FEWEST_CELLS if np.count_nonzero(counts) > ONE_HOT else 1
    kept = [k for k in frequent if counts[k] >= fewest]
    levels, n = sorted(column.levels[k] for k in kept), len(kept)
    about = {"levels": levels, "unknown": float(1 - counts[kept].sum() / max(1, counts.sum()))}
    if n > ONE_HOT:
        return {"kind": "codes", **about}
    codes = _coded(column, Levels(levels))
    hot = np.array([[0.0], [1.0], [-1.0]]) if n == 2 else np.eye(n + 1)[:, 1:] if n else np.zeros((1, 1))
    values = np.stack([_scaled(hot[codes, k], hot[:, k]) for k in range(hot.shape[1])], axis=1)
    return {"kind": "levels", **about, "values": values.tolist()}


def _coded(column: Labels, levels: Levels) -> Array:
    """Return the code of each cell: k + 1 for the k-th level, 0 for a gap or any other."""
    return np.array([*(levels.find(text) + 1 for text in column.levels), 0])[column.codes]


def _scaled(column: Array, values: Array) -> Array:
    """Return `values` scaled and clipped by (1) and (3), as fitted to the column."""
    median, scale = _robust(column)
    return clip((values - median) * scale)
