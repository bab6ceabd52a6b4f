"""How good predicted labels are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import (
    ShapeError,
    as_array,
    check_choice,
    check_count,
    check_labels,
    check_real,
    check_same_length,
    check_weight,
)

Array = NDArray[Any]


def hits(predicted: Array, labels: Array, weight: Array | None = None) -> float:
    """Return how many rows (or the sum of their weights) are right: labels (N,), or several a row (N, C), all of them."""
    right = predicted == labels if labels.ndim == 1 else (predicted == labels).all(axis=1)
    return float(np.count_nonzero(right) if weight is None else weight @ right)


def accuracy(predicted: Any, labels: Any, weight: Any = None) -> float:
    """Return the share of rows with the right label, in [0, 1].

        accuracy = sum_n w_n [predicted_n = labels_n] / sum_n w_n        (1)

    Shapes  predicted, labels (N,), or (N, C) for several labels a row, which must all be right; weight (N,).
    Errors  ShapeError if the shapes differ; ShapeError, ArgumentError about the weight.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> round(nl.accuracy(np.array([1, 2, 2]), np.array([1, 2, 0])), 4)
    0.6667
    """
    predicted, labels, weight = _pair(predicted, labels, weight, "accuracy")
    return hits(predicted, labels, weight) / (len(labels) if weight is None else float(weight.sum()))


def balanced_accuracy(predicted: Any, labels: Any, weight: Any = None) -> float:
    """Return the mean of the classes' accuracies: a rare class counts as much as a common one.

        1/C sum_c (weight of the rows of class c called c) / (weight of the rows of class c)     (1)

    The mean is over the classes that have rows.

    Shapes  predicted, labels, weight (N,).
    Errors  ShapeError if the lengths differ; ShapeError, ArgumentError about the weight.
    Source  Brodersen et al. 2010.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.balanced_accuracy(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]))
    0.5
    """
    right, _, support = _counts(predicted, labels, None, weight, "balanced_accuracy")
    return float(np.mean(right[support > 0] / support[support > 0]))


def top_k_accuracy(scores: Any, labels: Any, k: int = 5, weight: Any = None) -> float:
    """Return the share of rows whose right class is among the k with the largest scores; of equal scores the later class.

    Shapes  scores (N, C), labels (N,) integers 0 .. C - 1, weight (N,).
    Errors  ShapeError if the lengths differ; DTypeError, ArgumentError for labels outside or a k outside 1 .. C.
    Source  Russakovsky et al. 2015.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.top_k_accuracy(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), np.array([1, 2]), k=2)
    0.5
    """
    where = "top_k_accuracy"
    scores, labels = as_array(scores, where, "scores"), as_array(labels, where, "labels")
    if scores.ndim != 2 or len(scores) == 0:
        raise ShapeError(f"{where}: scores must have shape (n, n_classes) with at least 1 row, got {scores.shape}")
    check_real(scores, where, "scores")
    check_same_length(scores, labels, where)
    check_labels(labels, scores.shape[1], where, "labels")
    k = check_count(k, where, "k", most=scores.shape[1])
    weight = None if weight is None else check_weight(weight, len(labels), where)
    best = np.argsort(scores, axis=1, kind="stable")[:, : -k - 1 : -1]
    return float(np.average((best == labels[:, None]).any(axis=1), weights=weight))


def confusion_matrix(predicted: Any, labels: Any, n_classes: int, weight: Any = None) -> Array:
    """Return the counts M (C, C): M[i, j] rows of class i were called j; with weights, the sum of theirs.

        M_ij = sum_n w_n [labels_n = i] [predicted_n = j]                (1)

    Shapes  predicted, labels (N,), integers 0 .. C - 1; the diagonal holds what is right.
    Errors  ShapeError if the lengths differ; DTypeError, ArgumentError for labels outside 0 .. C - 1.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    where = "confusion_matrix"
    predicted, labels = as_array(predicted, where, "predicted"), as_array(labels, where, "labels")
    check_same_length(predicted, labels, where)
    check_labels(predicted, n_classes, where, "predicted")
    check_labels(labels, n_classes, where, "labels")
    weight = None if weight is None else check_weight(weight, len(labels), "confusion_matrix")
    counts = np.zeros((n_classes, n_classes), np.int64 if weight is None else np.float64)
    np.add.at(counts, (labels, predicted), 1 if weight is None else weight)
    return counts


def precision(
    predicted: Any, labels: Any, *, average: str | None = "macro", n_classes: int | None = None, weight: Any = None
) -> Any:
    """Return, of the rows called c, the share that is c: how far a call can be trusted.

        precision_c = (rows of class c called c) / (rows called c), 0 where nothing was called c     (1)

    Parameters
    ----------
    predicted, labels
        (N,) labels of any kind; integers 0 .. C - 1 if `n_classes` is given.
    average
        "macro": the mean over the classes; "weighted": weighted with the rows of each class; None: an array, one each.
    n_classes
        C; None takes the classes that occur in either array, in sorted order.
    weight
        (N,), how much each row counts.

    Errors  ShapeError if the lengths differ; ArgumentError for an unknown average; DTypeError, ArgumentError for labels
        outside 0 .. C - 1.
    Source  van Rijsbergen 1979, chapter 7.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.precision(np.array([0, 1, 1]), np.array([0, 0, 1]), average=None).tolist()
    [1.0, 0.5]
    """
    right, called, support = _counts(predicted, labels, n_classes, weight, "precision")
    return _average(_ratio(right, called), support, average, "precision")


def recall(
    predicted: Any, labels: Any, *, average: str | None = "macro", n_classes: int | None = None, weight: Any = None
) -> Any:
    """Return, of the rows of class c, the share that was called c: how much is found.

        recall_c = (rows of class c called c) / (rows of class c), 0 where there are none             (1)

    Arguments and errors as `precision`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.recall(np.array([0, 1, 1]), np.array([0, 0, 1]), average=None).tolist()
    [0.5, 1.0]
    """
    right, _, support = _counts(predicted, labels, n_classes, weight, "recall")
    return _average(_ratio(right, support), support, average, "recall")


def f1(
    predicted: Any, labels: Any, *, average: str | None = "macro", n_classes: int | None = None, weight: Any = None
) -> Any:
    """Return the harmonic mean of precision and recall.

        F_c = 2 (rows of class c called c) / (rows called c + rows of class c), 0 where there are none of both    (1)

    Arguments and errors as `precision`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> round(nl.f1(np.array([0, 1, 1]), np.array([0, 0, 1])), 4)
    0.6667
    """
    right, called, support = _counts(predicted, labels, n_classes, weight, "f1")
    return _average(_ratio(2 * right, called + support), support, average, "f1")


def _pair(predicted: Any, labels: Any, weight: Any, where: str) -> tuple[Array, Array, Array | None]:
    """Return the three as arrays of one length, at least one row."""
    predicted, labels = as_array(predicted, where, "predicted"), as_array(labels, where, "labels")
    check_same_length(predicted, labels, where)
    if len(labels) == 0:
        raise ShapeError(f"{where}: labels must have at least 1 row, got {labels.shape}")
    if predicted.shape != labels.shape:  # == would pair every row with every other one
        raise ShapeError(f"{where}: predicted must have the shape of labels, {labels.shape}, got {predicted.shape}")
    return predicted, labels, None if weight is None else check_weight(weight, len(labels), where)


def _counts(
    predicted: Any, labels: Any, n_classes: int | None, weight: Any, where: str
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return for each class the weight of the rows that are it and called it, are called it, are it."""
    predicted, labels, weight = _pair(predicted, labels, weight, where)
    if labels.ndim != 1:
        raise ShapeError(f"{where}: labels must have shape (n,), got {labels.shape}")
    if n_classes is None:
        names, codes = np.unique(np.concatenate([predicted, labels]), return_inverse=True)
        n_classes, predicted, labels = len(names), codes[: len(labels)], codes[len(labels) :]
    else:
        check_labels(predicted, n_classes, where, "predicted")
        check_labels(labels, n_classes, where, "labels")
    right = (predicted == labels) * (1.0 if weight is None else weight)
    right = np.bincount(labels, right, n_classes)
    return right, np.bincount(predicted, weight, n_classes) * 1.0, np.bincount(labels, weight, n_classes) * 1.0


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _average(figures: Array, support: Array, average: str | None, where: str) -> Any:
    if average is None:
        return figures
    average = check_choice(average, ("macro", "weighted"), where, "average")
    return float(np.average(figures, weights=support if average == "weighted" else None))
