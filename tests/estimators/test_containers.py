"""Data frames, lists and targets at the entry points of the estimators: taken as the same array, or refused by name."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

from numlp.errors import ArgumentError, DTypeError, NumlpError, ShapeError
from numlp.estimators import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = 40
RNG = np.random.default_rng(0)
X = np.empty((N, 3), object)
X[:, 0], X[:, 1], X[:, 2] = RNG.normal(size=N), RNG.choice(["red", "green", "blue"], N), RNG.integers(0, 9, N)
NUMBERS = RNG.normal(size=(N, 3))
Y = np.where(NUMBERS[:, 0] > 0, "high", "low")
WEIGHT = np.linspace(0.5, 1.5, N)
SMALL: dict[str, Any] = {"effort": "fast", "epochs": 1, "hidden_layer_sizes": 4, "random_state": 0}


def shuffled(x: Any) -> Any:
    """Return an array as a frame whose index is in no order."""
    frame = pd.DataFrame(x, columns=["size", "color", "count"], index=RNG.permutation(N))
    return frame.astype({"size": float, "count": int}) if x is X else frame


FRAMES: dict[str, Callable[[Any], Any]] = {
    "pandas": shuffled,
    "pandas by date": lambda x: shuffled(x).set_index(pd.date_range("2024-01-01", periods=N)),
    "polars": lambda x: pl.from_pandas(shuffled(x)),
    "arrow": lambda x: pa.Table.from_pandas(shuffled(x)),
    "polars with an index": lambda x: pl.from_arrow(pa.Table.from_pandas(shuffled(x))),
    "arrow batch": lambda x: pa.RecordBatch.from_pandas(shuffled(x)),
    "pandas of polars": lambda x: pl.from_arrow(pa.Table.from_pandas(shuffled(x))).to_pandas(),
    "lists": lambda x: x.tolist(),
}
SERIES: dict[str, Callable[[Any], Any]] = {
    "pandas": lambda y: pd.Series(y, index=RNG.permutation(N)),
    "pandas by date": lambda y: pd.Series(y, index=pd.date_range("2024-01-01", periods=N)),
    "polars": pl.Series,
    "arrow": lambda y: pa.chunked_array([y[:3], y[3:]]),
    "lists": lambda y: y.tolist(),
}


@pytest.mark.parametrize("name", FRAMES)
def test_table_model_of_any_container_is_that_of_the_array(name: str) -> None:
    series = SERIES.get(name, list)
    x, y, weight = FRAMES[name](X), series(Y), series(WEIGHT)
    expected = TabularClassifier(**SMALL).fit(X, Y, WEIGHT)
    model = TabularClassifier(**SMALL).fit(x, y, weight)
    assert model.columns_.parts == expected.columns_.parts and model.n_features_in_ == 3
    assert model.predict_proba(x).tobytes() == expected.predict_proba(X).tobytes()
    assert model.score(x, y) == expected.score(X, Y)
    drops = model.permutation_importance(x, y, n_repeats=1, random_state=0, sample_weight=weight)
    assert (drops == expected.permutation_importance(X, Y, n_repeats=1, random_state=0, sample_weight=WEIGHT)).all()
    if name.startswith("pandas"):
        assert model.feature_names_in_.tolist() == ["size", "color", "count"]
        for part in (x[x["size"] > 0], x.reset_index(drop=True), x[["count", "size", "color"]]):
            assert set(model.predict(part)) <= {"high", "low"}


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("name", FRAMES)
def test_perceptron_of_any_container_is_that_of_the_array(kind: Any, name: str) -> None:
    target = Y if kind is MLPClassifier else NUMBERS[:, 0]
    series = SERIES.get(name, list)
    x, y, weight = FRAMES[name](NUMBERS), series(target), series(WEIGHT)
    settings: dict[str, Any] = {"max_iter": 2, "random_state": 0, "width": 4, "early_stopping": True}
    expected = kind(**settings).fit(NUMBERS, target, WEIGHT, eval_set=(NUMBERS, target, WEIGHT))
    model = kind(**settings).fit(x, y, weight, eval_set=(x, y, weight))
    assert (model.predict(x) == expected.predict(NUMBERS)).all() and model.n_features_in_ == 3
    assert model.validation_loss_curve_ == expected.validation_loss_curve_


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [TabularClassifier, MLPClassifier])
def test_tools_of_sklearn_give_on_frames_what_they_give_on_arrays(kind: Any) -> None:
    model = kind(**SMALL) if kind is TabularClassifier else MLPClassifier(max_iter=2, random_state=0, width=4)
    frame, y = shuffled(NUMBERS), pd.Series(Y, index=RNG.permutation(N))
    for tool in (cross_val_score, cross_val_predict):
        assert (tool(model, frame, y, cv=2) == tool(model, NUMBERS, Y, cv=2)).all()
    grid = {"random_state": [0, 1]}
    scores = [
        GridSearchCV(model, grid, cv=2).fit(*data).cv_results_["mean_test_score"] for data in ((frame, y), (NUMBERS, Y))
    ]
    assert scores[0].tolist() == scores[1].tolist()
    one, two = (CalibratedClassifierCV(model, cv=2).fit(*data) for data in ((frame, y), (NUMBERS, Y)))
    assert one.predict_proba(frame).tolist() == two.predict_proba(NUMBERS).tolist()
    one, two = (kind(**model.get_params()).fit(*data) for data in ((frame, y), (NUMBERS, Y)))
    drops = [permutation_importance(m, x, Y, n_repeats=2, random_state=0) for m, x in ((one, frame), (two, NUMBERS))]
    assert drops[0].importances.tolist() == drops[1].importances.tolist()


def replaced(y: Any, value: Any) -> Any:
    """Return targets as objects, with another value at row 3."""
    found = np.array(y, object)
    found[3] = value
    return found


GAPS: dict[str, Any] = {
    "None": replaced(Y, None), "NaN": replaced(Y, np.nan), "NA": replaced(Y, pd.NA), "NaT": replaced(Y, pd.NaT),
    "list": replaced(Y, None).tolist(), "list with NaN": replaced(Y, np.nan).tolist(), "text": pd.Series(replaced(Y, None)),
    "categories": pd.Series(replaced(Y, None), dtype="category"),
    "truth": pd.Series(replaced(Y == "low", None), dtype="boolean"),
    "integers": pd.Series(replaced(np.arange(N) % 2, None), dtype="Int64"),
    "numbers": replaced(np.arange(N) % 2, None).astype(float),
    "polars": pl.Series(replaced(Y, None).tolist()), "arrow": pa.array(replaced(Y, None).tolist()),
    "frame": pd.DataFrame({"y": replaced(Y, None)}),
}  # fmt: skip


@pytest.mark.parametrize("kind", [TabularClassifier, MLPClassifier])
@pytest.mark.parametrize("name", GAPS)
def test_row_without_a_class_is_named(kind: Any, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"y must have a class in each row, got a gap at row 3, 1 in all; drop"):
        kind().fit(NUMBERS, GAPS[name])


DAY = dt.datetime(2024, 1, 1)
NO_CLASSES: dict[str, tuple[Any, str]] = {
    "dates": (pd.date_range("2024-01-01", periods=N), "got datetime64"),
    "date objects": (replaced([DAY] * N, dt.datetime(2025, 1, 1)), "got datetime at row 0"),
    "spans": (pd.timedelta_range("1h", periods=N), "got timedelta64"),
    "several kinds": (replaced(Y, 1), "got str at row 0 and int at row 3"),
    "several kinds in a list": (replaced(Y, 1).tolist(), "got str at row 0 and int at row 3"),
    "beyond 64 bits": ([2**70, 1] * (N // 2), "got int at row 0"),
    "bytes": (Y.astype("S"), "got |S4"),
    "trailing NUL": (replaced(Y, "a\0"), "a file can keep"),
    "half a character": (np.where(Y == "low", "\ud800", "x"), "a file can keep"),
    "dict": ({"a": 1}, "got a dict; use a list"),
    "ragged": ([[1], [1, 2]] * (N // 2), "rows of different length"),
    "long double": ((np.arange(N) % 2).astype(np.longdouble), "a file can keep"),
    "several columns": (NUMBERS, "must have shape (n,), got (40, 3)"),
}


@pytest.mark.parametrize("name", NO_CLASSES)
def test_classes_that_no_file_can_keep_are_refused_before_training(name: str) -> None:
    y, message = NO_CLASSES[name]
    with pytest.raises(NumlpError) as caught:
        TabularClassifier().fit(NUMBERS, y)
    assert str(caught.value).startswith("TabularClassifier.fit: y must ") and message in str(caught.value)


def test_columns_that_no_file_can_keep_are_refused_before_training() -> None:
    for x, name in (
        (pd.DataFrame(NUMBERS[:, :1], columns=pd.Index(["a\ud800"], dtype=object)), "'a\\ud800'"),
        (np.array([[1.0, "a\ud800"], [2.0, "b"]] * (N // 2), object), "1"),
    ):
        with pytest.raises(ArgumentError) as caught:
            TabularRegressor(**SMALL).fit(x, NUMBERS[:, 0])
        assert str(caught.value).startswith(f"TabularRegressor.fit: column {name} must be one that a file can keep; ")


CLASSES: dict[str, Any] = {
    "text": Y, "objects": Y.astype(object), "truth": Y == "low", "integers": np.arange(N) % 3,
    "negative": -(np.arange(N) % 2),
    "small": (np.arange(N) % 2).astype(np.uint8), "whole floats": (np.arange(N) % 2).astype(np.float32),
    "large": (np.arange(N) % 2).astype(np.uint64) + np.uint64(2**63), "integer objects": replaced(np.arange(N) % 2, 7),
    "truth objects": (Y == "low").astype(object), "digits": (np.arange(N) % 2).astype(str), "categories": pd.Categorical(Y),
    "far apart": (np.arange(N) % 2).astype(np.uint64) * np.uint64(2**63 + 1),
    "NumPy's StringDType": Y.astype(np.dtypes.StringDType()),
    "nullable": pd.Series(np.arange(N) % 2, dtype="Int64"), "odd text": np.where(Y == "low", "\t", "é\n\0x"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_classes_that_are_taken_come_back_from_the_file(name: str, tmp_path: Any) -> None:
    y = CLASSES[name]
    model = TabularClassifier(**SMALL).fit(NUMBERS, y)
    assert 0 <= model.score(NUMBERS, y) <= 1
    model.save(tmp_path / "m.safetensors")
    again = TabularClassifier.load(tmp_path / "m.safetensors")
    assert again.classes_.tolist() == model.classes_.tolist() == np.unique(np.asarray(y)).tolist()
    assert again.predict(NUMBERS).tolist() == model.predict(NUMBERS).tolist()
    assert again.score(NUMBERS, y) == model.score(NUMBERS, y)


@pytest.mark.parametrize("name", CLASSES)
def test_perceptron_scores_the_classes_that_it_is_fitted_to(name: str) -> None:
    model = MLPClassifier((4,), max_iter=1, random_state=0).fit(NUMBERS, CLASSES[name])
    assert model.score(NUMBERS, CLASSES[name]) == np.mean(model.predict(NUMBERS) == np.asarray(CLASSES[name]))


@pytest.mark.parametrize("kind", [TabularRegressor, MLPRegressor])
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (pd.date_range("2024-01-01", periods=N), "must hold real numbers, got dtype datetime64"),
        (pd.timedelta_range("1h", periods=N), "must hold real numbers, got dtype timedelta64"),
        (replaced(NUMBERS[:, 0], None), "must hold finite numbers, got 1 NaN or infinite, the first nan at y[3]"),
        (replaced(NUMBERS[:, 0], pd.NA), "must hold finite numbers, got 1 NaN or infinite, the first nan at y[3]"),
        (replaced(NUMBERS[:, 0], "N/A"), "must hold numbers, got 'N/A' at y[3]"),
        (replaced(NUMBERS[:, 0], DAY), "must hold numbers, got datetime.datetime(2024, 1, 1, 0, 0) at y[3]"),
        (replaced(NUMBERS[:, 0], 10**400), "must hold numbers, got 1000"),
        ({"a": 1}, "got a dict; use a list of one value for each row"),
    ],
)
def test_targets_that_are_no_numbers_are_named(kind: Any, y: Any, message: str) -> None:
    with pytest.raises(NumlpError) as caught:
        kind().fit(NUMBERS, y)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor, MLPClassifier, MLPRegressor])
def test_masked_numbers_are_refused_at_every_entry_point(kind: Any) -> None:
    masked, y = np.ma.masked_greater(NUMBERS, 2), (NUMBERS[:, 0] > 0).astype(int)
    small = SMALL if kind in (TabularClassifier, TabularRegressor) else {"max_iter": 2, "width": 4}
    model = kind(**small).fit(np.ma.masked_array(NUMBERS), y)  # nothing is masked
    target, weight = np.ma.masked_equal(y, 1), np.ma.masked_less(WEIGHT, 0.6)
    calls: list[Callable[[], Any]] = [
        lambda: model.fit(masked, y), lambda: model.fit(NUMBERS, target), lambda: model.fit(NUMBERS, y, weight),
        lambda: model.predict(masked), lambda: model.score(masked, y),
    ]  # fmt: skip
    if hasattr(model, "partial_fit"):
        calls += [
            lambda: model.partial_fit(masked, y),
            lambda: model.fit(NUMBERS, y, eval_set=(masked, y)),
            lambda: model.fit(NUMBERS, y, eval_set=(NUMBERS, target)),
        ]
    for call in calls:
        with pytest.raises(ArgumentError, match=r"must have no masked numbers, got \d+; fill or drop the masked numbers$"):
            call()


NO_NUMBERS: dict[str, tuple[Callable[[], Any], str]] = {
    "text": (lambda: shuffled(NUMBERS).assign(color="red"), "X must hold numbers, got text in column 'color'; TabularC"),
    "dates": (lambda: shuffled(NUMBERS).assign(count=DAY), "X must hold numbers, got dates in column 'count'; TabularC"),
    "only dates": (lambda: pd.DataFrame({"day": [DAY] * N}), "X must hold numbers, got dates in column 'day'; TabularC"),
    "only dates of polars": (
        lambda: pl.DataFrame({"day": [DAY] * N}),
        "X must hold numbers, got dates in column 'day'; Tab",
    ),
    "only dates of arrow": (lambda: pa.table({"day": [DAY] * N}), "X must hold numbers, got dates in column 'day'; Tab"),
    "array of dates": (lambda: np.full((N, 1), DAY, "M8[s]"), "X must hold numbers, got dates in column 0; TabularC"),
    "nested": (
        lambda: shuffled(NUMBERS).assign(count=[[1]] * N),
        "got neither numbers nor text in column 'count'; TabularC",
    ),
    "array": (lambda: X, "X must hold numbers, got text in column 1; TabularClassifier and TabularRegressor take text"),
    "arrow": (lambda: pa.Table.from_pandas(shuffled(X)), "X must hold numbers, got text in column 'color'; TabularC"),
    "twice": (lambda: pd.DataFrame(NUMBERS, columns=list("aab")), "x must have each column once, got 'a' twice"),
    "no columns": (lambda: pd.DataFrame(index=range(N)), "x must have at least 1 row and 1 column, got (40, 0)"),
    "lazy": (lambda: pl.DataFrame(NUMBERS).lazy(), "got LazyFrame; use x.collect()"),
    "generator": (lambda: iter(NUMBERS), "use list(x)"),
    "dict": (lambda: {"a": NUMBERS[:, 0]}, "got dict; use pandas.DataFrame(x)"),
    "ragged": (lambda: [[1, 2], [3]] * (N // 2), "rows of one length, got 2 cells, and 1 in row 1"),
}


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("name", NO_NUMBERS)
def test_perceptrons_name_the_column_that_is_not_of_numbers(kind: Any, name: str) -> None:
    make, message = NO_NUMBERS[name]
    with pytest.raises((ArgumentError, DTypeError, ShapeError)) as caught:
        kind().fit(make(), np.arange(N) % 2)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs must be a whole number of at least 1, got 0"),
        ("epochs", 2.5, "epochs must be a whole number of at least 1, got 2.5"),
        ("learning_rate", 0, "learning_rate must be a number above 0, got 0"),
        ("learning_rate", float("nan"), "learning_rate must be a number above 0, got nan"),
        ("hidden_layer_sizes", 0, "hidden_layer_sizes must be a whole number of at least 1, got 0"),
        ("hidden_layer_sizes", [5, 0], "hidden_layer_sizes must be a whole number of at least 1, got 0"),
        ("hidden_layer_sizes", (), "hidden_layer_sizes must have at least 1 width, got none"),
        ("hidden_layer_sizes", "64", "hidden_layer_sizes must be a whole number of at least 1, got '64'"),
        ("batch_size", 0, "batch_size must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_of_zero_are_no_defaults(name: str, value: Any, message: str) -> None:
    with pytest.raises((ArgumentError, DTypeError)) as caught:
        TabularRegressor(**SMALL | {name: value}).fit(NUMBERS, NUMBERS[:, 0])
    assert message in str(caught.value)


def test_hidden_layer_sizes_may_be_a_number_or_any_sequence() -> None:
    found = [
        TabularRegressor(**SMALL | {"hidden_layer_sizes": sizes}).fit(NUMBERS, NUMBERS[:, 0]).predict(NUMBERS).tobytes()
        for sizes in (5, [5], (5,), np.array([5]), np.int64(5))
    ]
    assert len(set(found)) == 1
