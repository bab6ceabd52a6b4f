"""The loss for yes or no, and for several of them at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import ArgumentError, DTypeError, ShapeError, as_array, check_finite, check_matrix
from numlp.losses.classification import ClassificationLoss, as_column, check_one_each, row_blocks, weights
from numlp.metrics import hits

Array = NDArray[Any]


def _sigmoid(z: Array) -> tuple[Array, Array, Array]:
    """Return exp(-|z|), sigmoid(z) and 1 - sigmoid(z), each exact where it is small: a probability is not rounded to 0."""
    small = np.exp(-np.abs(z))
    return small, np.where(z > 0, 1, small) / (1 + small), np.where(z > 0, small, 1) / (1 + small)


class SigmoidCrossEntropy(ClassificationLoss):
    """Cross-entropy of the sigmoid of logits: each output says yes or no by itself.

        p = sigmoid(y),  l_n = -sum_c (v_c t_nc log p_nc + (1 - t_nc) log (1 - p_nc))   (1)
        dl/dy_nc = (1 - t_nc) p_nc - v_c t_nc (1 - p_nc)                                (2)

    One output: two classes, labels 0 and 1. Several: as many labels, of which a row may have none, one or all; `predict`
    gives a matrix of 0 and 1, and accuracy counts the rows in which all labels are right. Smoothing replaces t by
    (1 - s) t + s / 2. Computed from log (1 + exp(-|y|)), which cannot overflow. L is the mean over the rows.

    Shapes  y (N, C) logits; target (N, C) numbers from 0 to 1, or (N,) for C = 1.
    Units   nats; a guess costs log 2 (0.693) an output.
    Errors  ShapeError, DTypeError; ArgumentError for a target outside 0..1, naming the row.
    Source  Cox 1958; label smoothing: Szegedy et al. 2016, section 7.

    Parameters
    ----------
    label_smoothing
        s in [0, 1).
    positive_weights
        v: C numbers of at least 0, not all 0: how much a yes counts against a no. None: the same.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.SigmoidCrossEntropy()(np.zeros((1, 2)), np.array([[1, 0]]))
    >>> round(value, 4), dy.tolist()
    (1.3863, [[-0.5, 0.5]])
    """

    positive_weights: tuple[float, ...] | None = weights()

    def __init__(self, label_smoothing: float = 0.0, positive_weights: Sequence[float] | None = None) -> None:
        super().__init__(label_smoothing)
        self.positive_weights = positive_weights  # type: ignore[assignment]  # the attribute makes a tuple of it

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return the target as `dtype`, of shape (N, C)."""
        check_one_each(self.positive_weights, n_outputs, where, "positive_weights")
        target = as_column(as_array(target, where, "y"), n_outputs)
        if target.ndim == 1 and target.dtype.kind in "iub":
            raise ShapeError(
                f"{where}: y must have shape (n, {n_outputs}), a 0 or 1 for each output, got {target.shape}; "
                "one label a row wants SoftmaxCrossEntropy()"
            )
        target = check_matrix(target, where, "y", n_outputs)
        check_finite(target, where, "y")
        outside = np.flatnonzero(((target < 0) | (target > 1)).any(axis=1))
        if len(outside):
            row = target[outside[0]]
            raise ArgumentError(
                f"{where}: y must hold numbers from 0 to 1, got {row[(row < 0) | (row > 1)][0]:g} at row {outside[0]}"
            )
        return target.astype(dtype)

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return logits and a 0 or 1 for each."""
        shape = (5, len(self.positive_weights or range(4)))
        return rng.uniform(0.1, 0.9, size=shape), rng.integers(2, size=shape)

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        check_one_each(self.positive_weights, y.shape[1], "SigmoidCrossEntropy", "positive_weights")
        target = as_column(target, y.shape[1])
        if target.shape != y.shape:
            raise ShapeError(f"SigmoidCrossEntropy: target must have shape {y.shape}, got {target.shape}")
        if target.dtype.kind not in "fiub":
            raise DTypeError(f"SigmoidCrossEntropy: target must hold numbers from 0 to 1, got dtype {target.dtype}")
        weights = np.asarray(self.positive_weights or np.ones(y.shape[1]), y.dtype)
        with np.errstate(under="ignore"):
            for rows in row_blocks(y):
                z, t = y[rows], (1 - self.label_smoothing) * target[rows].astype(y.dtype) + self.label_smoothing / 2
                yes, no = weights * t, 1 - t
                small, p, rest = _sigmoid(z)
                dy[rows] = no * p - yes * rest
                # -log (1 - p) = max(z, 0) + log (1 + exp(-|z|)), -log p the same of -z
                value = no * np.maximum(z, 0) + yes * np.maximum(-z, 0) + (no + yes) * np.log1p(small)
                value.sum(axis=1, out=losses[rows])
        return weight

    def probabilities(self, y: Array) -> Array:
        """Return sigmoid(y): of each output by itself, so a row does not sum to one."""
        with np.errstate(under="ignore"):
            return _sigmoid(y)[1]

    def decide(self, y: Array) -> Array:
        """Return 1 where p > 1/2, else 0: (N,) for one output, a matrix (N, C) for several."""
        yes = (y > 0).astype(np.intp)
        return yes[:, 0] if yes.shape[1] == 1 else yes

    def hits(self, y: Array, target: Array, weight: Array | None = None) -> float:
        """Return how many rows have all labels right, or the sum of their weights."""
        return hits(self.decide(y), self.labels(target), weight)

    def labels(self, target: Array) -> Array:
        """Return the target in the form of `decide`: 1 where it is above 1/2."""
        return self.decide(target.reshape(len(target), -1) - 0.5)
