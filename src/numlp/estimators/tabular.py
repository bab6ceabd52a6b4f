"""Tables in, predictions out: TabularClassifier and TabularRegressor."""

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import compute_class_weight

from numlp.data.value_texts import places_of
from numlp.errors import ArgumentError
from numlp.estimators import realmlp
from numlp.estimators.calibration import log_mean_softmax, temperature
from numlp.estimators.members import Members
from numlp.estimators.one_model import of_one_model, on_a_twin
from numlp.estimators.table_model import TableModel
from numlp.estimators.targets import array_of_classes, classes_of, numbers_of
from numlp.estimators.weights import sample_weights
from numlp.losses import Loss, SoftmaxCrossEntropy, SquaredError
from numlp.network import Network

Array = NDArray[Any]
_LEAST = math.log(1e-12)  # the logarithm of a probability that is still to be reckoned with


class TabularClassifier(ClassifierMixin, TableModel):
    """Classes from a table of numbers, categories and dates, with gaps: RealMLP with its tuned defaults.

    The columns are prepared as `numlp.data.columns.Columns` says, fitted to the rows that are trained on; what was fitted is
    part of the saved model. A fifth of the rows is held out. The rate of training goes up and down in four waves: of each,
    the epoch with the best accuracy on the held out rows is kept, and the prediction is the mean of the last ones, as many
    as are best together on these rows. They also calibrate the probabilities (one temperature, worked into the last layer);
    a quarter of them is kept from all this, for the prediction sets.

    Errors  ShapeError, DTypeError, ArgumentError about X, y or a setting.
    Source  Holzmüller, Grinsztajn, Steinwart 2024 (RealMLP); Huang, Li, Pleiss et al. 2017 (mean of the waves); Guo, Pleiss,
        Sun, Weinberger 2017 (temperature); Sadinle, Lei, Wasserman 2019 (prediction sets).

    Parameters
    ----------
    effort
        "fast": 25 epochs instead of 256, more for a small table; "best": the mean of nine wide networks, each with another
        ninth held out, for classes, all with waves, or all with straight lines between quantiles where these are clearly
        better on the first ninth; for numbers of five pairs, each with another fifth held out, one with waves and one with
        such lines. The columns are then fitted to all rows.
    categorical
        Names or indices of columns of numbers or dates that are categories, or a truth value for each column; text and
        truth values always are.
    hidden_layer_sizes
        The width of each hidden layer, or of the only one; None takes 256, 256, 256, and 512, 512, 512 for classes with
        effort="best".
    learning_rate
        The peak of its schedule; None takes the recipe's 0.04 (0.2 for regression).
    epochs
        None takes those of `effort`.
    batch_size
        Rows a step, about.
    validation_fraction
        The share of rows held out; "best" holds out parts of its own.
    class_weight
        "balanced", or {class: weight}: how much a row of each class counts, in training and in the choice of the epoch. The
        probabilities are then those of such a balance.
    random_state
        Seed of the split, the weights and the order of the rows.
    n_threads, progress
        As in `numlp.fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from numlp.estimators import TabularClassifier
    >>> X = np.array([[1.5, "red"], [None, "blue"], [0.5, None], [2.5, "red"]] * 25, dtype=object)
    >>> y = np.array(["a", "b", "b", "a"] * 25)
    >>> model = TabularClassifier("fast", random_state=0).fit(X, y)
    >>> model.predict([[2.0, "red"], [0.0, "green"]]).tolist()
    ['a', 'b']
    """

    _plan = realmlp.CLASSIFICATION
    _monitor = "validation_accuracy"

    def __init__(
        self,
        effort: str = "default",
        *,
        categorical: str | int | Sequence[Any] | None = None,
        hidden_layer_sizes: int | Sequence[int] | None = None,
        learning_rate: float | None = None,
        epochs: int | None = None,
        batch_size: int = 256,
        validation_fraction: float = 0.2,
        class_weight: Any = None,
        random_state: Any = None,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(
            effort,
            categorical=categorical,
            hidden_layer_sizes=hidden_layer_sizes,
            learning_rate=learning_rate,
            epochs=epochs,
            batch_size=batch_size,
            validation_fraction=validation_fraction,
            random_state=random_state,
            n_threads=n_threads,
            progress=progress,
        )
        self.class_weight = class_weight

    @on_a_twin
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to a table X (n, columns), classes y (n,) of any kind, and weights (n,) of the rows.

        A row of weight 0 counts for nothing. Whole numbers that add up to at most four times the rows are counts: a row of
        weight 3 is three rows, of which some may be held out. Other weights multiply the loss of a row.
        """
        where = "TabularClassifier.fit"
        table = self._table(X, where, reset=True)
        y = classes_of(y, table.shape[0], where)
        rows, weight = self._rows(table, y, sample_weights(sample_weight, len(y), where), where)
        y = y[rows]
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ArgumentError(f"{where}: y must have at least 2 classes, got 1 class, {self.classes_.tolist()}")
        if self.class_weight is not None:
            own = compute_class_weight(self.class_weight, classes=self.classes_, y=y)[labels]
            weight = own if weight is None else weight * own
        self._fit(table, rows, labels, len(self.classes_), weight, labels)
        return self

    @of_one_model
    def predict_proba(self, X: Any) -> Array:
        """Return the calibrated probability of each class of `classes_`, (n, classes)."""
        return self._probabilities(self._matrix(X, "TabularClassifier.predict_proba"))

    @of_one_model
    def predict(self, X: Any) -> Array:
        """Return the likeliest class of each row, (n,)."""
        p = self._probabilities(self._matrix(X, "TabularClassifier.predict"))
        return self.classes_[p.argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the rows of a table, with their weights; 1 and true, or 1.0, may be the same class."""
        matrix = self._matrix(X, "TabularClassifier.score")
        return self._score(matrix, self._targets(y, len(matrix), "TabularClassifier.score"), sample_weight)

    @of_one_model
    def predict_set(self, X: Any, coverage: float = 0.9) -> Array:
        """Return for each row the classes that may well be true, as truth values (n, classes).

            {c : 1 - p_c <= s},  s the k-th smallest 1 - p_true of m held out rows,  k = ceil((m + 1) coverage)

        Of new rows of the same kind, at least this share has its true class in its set. The m rows are a quarter of those
        held out, and had no say in the choice of the epochs. A set may be empty where no class is likely.
        """
        p = self._probabilities(self._matrix(X, "TabularClassifier.predict_set"))
        return 1 - p <= self.scores_.quantile(coverage, "TabularClassifier.predict_set")

    def _probabilities(self, matrix: Array) -> Array:
        return mean_softmax(self.members_, matrix)

    def _targets(self, y: Any, n: int, where: str) -> Array:
        return places_of(classes_of(y, n, where), self.classes_)

    def _score(self, matrix: Array, y: Array, weight: Any) -> float:
        return float(np.average(self._probabilities(matrix).argmax(axis=1) == y, weights=weight))

    def _new_loss(self) -> Loss:
        return SoftmaxCrossEntropy(0.1)

    def _calibrate(self, members: Members, x: Array, y: Array, weight: Array | None) -> Array:
        logits = np.array(list(members.outputs(x)), np.float64)
        found = [(temperature(logits[chosen], y, weight), chosen) for chosen in members.endings()]
        (best, _), chosen = min(found, key=lambda each: each[0][1])
        members.keep(chosen)
        members.scale_outputs(1 / best)
        log_p = log_mean_softmax(logits[chosen], 1 / best)[np.arange(len(y)), y]
        losses: Array = -np.maximum(log_p, _LEAST)
        return losses if weight is None else weight * losses

    def _judge(self, members: Members, x: Array, y: Array) -> Array:
        return 1 - mean_softmax(members, x)[np.arange(len(y)), y]

    def _target_config(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist()}

    def _take_target(self, config: dict[str, Any], n_out: int) -> None:
        classes = config["classes"]
        if (
            not isinstance(classes, list)
            or len(classes) != n_out
            or not all(isinstance(c, str | int | float) for c in classes)
        ):
            raise ValueError(repr(classes))
        self.classes_ = array_of_classes(classes)


class TabularRegressor(RegressorMixin, TableModel):
    """Numbers from a table of numbers, categories and dates, with gaps: RealMLP with its tuned defaults.

    As `TabularClassifier`; the target is standardized, the epochs with the smallest squared error on the held out rows are
    kept, and predictions stay within the range of the target in training.

    Parameters
    ----------
    effort, categorical, hidden_layer_sizes, learning_rate, epochs, batch_size, validation_fraction, random_state
        As in `TabularClassifier`.
    n_threads, progress
        As in `numlp.fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from numlp.estimators import TabularRegressor
    >>> X = np.linspace(0, 1, 200)[:, None]
    >>> model = TabularRegressor("fast", random_state=0).fit(X, 3 * X[:, 0])
    >>> model.score(X, 3 * X[:, 0]) > 0.9
    True
    """

    _plan = realmlp.REGRESSION
    _monitor = "validation_loss"

    @on_a_twin
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to a table X (n, columns), numbers y (n,) or (n, outputs), and weights (n,) of the rows.

        A row of weight 0 counts for nothing. Whole numbers that add up to at most four times the rows are counts: a row of
        weight 3 is three rows, of which some may be held out. Other weights multiply the loss of a row.
        """
        where = "TabularRegressor.fit"
        table = self._table(X, where, reset=True)
        y = numbers_of(y, table.shape[0], where)
        rows, weight = self._rows(table, y, sample_weights(sample_weight, len(y), where), where)
        columns = y[rows].reshape(len(rows), -1)
        self._flat = y.ndim == 1
        self._center, std = columns.mean(axis=0), columns.std(axis=0)
        self._range = columns.min(axis=0), columns.max(axis=0)
        self._unit = np.where(std > 0, std, 1.0)
        self._squares: list[Array] = []
        self._fit(table, rows, (columns - self._center) / self._unit, columns.shape[1], weight)
        self._error = self._unit * np.sqrt(np.mean(self._squares, axis=0))
        return self

    @of_one_model
    def predict(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:
        """Return the numbers, (n,) or (n, outputs); with `return_std`, also how far off they may be, one standard deviation.

        That is the root of the mean squared error on held out rows, to whose square the variance between the members is
        added.
        """
        matrix = self._matrix(X, "TabularRegressor.predict")
        y, spread = self._predict(matrix)
        if not return_std:
            return y[:, 0] if self._flat else y
        std = np.sqrt(self._error**2 + spread)
        return (y[:, 0], std[:, 0]) if self._flat else (y, std)

    @of_one_model
    def predict_interval(self, X: Any, coverage: float = 0.9) -> Array:
        """Return an interval for each number, (n, 2) or (n, outputs, 2).

            y +- u r,  r the k-th smallest max_c |y_c - t_c| / u_c of m held out rows, k = ceil((m + 1) coverage)

        u is the target's standard deviation. Of new rows of the same kind, at least this share lies in its intervals, in all
        outputs at once. The m rows are a quarter of those held out, and had no say in the choice of the epochs.
        """
        matrix = self._matrix(X, "TabularRegressor.predict_interval")
        reach = self._unit * self.scores_.quantile(coverage, "TabularRegressor.predict_interval")
        y = self._predict(matrix)[0]
        interval = np.stack([y - reach, y + reach], axis=-1)
        return interval[:, 0] if self._flat else interval

    def _predict(self, matrix: Array) -> tuple[Array, Array]:
        """Return the numbers in the target's unit, and the variance between the members."""
        mean, square = np.zeros((2, len(matrix), len(self._unit)))
        for k, outputs in enumerate(self.members_.outputs(matrix), start=1):
            off = outputs - mean
            mean += off / k
            square += off * (outputs - mean)
        return np.clip(mean * self._unit + self._center, *self._range), square / len(self.members_) * self._unit**2

    def _targets(self, y: Any, n: int, where: str) -> Array:
        return numbers_of(y, n, where)

    def _score(self, matrix: Array, y: Array, weight: Any) -> float:
        return float(r2_score(y, self._predict(matrix)[0].reshape(y.shape), sample_weight=weight))

    def _new_loss(self) -> Loss:
        return SquaredError()

    def _calibrate(self, members: Members, x: Array, y: Array, weight: Array | None) -> Array:
        outputs = np.array(list(members.outputs(x)), np.float64)

        def losses(chosen: Sequence[int]) -> Array:
            squares = ((outputs[chosen].mean(axis=0) - y) ** 2).sum(axis=1)
            return squares if weight is None else weight * squares

        best = min(members.endings(), key=lambda chosen: float(losses(chosen).sum()))
        members.keep(best)
        return losses(best)

    def _judge(self, members: Members, x: Array, y: Array) -> Array:
        off = np.mean([outputs.astype(np.float64) for outputs in members.outputs(x)], axis=0) - y
        self._squares.append(np.mean(off**2, axis=0))
        return np.abs(off).max(axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _target_config(self) -> dict[str, Any]:
        numbers = {"center": self._center, "unit": self._unit, "low": self._range[0], "high": self._range[1]}
        numbers["error"] = self._error
        return {"flat": self._flat} | {name: array.tolist() for name, array in numbers.items()}

    def _take_target(self, config: dict[str, Any], n_out: int) -> None:
        names = ("center", "unit", "low", "high", "error")
        arrays = [np.array(config[name], np.float64) for name in names]
        if any(array.shape != (n_out,) or not np.isfinite(array).all() for array in arrays) or (
            n_out > 1 and config["flat"]
        ):
            raise ValueError("numbers that do not fit the outputs")
        self._center, self._unit, low, high, self._error = arrays
        self._range, self._flat = (low, high), bool(config["flat"])


def from_network(network: Network, where: str) -> TabularClassifier | TabularRegressor:
    """Return the classifier or the regressor that a network from a model file belongs to.

    Errors  CheckpointError, whose message begins with `where`, if it belongs to neither.
    """
    table = network.extra.get("table")
    kind = table.get("estimator") if isinstance(table, dict) else None
    return (TabularRegressor if kind == "TabularRegressor" else TabularClassifier).from_network(network, where)


def mean_softmax(members: Members, x: Array) -> Array:
    """Return the mean of the members' probabilities, (n, classes)."""
    p: Array = sum(softmax(outputs.astype(np.float64), axis=1) for outputs in members.outputs(x))
    return p / len(members)
