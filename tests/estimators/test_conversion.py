from typing import Any

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.exceptions import NotFittedError

from numlp.errors import ArgumentError, DTypeError
from numlp.estimators import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp`:DeprecationWarning"),  # older versions of scikit-learn
]
SETTINGS: list[dict[str, Any]] = [
    {"hidden_layer_sizes": 9},
    {"solver": "lbfgs", "activation": "logistic", "hidden_layer_sizes": (5, 4)},
    {"early_stopping": True, "activation": "tanh", "solver": "sgd"},
]


def targets(kind: str, iris: Any, numbers: Any) -> list[tuple[Any, Any]]:
    X, y = iris
    if kind == "MLPRegressor":
        return [numbers, (numbers[0], np.stack([numbers[1], numbers[1]], axis=1))]
    return [(X, y), (X, np.where(y > 0, 7, 3)), (X, np.stack([y > 0, y > 1], axis=1).astype(int))]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_predictions_are_equal_both_ways(kind: str, settings: dict[str, Any], iris: Any, numbers: Any) -> None:
    ours, theirs = (
        {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[kind],
        getattr(sklearn.neural_network, kind),
    )
    method = "predict_proba" if kind == "MLPClassifier" else "predict"
    for X, y in targets(kind, iris, numbers):
        model = theirs(max_iter=5, random_state=0, **settings).fit(X, y)
        taken = ours.from_sklearn(model)
        np.testing.assert_allclose(getattr(taken, method)(X), getattr(model, method)(X), rtol=1e-10, atol=1e-15)
        np.testing.assert_array_equal(taken.predict(X).shape, model.predict(X).shape)
        given = taken.to_sklearn()
        np.testing.assert_array_equal(getattr(given, method)(X), getattr(model, method)(X))
        assert given.get_params() == model.get_params() | {"hidden_layer_sizes": given.hidden_layer_sizes}
        trained = ours(max_iter=5, random_state=0, **settings).fit(X, y)
        np.testing.assert_allclose(
            getattr(trained.to_sklearn(), method)(X), getattr(trained, method)(X), rtol=1e-10, atol=1e-15
        )


def test_training_goes_on_after_conversion(iris: Any) -> None:
    X, y = iris
    theirs = sklearn.neural_network.MLPClassifier(max_iter=5, warm_start=True, early_stopping=True).fit(X, y)
    ours = MLPClassifier.from_sklearn(theirs).fit(X, y)
    assert len(ours.validation_scores_) == len(theirs.validation_scores_) + ours.n_iter_
    assert ours.to_sklearn().fit(X, y).t_ > ours.t_ > theirs.t_


def test_what_scikit_learn_has_not_is_named(iris: Any) -> None:
    X, y = iris
    for settings, message in (
        ({"batch_norm": True}, "batch_norm must be False, got True; scikit-learn has none"),
        ({"activation": "silu"}, "activation must be one of identity, relu, tanh, logistic for all layers, got"),
        ({"loss": "Focal"}, "loss must be one of scikit-learn's, got 'Focal'"),
    ):
        with pytest.raises(ArgumentError, match=f"^MLPClassifier.to_sklearn: {message}"):
            MLPClassifier(max_iter=1, **settings).fit(X, y).to_sklearn()
    model = MLPClassifier(max_iter=1, solver="AdamW", learning_rate="Cosine", dropout=0.5, n_layers=2, width=5).fit(X, y)
    theirs = model.to_sklearn()
    assert theirs.solver == "adam" and theirs.learning_rate == "constant" and theirs.hidden_layer_sizes == (5, 5)
    np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X))


def test_another_kind_of_model_is_refused() -> None:
    with pytest.raises(DTypeError, match="model must be scikit-learn's MLPClassifier, got 3"):
        MLPClassifier.from_sklearn(3)
    with pytest.raises(NotFittedError):
        MLPClassifier.from_sklearn(sklearn.neural_network.MLPClassifier())
    with pytest.raises(NotFittedError):
        MLPRegressor().to_sklearn()
