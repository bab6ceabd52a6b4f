import pickle
import signal
import tracemalloc
from itertools import chain

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import numlp as nl
from numlp.data.cells import Table
from numlp.data.knots import quantiles
from numlp.errors import ArgumentError, CheckpointError, DTypeError, ShapeError
from numlp.estimators import TabularClassifier, TabularRegressor, table_model, tabular
from numlp.estimators.members import Members
from numlp.estimators.table_model import first_or_better, halves
from numlp.layers import Dense

SMALL = {"hidden_layer_sizes": (32, 32), "epochs": 12, "random_state": 0}


def mixed(n=400, seed=0):
    """Return a table of two numbers and two categories, all with gaps, a number and a class that depend on them."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), 100 + 30 * rng.normal(size=n)
    color, city = rng.integers(3, size=n), rng.integers(12, size=n)
    y = np.sin(2 * a) + (color == 1) + (city - 5) / 6
    x = np.empty((n, 4), object)
    x[:, 0], x[:, 1] = a, b
    x[:, 2], x[:, 3] = np.array(["red", "green", "blue"])[color], [f"c{i}" for i in city]
    x[rng.random(n) < 0.05, 1] = None
    x[rng.random(n) < 0.05, 2] = None
    return x, 1000 * y + 5000, np.where(y > 0.3, "high", "low")


X, NUMBER, WORD = mixed()
NEW, NEW_NUMBER, NEW_WORD = mixed(200, seed=1)


@pytest.fixture(scope="module")
def classifier():
    return TabularClassifier(**SMALL | {"epochs": 150}).fit(X, WORD)


@pytest.fixture(scope="module")
def regressor():
    return TabularRegressor(**SMALL | {"epochs": 150}).fit(X, NUMBER)


@pytest.fixture(scope="module")
def bag():
    return TabularRegressor("best", **SMALL | {"epochs": 60}).fit(X, NUMBER)


@pytest.fixture(scope="module")
def class_bag():
    return TabularClassifier("best", **SMALL | {"epochs": 60}).fit(X, WORD)


def test_classifier_learns_a_mixed_table(classifier):
    assert classifier.score(NEW, NEW_WORD) > 0.85
    p = classifier.predict_proba(NEW)
    assert p.shape == (200, 2) and p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert (classifier.predict(NEW) == classifier.classes_[p.argmax(axis=1)]).all()
    assert classifier.classes_.tolist() == ["high", "low"] and classifier.n_features_in_ == 4


def test_regressor_learns_a_mixed_table(regressor):
    assert regressor.score(NEW, NEW_NUMBER) > 0.85
    y, std = regressor.predict(NEW, return_std=True)
    assert (y == regressor.predict(NEW)).all()
    off = np.sqrt(np.mean((y - NEW_NUMBER) ** 2))
    assert std.shape == y.shape and std[0] == pytest.approx(off, rel=0.4)


def test_predictions_stay_within_the_range_of_the_target(regressor):
    far = NEW.copy()
    far[:, 0] = 1e12
    y = regressor.predict(far)
    assert NUMBER.min() <= y.min() and y.max() <= NUMBER.max()


def test_prediction_is_the_mean_of_the_members(regressor, bag, class_bag):
    assert 1 <= len(regressor.members_) <= 4
    assert (len(bag.histories_), len(class_bag.histories_)) == (10, 10)
    assert 5 <= len(bag.members_) <= 40
    outputs = np.array(list(bag.members_.outputs(bag.columns_.matrix(Table(NEW, "test"), "test"))), np.float64)
    y, std = bag.predict(NEW, return_std=True)
    raw = outputs.mean(axis=0)[:, 0] * NUMBER.std() + NUMBER.mean()
    np.testing.assert_allclose(y, np.clip(raw, NUMBER.min(), NUMBER.max()), rtol=1e-9)
    spread = std**2 - (outputs.std(axis=0)[:, 0] * NUMBER.std()) ** 2
    np.testing.assert_allclose(spread, spread[0], rtol=1e-6)
    np.testing.assert_allclose(class_bag.predict_proba(NEW).sum(axis=1), 1, rtol=1e-12)
    assert class_bag.score(NEW, NEW_WORD) > 0.75


class Fixed(Members):
    """Members whose outputs are their parameters, and what was kept of them."""

    def __init__(self, params):
        super().__init__([None] * len(params), params)

    def outputs(self, x):
        return chain(*self.params)

    def keep(self, chosen):
        self.kept = chosen

    def scale_outputs(self, factor):
        pass


def test_members_before_the_best_together_are_left_out():
    model, y = TabularRegressor(), np.zeros((4, 1))
    members = Fixed([[y + 9, y + 1], [y + 7, y - 1.5]])
    model._calibrate(members, y, y, None)
    assert members.kept == [1, 3]
    model, labels = TabularClassifier(), np.array([0, 1, 1, 0])
    right = np.eye(2)[labels]
    members = Fixed([[-right, right], [-right]])
    model._calibrate(members, y, labels, None)
    assert members.kept == [1]


def test_members_hold_out_each_row_once_and_classes_evenly():
    model = TabularClassifier("best", random_state=0)
    labels = np.repeat([0, 1], [40, 10])
    held = model._held_out(50, 5, labels, np.random.default_rng(0), "test")
    assert sorted(np.concatenate(held)) == list(range(50))
    assert [np.bincount(labels[rows]).tolist() for rows in held] == [[8, 2]] * 5


def test_rows_that_judge_had_no_say_in_the_choice():
    assert halves(10, 30) == (slice(10, 30), slice(15, 30), slice(10, 15))
    assert halves(0, 7) == (slice(0, 7), slice(0, 7), slice(0, 7))


@pytest.mark.parametrize(("effort", "sizes"), [("default", (72, 14)), ("best", (72, 14))])
def test_rows_held_out_are_not_trained_on(effort, sizes, monkeypatch):
    x = np.random.default_rng(0).normal(size=(90, 1))
    calls = []
    fit = table_model.fit
    monkeypatch.setattr(table_model, "fit", lambda *given, **named: calls.append((given, named)) or fit(*given, **named))
    TabularRegressor(effort, **SMALL | {"epochs": 1}).fit(x, x[:, 0], sample_weight=np.full(90, 0.5))
    assert len(calls) == (10 if effort == "best" else 1)
    for (_, train), named in calls:
        inside, chosen = (set(part[1][:, 0]) for part in (train, named["validation"]))
        assert (len(inside), len(chosen), len(inside & chosen)) == (*sizes, 0)
        assert [len(part) for part in train] == [sizes[0]] * 3


@pytest.mark.parametrize(
    ("model", "effort", "trained", "kinds", "widths"),
    [
        (TabularClassifier, "default", 1, [nl.Periodic], [256] * 3),
        (TabularClassifier, "best", 10, [nl.Periodic], [512] * 3),
        (TabularRegressor, "best", 10, [nl.Periodic, nl.PiecewiseLinear], [256] * 3),
    ],
)
def test_effort_decides_how_many_networks_of_which_kinds_and_how_wide(model, effort, trained, kinds, widths):
    x = np.random.default_rng(0).normal(size=(40, 2))
    found = model(effort, epochs=1, random_state=0).fit(x, np.arange(40) % 2)
    assert len(found.histories_) == trained
    assert [type(network.layers[0]) for network in found.members_.networks] == kinds
    for network in found.members_.networks:
        assert [layer.n_out for layer in network.layers if isinstance(layer, Dense)][:-1] == widths


def test_knots_are_quantiles_of_the_columns_of_all_rows():
    x = np.random.default_rng(0).normal(size=(40, 2))
    found = TabularRegressor("best", **SMALL | {"epochs": 1}).fit(x, x[:, 0])
    matrix = found.columns_.matrix(Table(x, "test"), "test")
    assert found.members_.networks[1].layers[0].knots == tuple(tuple(quantiles(column)) for column in matrix.T)
    words = TabularRegressor("best", **SMALL | {"epochs": 1}).fit(x > 0, x[:, 0])  # no numbers, and no knots
    assert [type(network.layers[0]) for network in words.members_.networks] == [nl.Scale, nl.Scale]


@pytest.mark.parametrize(("losses", "kind"), [((1.0, 2.0), nl.Periodic), ((2.0, 1.0), nl.PiecewiseLinear)])
def test_first_part_held_out_chooses_how_classifiers_see_numbers(losses, kind, monkeypatch):
    said = iter([*losses, *[0.0] * 8])  # what comes later has no say
    calibrate = TabularClassifier._calibrate
    monkeypatch.setattr(TabularClassifier, "_calibrate", lambda *given: 0 * calibrate(*given) + next(said))
    model = TabularClassifier("best", **SMALL | {"epochs": 1}).fit(X, WORD)
    (network,) = model.members_.networks
    assert kind in [type(layer) for layer in network.layers] and len(model.histories_) == 10
    words = TabularClassifier("best", **SMALL | {"epochs": 1})  # without numbers there is nothing to choose
    monkeypatch.undo()
    assert len(words.fit(X[:, 2:3].astype(str), WORD).histories_) == 9


def test_a_choice_is_taken_only_if_it_is_clearly_better():
    first, noise = np.full(100, 0.5), np.tile([-1.0, 1.0], 50)
    assert first_or_better([first, first - 0.19 + noise]) == 0  # within two standard errors, which are 0.2
    assert first_or_better([first, first - 0.21 + noise]) == 1
    assert first_or_better([first, first + 0.21 + noise, first - 0.3 + noise, first - 0.3 + noise]) == 2
    assert first_or_better([first + noise, first + noise]) == 0  # row by row


def test_calibration_tells_the_loss_of_each_row(classifier, regressor):
    for model, y, own in (
        (classifier, np.searchsorted(classifier.classes_, NEW_WORD), lambda p, y: -np.log(p[np.arange(200), y])),
        (regressor, ((NEW_NUMBER - regressor._center) / regressor._unit)[:, None], lambda z, y: ((z - y) ** 2)[:, 0]),
    ):
        x, weight = model.columns_.matrix(Table(NEW, "test"), "test"), np.linspace(0, 2, 200)
        for w in (None, weight):
            members = Members(
                model.members_.networks, [[params.copy() for params in each] for each in model.members_.params]
            )
            found = model._calibrate(members, x, y, w)
            outputs = list(members.outputs(x))
            mean = np.mean(outputs if model is regressor else softmax(np.array(outputs, float), axis=2), axis=0)
            np.testing.assert_allclose(found, own(mean, y) * (1 if w is None else weight), rtol=1e-4, atol=1e-6)


def test_a_choice_that_is_not_taken_changes_nothing(monkeypatch):
    model = TabularClassifier("best", **SMALL)
    usual = model.fit(X, WORD)
    assert isinstance(usual.members_.networks[0].layers[1], nl.Periodic)
    only = model._plan._replace(best=model._plan.best._replace(choices=((0,),)))
    monkeypatch.setattr(TabularClassifier, "_plan", only)
    assert clone(model).fit(X, WORD).predict_proba(NEW).tobytes() == usual.predict_proba(NEW).tobytes()


def test_columns_are_fitted_to_the_rows_that_are_trained_on():
    x = np.random.default_rng(0).normal(size=(100, 1))
    model = TabularRegressor(**SMALL | {"epochs": 1}).fit(x, x[:, 0])
    rng = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    order = np.argsort(Table(x, "test").keys())
    inside = order[rng.permutation(100)[20:]]
    assert model.columns_.parts[0]["median"] == np.median(x[inside]) != np.median(x)
    bag = TabularRegressor("best", **SMALL | {"epochs": 1}).fit(x, x[:, 0])  # each row is one that most are trained on
    assert bag.columns_.parts[0]["median"] == np.median(x)


def test_sets_and_intervals_cover_as_often_as_stated(classifier, regressor, bag, class_bag):
    for model, least in ((classifier, 0.8), (class_bag, 0.8)):
        true = NEW_WORD[:, None] == model.classes_
        assert (model.predict_set(NEW, 0.9) & true).any(axis=1).mean() > least
        assert model.predict_set(NEW, 0.99).sum() >= model.predict_set(NEW, 0.5).sum()
    for model, least in ((regressor, 0.8), (bag, 0.85)):
        low, high = model.predict_interval(NEW, 0.9).T
        assert ((low <= NEW_NUMBER) & (NEW_NUMBER <= high)).mean() > least
        assert (np.diff(model.predict_interval(NEW, 0.5)) < np.diff(model.predict_interval(NEW, 0.9))).all()
    assert np.isinf(regressor.predict_interval(NEW[:1], 0.999)).all()


def test_probabilities_are_calibrated(classifier):
    true = NEW_WORD[:, None] == classifier.classes_
    logits = np.array(list(classifier.members_.outputs(classifier.columns_.matrix(Table(NEW, "t"), "t"))), np.float64)

    def loss(factor):
        return -np.log(softmax(factor * logits, axis=2).mean(axis=0)[true]).mean()

    assert loss(1.0) < min(loss(0.4), loss(2.5))
    assert -np.log(classifier.predict_proba(NEW)[true]).mean() == pytest.approx(loss(1.0), rel=1e-6)


def test_importance_is_largest_for_what_matters(classifier, regressor):
    for model, y in ((classifier, NEW_WORD), (regressor, NEW_NUMBER)):
        drops = model.permutation_importance(NEW, y, n_repeats=3, random_state=0)
        assert drops.shape == (4, 3)
        mean = drops.mean(axis=1)
        assert mean[0] > 0.05 and mean[3] > 0.05 and abs(mean[1]) < 0.05
        assert (drops == model.permutation_importance(NEW, y, n_repeats=3, random_state=0)).all()


@pytest.mark.parametrize("name", ["classifier", "regressor", "bag", "class_bag"])
def test_model_file_has_everything(name, request, tmp_path):
    model = request.getfixturevalue(name)
    model.save(tmp_path / "model.safetensors")
    again = type(model).load(tmp_path / "model.safetensors")
    assert again.predict(NEW).tobytes() == model.predict(NEW).tobytes()
    assert again.n_features_in_ == 4
    if isinstance(model, TabularClassifier):
        assert again.predict_proba(NEW).tobytes() == model.predict_proba(NEW).tobytes()
        assert (again.predict_set(NEW) == model.predict_set(NEW)).all()
    else:
        assert (again.predict_interval(NEW) == model.predict_interval(NEW)).all()
        assert (again.predict(NEW, return_std=True)[1] == model.predict(NEW, return_std=True)[1]).all()


def test_model_file_of_something_else_is_refused(classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    with pytest.raises(CheckpointError, match=r"model must be of a TabularRegressor, got 'TabularClassifier'$"):
        TabularRegressor.load(path)
    nl.save(nl.Network([nl.Dense(4, 2)], rng=0), path)
    with pytest.raises(CheckpointError, match=r"model must be of a TabularClassifier, got None$"):
        TabularClassifier.load(path)


def test_saved_network_predicts_by_itself(classifier, regressor, tmp_path):
    classifier.save(tmp_path / "c.safetensors")
    network, matrix = nl.load(tmp_path / "c.safetensors"), classifier.columns_.matrix(Table(NEW, "t"), "t")
    np.testing.assert_allclose(network.predict_proba(matrix), classifier.predict_proba(NEW), rtol=1e-4, atol=1e-6)
    regressor.save(tmp_path / "r.safetensors")
    y = nl.load(tmp_path / "r.safetensors").predict(matrix)[:, 0] * NUMBER.std() + NUMBER.mean()
    np.testing.assert_allclose(y.clip(NUMBER.min(), NUMBER.max()), regressor.predict(NEW), rtol=1e-4)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nl.Dense(4, 2)], "network must be an average of stacks without state, got"),
        ([nl.Average([[nl.BatchNorm(4)]])], "network must be an average of stacks without state, got"),
        ([nl.Average([[nl.Dense(4, 2)]])], "members must end as their task wants, got"),
        ([nl.Average([[nl.Dense(4, 2), nl.Softmax(2)], [nl.Dense(4, 2)]])], "members must end as their task wants, got"),
    ],
)
def test_model_file_of_other_networks_is_refused(layers, message, tmp_path):
    network = nl.Network(layers, rng=0)
    network.extra = {"table": {"estimator": "TabularClassifier"}}
    nl.save(network, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=message):
        TabularClassifier.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["a"]}, "target must fit the network"),
        ({"classes": [None, "a"]}, "target must fit the network"),
        ({"columns": {}}, "columns must be those of a fitted table"),
        ({"scores": {}}, "scores must be ranks and values in order"),
    ],
)
def test_model_file_that_was_changed_is_refused(change, message, classifier, tmp_path):
    classifier.save(tmp_path / "model.safetensors")
    network = nl.load(tmp_path / "model.safetensors")
    network.extra["table"] |= change
    nl.save(network, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        TabularClassifier.load(tmp_path / "model.safetensors")


def test_seed_decides_everything():
    one, two = (np.array(TabularClassifier(**SMALL).fit(X, WORD).members_.params) for _ in range(2))
    assert one.tobytes() == two.tobytes()
    other = np.array(TabularClassifier(**SMALL | {"random_state": 1}).fit(X, WORD).members_.params)
    assert one.tobytes() != other.tobytes()


def test_rows_without_weight_count_for_nothing():
    wrong = np.where(WORD == "high", "low", "high")
    x, y = np.concatenate([X, X]), np.concatenate([WORD, wrong])
    weight = np.repeat([1.0, 0.0], len(X))
    model = TabularClassifier(**SMALL | {"epochs": 60}).fit(x, y, sample_weight=weight)
    assert model.score(NEW, NEW_WORD) > 0.75
    flat = TabularRegressor(**SMALL | {"epochs": 60}).fit(x, np.concatenate([NUMBER, 9000 - NUMBER]), sample_weight=weight)
    assert flat.score(NEW, NEW_NUMBER) > 0.2


def test_balanced_classes_count_alike():
    rng = np.random.default_rng(0)
    rare = rng.random(600) < 0.08
    x = rng.normal(size=(600, 2)) + 1.2 * rare[:, None]
    plain, balanced = (TabularClassifier(**SMALL, class_weight=w).fit(x, rare).predict(x) for w in (None, "balanced"))
    assert balanced[rare].mean() > plain[rare].mean() + 0.2


def test_several_outputs_keep_their_units():
    y = np.stack([NUMBER, -NUMBER / 1e6], axis=1)
    model = TabularRegressor(**SMALL | {"epochs": 60}).fit(X, y)
    assert model.predict(NEW).shape == (200, 2)
    assert model.predict_interval(NEW).shape == (200, 2, 2)
    assert model.predict(NEW, return_std=True)[1].shape == (200, 2)
    assert model.score(NEW, np.stack([NEW_NUMBER, -NEW_NUMBER / 1e6], axis=1)) > 0.5


def test_constant_target_and_tiny_tables_work():
    assert TabularRegressor(**SMALL).fit([[1.0], [2.0], [3.0]], [4, 4, 4]).predict([[9.0]]).tolist() == [4.0]
    assert TabularClassifier(**SMALL).fit([[1.0], [2.0]], ["a", "b"]).predict([[9.0]])[0] in "ab"


def test_training_takes_less_than_three_times_the_matrix():
    x = np.random.default_rng(0).normal(size=(100_000, 50))
    model = TabularRegressor(epochs=1, random_state=0)
    TabularRegressor(epochs=1).fit(x[:9], x[:9, 0])  # what is compiled and imported is not counted
    tracemalloc.start()
    try:
        model.fit(x, x[:, 0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * x.size * 4


def test_clone_pipeline_and_grid_search_in_two_processes_work():
    model = TabularClassifier("fast", **SMALL)
    assert clone(model).get_params() == model.get_params()
    numbers = X[:, :1].astype(float)
    pipeline = make_pipeline(StandardScaler(), clone(model)).set_output(transform="default")
    assert pipeline.fit(numbers, WORD).score(numbers, WORD) > 0.5
    grid = {"tabularclassifier__learning_rate": [0.01, 0.04]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(numbers[:100], WORD[:100])
    assert set(search.best_params_) == set(grid) and np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(("kind", "y"), [(TabularClassifier, WORD), (TabularRegressor, NUMBER)])
def test_weights_are_routed(kind, y):
    seen = []

    class Spy(kind):
        def fit(self, X, y, sample_weight=None):
            seen.append(sample_weight)
            return super().fit(X, y, sample_weight)

    weight = np.linspace(0.5, 1.5, len(y))
    with config_context(enable_metadata_routing=True):
        model = Spy(**SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        result = cross_validate(model, X, y, params={"sample_weight": weight}, cv=2, error_score="raise")
    assert np.isfinite(result["test_score"]).all() and sorted(np.concatenate(seen)) == weight.tolist()


def test_weights_of_whole_numbers_are_counts():
    rng = np.random.default_rng(0)
    weight, order = rng.integers(4, size=len(X)), rng.permutation(len(X))
    for kind, y in ((TabularClassifier, WORD), (TabularRegressor, NUMBER)):
        one = kind(**SMALL).fit(X[order], y[order], sample_weight=weight[order])
        two = kind(**SMALL).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
        assert one.predict(NEW).tobytes() == two.predict(NEW).tobytes()


def test_weights_that_are_large_or_parts_are_no_counts():
    table, y = Table(X, "test"), NUMBER
    for weight in (np.full(400, 5.0), np.linspace(0, 1, 400)):
        rows, found = TabularRegressor()._rows(table, y, weight, "test")
        assert sorted(rows) == np.flatnonzero(weight).tolist() and (found == weight[rows]).all()


def test_order_of_the_rows_does_not_matter():
    order = np.random.default_rng(0).permutation(len(X))
    one, two = TabularClassifier(**SMALL).fit(X, WORD), TabularClassifier(**SMALL).fit(X[order], WORD[order])
    assert one.predict_proba(NEW).tobytes() == two.predict_proba(NEW).tobytes()


def test_classes_of_rows_without_weight_are_unknown():
    y, weight = np.append(WORD, "other"), np.append(np.ones(len(WORD)), 0)
    assert TabularClassifier(**SMALL | {"epochs": 1}).fit(np.r_[X, X[:1]], y, weight).classes_.tolist() == ["high", "low"]


def test_prediction_of_a_row_does_not_depend_on_the_others(classifier, regressor, tmp_path):
    regressor.save(tmp_path / "m.safetensors")
    for call in (classifier.predict_proba, regressor.predict, TabularRegressor.load(tmp_path / "m.safetensors").predict):
        alone = np.concatenate([call(NEW[i : i + 1]) for i in range(50)])
        np.testing.assert_allclose(alone, call(NEW)[:50], rtol=1e-11)


def test_array_after_a_frame_is_warned_of():
    pa = pytest.importorskip("pyarrow")
    model = TabularRegressor(**SMALL).fit(pa.table({"size": [1.0, 2.0, 3.0, 4.0]}), [1, 2, 3, 4])
    with pytest.warns(UserWarning, match="X does not have valid feature names, but TabularRegressor was fitted with"):
        model.predict([[2.0]])
    assert not hasattr(model.fit([[1.0], [2.0]], [1, 2]), "feature_names_in_")


def test_estimator_survives_pickle_and_deep_copies(classifier, class_bag):
    for model in (classifier, class_bag):
        assert pickle.loads(pickle.dumps(model)).predict_proba(NEW).tobytes() == model.predict_proba(NEW).tobytes()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: TabularClassifier("most").fit(X, WORD),
            ArgumentError,
            "TabularClassifier.fit: effort must be one of best, d",
        ),
        (lambda: TabularClassifier().fit(X, WORD[1:]), ShapeError, "TabularClassifier.fit: x has 400 rows, y has 399"),
        (
            lambda: TabularClassifier().fit(X[:1], ["a"]),
            ArgumentError,
            "TabularClassifier.fit: y must have at least 2 classes",
        ),
        (
            lambda: TabularRegressor().fit(X[:1], [1]),
            ArgumentError,
            "TabularRegressor.fit: X must have at least 2 rows, got 1",
        ),
        (
            lambda: TabularRegressor("best").fit(X[:3], [1, 2, 3]),
            ArgumentError,
            "TabularRegressor.fit: X must have at least 5",
        ),
        (
            lambda: TabularRegressor().fit(X[:2], [1, np.nan]),
            ArgumentError,
            "TabularRegressor.fit: y must hold finite numbers",
        ),
        (
            lambda: TabularRegressor().fit(X[:2], [1, 1j]),
            DTypeError,
            "TabularRegressor.fit: y must hold real numbers, got dtype complex128",
        ),
        (
            lambda: TabularRegressor().fit(X, None),
            ShapeError,
            "TabularRegressor.fit: y must have shape (n,), got None",
        ),
        (
            lambda: TabularClassifier().fit(X, np.stack([WORD, WORD], axis=1)),
            ShapeError,
            "TabularClassifier.fit: y must have shape (n,), got (400, 2)",
        ),
        (
            lambda: TabularRegressor(validation_fraction=1.0).fit(X, NUMBER),
            ArgumentError,
            "TabularRegressor.fit: validation_f",
        ),
        (
            lambda: TabularRegressor(batch_size=0).fit(X, NUMBER),
            ArgumentError,
            "fit: batch_size must be a whole number of at",
        ),
    ],
)
def test_wrong_argument_says_what_is_wrong(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("model", [TabularClassifier(), TabularRegressor()], ids=["classifier", "regressor"])
def test_model_that_was_not_fitted_says_so(model, tmp_path):
    methods = [name for name in ("predict", "predict_proba", "predict_set", "predict_interval") if hasattr(model, name)]
    for call in (*(getattr(model, name) for name in methods), lambda x: model.save(tmp_path / "m.safetensors")):
        with pytest.raises(NotFittedError):
            call(X)


def test_wrong_table_at_prediction_says_what_is_wrong(classifier, regressor):
    with pytest.raises(ValueError, match=r"^X has 3 features, but TabularClassifier is expecting 4 features as input"):
        classifier.predict(X[:, :3])
    with pytest.raises(DTypeError, match=r"^TabularRegressor.predict: column 0 must hold numbers, as when it was fitted"):
        regressor.predict(X[:, [2, 1, 2, 3]])


def test_frame_with_a_renamed_column_names_it(tmp_path):
    pa = pytest.importorskip("pyarrow")
    frame = pa.table({"size": [1.0, 2.0, 3.0, 4.0], "kind": ["a", "b", "a", None]})
    model = TabularRegressor(**SMALL).fit(frame, [1, 2, 3, 4])
    assert model.feature_names_in_.tolist() == ["size", "kind"]
    model.save(tmp_path / "m.safetensors")
    again = TabularRegressor.load(tmp_path / "m.safetensors")
    assert again.predict(frame.select(["kind", "size"])).tolist() == model.predict(frame).tolist()
    with pytest.raises(
        ArgumentError, match=r"^TabularRegressor.predict: x must have the columns .*, got no 'size' and 'sise'"
    ):
        again.predict(frame.rename_columns(["sise", "kind"]))


def test_notes_go_along_in_the_file_and_a_new_fit_forgets_them(tmp_path):
    model = TabularRegressor(**SMALL).fit(X, NUMBER)
    assert model.notes_ == {}
    model.notes_ = {"target": "price"}
    model.save(tmp_path / "m.safetensors")
    network = nl.load(tmp_path / "m.safetensors")
    found = tabular.from_network(network, "here")
    assert isinstance(found, TabularRegressor) and found.notes_ == {"target": "price"}
    assert (found.predict(NEW) == model.predict(NEW)).all()
    assert found.fit(X[:50], NUMBER[:50]).notes_ == {}
    network.extra["table"]["notes"] = [1]
    with pytest.raises(CheckpointError, match=r"here: notes must be an object, got \[1\]"):
        tabular.from_network(network, "here")
    with pytest.raises(CheckpointError, match="here: model must be of a TabularClassifier, got None"):
        tabular.from_network(nl.Network([nl.Dense(2, 2)], rng=0), "here")


def test_interrupted_training_keeps_what_was_learnt_and_trains_no_further_members(monkeypatch):
    fit = table_model.fit

    class Stop(nl.Callback):
        steps = 0

        def on_step(self, run):
            self.steps += 1
            if self.steps == self.step:
                signal.raise_signal(signal.SIGINT)

    def stopped(*arguments, callbacks, **options):
        return fit(*arguments, callbacks=[*callbacks, stop], **options)

    monkeypatch.setattr(table_model, "fit", stopped)
    for step in (1, 10, 12 * 5 + 1):  # of 12 epochs of 5 steps: in the first network or the second
        for kind, target in ((TabularClassifier, WORD), (TabularRegressor, NUMBER)):
            stop = Stop()
            stop.step = step
            model = kind("best", **SMALL | {"batch_size": 64}).fit(X, target)
            assert [history.interrupted for history in model.histories_] == [*[False] * (step > 60), True]
            assert model.predict(NEW).shape == (200,)


def test_classes_are_the_same_in_every_text() -> None:
    x, truth = np.linspace(-1, 1, 60)[:, None], np.arange(60) % 3 == 0
    spellings = [truth, truth.astype(int), truth.astype(float), truth.astype(str), truth.astype(int).astype(str)]
    for fitted in spellings:
        model = TabularClassifier("fast", epochs=2, hidden_layer_sizes=(8,), random_state=0).fit(x, fitted)
        scores = {model.score(x, y) for y in spellings}
        drops = {model.permutation_importance(x, y, n_repeats=1, random_state=0)[0, 0] for y in spellings}
        assert scores == {np.mean(model.predict(x) == fitted)} and len(drops) == 1


def test_targets_whose_variance_overflows_are_refused() -> None:
    x = np.linspace(-1, 1, 60)[:, None]
    for most in (1e155, 1.7e308):
        with pytest.raises(
            ArgumentError, match=r"fit: y must hold numbers up to 1e\+150, got 1.*; divide y by a power of ten$"
        ):
            TabularRegressor("fast").fit(x, most * x[:, 0])
    small = TabularRegressor("fast", epochs=2, random_state=0).fit(x, 1e150 * x[:, 0])
    assert np.isfinite(small.predict(x)).all()
