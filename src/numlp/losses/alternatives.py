"""Losses for classes beside the cross-entropy: the focal loss, the hinge, and the distance of two distributions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.attributes import number
from numlp.errors import ArgumentError, ShapeError, as_array, check_labels
from numlp.losses.classification import ClassificationLoss, check_distributions, row_blocks, softmax

Array = NDArray[Any]


class Focal(ClassificationLoss):
    """Cross-entropy that counts a row the less the surer the network is of it: for rare and hard classes.

        p = softmax(y),  l_n = -sum_c q_nc (1 - p_nc)^g log p_nc                          (1)
        a_c = q_c (g p_c (1 - p_c)^(g-1) log p_c - (1 - p_c)^g)                           (2)
        dl/dy_c = a_c - p_c sum_k a_k                                                     (3)

    q is one-hot for labels; g = `gamma`. With g = 0 it is `SoftmaxCrossEntropy`. 1 - p is computed as -expm1(log p), and
    log p / (1 - p), which tends to -1, instead of (1 - p)^(g-1), so that nothing is divided by zero where p = 1. L is the
    mean over the rows.

    Shapes  y (N, C) logits; target (N,) labels 0..C-1, or (N, C) rows that sum to one.
    Errors  ShapeError, DTypeError, ArgumentError for a target that does not fit, or a gamma below 0.
    Source  Lin, Goyal, Girshick, He, Dollar 2017, eq. 4, for C classes.

    Parameters
    ----------
    gamma
        At least 0; 2 in the paper.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.Focal(2.0)(np.zeros((1, 2)), np.array([0]))
    >>> round(value, 4), dy.round(4).tolist()
    (0.1733, [[-0.2983, 0.2983]])
    """

    label_smoothing = 0.0
    gamma: float = number(low=0)

    def __init__(self, gamma: float = 2.0) -> None:
        self.gamma = gamma

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        q = self._distribution(y, target)
        with np.errstate(under="ignore"):
            for rows in row_blocks(y):
                log_p = y[rows] - y[rows].max(axis=1, keepdims=True)
                log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
                p, rest = np.exp(log_p), -np.expm1(log_p)
                ratio = np.divide(log_p, rest, out=np.full_like(rest, -1), where=rest > 0)
                unsure = q[rows] * rest**self.gamma
                np.einsum("nc,nc->n", unsure, -log_p, out=losses[rows])
                a = unsure * (self.gamma * p * ratio - 1)
                dy[rows] = a - p * a.sum(axis=1, keepdims=True)
        return weight

    def probabilities(self, y: Array) -> Array:
        """Return softmax(y)."""
        return softmax(y)


class KLDivergence(ClassificationLoss):
    """Kullback-Leibler divergence of a target distribution from the network's, whose outputs are log-probabilities.

        l_n = sum_c q_nc (log q_nc - y_nc),  dl/dy = -q                  (1)

    with 0 log 0 = 0: for a network that ends in log-probabilities and learns from another one's probabilities. L is the
    mean over the rows (PyTorch's "batchmean"). It differs from the cross-entropy by the entropy of q.

    Shapes  y (N, C) log-probabilities; target (N, C) rows that sum to one, or (N,) labels 0..C-1.
    Units   nats; 0 where exp(y) = q.
    Errors  ShapeError, DTypeError; ArgumentError for a row that is no distribution, naming it.
    Source  Kullback and Leibler 1951.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.KLDivergence()(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    >>> round(value, 4), (dy + 0).tolist()
    (0.6931, [[-1.0, 0.0]])
    """

    label_smoothing = 0.0

    def __init__(self) -> None:
        pass

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return logarithms and distributions."""
        return rng.uniform(-2, 0, size=(5, 4)), rng.dirichlet(np.ones(4), size=5)

    def check_outputs(self, y: Array, where: str) -> None:
        """Raise ArgumentError unless exp(y) has rows that are distributions."""
        with np.errstate(over="ignore", under="ignore"):
            p = np.exp(y)
        check_distributions(p, y, where, "log-probabilities", f"Activation({y.shape[1]}, 'log_softmax')")

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        q = self._distribution(y, target)
        for rows in row_blocks(y):
            log_q = np.log(np.where(q[rows] > 0, q[rows], 1))
            np.einsum("nc,nc->n", q[rows], log_q - y[rows], out=losses[rows])
        np.negative(q, out=dy)
        return weight

    def probabilities(self, y: Array) -> Array:
        """Return exp(y)."""
        with np.errstate(under="ignore"):
            return np.exp(np.minimum(y, 0))


class Hinge(ClassificationLoss):
    """The multi-class hinge: the right class must lead every other one by a margin; what leads by more costs nothing.

        l_n = 1/C sum_(c != t) max(0, m - y_nt + y_nc),  t = target_n    (1)
        dl/dy_nc = [m - y_nt + y_nc > 0] / C for c != t; dl/dy_nt = -sum of these       (2)

    Outputs are scores, not probabilities: `predict` works, `predict_proba` does not. L is the mean over the rows.

    Shapes  y (N, C) scores; target (N,) labels 0..C-1.
    Errors  ShapeError, DTypeError, ArgumentError for a target that does not fit, or a margin not above 0.
    Source  Weston and Watkins 1999; divided by C as in PyTorch's MultiMarginLoss.

    Parameters
    ----------
    margin
        m above 0.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.Hinge()(np.array([[0.5, 0.0]]), np.array([0]))
    >>> value, dy.tolist()
    (0.25, [[-0.5, 0.5]])
    """

    label_smoothing = 0.0
    margin: float = number(above=0)

    def __init__(self, margin: float = 1.0) -> None:
        self.margin = margin

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return labels as intp."""
        target = as_array(target, where, "y")
        if target.ndim != 1:
            hint = "; use y.ravel()" if target.shape[1:] == (1,) else ""
            raise ShapeError(f"{where}: y must be labels of shape (n,), got {target.shape}{hint}")
        return super().prepare(target, n_outputs, dtype, where)

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        if target.shape != (len(y),):
            raise ShapeError(f"Hinge: target must have shape ({len(y)},), got {target.shape}")
        check_labels(target, y.shape[1], "Hinge", "target")
        for rows in row_blocks(y):
            z, own = y[rows], target[rows, None]
            short = z - np.take_along_axis(z, own, axis=1) + self.margin
            np.put_along_axis(short, own, 0, axis=1)
            active = (short > 0).astype(y.dtype) / y.shape[1]
            np.einsum("nc,nc->n", short, active, out=losses[rows])
            np.put_along_axis(active, own, -active.sum(axis=1, keepdims=True), axis=1)
            dy[rows] = active
        return weight

    def probabilities(self, y: Array) -> Array:
        """Raise ArgumentError: scores have no probabilities."""
        raise ArgumentError("Hinge: probabilities must come from another loss, got scores; train with SoftmaxCrossEntropy()")
