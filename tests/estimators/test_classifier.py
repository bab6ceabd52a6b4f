from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import LabelBinarizer

import numlp as nl
from numlp.errors import ArgumentError
from numlp.estimators import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK: dict[str, Any] = {"width": 20, "max_iter": 10, "random_state": 0, "learning_rate_init": 0.02}


@pytest.mark.parametrize(
    "y", [np.array([7, 3, 3, 7]), np.array(["b", "c", "a", "b"], object), np.array([1.0, 1.0]), np.array([False, True])]
)
def test_classes_are_encoded_as_scikit_learn_encodes_them(y: np.ndarray) -> None:
    model = MLPClassifier(max_iter=1).fit(np.zeros((len(y), 2)), y)
    encoded = model._encode(y)
    np.testing.assert_array_equal(encoded, LabelBinarizer().fit_transform(y).astype(bool))
    np.testing.assert_array_equal(model._decode(encoded), y)


def test_unknown_class_of_an_eval_set_is_named(iris: Any) -> None:
    X, y = iris
    with pytest.raises(ValueError, match=r"y must hold classes of \[0 1\], got .*2.* at row 1"):
        MLPClassifier(**QUICK).fit(X, (y > 0).astype(int), eval_set=(X[:2], [0, 2]))


def test_decision_function_says_what_predict_says(iris: Any) -> None:
    X, y = iris
    three = MLPClassifier(**QUICK).fit(X, y)
    np.testing.assert_array_equal(three.decision_function(X).argmax(axis=1), three.predict(X))
    two = MLPClassifier(**QUICK).fit(X, y > 0)
    np.testing.assert_array_equal(two.decision_function(X) > 0, two.predict(X))
    np.testing.assert_allclose(1 / (1 + np.exp(-two.decision_function(X))), two.predict_proba(X)[:, 1], rtol=1e-6)
    labels = np.stack([y > 0, y > 1], axis=1).astype(int)
    several = MLPClassifier(**QUICK).fit(X, labels)
    np.testing.assert_array_equal(several.decision_function(X) > 0, several.predict(X))


def test_dropout_and_batch_norm_are_off_in_prediction(iris: Any) -> None:
    X, y = iris
    model = MLPClassifier(dropout=0.5, batch_norm=True, **(QUICK | {"max_iter": 60})).fit(X, y)
    assert model.score(X, y) > 0.9
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    np.testing.assert_allclose(model.predict_proba(X[:1]), model.predict_proba(X)[:1], rtol=1e-6)


def test_warm_start_wants_the_same_classes_and_partial_fit_no_others(iris: Any) -> None:
    X, y = iris
    model = MLPClassifier(warm_start=True, **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same classes"):
        model.fit(X, y > 0)
    model = MLPClassifier(**QUICK).partial_fit(X[:50], y[:50], classes=[0, 1])
    with pytest.raises(ValueError, match="`y` has classes not in `self"):
        model.partial_fit(X, y)


def test_class_weights_may_be_of_each_label(iris: Any) -> None:
    X, y = iris
    labels = np.stack([y > 0, y > 1], axis=1).astype(int)
    plain = MLPClassifier(**QUICK).fit(X, labels)
    for weights in ("balanced", [{0: 1, 1: 50}, {0: 50, 1: 1}]):
        assert (MLPClassifier(class_weight=weights, **QUICK).fit(X, labels).coefs_[0] != plain.coefs_[0]).any()


def test_loss_of_numbers_is_refused() -> None:
    with pytest.raises(ArgumentError, match="MLPClassifier: loss must be a loss for classes, got Huber"):
        MLPClassifier(loss=nl.Huber()).fit([[0.0], [1.0]], [0, 1])
