"""One value has several texts: they are matched between the rows that were fitted to and those asked about later."""

import warnings
from datetime import date, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numlp.data.cells import Table
from numlp.data.columns import Columns
from numlp.data.frames import read_frame
from numlp.data.value_texts import GAP_WORDS, Levels, canonical, places_of
from numlp.errors import DTypeError, UnknownCategoryWarning


def column(values: Any) -> Any:
    out = np.empty((len(values), 1), object)
    out[:, 0] = values
    return out


def fitted(values: Any, categorical: Any = None) -> Columns:
    return Columns.fit(Table(column(values), "test"), np.arange(len(values)), categorical)


def matrix(columns: Columns, values: Any) -> Any:
    return columns.matrix(Table(column(values), "test"), "test").tolist()


WHOLE: list[Any] = [
    int, float, str, np.int64, np.float32, "{}.0".format, "{:03d}".format, "+{}".format, " {} ".format, "{}e0".format,
]  # fmt: skip
TRUTH: list[Any] = [
    bool, np.bool_, int, float, str, "{:d}".format, "{:d}.0".format, lambda t: str(t).lower(), lambda t: str(t).upper(),
]  # fmt: skip
DAY: list[Any] = [
    str, lambda d: datetime(d.year, d.month, d.day), np.datetime64, "{}T00:00".format, "{} 00:00:00".format, lambda d: d,
]  # fmt: skip


@pytest.mark.parametrize("kind", ["category", "number"])
def test_whole_numbers_are_the_same_in_every_text(kind: str) -> None:
    values = [1, 2, 501, 2, 1, 77, 1]
    for first in WHOLE:
        columns = fitted([first(v) if kind == "category" else v for v in values], [0] if kind == "category" else None)
        own = matrix(columns, [first(v) for v in values])
        for other in WHOLE:
            assert matrix(columns, [other(v) for v in values]) == own
        if kind == "number":
            break


def test_truth_values_are_the_same_in_every_text() -> None:
    values = [True, False, True, True, False]
    for first in TRUTH:
        columns = fitted([first(v) for v in values])
        own = matrix(columns, [first(v) for v in values])
        assert own[0] != own[1]
        for other in TRUTH:
            assert matrix(columns, [other(v) for v in values]) == own, (first, other)


def test_dates_that_are_categories_are_the_same_in_every_text() -> None:
    values = [date(2026, 11, 29), date(2026, 11, 30)] * 3
    for first in DAY:
        columns = fitted([first(v) for v in values], [0])
        own = matrix(columns, [first(v) for v in values])
        for other in DAY:
            assert matrix(columns, [other(v) for v in values]) == own, (first, other)


def test_text_that_is_a_level_comes_before_one_of_the_same_value() -> None:
    levels = Levels(["1", "01", "true", "b", "2.0", "02"])
    assert [levels.find(text) for text in ("1", "01", "1.0", "true", "TRUE", "b", "B")] == [0, 1, 0, 2, 2, 3, -1]
    assert levels.find("2") == -1  # two levels have this value
    assert Levels(["1", "2"]).find("true") == -1 and Levels(["true", "no"]).find("1") == -1


@settings(max_examples=50, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12))
def test_canonical_text_of_a_number_has_its_value_and_is_its_own(number: Any) -> None:
    found = canonical(str(number))
    assert float(found) == float(number) and canonical(found) == found == canonical(f"{number:e}" if number else "0")


def test_digits_that_a_float_cannot_hold_stay_different() -> None:
    assert canonical("09007199254740993") == "9007199254740993" != canonical("9007199254740992")
    assert [canonical(text) for text in ("-0", ".5", "5.", "1e999999999", "x1", "-", ".")] == [
        "0", "0.5", "5", "1e999999999", "x1", "-", ".",
    ]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    st.sets(st.sampled_from(sorted(GAP_WORDS)), min_size=1),
    st.sampled_from([str.upper, str.title, str.lower, " {}\t".format]),
)
def test_words_for_a_gap_are_gaps_where_there_were_numbers_or_dates(words: set[str], spell: Any) -> None:
    numbers, days = fitted([1.0, 2.0, None]), fitted([date(2026, 11, 29), date(2026, 11, 30), None])
    gaps = [spell(word) for word in words]
    assert matrix(numbers, ["2", *gaps]) == matrix(numbers, [2.0, *[None] * len(gaps)])
    assert matrix(days, ["2026-11-30", *gaps]) == matrix(days, [date(2026, 11, 30), *[None] * len(gaps)])
    assert matrix(numbers, [True, *gaps]) == matrix(numbers, [1.0, *[None] * len(gaps)])


def test_other_words_where_there_were_numbers_are_refused() -> None:
    for texts, wrong in ((["1", "soon"], "soon"), (["1", "true"], "true"), (["1", "inf"], "inf"), (["1_0"], "1_0")):
        with pytest.raises(DTypeError, match=f"must hold numbers, as when it was fitted, got '{wrong}'"):
            matrix(fitted([1.0, 2.0]), texts)


def test_column_of_nearly_only_unknown_categories_is_warned_of() -> None:
    columns = fitted(["a", "b", "c"] * 5)
    for values in (["x", "y"], ["x"] * 9 + ["a"], ["x", "x", None]):
        with pytest.warns(UnknownCategoryWarning, match=r"test: column 0 has \d of \d+ cells with categories .* 'x'"):
            matrix(columns, values)
    names = fitted([f"n{i}" for i in range(20)])  # in training all were unknown, too
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix(columns, ["x"] * 8 + ["a", "b"])
        matrix(columns, ["x", None])  # a single cell says nothing about the column
        matrix(names, ["x", "y"])


def test_numbers_of_any_size_are_clipped_to_the_end() -> None:
    for values in ([1.0, 2.0, 3.0], [-1.7e308, 0.0, 1.7e308], [5.0, 5.0, 5.0]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            columns = fitted(values)
            found = np.array(matrix(columns, [1e30, 1e155, 1.7e308, -1.7e308]))[:, 0]
        assert np.isfinite(found).all() and (found[:3] >= 0).all() and found[3] <= 0
        if values[0] == 1.0:
            assert found.tolist() == [3, 3, 3, -3]


CONTAINERS = ["lists", "array", "pandas", "pandas text", "polars", "Arrow", "CSV", "Parquet"]


def contained(container: str, columns: dict[str, list[Any]], path: Any) -> Table:
    """Return a table of these columns from a container."""
    pa = pytest.importorskip("pyarrow")
    frame: Any = pa.table(columns)
    if container == "lists":
        return Table([list(row) for row in zip(*columns.values(), strict=True)], "test")
    if container == "array":
        return Table(np.array(list(zip(*columns.values(), strict=True)), object), "test")
    if container.startswith("pandas"):
        frame = pytest.importorskip("pandas").DataFrame(columns)
        frame = frame.astype(str).where(frame.notna(), None) if container == "pandas text" else frame
    elif container == "polars":
        frame = pytest.importorskip("polars").DataFrame(columns)
    elif container == "CSV":
        from pyarrow import csv

        csv.write_csv(frame, path / "x.csv")
        kinds = {"number": "number", "truth": "category", "code": "category", "day": "date"}
        frame = read_frame(path / "x.csv", kinds=kinds)
    elif container == "Parquet":
        from pyarrow import parquet

        parquet.write_table(frame, path / "x.parquet")
        frame = read_frame(path / "x.parquet")
    return Table(frame, "test")


@pytest.mark.parametrize("fitted_to", ["array", "pandas", "CSV", "Parquet"])
def test_one_table_is_the_same_from_every_container(fitted_to: str, tmp_path: Any) -> None:
    columns = {
        "number": [1.5, None, 3.0, 1e6], "truth": [True, None, False, True], "code": [7, None, 8, 501],
        "day": [datetime(2026, 11, 29, 6), None, datetime(2026, 11, 30), datetime(1999, 1, 1)],
    }  # fmt: skip
    fit = Columns.fit(contained(fitted_to, columns, tmp_path), np.arange(4), [2])
    own = fit.matrix(contained(fitted_to, columns, tmp_path), "test").tolist()
    for container in CONTAINERS:
        assert fit.matrix(contained(container, columns, tmp_path), "test").tolist() == own, container


def test_values_are_matched_with_classes_of_another_type() -> None:
    for values, classes, places in (
        (["true", "False", "1", "?"], [False, True], [1, 0, 1, -1]), ([True, False], ["FALSE", "TRUE"], [1, 0]),
        ([1.0, 2.0, np.nan], ["1", "02"], [0, 1, -1]), (["1.0", "2", "x"], [1, 2], [0, 1, -1]),
        ([0, 1], [False, True], [0, 1]),
    ):  # fmt: skip
        assert places_of(np.array(values), np.array(classes)).tolist() == places
