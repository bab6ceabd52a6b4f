"""No estimator answers with numbers that are not finite, and none trains batch norm on single rows."""

from typing import Any

import numpy as np
import pytest

from numlp.errors import ArgumentError, OutputError, ShapeError
from numlp.estimators import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor
from numlp.losses import GaussianNLL

X = np.random.default_rng(0).random((60, 3))
Y = (X[:, 0] > 0.5).astype(int)
FEW = {"max_iter": 2, "random_state": 0, "hidden_layer_sizes": (4,)}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n", [1, 20])
def test_perceptrons_refuse_numbers_beyond_float32_after_training_in_float32(n: int) -> None:
    x = X[:n].copy()
    x[n - 1, 2] = 1e39
    text = rf"got 1e\+39 at x\[{n - 1}, 2\], beyond float32"
    classifier, regressor = MLPClassifier(**FEW).fit(X.astype("f"), Y), MLPRegressor(**FEW).fit(X.astype("f"), Y)
    for ask in (classifier.predict, classifier.predict_proba, classifier.predict_log_proba, regressor.predict):
        with pytest.raises(ArgumentError, match=text):
            ask(x)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["poisson", "gaussian"])
def test_predictions_that_overflow_name_their_row(loss: str) -> None:
    model: Any = MLPRegressor(loss=GaussianNLL() if loss == "gaussian" else loss, **FEW).fit(X, Y + 1.0)
    for array in (*model.coefs_, *model.intercepts_):
        array[...] = 1
    x = X.copy()
    x[7] = 1e4
    ask = model.predict_quantiles if loss == "gaussian" else model.predict
    with pytest.raises(OutputError, match=r"predictions must be finite numbers, got .*inf.* in row 7 of X; scale X"):
        ask(x)


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_tables_with_numbers_beyond_float32_give_finite_answers(kind: Any) -> None:
    model = kind("fast", epochs=2, random_state=0).fit(X, Y)
    x = X[:4].copy()
    x[1, 2] = 1.7e308
    answers = [model.predict(x), model.predict_proba(x) if kind is TabularClassifier else model.predict(x, return_std=True)]
    assert all(np.isfinite(answer).all() for answer in answers)


def test_targets_of_tables_whose_squares_overflow_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"y must hold numbers up to 1e\+150, got 5e\+2\d\d"):
        TabularRegressor("fast", epochs=2).fit(X, np.where(np.arange(60) == 7, -5e200, 0))


def test_perceptron_with_batch_norm_refuses_batches_of_one_row() -> None:
    with pytest.raises(ArgumentError, match="take batch_size >= 2"):
        MLPClassifier(batch_norm=True, batch_size=1, **FEW).fit(X, Y)
    with pytest.raises(ShapeError, match="got 1 row"):
        MLPClassifier(batch_norm=True, **FEW).partial_fit(X[:1], Y[:1], classes=[0, 1])


def test_diverging_outputs_of_validation_rows_end_training_with_the_best_weights() -> None:
    model = MLPRegressor(early_stopping=True, solver="sgd", learning_rate_init=1e300, **{**FEW, "max_iter": 30})
    with pytest.warns(UserWarning, match=r"Training diverged|converged"):
        model.fit(X, 1e3 * Y)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_tables_of_noise_are_fitted_without_a_warning(kind: Any) -> None:
    kind("fast", epochs=12, batch_size=16, random_state=0).fit(X, np.random.default_rng(1).permutation(Y))
