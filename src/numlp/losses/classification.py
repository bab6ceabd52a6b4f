"""What every loss is, and the losses for one class out of C."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.arena import aligned_empty
from numlp.attributes import Part, kept_names, number, result, setting
from numlp.config import description
from numlp.errors import (
    ArgumentError,
    DTypeError,
    ShapeError,
    as_array,
    check_finite,
    check_labels,
    check_number,
    check_real,
)
from numlp.metrics import hits
from numlp.working_copies import working_copy

Array = NDArray[Any]

_SUM_ERROR = 0.01  # of the probabilities of a row
_BUFFERS = ("_dy", "_losses", "_q", "_last", "_copies")
_BLOCK = 1_024  # numbers: a dozen temporaries of this size are still small and in the first-level cache


def row_blocks(y: Array) -> Iterator[slice]:
    """Yield slices of rows of y (N, C) of about a thousand numbers each, so that a temporary is never a batch."""
    rows = max(1, _BLOCK // y.shape[1])
    for start in range(0, len(y), rows):
        yield slice(start, start + rows)


def as_column(target: Array, n_columns: int) -> Array:
    """Return a target (N,) as (N, 1) where one column is wanted, and any other as it is."""
    return target[:, None] if target.ndim == 1 and n_columns == 1 else target


def softmax(y: Array) -> Array:
    """Return the softmax of each row as a new array."""
    p = np.empty_like(y)
    kernels.softmax(y, p)
    return p


class Loss(Part):
    """A mean over the rows of a batch, L(y, target), and dL/dy.

        L = sum_n w_n l_n / sum_n w_n,  l_n the loss of row n, w_n its weight (1 if none is given)    (1)

    The division by N (or sum w) is in the value *and* in the gradient, and stands here alone: the printed loss is the
    function being minimised. A loss states l_n and dl_n/dy. Where all weights of a batch are zero, so are L and dy.
    `dy` is a buffer of the loss, valid until its next call; a network's `backward` may overwrite it. `total_weight` is
    sum w of the last call: means of batches, weighted with it, make the mean of all rows. `last` is (y, target, w or
    None) of the last call: y and target are buffers of others, valid until these fill them anew.
    """

    classifies = False
    warns_of_scale = True  # whether `fit` warns of inputs far from [-1, 1]
    total_weight: float = result("it belongs to the last call")
    last: tuple[Array, Array, Array | None] | None = result("it belongs to the last call")
    _total_weight = 0.0
    _last: tuple[Array, Array, Array | None] | None = None
    _copies: list[Any] | None = None  # that no thread uses at the moment
    _dy: Array = np.empty((0, 0))
    _losses: Array = np.empty(0)

    def __repr__(self) -> str:
        return description(self)

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Check all targets of a data set once and return them as batches will want them.

        Errors  ShapeError, DTypeError, ArgumentError, naming the first row that does not fit.
        """
        raise NotImplementedError

    def check_outputs(self, y: Array, where: str) -> None:
        """Raise ArgumentError if outputs must not be like y (n, C): asked about a few rows, not about each batch."""

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return outputs and a target that belong to this loss, float64, for `check_gradients`."""
        return rng.uniform(0.1, 0.9, size=(5, 4)), rng.normal(size=(5, 4))

    def __call__(self, y: Array, target: Array, weight: Array | None = None) -> tuple[float, Array]:
        """Return (L, dL/dy) for outputs y (N, C), targets as `prepare` gives them, and weights (N,) >= 0 of the rows."""
        if self._dy.shape[0] < len(y) or self._dy.shape[1:] != y.shape[1:] or self._dy.dtype != y.dtype:
            self._dy, self._losses = aligned_empty(y.shape, y.dtype), np.empty(len(y), y.dtype)
        dy, losses = self._dy[: len(y)], self._losses[: len(y)]
        target = np.asarray(target)
        weight = self._rows(y, target, weight, losses, dy)
        self._last = y, target, weight
        if weight is None:
            self._total_weight = float(len(y))
            return kernels.mean_loss(losses, dy.reshape(-1)), dy
        share = self._share(weight, len(y))
        dy *= share[:, None].astype(y.dtype)
        return float(share @ losses), dy

    def borrow(self) -> "Loss":
        """Return a copy with buffers of its own, so that several threads may call one loss; `give_back` takes it again."""
        if not self.is_of_numlp():  # it may keep anything, anywhere
            return working_copy(self, {}, ())
        if self._copies is None:
            self._copies = []
        kind: Any = type(self)
        try:
            own = self._copies.pop()
        except IndexError:
            own = object.__new__(kind)
        for name in kept_names(kind):  # not by its __dict__: who has asked for that has slower attributes from then on
            setattr(own, name, getattr(self, name))
        return own

    def give_back(self, own: "Loss") -> None:
        """Keep a borrowed copy for the next one who borrows."""
        if self._copies is not None:
            self._copies.append(own)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out buffers, for copies and pickles."""
        return {name: value for name, value in vars(self).items() if name not in _BUFFERS}

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        """Write l_n into `losses` (N,) and dl_n/dy_n into `dy` (N, C), no mean taken; return the weights to use.

        The weights are `weight` as it came, or what the loss makes of it (class weights). Checks that the target belongs
        to y by shape; `prepare` has looked at its values.
        """
        raise NotImplementedError

    def _share(self, weight: Array, n: int) -> Array:
        """Return w_n / sum w (N,) float64, and keep the sum."""
        where, weight = type(self).__name__, np.asarray(weight, np.float64)
        if weight.shape != (n,):
            raise ShapeError(f"{where}: weight must have shape ({n},), got {weight.shape}")
        self._total_weight = float(weight.sum())
        if not (weight.min() >= 0 and self._total_weight < np.inf):
            raise ArgumentError(f"{where}: weight must hold finite numbers of at least 0, got {weight}")
        return weight / (self._total_weight or 1.0)  # all zero: such a batch teaches nothing


def check_numbers(values: Any, where: str, name: str) -> tuple[float, ...] | None:
    """Return weights as a tuple of floats, or None: at least 0 each, not all 0."""
    if values is None:
        return None
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise DTypeError(f"{where}: {name} must be a sequence of numbers, one for each output, got {values!r}")
    numbers = tuple(check_number(value, where, name, low=0) for value in values)
    if not any(numbers):
        raise ArgumentError(f"{where}: {name} must hold a number above 0, got {list(numbers)}")
    return numbers


def weights() -> Any:
    """Declare an attribute for `check_numbers`."""
    return setting(lambda part, name, values: check_numbers(values, type(part).__name__, name))


def check_one_each(values: Sequence[float] | None, n_outputs: int, where: str, name: str) -> None:
    """Raise ShapeError unless there are as many values (if any) as outputs."""
    if values is not None and len(values) != n_outputs:
        raise ShapeError(f"{where}: {name} must have {n_outputs} numbers, one for each output, got {len(values)}")


def check_distributions(p: Array, y: Array, where: str, kind: str, last: str) -> None:
    """Raise ArgumentError unless each row of p, made of the outputs y, is a distribution: at least 0, with sum 1."""
    sums = p.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero((p.min(axis=1) < 0) | (np.abs(sums - 1) > _SUM_ERROR))
    if len(wrong):
        i = wrong[0]
        low, high = y[i].min(), y[i].max()
        raise ArgumentError(
            f"{where}: outputs must be {kind} for this loss, got {low:.3g} to {high:.3g} in row {i}, whose "
            f"probabilities sum to {sums[i]:.3g}; put {last} last, or use SoftmaxCrossEntropy()"
        )


class ClassificationLoss(Loss):
    """A loss whose target is a class: integer labels (N,), or a distribution over the classes (N, C)."""

    classifies = True
    label_smoothing: float = number(low=0, below=1)
    _q: Array = np.empty((0, 0))

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def probabilities(self, y: Array) -> Array:
        """Return p (N, C) for the network's outputs y."""
        raise NotImplementedError

    def decide(self, y: Array) -> Array:
        """Return what the outputs y say: the label of each row (N,)."""
        return y.argmax(axis=1)

    def labels(self, target: Array) -> Array:
        """Return the target in the form of `decide`, so that the two can be compared."""
        return target if target.ndim == 1 else target.argmax(axis=1)

    def hits(self, y: Array, target: Array, weight: Array | None = None) -> float:
        """Return how many rows the outputs get right, or the sum of their weights."""
        if weight is None and target.ndim == 1:
            return kernels.hits(y, target)
        return hits(self.decide(y), self.labels(target), weight)

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return outputs and a target that belong to this loss, float64, for `check_gradients`."""
        return rng.uniform(0.1, 0.9, size=(5, 4)), rng.integers(4, size=5)

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return labels as intp, or a one-hot or soft target as `dtype`; each row of the latter must sum to one."""
        target = as_array(target, where, "y")
        if target.ndim == 1:
            check_labels(target, n_outputs, where, "y", of_outputs=True)
            return target.astype(np.intp)
        if target.ndim != 2 or target.shape[1] != n_outputs:
            raise ShapeError(
                f"{where}: y must be labels of shape (n,) or a distribution of shape (n, {n_outputs}), got {target.shape}"
                + ("; for labels use y.ravel()" if target.shape[1:] == (1,) else "")
            )
        check_real(target, where, "y")
        check_finite(target, where, "y")
        sums = target.sum(axis=1, dtype=np.float64)
        wrong = np.flatnonzero((target.min(axis=1) < 0) | (np.abs(sums - 1) > 1e-3))
        if len(wrong):
            raise ArgumentError(
                f"{where}: each row of y must be a distribution (not negative, sum 1), "
                f"got row {wrong[0]} with sum {sums[wrong[0]]:g} and minimum {target[wrong[0]].min():g}"
            )
        return target.astype(dtype)

    def _distribution(self, y: Array, target: Array) -> Array:
        """Return q (N, C), the smoothed target distribution, in a reused buffer."""
        where, (n, n_classes) = type(self).__name__, y.shape
        if target.ndim == 0 or len(target) != n:
            raise ShapeError(
                f"{where}: y has {n} rows, target has {len(target) if target.ndim else 'none'}; they must be equal"
            )
        if self._q.shape[0] < n or self._q.shape[1] != n_classes or self._q.dtype != y.dtype:
            self._q = aligned_empty(y.shape, y.dtype)
        q = self._q[:n]
        if target.ndim == 2 and target.shape == y.shape:
            np.multiply(target, 1 - self.label_smoothing, out=q)
            q += self.label_smoothing / n_classes
            return q
        if target.ndim != 1:
            raise ShapeError(f"{where}: target must have shape ({n},) or {y.shape}, got {target.shape}")
        if target.dtype.kind not in "iu" or not kernels.one_hot(target, self.label_smoothing, q):
            check_labels(target, n_classes, where, "target")
        return q


class SoftmaxCrossEntropy(ClassificationLoss):
    """Cross-entropy of the softmax of logits: the loss for one class out of C.

        p = softmax(y),  L = -1/N sum_n sum_c q_nc log p_nc              (1)
        dL/dy = (p - q) / N                                              (2)

    q is the target distribution: one-hot for labels, smoothed to (1 - s) q + s / C with s = `label_smoothing`.
    Computed as log sum exp with the row maximum taken out: finite for any finite logits, and (2) is exact where p
    underflows. The network's last layer must not be a softmax. With `class_weights` v, row n has the weight

        w_n = v[label_n], or sum_c q_nc v_c before smoothing             (3)

    times its sample weight, and the mean is the weighted one, sum_n w_n l_n / sum_n w_n.

    Shapes  y (N, C) logits; target (N,) labels 0..C-1, or (N, C) rows that sum to one.
    Units   nats; a guess among C classes costs log C (2.303 for ten).
    Errors  ShapeError, DTypeError, ArgumentError for a target that does not fit.
    Source  Bridle 1990; label smoothing: Szegedy et al. 2016, section 7; class weights: King and Zeng 2001.

    Parameters
    ----------
    label_smoothing
        s in [0, 1).
    class_weights
        C numbers of at least 0, not all 0: how much a row of each class counts. None: all the same.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dy = nl.SoftmaxCrossEntropy()(np.zeros((1, 2)), np.array([0]))
    >>> round(value, 4), dy.tolist()
    (0.6931, [[-0.5, 0.5]])
    """

    class_weights: tuple[float, ...] | None = weights()

    def __init__(self, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None) -> None:
        super().__init__(label_smoothing)
        self.class_weights = class_weights  # type: ignore[assignment]  # the attribute makes a tuple of it

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return labels as intp, or a distribution as `dtype`; there must be a class weight for each output."""
        check_one_each(self.class_weights, n_outputs, where, "class_weights")
        return super().prepare(target, n_outputs, dtype, where)

    def example(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return logits and labels."""
        n_classes = len(self.class_weights or range(4))
        return rng.uniform(0.1, 0.9, size=(5, n_classes)), rng.integers(n_classes, size=5)

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        kernels.softmax_cross_entropy(y, self._distribution(y, target), losses, dy)
        if self._class_weights is None:
            return weight
        check_one_each(self.class_weights, y.shape[1], type(self).__name__, "class_weights")
        each = np.asarray(self.class_weights)
        own = each[target] if target.ndim == 1 else target @ each
        return own if weight is None else own * weight

    def probabilities(self, y: Array) -> Array:
        """Return softmax(y)."""
        return softmax(y)


class CrossEntropy(ClassificationLoss):
    """Cross-entropy of probabilities, as in the textbook: for a network that ends in `Softmax`.

        L = -1/N sum_n sum_c q_nc log p_nc,  dL/dp = -q / (p N)          (1)

    p is kept above the smallest normal number (1e-38 in float32), so the value is finite; where p of the true class
    has underflowed to zero, the gradient through the softmax is lost. `SoftmaxCrossEntropy` has no such limit.

    Shapes  p (N, C) with rows that sum to one; target (N,) labels 0..C-1, or (N, C) rows that sum to one.
    Units   nats.
    Errors  ShapeError, DTypeError, ArgumentError for a target that does not fit.
    Source  Good 1952.

    Parameters
    ----------
    label_smoothing
        In [0, 1), as in `SoftmaxCrossEntropy`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> value, dp = nl.CrossEntropy()(np.array([[0.5, 0.5]]), np.array([0]))
    >>> round(value, 4), dp.tolist()
    (0.6931, [[-2.0, -0.0]])
    """

    def check_outputs(self, y: Array, where: str) -> None:
        """Raise ArgumentError unless the rows of y are distributions."""
        check_distributions(y, y, where, "probabilities", f"Softmax({y.shape[1]})")

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        kernels.cross_entropy(y, self._distribution(y, target), losses, dy)
        return weight

    def probabilities(self, y: Array) -> Array:
        """Return y, which are probabilities already."""
        return y.copy()
