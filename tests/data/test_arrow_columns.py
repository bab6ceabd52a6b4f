"""The same table from any container: the same columns; what Arrow refuses is read as an array of objects would be."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numlp.data.cells import Labels, Table, cells
from numlp.data.columns import Columns
from numlp.errors import ArgumentError, DTypeError, NumlpError, ShapeError

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

NAMES = ["number", "whole", "word", "truth", "day"]
KINDS = ["number", "number", "category", "category", "date"]
Rows = list[tuple[Any, ...]]

ROW = st.tuples(
    st.none() | st.floats(-1e6, 1e6),
    st.none() | st.integers(-(2**62), 2**62),
    st.none() | st.sampled_from(["red", "green", "blue"]),
    st.none() | st.booleans(),
    st.none() | st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1)),
)
FULL = (0.5, 2**53 + 1, "red", True, dt.datetime(2024, 2, 29, 12))
INDEXES: dict[str, Callable[[int], Any]] = {
    "shuffled": lambda n: np.random.default_rng(0).permutation(n),
    "repeated": lambda n: [7] * n,
    "named": lambda n: pd.Index(range(n), name="word of its own"),
    "dates": lambda n: pd.date_range("2024-01-01", periods=n),
    "text": lambda n: [f"row {i}" for i in range(n)],
    "levels": lambda n: pd.MultiIndex.from_tuples([(i % 2, f"r{i}") for i in range(n)], names=["a", None]),
    "gaps": lambda n: [np.nan] * n,
}


def objects(rows: Rows) -> Any:
    array = np.empty((len(rows), len(rows[0])), object)
    for i, row in enumerate(rows):
        array[i] = row
    return array


def pandas_frame(rows: Rows, index: str = "shuffled") -> Any:
    types = ["float64", "Int64", "string", "boolean", "datetime64[us]"]
    columns = {
        name: pd.Series(list(column), dtype=kind)
        for name, column, kind in zip(NAMES, zip(*rows, strict=True), types, strict=True)
    }
    frame = pd.DataFrame(columns)
    frame.index = INDEXES[index](len(rows))
    return frame


def scalar(cell: Any) -> Any:
    return np.datetime64(cell, "us") if isinstance(cell, dt.datetime) else None if cell is None else np.array([cell])[0]


def arrow_table(rows: Rows) -> Any:
    types = [pa.float64(), pa.int64(), pa.string(), pa.bool_(), pa.timestamp("us")]
    return pa.table([pa.array(c, t) for c, t in zip(zip(*rows, strict=True), types, strict=True)], names=NAMES)


CONTAINERS: dict[str, Callable[[Rows], Any]] = {
    "lists": lambda rows: [list(row) for row in rows],
    "tuples": tuple,
    "pandas": pandas_frame,
    "pandas objects": lambda rows: pd.DataFrame(objects(rows), columns=NAMES, index=INDEXES["text"](len(rows))),
    "pandas in nanoseconds": lambda rows: pandas_frame(rows).astype({"day": "datetime64[ns]"}),
    "scalars of NumPy": lambda rows: objects([tuple(map(scalar, row)) for row in rows]),
    "arrow": arrow_table,
    "arrow in parts": lambda rows: pa.concat_tables([arrow_table(rows[:1]), arrow_table(rows[1:])]),
    "arrow batch": lambda rows: arrow_table(rows).combine_chunks().to_batches()[0],
    "arrow of pandas": lambda rows: pa.Table.from_pandas(pandas_frame(rows, "levels")),
    "polars": lambda rows: pl.from_arrow(arrow_table(rows)),
    "polars with an index": lambda rows: pl.from_arrow(pa.Table.from_pandas(pandas_frame(rows))),
}


def contents(column: Any) -> Any:
    """Return the kind of a column, and its cells with all their digits."""
    return type(column), list(map(repr, cells(column).tolist()))


@given(rows=st.lists(ROW, min_size=1, max_size=4), index=st.sampled_from(sorted(INDEXES)))
@settings(max_examples=12, deadline=None)
def test_same_table_in_any_container_has_the_same_columns(rows: Rows, index: str) -> None:
    rows = [FULL, *rows]
    expected = Table(objects(rows), "test")
    made = {name: make(rows) for name, make in CONTAINERS.items()} | {f"index of {index}": pandas_frame(rows, index)}
    for name, x in made.items():
        table = Table(x, "test")
        assert (table.shape, table.names or NAMES) == ((len(rows), 5), NAMES), name
        assert [contents(table.column(i)) for i in range(5)] == [contents(expected.column(i)) for i in range(5)], name
        assert contents(table.column(1, "category")) == contents(expected.column(1, "category")), name
        assert (table.keys() == expected.keys()).all(), name


def test_columns_are_fitted_alike_and_digits_of_whole_numbers_are_kept() -> None:
    rows: Rows = [FULL, (None, 2**53, "blue", False, None), (2.5, -3, None, None, dt.datetime(1999, 1, 1))] * 2
    for make in CONTAINERS.values():
        columns = Columns.fit(Table(make(rows), "test"), np.arange(6), [1])
        assert columns.kinds == [KINDS[0], "category", *KINDS[2:]]
        assert columns.parts[1]["levels"] == ["-3", "9007199254740992", "9007199254740993"]


ODD = [
    1, 2.5, -(2**53) - 1, 10**25, 10**400, True, False, "red", "N/A", "", "1", "0000-00-00", None, float("nan"),
    float("inf"),
    dt.date(2022, 7, 2), dt.datetime(2022, 7, 2, 12), dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    dt.time(12), dt.timedelta(1), 1j, b"red", [1], {"a": 1}, {1}, Decimal("1.5"), Decimal(2**53 + 1), Decimal("NaN"),
    Fraction(1, 2), np.float32(0.5), np.longdouble(0.5), np.int8(1), np.bool_(True), np.str_("red"), np.complex64(1),
    np.datetime64("2024-01-01"), np.timedelta64(1, "D"), np.datetime64("NaT"), np.ones(2),
    pd.NA, pd.NaT, pd.Timestamp("2024-01-01", tz="Asia/Tokyo"), pd.Period("2024-01"), pd.Interval(0, 1), "\ud800",
]  # fmt: skip


def outcome(x: Any) -> Any:
    """Return kind and cells of column 0, or the class of the error."""
    try:
        return contents(Table(x, "test").column(0))
    except NumlpError as error:
        return type(error)


@given(picked=st.lists(st.integers(0, len(ODD) - 1), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_objects_of_any_types_are_the_same_in_a_frame_as_in_an_array(picked: list[int]) -> None:
    column = np.empty((len(picked), 1), object)
    for row, i in enumerate(picked):
        column[row, 0] = ODD[i]
    expected = outcome(column)
    assert outcome(pd.DataFrame({"m": pd.Series(list(column[:, 0]), dtype=object), "a": 1.5})) == expected
    assert outcome(pl.DataFrame({"m": pl.Series(list(column[:, 0]), dtype=pl.Object)})) == expected


TYPED = {
    "sparse numbers": (pd.arrays.SparseArray([0, 1, 0]), [0, 1, 0]),
    "sparse truth": (pd.arrays.SparseArray([True, False, True]), ["true", "false", "true"]),
    "long double": (np.array([1, 2.5, 3], np.longdouble), [1, 2.5, 3]),
    "half": (np.array([1, 2.5, 3], np.float16), [1, 2.5, 3]),
    "unsigned": (np.array([2**63 + 1, 1, 2], np.uint64), [2.0**63, 1, 2]),
    "categories of several types": (pd.Categorical([3, "x", None]), ["3", "x", ""]),
    "categories of numbers": (pd.Categorical([3.0, 1.5, None]), ["3", "1.5", ""]),
    "categories of dates": (
        pd.Categorical(pd.to_datetime(["2024-01-02", None, "2024-01-01"])),
        ["2024-01-02", "", "2024-01-01"],
    ),
    "categories of truth": (pd.Categorical([True, None, False]), ["true", "", "false"]),
    "parts of a range": (pd.cut([1.0, 3.0, 2.0], [0, 2, 4]), ["(0, 2]", "(2, 4]", "(0, 2]"]),
    "intervals": (pd.interval_range(0, 3), ["(0, 1]", "(1, 2]", "(2, 3]"]),
    "no categories": (pd.Categorical([None] * 3), ["", "", ""]),
    "numbers and gap words": (np.array([1.5, "N/A", "?"], object), [1.5, None, None]),
    "far dates": (
        pd.Categorical(pd.Series(np.array([10**7 * 86_400, -(10**7) * 86_400, "NaT"], "datetime64[s]"))),
        ["29349-01-26", "-25410-12-06", ""],
    ),
    "dates of any kind": (
        np.array([dt.date(1970, 1, 2), dt.datetime(1970, 1, 1, 12), None], object),
        [1, 0.5, None],
    ),
}


@pytest.mark.parametrize("name", TYPED)
def test_columns_that_arrow_refuses_or_misses_are_read(name: str) -> None:
    column, expected = TYPED[name]
    table = Table(pd.DataFrame({"m": column, "a": 1.0}, index=[3, 3, 1]), "test")
    found = [None if cell != cell else cell for cell in cells(table.column(0)).tolist()]
    assert found == expected


def test_frames_of_other_libraries_are_read_column_by_column() -> None:
    frame = pl.DataFrame({"i": pl.Series([10**30, None], dtype=pl.Int128), "o": pl.Series([1, "a"], dtype=pl.Object)})
    table = Table(frame, "test")
    assert cells(table.column(0)).tolist() == pytest.approx([1e30, np.nan], nan_ok=True)
    assert cells(table.column(0, "category")).tolist() == [str(10**30), ""]
    assert cells(table.column(1)).tolist() == ["1", "a"]
    dates = pa.array([dt.date(2024, 1, 1), None]).dictionary_encode()
    assert cells(Table(pa.table({"d": dates}), "test").column(0)).tolist() == ["2024-01-01", ""]
    whole = pa.array([Decimal(2**70 + 1), None], pa.decimal128(38, 0))
    assert cells(Table(pa.table({"d": whole}), "test").column(0, "category")).tolist() == [str(2**70 + 1), ""]
    full = pa.array([f"v{i}" for i in range(128)] + [None]).dictionary_encode()  # codes up to the largest of their type
    small = pa.DictionaryArray.from_arrays(full.indices.cast(pa.int8()), full.dictionary)
    assert cells(Table(pa.table({"d": small}), "test").column(0)).tolist()[127:] == ["v127", ""]


REFUSED: dict[str, tuple[Callable[[], Any], type[NumlpError], str]] = {
    "series": (lambda: pd.Series([1.0]), ShapeError, "got Series of shape (1,); x.to_frame() makes a table of a column"),
    "polars series": (lambda: pl.Series([1.0]), ShapeError, "got Series of shape (1,); x.to_frame() makes a table"),
    "arrow array": (lambda: pa.array([1.0]), ShapeError, "got 1 cells; use pyarrow.table({'x': x})"),
    "index": (lambda: pd.Index([1.0]), ShapeError, "got Index of shape (1,); x.to_frame() makes a table of a column"),
    "dask": (
        lambda: SimpleNamespace(iloc=1, columns=["a"], compute=lambda: None, __arrow_c_stream__=None),
        DTypeError,
        "got SimpleNamespace; use x.compute()",
    ),
    "lazy": (lambda: pl.LazyFrame({"a": [1]}), DTypeError, "got LazyFrame; use x.collect()"),
    "twice": (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), ArgumentError, "each column once, got 'a' twice"),
    "number as text": (lambda: pd.DataFrame([[1, 2]], columns=[1, "1"]), ArgumentError, "each column once, got '1' twice"),
    "no rows": (lambda: pd.DataFrame({"a": []}), ShapeError, "at least 1 row and 1 column, got (0, 1)"),
    "no columns": (lambda: pd.DataFrame(index=[1]), ShapeError, "at least 1 row and 1 column, got (0, 0)"),
    "only an index": (lambda: pd.DataFrame({"__index_level_0__": [1]}), ShapeError, "at least 1 row and 1 column"),
    "nested": (lambda: pd.DataFrame({"l": [[1]]}), DTypeError, "column 'l' must hold numbers, text or dates, got list at"),
    "nested arrow": (lambda: pa.table({"l": [[1]]}), DTypeError, "column 'l' must hold numbers, text or dates, got list<"),
    "complex": (lambda: pd.DataFrame({"c": [1j]}), DTypeError, "column 'c' must hold numbers, text or dates, got compl"),
    "spans": (lambda: pd.DataFrame({"t": [pd.Timedelta(1)]}), DTypeError, "column 't' must hold numbers, text or dates"),
    "periods": (lambda: pd.DataFrame({"p": [pd.Period("2024")]}), DTypeError, "column 'p' must hold numbers, text or dates"),
    "generator": (lambda: (row for row in [[1]]), DTypeError, "got generator; use list(x)"),
    "dict": (lambda: {"a": [1]}, DTypeError, "got dict; use pandas.DataFrame(x)"),
    "dicts": (lambda: [{"a": 1}], DTypeError, "got dicts; use pandas.DataFrame(x)"),
    "set": (lambda: {1}, DTypeError, "got set; use list(x)"),
    "path": (lambda: "table.csv", DTypeError, "got str; use a data frame read from the file"),
    "fields": (lambda: np.zeros(2, [("a", float)]), DTypeError, "got an array with the fields a; use pandas.DataFrame(x)"),
    "ragged": (lambda: [[1, 2], [3]], ShapeError, "rows of one length, got 2 cells, and 1 in row 1"),
    "masked": (lambda: np.ma.masked_equal([[1.0, 2.0]], 2), ArgumentError, "got 1; fill or drop the masked numbers"),
    "bytes": (lambda: np.array([[b"a"]]), DTypeError, "column 0 must hold numbers, text or dates, got |S1; drop"),
    "refused": (lambda: SimpleNamespace(__arrow_c_stream__=lambda *_: None), DTypeError, "must be a data frame that Arrow"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_says_what_to_do(name: str) -> None:
    make, error, message = REFUSED[name]
    with pytest.raises(error) as caught:
        Table(make(), "test").column(0)
    assert str(caught.value).startswith("test: ") and message in str(caught.value)


def test_text_arrays_of_rows_have_numbers_where_all_cells_are() -> None:
    table = Table(np.array([[0.5, "red", "1"], ["nan", "1", "01"]]), "test")
    assert cells(table.column(0)).tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    assert cells(table.column(1)).tolist() == ["red", "1"]
    assert cells(table.column(2)).tolist() == [1, 1]
    assert cells(table.column(2, "category")).tolist() == ["1", "01"]
    assert isinstance(Table(np.array([["nan"], [""]]), "test").column(0), Labels)


CHOICES: list[tuple[Any, list[int]]] = [
    (None, []), ([], []), ("shop", [2]), (["shop"], [2]), (2, [2]), ((0, "shop"), [0, 2]), ({"a"}, [0]),
    (np.array([1]), [1]), (np.array("shop"), [2]),
    ([False, False, True], [2]), (np.array([False, True, False]), [1]), (pd.Series([True, False, False]), [0]),
    (pd.Index(["shop"]), [2]), (pd.Index([]), []), (pd.Series(["a", "shop"]), [0, 2]), (np.array(["b"]), [1]),
    (pl.Series(["b"]), [1]),
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(CHOICES)))
def test_categorical_may_be_names_indices_or_a_mask(i: int) -> None:
    categorical, expected = CHOICES[i]
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4], "shop": [5, 6]})
    kinds = Columns.fit(Table(frame, "test"), np.arange(2), categorical).kinds
    assert [i for i, kind in enumerate(kinds) if kind == "category"] == expected


@pytest.mark.parametrize(
    ("categorical", "message"),
    [
        ("shops", "must name columns of x (1, 0, shop), got 'shops'"),
        (3, "got 3"), (-1, "got -1"), (1.0, "got 1.0"), ([None], "got None"), ([True, "shop"], "got True"),
        (iter(["shop"]), "must be a list of columns of x, got a list_iterator; use list()"),
        ([True, False], "must have 3 truth values, one for each column of x, got 2"),
        ([1], "must be clear, got 1, the name of column 0 and the index of '0'"),
    ],
)  # fmt: skip
def test_categorical_that_names_no_column_or_two_is_refused(categorical: Any, message: str) -> None:
    frame = pd.DataFrame([[1, 2, 3], [4, 5, 6]], columns=[1, 0, "shop"])
    with pytest.raises(ArgumentError) as caught:
        Columns.fit(Table(frame, "test"), np.arange(2), categorical)
    assert str(caught.value).startswith("fit: categorical ") and message in str(caught.value)
