import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from numlp.errors import ArgumentError, ShapeError
from numlp.estimators import MLPClassifier
from numlp.estimators.weights import sample_weights, with_class_weights

Y = np.array(["a", "b", "b", "c", "b", "a"])


def test_balanced_weights_are_scikit_learns_without_weights_of_rows() -> None:
    np.testing.assert_allclose(with_class_weights("balanced", Y, None), compute_sample_weight("balanced", Y))
    labels = np.array([[0, 1], [1, 1], [0, 1], [0, 0]])
    np.testing.assert_allclose(with_class_weights("balanced", labels, None), compute_sample_weight("balanced", labels))


def test_balanced_weights_of_weighted_rows_are_those_of_repeated_rows() -> None:
    weight = np.array([1, 2, 0, 3, 1, 1])
    weighted = with_class_weights("balanced", Y, weight.astype(float))
    repeated = with_class_weights("balanced", np.repeat(Y, weight), None)
    assert weighted is not None and repeated is not None
    np.testing.assert_allclose(np.repeat(weighted, weight), np.repeat(weight, weight) * repeated)


def test_dict_of_class_weights_multiplies_the_weights_of_rows() -> None:
    weight = with_class_weights({"a": 2, "b": 1, "c": 0.5}, Y, np.arange(6.0))
    np.testing.assert_array_equal(weight, [0, 1, 2, 1.5, 4, 10])


def test_weights_are_checked() -> None:
    assert sample_weights(2, 3, "here") is not None
    with pytest.raises(ArgumentError, match="here: sample_weight must not be zero in every row, got zeros only"):
        sample_weights([0, 0], 2, "here")
    with pytest.raises(ShapeError, match="here: sample_weight must have shape"):
        sample_weights([1, 2, 3], 2, "here")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_class_weight_is_a_weight_of_rows_in_training(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    weight = np.array([1.0, 5.0, 0.1])
    by_class = MLPClassifier(class_weight=dict(enumerate(weight)), max_iter=5, random_state=0).fit(X, y)
    by_row = MLPClassifier(max_iter=5, random_state=0).fit(X, y, sample_weight=weight[y])
    np.testing.assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])
