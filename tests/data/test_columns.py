import json
from types import SimpleNamespace

import numpy as np
import pytest

from numlp.data.cells import Labels, Table
from numlp.data.columns import MOST_LEVELS, ONE_HOT, Columns, clip
from numlp.errors import ArgumentError, CheckpointError, DTypeError, MissingExtraError, ShapeError

ALL = slice(None)


def objects(*columns):
    out = np.empty((len(columns[0]), len(columns)), object)
    for i, column in enumerate(columns):
        out[:, i] = column
    return out


def fitted(x, rows=None, categorical=None):
    table = Table(x, "test")
    return Columns.fit(table, np.arange(len(x)) if rows is None else np.asarray(rows), categorical)


def matrix(columns, x, rows=None):
    return columns.matrix(Table(x, "test"), "test", rows)


def test_numbers_are_scaled_by_the_middle_half_and_clipped():
    x = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])
    z = (x - 2) / 2  # the median, and the distance of the quartiles
    np.testing.assert_allclose(matrix(fitted(x), x), z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)
    assert np.abs(matrix(fitted(x), 1e30 * np.ones((1, 1)))).max() <= 3


def test_column_whose_middle_half_is_constant_is_scaled_by_its_range_and_a_constant_one_is_zero():
    x = np.array([[0.0, 7.0]] * 9 + [[4.0, 7.0]])
    np.testing.assert_allclose(matrix(fitted(x), x)[[0, -1]], [[0, 0], [clip(np.array(2.0)), 0]], rtol=1e-6)


def test_column_of_the_smallest_numbers_is_constant_without_a_warning_of_numpy():
    x = np.array([[1e-310], [2e-310], [3e-310]])
    assert matrix(fitted(x), x).tolist() == [[0.0]] * 3


def test_only_the_given_rows_are_fitted_to():
    x = np.arange(10.0)[:, None]
    assert fitted(x, rows=range(5)).parts == fitted(x[:5]).parts != fitted(x).parts
    text = objects(list("aabbz"))
    assert fitted(text, rows=range(4)).parts[0]["levels"] == ["a", "b"]


def test_gap_in_a_number_is_the_median_and_has_a_column_that_says_so():
    x = np.array([[1.0], [2.0], [3.0], [np.nan]])
    columns = fitted(x)
    assert columns.width == 2 and columns.n_numbers == 1
    found = matrix(columns, x)
    assert found[1, 0] == found[3, 0] == 0
    assert found[3, 1] > found[0, 1] == found[1, 1] == found[2, 1]
    assert fitted(x[:3]).width == 1
    assert matrix(fitted(x[:3]), x)[3, 0] == 0  # a gap that comes later


def test_category_of_two_is_one_column_and_of_three_is_three():
    x = objects(["no", "yes", "yes", "no"], ["a", "b", "c", "a"])
    columns = fitted(x)
    assert columns.width == 4 and columns.n_numbers == 0 and columns.coded == {}
    two, three = np.split(matrix(columns, x), [1], axis=1)
    assert np.ptp(two) > 0 and two[0] == two[3] != two[1] == two[2]
    # median 0 or 1/2, no half above the other: the scale is 2 / (1 - 0), or 1 / the distance of the quartiles
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    raw = np.array(expected, float)
    medians, quartiles = np.median(raw, axis=0), np.subtract(*np.quantile(raw, [0.75, 0.25], axis=0))
    np.testing.assert_allclose(three, clip((raw - medians) / quartiles), rtol=1e-6)


def test_truth_values_are_the_same_from_frames_and_from_text():
    truths = objects([True, False, None, True])
    for x in (truths, objects(["True", "False", None, "True"]), objects(["TRUE", "FALSE", None, "TRUE"])):
        for other in (truths, x):
            assert matrix(fitted(x), other).tolist() == matrix(fitted(truths), truths).tolist()
    assert fitted(objects(["True", "no"])).unknown(Table(objects(["true", "No"]), "test"), "test") == {0: (1, "No")}


def test_gap_and_unknown_category_are_the_same_and_no_known_one():
    x = objects(["a", "b", "c"] * 4)
    found = matrix(fitted(x), objects(["a", "new", None, np.nan]))
    assert (found[1] == found[2]).all() and (found[1] == found[3]).all() and (found[0] != found[1]).any()


def test_category_of_many_levels_is_coded_behind_everything_else():
    many = [f"v{i}" for i in range(ONE_HOT + 1)]
    x = objects(many * 2, [float(i) for i in range(2 * ONE_HOT + 2)], list("ab" * (ONE_HOT + 1)))
    columns = fitted(x)
    assert columns.coded == {2: ONE_HOT + 2} and columns.width == 3
    assert sorted(matrix(columns, x)[: ONE_HOT + 1, 2]) == list(range(1, ONE_HOT + 2))
    assert matrix(columns, objects(["?", None], [0.0, 0.0], ["a", "a"]))[:, 2].tolist() == [0, 0]
    assert [columns.places(i) for i in range(3)] == [[2], [0], [1]]


def test_rare_levels_beyond_a_thousand_count_as_unknown():
    levels = [f"v{i:04}" for i in range(MOST_LEVELS + 5)]
    x = objects(["z", *levels, *levels, "z", "z", "v1004"])
    columns = fitted(x)
    assert len(columns.parts[0]["levels"]) == MOST_LEVELS and {"z", "v1004"} <= set(columns.parts[0]["levels"])


def test_level_of_a_single_cell_counts_as_unknown_where_levels_are_coded():
    many = [f"v{i}" for i in range(ONE_HOT + 1)]
    x = objects([*many, *many, "once"])
    columns = fitted(x)
    assert columns.parts[0]["levels"] == many and columns.coded == {0: ONE_HOT + 2}
    assert matrix(columns, x)[-1].tolist() == [0] and columns.unknown(Table(x, "t"), "t") == {0: (1, "once")}
    few = fitted(objects(["a", "a", "once"]))
    assert few.parts[0]["levels"] == ["a", "once"]  # a column of its own is left at 0, where it says nothing


def test_names_that_all_differ_say_nothing():
    x = objects([f"v{i}" for i in range(20)], [float(i) for i in range(20)])
    columns = fitted(x)
    assert columns.coded == {} and matrix(columns, x)[:, 1].tolist() == [0] * 20
    often = objects([*"aaabbb", *(f"v{i}" for i in range(20))])
    assert fitted(often).parts[0]["levels"] == ["a", "b"] and fitted(often).width == 1


def test_rows_come_in_the_order_asked_for_as_float32():
    x = objects([1.0, 2.0, None, 4.0], list("aabc"))
    columns = fitted(x)
    order = np.array([3, 1, 2])
    found = matrix(columns, x, order)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    assert found.tolist() == matrix(columns, x)[order].tolist()


def test_numbers_named_categorical_are_categories():
    x = np.array([[1, 10], [2, 20], [3, 30]])
    columns = fitted(x, categorical=[0])
    assert columns.parts[0]["levels"] == ["1", "2", "3"] and columns.parts[1]["kind"] == "number"
    assert matrix(columns, x.astype(float)).tolist() == matrix(columns, x).tolist()
    for wrong in (2, "a", -1):
        with pytest.raises(ArgumentError, match=f"^fit: categorical must name columns of x, got {wrong!r}"):
            fitted(x, categorical=[wrong])


def test_mask_of_categories_may_be_in_another_order_than_the_columns(pa):
    table = pa.table({name: [1, 2, 3] for name in "abc"})
    for mask in ({"c": True, "a": False, "b": False}, {"c": True}):
        assert [part["kind"] for part in fitted(table, categorical=mask).parts] == ["number", "number", "levels"]


def test_mask_of_zeros_and_ones_is_refused():
    with pytest.raises(ArgumentError, match=r"categorical must name each column once, got .0, 0, 1.; a mask must hold"):
        fitted(np.ones((2, 3)), categorical=[0, 0, 1])


def test_columns_pickled_by_an_older_version_can_be_read():
    x = objects([0.5, None, 1.5, 2.5], ["a", "b", "a", None])
    columns, older = fitted(x), Columns.__new__(Columns)
    older.__setstate__({name: value for name, value in vars(columns).items() if name != "_levels"})
    np.testing.assert_array_equal(matrix(older, x), matrix(columns, x))


def test_model_that_learnt_from_an_index_says_what_to_do(pa):
    older = Columns(2 * [{"kind": "number", "median": 0.0, "scale": 1.0, "gap": None}], ["a", "__index_level_0__"])
    with pytest.raises(ArgumentError, match="got no '__index_level_0__'; fit it again: an index, which it learnt from, is"):
        matrix(older, pa.table({"a": [1.0]}))


def test_columns_survive_json():
    x = objects([1.0, 2.0, None, 4.0] * 3, list("aabc" * 3), [f"v{i}" for i in range(12)], list("xy" * 6))
    columns = fitted(x)
    again = Columns.from_config(json.loads(json.dumps(columns.to_config())), "test")
    assert matrix(again, x).tobytes() == matrix(columns, x).tobytes()


GOOD = {"kind": "levels", "levels": ["a"], "values": [[0.0], [1.0]]}


@pytest.mark.parametrize(
    "config",
    [
        None, [], {}, {"names": None}, {"names": None, "parts": []}, {"names": ["a", "b"], "parts": [GOOD]},
        {"names": [1], "parts": [GOOD]}, {"names": None, "parts": [3]}, {"names": None, "parts": [{"kind": "other"}]},
        {"names": None, "parts": [GOOD | {"values": [[0.0]]}]},
        {"names": None, "parts": [GOOD | {"values": [[0.0], ["x"]]}]},
        {"names": None, "parts": [GOOD | {"levels": [None]}]}, {"names": None, "parts": [GOOD | {"values": [[], []]}]},
        {"names": None, "parts": [{"kind": "number", "median": float("nan"), "scale": 1, "gap": None}]},
        {"names": None, "parts": [{"kind": "number", "median": 0, "scale": 1, "gap": [1]}]},
    ],
)  # fmt: skip
def test_config_that_no_fit_gives_is_refused(config):
    with pytest.raises(CheckpointError, match=r"^test: columns must be those of a fitted table, got "):
        Columns.from_config(config, "test")
    Columns.from_config({"names": ["a"], "parts": [GOOD]}, "test")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones(3), ShapeError, "test: x must have shape (n, columns), got (3,)"),
        (np.ones((0, 2)), ShapeError, "test: x must have at least 1 row and 1 column, got (0, 2)"),
        (
            np.ones((2, 1), complex),
            DTypeError,
            "test: column 0 must hold numbers, text or dates, got complex128; drop or convert it",
        ),
        (np.array([[1.0], [np.inf]]), ArgumentError, "test: column 0 must hold finite numbers or gaps, got inf at row 1"),
        (
            SimpleNamespace(tocsr=1),
            DTypeError,
            "test: x must be a table or a dense matrix, got a sparse one; use x.toarray()",
        ),
    ],
)
def test_table_that_cannot_be_taken_says_why(x, error, message):
    with pytest.raises(error) as caught:
        fitted(x) if isinstance(x, np.ndarray) and x.size else Table(x, "test")
    assert str(caught.value) == message


def test_keys_are_the_same_for_equal_rows_only():
    keys = Table(objects([0, 0.0, 1, None, np.nan, 0], ["a", "a", "a", "b", "b", None]), "test").keys()
    assert keys.dtype == np.uint64 and [int(np.flatnonzero(keys == key)[0]) for key in keys] == [0, 0, 2, 3, 3, 5]
    assert (Table(objects([1, -0.0], ["a", "a"]), "test").keys() == keys[[2, 0]]).all()
    grid = np.stack(np.meshgrid(np.arange(200), np.arange(200)), axis=-1).reshape(-1, 2)
    assert len(set(Table(grid, "test").keys().tolist())) == 40_000


def test_table_of_another_width_or_kind_says_what_is_wrong():
    columns = fitted(np.ones((3, 2)))
    with pytest.raises(ShapeError, match=r"^test: x must have 2 columns, got 3$"):
        matrix(columns, np.ones((3, 3)))
    with pytest.raises(DTypeError, match=r"^test: column 1 must hold numbers, as when it was fitted, got 'blue'$"):
        matrix(columns, objects([1.0], ["blue"]))
    assert matrix(columns, objects(["1"], ["1"])).tolist() == [[0, 0]]


# Data frames.


def test_frame_without_pyarrow_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'numlp\[table\]'"):
        Table(SimpleNamespace(__arrow_c_stream__=None), "test")


@pytest.fixture
def pa():
    return pytest.importorskip("pyarrow")


def test_frame_and_array_give_the_same_matrix(pa):
    numbers, text, truth = [1.5, None, 3.0, 4.0], ["x", None, "y", "z"], [True, False, None, True]
    frame = pa.table({"n": numbers, "t": text, "b": truth, "i": pa.array([3, 4, 5, 6], pa.int8())})
    x = objects(numbers, text, truth, [3, 4, 5, 6])
    columns = fitted(x)
    assert columns.matrix(Table(frame, "test"), "test").tolist() == matrix(columns, x).tolist()
    other = Columns.fit(Table(frame, "test"), np.arange(4), ["i"])
    assert other.names == ["n", "t", "b", "i"] and other.parts[3]["levels"] == ["3", "4", "5", "6"]


def test_chunks_may_have_levels_of_their_own(pa):
    chunks = [pa.array(part).dictionary_encode() for part in (["a", "b"], ["b", None, "c"])]
    table = Table(pa.table({"c": pa.chunked_array(chunks)}), "test")
    found = table.column(0)
    assert isinstance(found, Labels)
    assert [None if code < 0 else found.levels[code] for code in found.codes] == ["a", "b", "b", None, "c"]


def test_columns_of_a_frame_are_found_by_name_and_a_wrong_one_is_named(pa):
    frame = pa.table({"a": [1.0, 2.0, 4.0], "b": ["x", "y", "z"]})
    columns = Columns.fit(Table(frame, "test"), np.arange(3), None)
    expected = columns.matrix(Table(frame, "test"), "test").tolist()
    assert columns.matrix(Table(frame.select(["b", "a"]), "test"), "test").tolist() == expected
    for names, got in [(["a", "c"], "no 'b' and 'c' besides"), (["a"], "no 'b'")]:
        wrong = Table(frame.select([0, 1][: len(names)]).rename_columns(names), "test")
        with pytest.raises(ArgumentError, match=f"^test: x must have the columns the model was fitted to, got {got}$"):
            columns.matrix(wrong, "test")
    with pytest.raises(ArgumentError, match=r"got 'c' besides$"):
        columns.matrix(Table(frame.append_column("c", [[1, 2, 3]]), "test"), "test")


def test_frame_of_what_is_no_number_text_or_date_or_has_a_name_twice_is_refused(pa):
    spans = pa.table({"d": pa.array([1, 2], pa.duration("s"))})
    wanted = r"^test: column 'd' must hold numbers, text or dates, got duration\[s\]; drop or convert it$"
    with pytest.raises(DTypeError, match=wanted):
        Columns.fit(Table(spans, "test"), np.arange(2), None)
    with pytest.raises(ArgumentError, match=r"^test: x must have each column once, got 'a' twice$"):
        Table(pa.table([[1], [2]], names=["a", "a"]), "test")


def test_categories_that_are_new_are_counted():
    columns = fitted(objects([1, 2, 3, 4], ["a", "b", "a", None]))
    assert columns.unknown(Table(objects([9, 8, 7], ["c", "d", None]), "test"), "test") == {1: (2, "c")}
    assert columns.unknown(Table(objects([9, 8], ["a", None]), "test"), "test") == {}
