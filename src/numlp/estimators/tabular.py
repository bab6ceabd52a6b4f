"""Tables in, predictions out: TabularClassifier and TabularRegressor."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from numlp.callbacks import History
from numlp.data.columns import Columns, Table
from numlp.errors import ArgumentError, check_choice, check_count, check_number, check_same_length, check_weight
from numlp.estimators import realmlp
from numlp.losses import Loss, SoftmaxCrossEntropy, SquaredError
from numlp.network import Network
from numlp.training import fit

Array = NDArray[Any]

EFFORTS = {"fast": 17, "default": 256, "best": 256}  # epochs
FOLDS = 5  # members of effort="best"


class _Tabular(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators do: columns to a matrix, a split, networks trained on it, their mean."""

    plan: realmlp.Plan
    monitor: str

    def __init__(
        self,
        effort: str = "default",
        *,
        categorical: Sequence[str | int] | None = None,
        hidden_layer_sizes: Sequence[int] = (256, 256, 256),
        learning_rate: float | None = None,
        epochs: int | None = None,
        batch_size: int = 256,
        validation_fraction: float = 0.2,
        random_state: Any = None,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> None:
        self.effort = effort
        self.categorical = categorical
        self.hidden_layer_sizes = hidden_layer_sizes
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_threads = n_threads
        self.progress = progress

    def _fit(self, X: Any, y: Array, n_out: int, sample_weight: Any) -> None:
        where = f"{type(self).__name__}.fit"
        check_choice(self.effort, EFFORTS, where, "effort")
        table = Table(X, where)
        check_same_length(np.empty((table.shape[0], 1)), y, where)
        weight = None if sample_weight is None else check_weight(sample_weight, len(y), where)
        self._rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        self.n_features_in_ = table.shape[1]
        if table.names is not None:
            self.feature_names_in_ = np.array(table.names, object)
        folds = self._folds(len(y), where)
        self.columns_ = Columns.fit(table, np.concatenate(folds[1:]), self.categorical)
        matrix = self.columns_.matrix(table, where, np.concatenate(folds))
        order = np.concatenate(folds)
        y, weight = y[order], None if weight is None else weight[order]
        self._train_one(matrix, y, weight, len(folds[0]), n_out)

    def _folds(self, n: int, where: str) -> list[Array]:
        """Return the rows of the validation part and those of the training part, in random order."""
        share = check_number(self.validation_fraction, where, "validation_fraction", above=0, below=1)
        if n < 2:
            raise ArgumentError(f"{where}: X must have at least 2 rows, one to train and one to validate, got {n}")
        order = self._rng.permutation(n)
        held = min(max(1, round(share * n)), n - 1)
        return [order[:held], order[held:]]

    def _train_one(self, x: Array, y: Array, weight: Array | None, held: int, n_out: int) -> None:
        columns, n = self.columns_, len(x) - held
        network = realmlp.build(
            columns.width, columns.n_numbers, columns.coded, n_out, self.hidden_layer_sizes, self.plan, self._loss(y[held:]),
            self._rng,
        )  # fmt: skip
        realmlp.start(network, x[held:])
        steps = max(1, n // check_count(self.batch_size, "fit", "batch_size"))
        data = [part if weight is None else (*part, weight[rows]) for rows, part in (
            (slice(held, None), (x[held:], self._target(y[held:]))), (slice(held), (x[:held], self._target(y[:held])))
        )]  # fmt: skip
        self.history_: History = fit(
            network,
            data[0],
            validation=data[1],
            optimizer=realmlp.optimizer(network, self.learning_rate or self.plan.peak),
            epochs=self.epochs or EFFORTS[self.effort],
            batch_size=-(-n // steps),  # a little more than asked for, rather than a last batch of a few rows
            callbacks=[realmlp.Recipe(self.monitor)],
            progress=self.progress,
            n_threads=self.n_threads,
        )
        self.network_: Network = network
        self._calibrate(network.outputs(x[:held], progress=False), y[:held])

    def _outputs(self, X: Any, where: str) -> Array:
        check_is_fitted(self, "network_")
        where = f"{type(self).__name__}.{where}"
        return self.network_.outputs(self.columns_.matrix(Table(X, where), where), progress=False).astype(np.float64)

    def _loss(self, y: Array) -> Loss:
        raise NotImplementedError

    def _target(self, y: Array) -> Array:
        raise NotImplementedError

    def _calibrate(self, outputs: Array, y: Array) -> None:
        raise NotImplementedError


class TabularClassifier(ClassifierMixin, _Tabular):  # type: ignore[misc]
    """Classes from tables."""

    plan = realmlp.CLASSIFICATION
    monitor = "validation_accuracy"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit."""
        self.classes_, labels = np.unique(np.asarray(y), return_inverse=True)
        self._fit(X, labels, len(self.classes_), sample_weight)
        return self

    def _loss(self, y: Array) -> Loss:
        return SoftmaxCrossEntropy(0.1)

    def _target(self, y: Array) -> Array:
        return y

    def _calibrate(self, outputs: Array, y: Array) -> None:
        self.temperature_ = 1.0

    def predict(self, X: Any) -> Array:
        """Predict."""
        return self.classes_[self._outputs(X, "predict").argmax(axis=1)]


class TabularRegressor(RegressorMixin, _Tabular):  # type: ignore[misc]
    """Numbers from tables."""

    plan = realmlp.REGRESSION
    monitor = "validation_loss"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit."""
        y = np.asarray(y, np.float64)
        self._fit(X, y, 1 if y.ndim == 1 else y.shape[1], sample_weight)
        return self

    def _loss(self, y: Array) -> Loss:
        self._mean, self._std = y.mean(axis=0), y.std(axis=0)
        self._low, self._high = y.min(axis=0), y.max(axis=0)
        return SquaredError()

    def _target(self, y: Array) -> Array:
        return (y - self._mean) / self._std

    def _calibrate(self, outputs: Array, y: Array) -> None:
        pass

    def predict(self, X: Any) -> Array:
        """Predict."""
        y = self._outputs(X, "predict")
        return np.clip(y * self._std + self._mean, self._low, self._high)[:, 0]
