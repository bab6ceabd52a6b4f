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


def test_hits_counts_rows_that_are_wholly_right_and_their_weights():
    predicted, labels, weight = np.array([[0, 1], [1, 1], [0, 0]]), np.array([[0, 1], [1, 0], [0, 0]]), np.array([0.5, 4, 2])
    assert hits(predicted, labels) == 2
    assert hits(predicted, labels, weight) == 2.5
    assert hits(predicted[:, 0], labels[:, 0]) == 3
    assert hits(predicted[:, 1], labels[:, 1], weight) == 2.5


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nl.f1([0, 1], [0]), ShapeError, "f1: x has 2 rows, y has 1; they must be equal"),
        (lambda: nl.recall([], []), ShapeError, "recall: labels must have at least 1 row, got (0,)"),
        (
            lambda: nl.precision([0], [0], average="macr"),
            ArgumentError,
            "precision: average must be one of macro, weighted, got 'macr'; did you mean 'macro'?",
        ),
        (lambda: nl.accuracy([0], [0], [-1.0]), ArgumentError, "accuracy: weight must be at least 0, got -1 at row 0"),
        (
            lambda: nl.roc_auc([0.1, 0.2], [1, 1]),
            ArgumentError,
            "roc_auc: labels must hold rows of class 1 and of others, got only one of the two",
        ),
        (
            lambda: nl.log_loss([[0.5, 0.4]], [1]),
            ArgumentError,
            "log_loss: each row of probabilities must be a distribution (not negative, sum 1), got [0.5, 0.4] at row 0",
        ),
        (
            lambda: nl.brier_score([0.5, 1.5], [0, 1]),
            ArgumentError,
            "brier_score: each row of probabilities must be a distribution (not negative, sum 1), got [-0.5, 1.5] at row 1",
        ),
        (
            lambda: nl.top_k_accuracy(np.zeros((1, 3)), [0], k=4),
            ArgumentError,
            "top_k_accuracy: k must be a whole number from 1 to 3, got 4",
        ),
        (
            lambda: nl.top_k_accuracy(np.zeros(3), [0, 1, 2], k=1),
            ShapeError,
            "top_k_accuracy: scores must have shape (n, n_classes) with at least 1 row, got (3,)",
        ),
        (
            lambda: nl.recall(np.zeros((2, 2), int), np.zeros((2, 2), int)),
            ShapeError,
            "recall: labels must have shape (n,), got (2, 2)",
        ),
        (
            lambda: nl.roc_auc(np.zeros((2, 2, 2)), [0, 1]),
            ShapeError,
            "roc_auc: scores must have shape (n,) or (n, n_classes), n at least 1, got (2, 2, 2)",
        ),
        (
            lambda: nl.log_loss([0.5, 0.5], [[0], [1]]),
            ShapeError,
            "log_loss: labels must have shape (n,), got (2, 1)",
        ),
        (
            lambda: nl.root_mean_squared_error([], []),
            ShapeError,
            "root_mean_squared_error: target must have shape (n,) or (n, n_columns), n at least 1, got (0,)",
        ),
        (lambda: nl.r2([1.0], [1.0]), ShapeError, "r2: target must have at least 2 rows, got 1"),
        (
            lambda: nl.mean_absolute_error(np.zeros((2, 2)), np.zeros(2)),
            ShapeError,
            "mean_absolute_error: predicted must have the shape of target, (2,), got (2, 2)",
        ),
        (
            lambda: nl.expected_calibration_error([0.5], [0], n_bins=0),
            ArgumentError,
            "expected_calibration_error: n_bins must be a whole number of at least 1, got 0",
        ),
    ],
)
def test_metric_says_what_does_not_fit(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def test_metrics_take_names_as_labels():
    predicted, labels = np.array(["cat", "dog", "dog"]), np.array(["cat", "cat", "dog"])
    assert nl.recall(predicted, labels, average=None).tolist() == [0.5, 1]
    assert nl.balanced_accuracy(predicted, labels) == 0.75


def test_calibration_error_of_one_who_is_always_sure_is_the_share_of_mistakes():
    p = np.eye(2)[[0, 0, 1, 1]]
    assert nl.expected_calibration_error(p, np.array([0, 1, 1, 1])) == 0.25
    assert nl.expected_calibration_error(p, np.array([0, 1, 1, 1]), weight=np.array([1, 3, 1, 1])) == 0.5
