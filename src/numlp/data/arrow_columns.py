"""Columns of data frames as Arrow arrays, or as objects where Arrow has no type for them; a pandas index is none of them."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.data.dates import Dates, days_of, texts_of
from numlp.errors import ArgumentError, DTypeError, MissingExtraError, ShapeError, printable

Array = NDArray[Any]

_INDEX_LEVEL = re.compile(r"__index_level_\d+__")  # what Arrow calls an index without a name
_PLAIN = {str, float, NoneType}  # of objects that are text with gaps, or numbers
_A_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


class Coded(NamedTuple):
    """A column of categories, or a part of one: `levels[codes[n]]` is the n-th cell, and a code of -1 is a gap."""

    codes: Array
    levels: list[Any]


class Integers(NamedTuple):
    """A column of integers with all their digits, and which of them are no gaps, both (n,)."""

    values: Array
    there: Array


def is_data_frame(x: Any) -> bool:
    """Return True for a frame or a column of pandas, and for anything that Arrow can read; not for what is still a query."""
    if isinstance(x, np.ndarray) or hasattr(x, "compute") or hasattr(x, "collect"):
        return False
    return any(hasattr(x, name) for name in ("__arrow_c_stream__", "__arrow_c_array__", "to_frame")) or _is_pandas(x)


def is_index_level(name: str) -> bool:
    """Return whether a name is one that Arrow gives to an index of pandas without a name."""
    return _INDEX_LEVEL.fullmatch(name) is not None


def frame_columns(x: Any, where: str) -> dict[str, Any]:
    """Return the columns of a data frame by name: pyarrow.ChunkedArray, Coded, or an array where Arrow has no type.

    Errors  MissingExtraError without pyarrow; ShapeError for a single column; ArgumentError naming a column that is there
        twice; DTypeError if it is no frame that Arrow can read.
    """
    pa = _pyarrow()
    if hasattr(x, "to_frame"):
        hint = f"x.to_frame() makes a table of a column{', x.to_frame().T of a row' if hasattr(x, 'index') else ''}"
        raise ShapeError(f"{where}: x must have shape (n, columns), got {type(x).__name__} of shape {x.shape}; {hint}")
    if isinstance(x, pa.Array | pa.ChunkedArray) and not pa.types.is_struct(x.type):
        raise ShapeError(f"{where}: x must have shape (n, columns), got {len(x)} cells; use pyarrow.table({{'x': x}})")
    if _is_pandas(x):
        named = [(str(name), _pandas_column(series)) for name, series in x.items()]
    elif hasattr(x, "get_columns"):
        named = [(series.name, _polars_column(series)) for series in x.get_columns()]
    else:
        try:
            table = pa.table(x)
        except (pa.ArrowException, TypeError, ValueError) as error:
            got = f"a {type(x).__name__}, {printable(str(error).splitlines()[0], 100)}"
            raise DTypeError(f"{where}: x must be a data frame that Arrow can read, got {got}") from error
        index = set(index_columns(table.schema))
        named = [item for item in zip(table.column_names, table.columns, strict=True) if item[0] not in index]
    _check_once([name for name, _ in named], where)
    return {name: column for name, column in named if not is_index_level(name)}


def without_index(x: Any) -> Any:
    """Return a pandas, pyarrow or polars frame without columns that hold the index of a pandas frame."""
    if _is_pandas(x):
        index = [is_index_level(str(name)) for name in x.columns]
        return x.loc[:, np.logical_not(index)] if any(index) else x
    if hasattr(getattr(x, "schema", None), "metadata"):
        names, left_out = x.schema.names, index_columns(x.schema)
    else:
        names = list(getattr(x, "columns", ()))
        left_out = [name for name in names if isinstance(name, str) and is_index_level(name)]
    return x.select([name for name in names if name not in left_out]) if left_out else x


def check_names(x: Any, where: str) -> None:
    """Raise ArgumentError if a pandas frame, the only one that may, has a column twice, ShapeError if it has none."""
    if _is_pandas(x):
        _check_once(list(map(str, x.columns)), where)
        if not x.shape[1]:
            raise ShapeError(f"{where}: x must have at least 1 row and 1 column, got {x.shape}")


def _check_once(names: list[str], where: str) -> None:
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise ArgumentError(f"{where}: x must have each column once, got {printable(name)!r} twice")


def index_columns(schema: Any) -> list[str]:
    """Return the columns of an Arrow schema that hold the index of a pandas frame."""
    try:  # metadata of a file may be anything
        found = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
        index = {name for name in found if isinstance(name, str)}
    except (ValueError, TypeError, AttributeError, RecursionError):
        index = set()
    return [name for name in schema.names if name in index or is_index_level(name)]


def read_chunks(chunks: Any, name: str) -> Array | Integers | Dates | list[Coded]:
    """Return what an Arrow column holds; text and truth values are categories, with levels for each chunk.

    Errors  DTypeError, whose message begins with `name`, for a column of anything else.
    """
    import pyarrow as pa
    from pyarrow import types

    coded = types.is_dictionary(chunks.type)
    kind = chunks.type.value_type if coded else chunks.type
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_boolean(kind)
    time = types.is_date(kind) or types.is_timestamp(kind)
    if not (text or time or types.is_null(kind) or _is_number(kind)):
        raise DTypeError(f"{name} must hold numbers, text or dates, got {kind}; drop or convert it")
    if time and not coded:
        return Dates(_days(chunks))
    if not (coded or text):
        return _numbers(chunks)
    parts = (chunks if coded else chunks.cast(pa.large_string()).dictionary_encode()).chunks
    return [
        Coded(
            part.indices.cast(pa.int64()).fill_null(-1).to_numpy(),
            [None if np.isnan(day) else texts_of(day[None])[0] for day in _days(pa.chunked_array([part.dictionary]))]
            if time
            else part.dictionary.to_pylist(),
        )
        for part in parts
    ]


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _numbers(chunks: Any) -> Array | Integers:
    import pyarrow as pa
    from pyarrow import types

    if types.is_integer(chunks.type):
        return Integers(chunks.fill_null(0).to_numpy(), chunks.is_valid().to_numpy())
    if types.is_decimal(chunks.type) and chunks.type.scale == 0:  # whole numbers of databases
        values = objects(0 if cell is None else int(cell) for cell in chunks.to_pylist())
        return Integers(values, chunks.is_valid().to_numpy())
    return np.asarray(chunks.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _days(chunks: Any) -> Array:
    """Return the days since the start of 1970 for Arrow's dates or times, with NaN for gaps."""
    import pyarrow as pa

    kind = chunks.type
    unit = 1 if pa.types.is_date32(kind) else _A_DAY["ms" if pa.types.is_date64(kind) else kind.unit]
    counts = chunks.cast(pa.int32() if unit == 1 else pa.int64()).fill_null(0).to_numpy()  # in UTC
    if unit == _A_DAY["ns"]:  # more digits than float64 has
        counts, unit = counts // 1000 + counts % 1000 / 1000, _A_DAY["us"]
    days = counts.astype(np.float64) / unit
    days[chunks.is_null().to_numpy()] = np.nan
    return days


def objects(cells: Iterable[Any]) -> Array:
    """Return cells as an array of objects (n,), whatever they are."""
    given = list(cells)
    array = np.empty(len(given), object)
    array[:] = given
    return array


def _is_pandas(x: Any) -> bool:
    return hasattr(x, "iloc") and hasattr(x, "columns")


def _pandas_column(series: Any) -> Any:
    """Return a column of a pandas frame: the cells of object columns one by one, as their types may differ."""
    import pyarrow as pa

    dtype = series.dtype
    if hasattr(dtype, "categories"):
        levels = series.cat.categories
        dates = all(isinstance(level, date) for level in levels)
        return Coded(series.cat.codes.to_numpy(), texts_of(np.array([*map(days_of, levels)])) if dates else list(levels))
    of_objects = isinstance(dtype, np.dtype) and dtype.kind == "O"
    if of_objects and not set(map(type, series)) <= _PLAIN:  # Arrow may take them wrongly, or crash
        return np.asarray(series, dtype=object)
    try:
        array = pa.array(series.to_numpy() if isinstance(dtype, np.dtype) else series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return np.asarray(series)
    if hasattr(dtype, "closed"):  # intervals
        return np.asarray(series, dtype=object)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _polars_column(series: Any) -> Any:
    """Return a column of a polars frame."""
    import pyarrow as pa

    try:
        return objects(series) if str(series.dtype) == "Object" else pa.chunked_array(series)
    except (pa.ArrowException, TypeError, ValueError):
        return objects(series)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError(f"a data frame needs pyarrow: pip install 'numlp[table]' ({error})") from error
    return pyarrow
