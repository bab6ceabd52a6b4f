"""How good probabilities and scores are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import (
    ArgumentError,
    ShapeError,
    as_array,
    check_count,
    check_finite,
    check_labels,
    check_real,
    check_same_length,
    check_weight,
)

Array = NDArray[Any]


def roc_auc(scores: Any, labels: Any, weight: Any = None) -> float:
    """Return the chance that a row of a class has a larger score for it than a row of another class: 1/2 is a guess.

        AUC = sum_(i of the class, j not) w_i w_j ([s_i > s_j] + [s_i = s_j] / 2) / sum w_i w_j      (1)

    It is the area under the curve of true against false positives. For several classes: the mean of each against the rest.

    Shapes  scores (N,) or (N, 1) for class 1 against class 0, else (N, C); labels (N,) integers 0 .. C - 1; weight (N,).
    Errors  ShapeError, DTypeError, ArgumentError; also ArgumentError if a class has no rows (no weight), or all.
    Source  Hanley and McNeil 1982.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> nl.roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    0.75
    """
    scores, labels, w = _pair(scores, labels, weight, "roc_auc", "scores")
    if scores.shape[1] == 1:
        return _area(scores[:, 0], labels == 1, w, 1)
    return float(np.mean([_area(scores[:, c], labels == c, w, c) for c in range(scores.shape[1])]))


def _area(scores: Array, positive: Array, w: Array, c: int) -> float:
    """Return (1) for one class; equal scores form one step of the curve."""
    steps, step = np.unique(scores, return_inverse=True)
    yes, no = np.bincount(step, w * positive, len(steps)), np.bincount(step, w * ~positive, len(steps))
    pairs = yes.sum() * no.sum()
    if pairs == 0:
        raise ArgumentError(f"roc_auc: labels must hold rows of class {c} and of others, got only one of the two")
    return float(yes @ (no.cumsum() - no / 2) / pairs)


def log_loss(probabilities: Any, labels: Any, weight: Any = None) -> float:
    """Return the mean of minus the logarithm of the right class's probability, in nats.

        -sum_n w_n log p_(n, labels_n) / sum_n w_n                       (1)

    p is kept within [e, 1 - e], e the spacing of the dtype at 1 (2.2e-16 in float64).

    Shapes  probabilities (N,) or (N, 1) of class 1, else (N, C); labels (N,) integers 0 .. C - 1; weight (N,).
    Errors  ShapeError, DTypeError, ArgumentError about the arrays or the weight.
    Source  Good 1952.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> round(nl.log_loss(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0, 1])), 4)
    0.3993
    """
    p, labels, w = _probabilities(probabilities, labels, weight, "log_loss")
    e = np.finfo(np.result_type(np.asarray(probabilities).dtype, np.float32)).eps
    own = np.clip(p[np.arange(len(p)), labels], e, 1 - e)
    return float(-np.average(np.log(own), weights=w))


def brier_score(probabilities: Any, labels: Any, weight: Any = None) -> float:
    """Return the mean squared distance of the probabilities from what happened: 0 is best.

        sum_n w_n (p_n - labels_n)^2 / sum_n w_n for the probability of class 1, in [0, 1]       (1)
        sum_n w_n sum_c (p_nc - [labels_n = c])^2 / sum_n w_n for those of C classes, in [0, 2]  (2)

    Shapes  probabilities (N,) or (N, 1) of class 1, else (N, C); labels (N,) integers 0 .. C - 1; weight (N,).
    Errors  ShapeError, DTypeError, ArgumentError about the arrays or the weight.
    Source  Brier 1950.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> round(nl.brier_score(np.array([0.2, 0.9]), np.array([0, 1])), 4)
    0.025
    """
    p, labels, w = _probabilities(probabilities, labels, weight, "brier_score")
    p[np.arange(len(p)), labels] -= 1
    one = np.asarray(probabilities).reshape(len(p), -1).shape[1] == 1
    return float(np.average((p * p).sum(axis=1), weights=w)) / (2 if one else 1)


def expected_calibration_error(probabilities: Any, labels: Any, n_bins: int = 15, weight: Any = None) -> float:
    """Return how far the network's sureness is from its accuracy: 0 if of the rows it is 80% sure of 80% are right.

        sum_b (w of bin b / sum w) |accuracy_b - mean sureness_b|        (1)

    The sureness of a row is its largest probability; bin b of B holds those in ((b - 1) / B, b / B].

    Shapes  probabilities (N,) or (N, 1) of class 1, else (N, C); labels (N,) integers 0 .. C - 1; weight (N,).
    Errors  ShapeError, DTypeError, ArgumentError about the arrays, the weight or `n_bins`.
    Source  Guo, Pleiss, Sun, Weinberger 2017, eq. 3.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> round(nl.expected_calibration_error(np.array([[0.8, 0.2]] * 4), np.array([0, 0, 0, 1])), 4)
    0.05
    """
    where = "expected_calibration_error"
    p, labels, w = _probabilities(probabilities, labels, weight, where)
    n_bins = check_count(n_bins, where, "n_bins")
    sure = p.max(axis=1)
    bins = np.clip(np.ceil(sure * n_bins).astype(np.intp) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, w * ((p.argmax(axis=1) == labels) - sure), n_bins)
    return float(np.abs(gaps).sum() / w.sum())


def _pair(scores: Any, labels: Any, weight: Any, where: str, name: str) -> tuple[Array, Array, Array]:
    """Return scores (N, C), labels (N,) and weights (N,), checked."""
    scores, labels = as_array(scores, where, name), as_array(labels, where, "labels")
    if scores.ndim not in (1, 2) or scores.size == 0:
        raise ShapeError(f"{where}: {name} must have shape (n,) or (n, n_classes), n at least 1, got {scores.shape}")
    check_same_length(scores, labels, where)
    if labels.ndim != 1:
        raise ShapeError(f"{where}: labels must have shape (n,), got {labels.shape}")
    check_real(scores, where, name)
    check_finite(scores, where, name)
    scores = scores.reshape(len(scores), -1)
    check_labels(labels, max(scores.shape[1], 2), where, "labels")
    return scores, labels, np.ones(len(labels)) if weight is None else check_weight(weight, len(labels), where)


def _probabilities(probabilities: Any, labels: Any, weight: Any, where: str) -> tuple[Array, Array, Array]:
    """Return p (N, C) float64, a copy, with C at least 2, and the rest; a column is the probability of class 1."""
    p, labels, w = _pair(probabilities, labels, weight, where, "probabilities")
    p = p.astype(np.float64)
    p = np.concatenate([1 - p, p], axis=1) if p.shape[1] == 1 else p
    wrong = np.flatnonzero((p < 0).any(axis=1) | (np.abs(p.sum(axis=1) - 1) > 1e-3))
    if len(wrong):
        raise ArgumentError(
            f"{where}: each row of probabilities must be a distribution (not negative, sum 1), got {p[wrong[0]].tolist()} "
            f"at row {wrong[0]}"
        )
    return p, labels, w
