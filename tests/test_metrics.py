import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError, DTypeError, ShapeError
from numlp.metrics import hits


def test_accuracy_is_the_share_of_right_rows():
    assert nl.accuracy(np.array([1, 2, 2, 0]), np.array([1, 2, 0, 0])) == 0.75
    assert nl.accuracy([1], [1]) == 1
    assert nl.accuracy(["cat", "dog"], ["dog", "dog"]) == 0.5


def test_accuracy_of_different_lengths_says_so():
    with pytest.raises(ShapeError, match=r"^accuracy: x has 3 rows, y has 2; they must be equal$"):
        nl.accuracy(np.zeros(3), np.zeros(2))


def test_accuracy_does_not_pair_a_column_with_every_row():
    with pytest.raises(ShapeError, match=r"^accuracy: predicted must have the shape of labels, \(3,\), got \(3, 1\)$"):
        nl.accuracy(np.zeros((3, 1)), np.zeros(3))


def test_confusion_matrix_has_classes_in_rows_and_calls_in_columns():
    counts = nl.confusion_matrix(np.array([0, 1, 1, 2, 1]), np.array([0, 0, 1, 1, 0]), 4)
    assert counts.tolist() == [[1, 2, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert counts.dtype == np.int64
    assert counts.sum() == 5


def test_confusion_matrix_trace_is_the_accuracy():
    rng = np.random.default_rng(0)
    predicted, labels = rng.integers(4, size=50), rng.integers(4, size=50)
    assert np.trace(nl.confusion_matrix(predicted, labels, 4)) / 50 == nl.accuracy(predicted, labels)


@pytest.mark.parametrize(
    ("predicted", "labels", "error", "message"),
    [
        ([0, 1], [0], ShapeError, "confusion_matrix: x has 2 rows, y has 1; they must be equal"),
        ([0.0, 1.0], [0, 1], DTypeError, "confusion_matrix: predicted must be integer labels 0..1, got dtype float64; "),
        (
            [0, 1],
            [0, 2],
            ArgumentError,
            "confusion_matrix: labels must be integer labels 0..1, got 2 different labels (0, 2), ",
        ),
        (
            [0, -1],
            [0, 1],
            ArgumentError,
            "confusion_matrix: predicted must be integer labels 0..1, got 2 different labels (-1, 0), ",
        ),
    ],
)
def test_confusion_matrix_rejects_what_is_no_label(predicted, labels, error, message):
    with pytest.raises(error) as caught:
        nl.confusion_matrix(np.array(predicted), np.array(labels), 2)
    assert str(caught.value).startswith(message)


def test_hits_takes_labels_and_distributions_alike():
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
    labels = np.array([1, 1, 0])
    assert hits(scores, labels) == hits(scores, np.eye(2)[labels]) == 2
