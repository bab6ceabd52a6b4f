"""What classifier and regressor share: the estimator in scikit-learn's world, validation data, time, threads, callbacks."""

import copy
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import numlp as nl
from numlp.errors import ArgumentError, DivergenceError, DTypeError
from numlp.estimators import MLPClassifier, MLPRegressor
from numlp.run import Run

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK: dict[str, Any] = {"width": 20, "max_iter": 10, "random_state": 0, "learning_rate_init": 0.02}


def test_clone_has_the_parameters_and_no_training(iris: Any) -> None:
    model = MLPClassifier(loss=nl.Focal(1.0), callbacks=[nl.MaxNorm(2.0)], **QUICK).fit(*iris)
    twin = clone(model)
    assert twin.loss.gamma == 1.0 and twin.loss is not model.loss and not hasattr(twin, "network_")


@pytest.mark.parametrize("copied", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy, copy.copy])
def test_copy_predicts_and_goes_on_alike(copied: Any, iris: Any) -> None:
    X, y = iris
    model = MLPClassifier(batch_norm=True, dropout=0.1, **QUICK).fit(X, y)
    twin = copied(model)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    assert twin.coefs_[0] is twin.network_.layers[0].W
    if twin.network_ is not model.network_:
        np.testing.assert_array_equal(twin.partial_fit(X, y).predict_proba(X), model.partial_fit(X, y).predict_proba(X))


def test_pickle_holds_the_weights_once(iris: Any) -> None:
    model = MLPClassifier(width=3000, max_iter=1, solver="lbfgs").fit(*iris)
    assert len(pickle.dumps(model)) < 1.5 * model.network_.params.nbytes


def test_weights_put_in_by_hand_are_used(iris: Any) -> None:
    X, y = iris
    model = MLPClassifier(**QUICK).fit(X, y)
    model.coefs_ = [np.zeros_like(W) for W in model.coefs_]
    model.intercepts_[-1] = np.array([0.0, 9.0, 0.0])
    assert (model.predict(X) == 1).all()
    model.intercepts_[-1][...] = [9.0, 0.0, 0.0]
    assert (pickle.loads(pickle.dumps(model)).predict(X) == 0).all()


def test_pipeline_grid_search_and_calibration_work(iris: Any) -> None:
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**QUICK)).set_output(transform="default")
    search = GridSearchCV(pipeline, {"mlpclassifier__n_layers": [1, 2], "mlpclassifier__width": [8]}, cv=2, n_jobs=2)
    assert search.fit(X, y).score(X, y) > 0.8
    calibrated = CalibratedClassifierCV(MLPClassifier(**QUICK), cv=2).fit(X, y)
    assert log_loss(y, calibrated.predict_proba(X)) < 0.4


def test_weights_are_routed(iris: Any) -> None:
    X, y = iris
    with config_context(enable_metadata_routing=True):
        model = (
            MLPClassifier(**(QUICK | {"max_iter": 100}))
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=False)
        )
        weight = np.where(y == 0, 1.0, 0.0)
        result = cross_validate(model, X, y, params={"sample_weight": weight}, cv=3, return_estimator=True)
    assert all((estimator.predict(X) == 0).mean() > 0.9 for estimator in result["estimator"])


def test_names_of_columns_are_kept_and_compared(iris: Any) -> None:
    pandas = pytest.importorskip("pandas")
    X, y = pandas.DataFrame(iris[0], columns=list("abcd")), iris[1]
    model = MLPClassifier(early_stopping=True, scoring="accuracy", **QUICK).fit(X, y)  # no warning of missing names
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[list("dcba")])


def test_sparse_rows_are_dense_rows(iris: Any) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    X, y = iris
    one, two = MLPClassifier(**QUICK).fit(X, y), MLPClassifier(**QUICK).fit(sparse.csr_matrix(X), y)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(sparse.csc_matrix(X)))


def test_eval_set_is_measured_after_each_epoch(iris: Any) -> None:
    X, y = iris
    model = MLPClassifier(**QUICK).fit(X[::2], y[::2], eval_set=(X[1::2], y[1::2]))
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == model.n_iter_
    assert model.validation_scores_[-1] == model.score(X[1::2], y[1::2])
    assert model.validation_loss_curve_[-1] == pytest.approx(log_loss(y[1::2], model.predict_proba(X[1::2])))
    weight = np.where(y[1::2] == 0, 1.0, 0.0)
    model.fit(X[::2], y[::2], eval_set=(X[1::2], y[1::2], weight))
    assert model.validation_scores_[-1] == model.score(X[1::2], y[1::2], weight)


@pytest.mark.parametrize("scoring", [None, "loss", "neg_log_loss", lambda model, X, y: float(-model.predict_proba(X)[0, 0])])
def test_early_stopping_restores_the_best_weights_of_any_score(scoring: Any, iris: Any) -> None:
    X, y = iris
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(len(y)) < 0.3, rng.integers(0, 3, len(y)), y)
    model = MLPClassifier(
        early_stopping=True, scoring=scoring, width=50, learning_rate_init=0.05, n_iter_no_change=5, random_state=0
    )
    model.fit(X[::2], noisy[::2], eval_set=(X[1::2], noisy[1::2]))
    assert model.stopped_early_ and 5 < model.n_iter_ < 200
    best = max(model.validation_scores_)
    assert model.best_validation_score_ == best > model.validation_scores_[-1] or scoring is None
    own = {None: model.score, "loss": lambda X, y: -log_loss(y, model.predict_proba(X))}
    own["neg_log_loss"] = own["loss"]
    figure = own.get(scoring, lambda X, y: scoring(model, X, y))(X[1::2], noisy[1::2])
    assert figure == pytest.approx(best)


def test_partial_fit_stops_early_with_an_eval_set(numbers: Any) -> None:
    X, y = numbers
    model = MLPRegressor(early_stopping=True, width=50, learning_rate_init=0.05, n_iter_no_change=3, random_state=0)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True without an eval_set"):
        model.partial_fit(X, y)
    for _ in range(300):
        model.partial_fit(X[:100], y[:100], eval_set=(X[100:], y[100:]))
        if model.stopped_early_:
            break
    assert model.stopped_early_
    assert model.score(X[100:], y[100:]) == pytest.approx(max(model.validation_scores_))
    assert len(model.validation_scores_) == len(model.loss_curve_) > 3


def test_callbacks_hear_of_the_validation_figures(iris: Any) -> None:
    X, y = iris
    seen: list[dict[str, float]] = []

    class Listener(nl.Callback):
        def on_epoch(self, run: Run) -> None:
            seen.append(run.history.records[-1])
            nl.Network.from_config(run.network.to_config())  # it can be saved at this moment

    stopping = nl.EarlyStopping(patience=2)
    model = MLPClassifier(callbacks=[Listener(), stopping], width=50, learning_rate_init=0.1, random_state=0)
    model.fit(X[::2], y[::2], eval_set=(X[1::2], y[1::2]))
    assert [record["validation_loss"] for record in seen] == model.validation_loss_curve_
    assert [record["loss"] for record in seen] == model.loss_curve_
    assert model.n_iter_ < 200 and not model.stopped_early_
    with pytest.raises(ArgumentError, match="monitor must be one of loss"):
        model.fit(X, y)


@pytest.mark.parametrize("settings", [{}, {"solver": "lbfgs"}, {"early_stopping": True}], ids=str)
def test_scikit_learns_callbacks_hear_of_each_epoch_and_may_stop(settings: dict[str, Any], iris: Any) -> None:
    pytest.importorskip("sklearn.callback")
    heard: list[Any] = []

    class Listener:
        def setup(self, estimator: Any, context: Any) -> None:
            heard.append("setup")

        def teardown(self, estimator: Any, context: Any) -> None:
            heard.append("teardown")

        def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
            heard.append(f"begin {context.task_name}")

        def on_fit_task_end(self, estimator: Any, context: Any, *, X: Any, y: Any, fitted_estimator: Any) -> bool:
            heard.append((context.task_name, fitted_estimator.score(X, y), fitted_estimator))
            return len(heard) > 8

    X, y = iris
    model = MLPClassifier(**QUICK, **settings).set_callbacks(Listener())
    model.fit(X, y)
    assert heard[:3] == ["setup", "begin fit", "begin epoch"] and heard[-1] == "teardown"
    epochs = [entry for entry in heard if entry[0] == "epoch"]
    assert len(epochs) == model.n_iter_ == 4
    # each was a copy that later epochs have not changed
    assert [copy.score(X, y) for _, _, copy in epochs] == [score for _, score, _ in epochs]
    assert heard[-2][0] == "fit" and heard[-2][1] == model.score(X, y)
    assert not hasattr(model, "_callback_fit_ctx")


def test_scikit_learns_monitor_scores_each_epoch(iris: Any) -> None:
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    MLPClassifier(**QUICK).set_callbacks(monitor).fit(*iris)
    scores = [row["accuracy"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(scores) == 10 and scores[-1] > scores[0]


def test_max_time_ends_training(numbers: Any) -> None:
    model = MLPRegressor(max_iter=5000, max_time=0.05, n_iter_no_change=np.inf).fit(*numbers)
    assert 1 <= model.n_iter_ < 5000 and not model.stopped_early_


def test_interrupted_training_is_told_and_keeps_what_was_learnt(numbers: Any) -> None:
    class Interrupt(nl.Callback):
        def on_gradients(self, run: Run) -> None:
            if run.step == 4:
                run.interrupt(signal.SIGINT)

    for solver in ("adam", "lbfgs"):
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model = MLPRegressor(solver=solver, batch_size=100, callbacks=[Interrupt()]).fit(*numbers)
        assert model.n_iter_ == (5 if solver == "lbfgs" else 2) and model.predict(numbers[0]).shape == (250,)


def test_large_inputs_draw_no_warning_as_they_draw_none_of_scikit_learn(numbers: Any) -> None:
    X, y = numbers
    MLPRegressor(max_iter=1).fit(1000 * X, y)


def test_eval_set_must_be_a_pair(numbers: Any) -> None:
    X, y = numbers
    with pytest.raises(DTypeError, match=r"MLPRegressor: eval_set must be \(X, y\) or \(X, y, sample_weight\), got list"):
        MLPRegressor().fit(X, y, eval_set=[(X, y)])


def test_early_stopping_may_be_switched_between_warm_starts(iris: Any) -> None:
    model = MLPClassifier(warm_start=True, **QUICK)
    for early in (False, True, False):
        model.set_params(early_stopping=early).fit(*iris)
    assert len(model.loss_curve_) == 30 and model.best_loss_ > 0


def test_partial_fit_leaves_scikit_learns_callbacks_alone(iris: Any) -> None:
    callback = pytest.importorskip("sklearn.callback")
    model = MLPClassifier(**QUICK).set_callbacks(callback.ScoringMonitor(scoring="accuracy"))
    assert not hasattr(model.partial_fit(*iris, classes=[0, 1, 2]), "_callback_fit_ctx")


def test_one_thread_learns_what_two_learn(iris: Any) -> None:
    one, two = (MLPClassifier(n_threads=n, **QUICK).fit(*iris) for n in (1, 2))
    np.testing.assert_allclose(one.predict_proba(iris[0]), two.predict_proba(iris[0]), rtol=1e-8)


def test_several_threads_may_predict_at_once(iris: Any) -> None:
    X, y = iris
    model = MLPClassifier(hidden_layer_sizes=(200, 200), max_iter=2, random_state=0).fit(X, y)
    parts = [np.roll(np.tile(X, (7, 1)), n, axis=0) for n in range(8)]
    alone = [model.predict_proba(part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for expected, found in zip(alone, pool.map(model.predict_proba, parts), strict=True):
                np.testing.assert_array_equal(found, expected)


def test_divergence_is_both_an_error_of_numlp_and_of_scikit_learn(numbers: Any) -> None:
    X, y = numbers
    model = MLPRegressor(solver="sgd", learning_rate_init=1e6, activation="identity", random_state=0)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights") as caught:
        model.fit(X, y)
    assert isinstance(caught.value, DivergenceError)
    assert np.isfinite(model.network_.params).all()


def test_end_by_a_limit_is_told(iris: Any) -> None:
    for settings in ({}, {"solver": "lbfgs", "max_iter": 2}, {"solver": "lbfgs", "max_fun": 3}):
        with pytest.warns(ConvergenceWarning):
            MLPClassifier(**(QUICK | settings)).fit(*iris)


def test_verbose_prints_what_scikit_learn_prints(iris: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model = MLPClassifier(verbose=True, early_stopping=True, n_iter_no_change=1, tol=1.0, **QUICK).fit(*iris)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"Iteration 1, loss = {model.loss_curve_[0]:.8f}"
    assert printed[1] == f"Validation score: {model.validation_scores_[0]:f}"
    assert printed[-1] == "Validation score did not improve more than tol=1.000000 for 1 consecutive epochs. Stopping."


def test_network_is_a_network_of_numlp(iris: Any, tmp_path: Any) -> None:
    X, y = iris
    model = MLPClassifier(**QUICK).fit(X, y)
    nl.save(model.network_, tmp_path / "iris.safetensors")
    np.testing.assert_allclose(nl.load(tmp_path / "iris.safetensors").predict_proba(X), model.predict_proba(X))
    assert nl.evaluate(model.network_, (X, y))["loss"] == pytest.approx(log_loss(y, model.predict_proba(X)))
