"""How good a prediction is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import ShapeError, check_labels, check_same_length

Array = NDArray[Any]


def hits(scores: Array, target: Array) -> int:
    """Return how many rows of `scores` (N, C) are largest at the target's class: labels (N,), or one-hot (N, C)."""
    labels = target if target.ndim == 1 else target.argmax(axis=1)
    return int(np.count_nonzero(scores.argmax(axis=1) == labels))


def accuracy(predicted: Array, labels: Array) -> float:
    """Return the share of rows with the right label, in [0, 1].

        accuracy = 1/N sum_n [predicted_n = labels_n]                    (1)

    Shapes  predicted, labels (N,).
    Errors  ShapeError if the lengths differ.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.accuracy(np.array([1, 2, 2]), np.array([1, 2, 0])).round(4).item()
    0.6667
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    check_same_length(predicted, labels, "accuracy")
    if len(labels) == 0:
        raise ShapeError(f"accuracy: labels must have at least 1 row, got {labels.shape}")
    if predicted.shape != labels.shape:  # == would pair every row with every other one
        raise ShapeError(f"accuracy: predicted must have the shape of labels, {labels.shape}, got {predicted.shape}")
    return np.mean(predicted == labels)


def confusion_matrix(predicted: Array, labels: Array, n_classes: int) -> Array:
    """Return the counts M (C, C): M[i, j] rows of class i were called j.

        M_ij = sum_n [labels_n = i] [predicted_n = j]                    (1)

    Shapes  predicted, labels (N,), integers 0 .. C - 1; the diagonal holds what is right.
    Errors  ShapeError if the lengths differ; DTypeError, ArgumentError for labels outside 0 .. C - 1.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    check_same_length(predicted, labels, "confusion_matrix")
    check_labels(predicted, n_classes, "confusion_matrix", "predicted")
    check_labels(labels, n_classes, "confusion_matrix", "labels")
    counts = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts
