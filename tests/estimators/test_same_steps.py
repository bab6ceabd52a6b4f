"""The same parameters and seed: the same steps as scikit-learn's network takes, up to rounding."""

import inspect
from typing import Any

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.utils.fixes import parse_version

from numlp.estimators import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp`:DeprecationWarning"),  # older versions of scikit-learn
]

SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {},
    "epsilon": {"epsilon": 0.05, "beta_1": 0.5, "beta_2": 0.9},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "plain sgd": {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False},
    "no momentum": {"solver": "sgd", "momentum": 0.0, "learning_rate": "invscaling", "learning_rate_init": 0.5},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.3, "power_t": 0.3},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.1, "tol": 0.1, "n_iter_no_change": 1},
    "lbfgs": {"solver": "lbfgs", "activation": "tanh", "alpha": 10.0, "hidden_layer_sizes": (3,), "max_iter": 200},
    "max_fun": {"solver": "lbfgs", "activation": "logistic", "max_fun": 8},
    "in order": {"shuffle": False, "batch_size": 37},
    "layers": {"hidden_layer_sizes": (11, 7, 5), "activation": "logistic", "alpha": 0.1},
    "stopping": {"early_stopping": True, "n_iter_no_change": 2, "learning_rate_init": 0.02, "activation": "identity"},
    "tolerance": {"tol": 0.05, "n_iter_no_change": 3, "learning_rate_init": 0.02},
}
BOOKS = ("loss_", "best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_", "n_iter_", "t_", "n_layers_")
BOOKS += ("n_outputs_", "out_activation_", "_no_improvement_count")


def pair(kind: str, **settings: Any) -> tuple[Any, Any]:
    options = {"hidden_layer_sizes": (20,), "batch_size": 50, "max_iter": 12, "random_state": 3} | settings
    ours: dict[str, Any] = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
    return getattr(sklearn.neural_network, kind)(**options), ours[kind](**options)


def assert_same(theirs: Any, ours: Any) -> None:
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9)
    for name in BOOKS:
        if hasattr(theirs, name):
            a, b = getattr(theirs, name), getattr(ours, name)
            assert (a is None) == (b is None), name
            if a is not None and not isinstance(a, str):
                np.testing.assert_allclose(b, a, rtol=1e-8, err_msg=name)
            else:
                assert a == b, name


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_training_takes_the_same_steps(kind: str, settings: dict[str, Any], iris: Any, numbers: Any) -> None:
    X, y = iris if kind == "MLPClassifier" else numbers
    theirs, ours = pair(kind, **settings)
    assert_same(theirs.fit(X, y), ours.fit(X, y))
    np.testing.assert_allclose(ours.score(X, y), theirs.score(X, y))


def test_two_classes_several_labels_and_several_numbers_take_the_same_steps(iris: Any, numbers: Any) -> None:
    X, y = iris
    labels = np.stack([y > 0, y > 1, X[:, 0] > 0], axis=1).astype(int)
    for kind, x, target in (
        ("MLPClassifier", X, np.where(y > 0, "b", "a")),
        ("MLPClassifier", X, labels),
        ("MLPRegressor", numbers[0], np.stack([numbers[1], numbers[0][:, 3]], axis=1)),
    ):
        theirs, ours = pair(kind)
        assert_same(theirs.fit(x, target), ours.fit(x, target))
        np.testing.assert_array_equal(ours.predict(x).shape, theirs.predict(x).shape)
        if kind == "MLPClassifier":
            np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
            np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-6)


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.7"), reason="its fit has no weights before 1.7")
@pytest.mark.parametrize("settings", [{}, {"solver": "lbfgs"}, {"early_stopping": True}, {"loss": "poisson"}], ids=str)
def test_weighted_rows_take_the_same_steps(settings: dict[str, Any], iris: Any, numbers: Any) -> None:
    rng = np.random.default_rng(1)
    for kind, (X, y) in (("MLPClassifier", iris), ("MLPRegressor", (numbers[0], np.round(np.exp(numbers[1]))))):
        if kind == "MLPClassifier" and "loss" in settings:
            continue
        weight = rng.integers(0, 4, len(y))
        theirs, ours = pair(kind, **settings)
        assert_same(theirs.fit(X, y, sample_weight=weight), ours.fit(X, y, sample_weight=weight))
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)


@pytest.mark.parametrize(
    "settings", [{}, SETTINGS["invscaling"], SETTINGS["adaptive"]], ids=["adam", "invscaling", "adaptive"]
)
def test_warm_starts_and_partial_fits_take_the_same_steps(settings: dict[str, Any], iris: Any) -> None:
    X, y = iris
    theirs, ours = pair("MLPClassifier", warm_start=True, **settings)
    for _ in range(3):
        assert_same(theirs.fit(X, y), ours.fit(X, y))
    theirs, ours = pair("MLPClassifier", **settings)
    for _ in range(4):
        for part in (slice(0, 100), slice(100, 150)):
            theirs.partial_fit(X[part], y[part], classes=[0, 1, 2])
            assert_same(theirs, ours.partial_fit(X[part], y[part], classes=[0, 1, 2]))


def test_float32_takes_the_same_steps(iris: Any) -> None:
    X, y = iris[0].astype(np.float32), iris[1]
    theirs, ours = pair("MLPClassifier")
    theirs.fit(X, y)
    ours.fit(X, y)
    assert ours.coefs_[0].dtype == np.float32
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_parameters_attributes_and_methods_are_all_there(kind: str, iris: Any) -> None:
    theirs, ours = pair(kind)
    of_theirs, of_ours = (inspect.signature(type(model)).parameters for model in (theirs, ours))
    for name, parameter in of_theirs.items():
        assert of_ours[name].default == parameter.default, name
        assert of_ours[name].kind == parameter.kind or (name == "loss" and "loss" not in of_theirs), name
    positional = [name for name, parameter in of_theirs.items() if parameter.kind == parameter.POSITIONAL_OR_KEYWORD]
    if parse_version(sklearn.__version__) >= parse_version("1.7"):
        assert list(of_ours)[: len(positional)] == positional
    theirs.set_params(early_stopping=True).fit(*iris)
    ours.set_params(early_stopping=True).fit(*iris)
    public = {name for name in dir(theirs) if not name.startswith("_")}
    assert public <= {name for name in dir(ours) if not name.startswith("_")}
