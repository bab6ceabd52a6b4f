"""What classifier and regressor share: from data and parameters to a numlp network, numlp's training, and back."""

import copy
import warnings
from contextlib import nullcontext
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from numlp import kernels
from numlp.callbacks import Callback
from numlp.errors import DivergenceError, DTypeError
from numlp.estimators import settings
from numlp.estimators.checked_data import validated
from numlp.estimators.conversion import from_sklearn, to_sklearn
from numlp.estimators.objective import Objective, RowOrder
from numlp.estimators.one_model import on_a_twin
from numlp.estimators.rules import FitTasks, KeepState, LBFGSRules, MaxTime, Rules, Scorer, Validation
from numlp.estimators.sklearn_callbacks import CallbackSupportMixin, with_callbacks
from numlp.estimators.weights import sample_weights, with_class_weights
from numlp.losses import Loss
from numlp.network import Network
from numlp.training import fit

Array = NDArray[Any]
Part = tuple[Array, Array, Array | None]  # x, targets as `_encode` gives them (n, n_outputs), weights

_DIVERGED = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


class DivergedError(DivergenceError, ValueError):
    """Training produced a number that is not finite: numlp's error, and the one scikit-learn raises."""


def takes_steps(estimator: Any) -> bool:
    """Return True if there is `partial_fit`, else raise AttributeError, as scikit-learn does."""
    if settings.is_lbfgs(estimator):
        raise AttributeError("partial_fit: solver must be one that takes a step at a time, got lbfgs")
    if settings.has_schedule(estimator):
        raise AttributeError(
            f"partial_fit: learning_rate must be one of {', '.join(settings.RATES)}, got {estimator.learning_rate!r} with "
            f"solver={estimator.solver!r}; a schedule must know how many steps there will be"
        )
    return True


def _dense(X: Any) -> Array:
    return X.toarray() if hasattr(X, "toarray") else X


class MultilayerPerceptron(CallbackSupportMixin, BaseEstimator):
    """A multilayer perceptron behind scikit-learn's words; the classifier or regressor says what the targets are.

    The network is `network_`; `coefs_` and `intercepts_` are its weights and biases, written in place. Arrays put in their
    stead are copied into the network when it is used next.
    """

    _best: Any = None  # weights of the best validation score, kept with early stopping

    @with_callbacks
    @on_a_twin
    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> Self:
        """Train; from the start, or with `warm_start` from where the last training ended.

        Parameters
        ----------
        X, y
            (n, n_features) array, data frame or sparse matrix (made dense); classes (n,), or 0 and 1
            (n, n_labels); numbers (n,) or (n, n_outputs).
        sample_weight
            (n,) at least 0, how much each row counts.
        eval_set
            (X, y) or (X, y, sample_weight): measured after each epoch, and with early_stopping used for it.
        """
        return self._fit(X, y, sample_weight, eval_set, incremental=False)

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Keep the constructor's arguments under their names, as scikit-learn wants it."""
        self.__dict__.update((name, value) for name, value in arguments.items() if name not in ("self", "__class__"))

    def _learn_targets(self, y: Array, incremental: bool) -> None:
        """Look at the targets before they are encoded."""

    def _encode(self, y: Array) -> Array:
        """Return the targets as (n, n_outputs_)."""
        raise NotImplementedError

    def _decode(self, y: Array) -> Array:
        """Undo `_encode`."""
        raise NotImplementedError

    def _find_loss(self) -> Loss:
        """Return the loss the parameters name."""
        raise NotImplementedError

    def _target(self, y: Array, loss: Loss) -> Array:
        """Return encoded targets as the loss wants them."""
        raise NotImplementedError

    def _n_out(self, loss: Loss) -> int:
        """Return how many outputs the network needs."""
        raise NotImplementedError

    def _default_score(self, outputs: Array, y: Array, weight: Array | None) -> float:
        """Return the score of the network's outputs for encoded targets."""
        raise NotImplementedError

    def _check(self, X: Any, y: Any, reset: bool) -> tuple[Array, Array]:
        """Return X, dense and of a floating point type, and y, checked by scikit-learn."""
        X, y = validated(
            self,
            X,
            y,
            accept_sparse=("csr", "csc"),
            multi_output=True,
            y_numeric=isinstance(self, RegressorMixin),
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        return _dense(X), y

    def _fit(self, X: Any, y: Any, sample_weight: Any, eval_set: Any, incremental: bool) -> Self:
        """Train, from the start or from where the last training ended; `incremental`: one epoch."""
        settings.check_settings(self)
        if incremental and self.early_stopping and eval_set is None:
            raise ValueError("partial_fit does not support early_stopping=True without an eval_set")
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        x, labels = self._check(X, y, reset=first)
        self._learn_targets(labels, incremental)
        encoded = self._encode(labels)
        weight = sample_weights(sample_weight, len(x), type(self).__name__)
        self.n_outputs_ = encoded.shape[1]
        self._random_state = check_random_state(self.random_state)
        if first:
            self._begin(x, self._random_state)
        self._network()
        train, validation = self._parts((x, encoded, weight), eval_set)
        tasks = [] if incremental else self._tasks({"X": X, "y": y})
        self._train(train, validation, tasks, incremental)
        return self

    def _begin(self, x: Array, random: np.random.RandomState) -> None:
        """Build the network and open the books."""
        self._build(x.shape[1], np.float64 if settings.is_lbfgs(self) else x.dtype, random)
        self._open_books()
        self._best = self.network_.snapshot() if self.early_stopping else None

    def _open_books(self) -> None:
        """Forget earlier trainings."""
        self.__dict__.pop("_optimizer", None)
        self.n_iter_, self.t_, self._no_improvement_count = 0, 0, 0
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = None if self.early_stopping else np.inf
        self.validation_scores_: list[float] | None = None
        self.best_validation_score_: float | None = None
        self.validation_loss_curve_: list[float] = []

    def _build(self, n_in: int, dtype: Any, random: np.random.RandomState) -> None:
        """Build the network, and show its weights."""
        loss = self._find_loss()
        self.network_ = settings.build_network(self, n_in, self._n_out(loss), loss, dtype, random)
        self.n_layers_ = len(settings.hidden_widths(self)) + 2
        self.out_activation_ = settings.link_of(loss)
        self._show_weights()

    def _show_weights(self) -> None:
        layers = settings.dense_layers(self.network_)
        self.coefs_, self.intercepts_ = [layer.W for layer in layers], [layer.b for layer in layers]

    def _network(self) -> Network:
        """Return the network, with the numbers of `coefs_` and `intercepts_` if they are not its own any more."""
        if not hasattr(self, "network_"):  # somebody has set coefs_ by hand
            coefs, intercepts = self.coefs_, self.intercepts_
            self._build(len(coefs[0]), np.asarray(coefs[0]).dtype, np.random.RandomState(0))
            self.coefs_, self.intercepts_ = coefs, intercepts
        layers = settings.dense_layers(self.network_)
        for layer, W, b in zip(layers, self.coefs_, self.intercepts_, strict=True):
            if W is not layer.W or b is not layer.b:
                layer.W[...], layer.b[...] = W, b
                self._show_weights()
        return self.network_

    def _parts(self, whole: Part, eval_set: Any) -> tuple[Part, Part | None]:
        """Return training and validation data: the eval_set, or with early stopping a share of the rows."""
        if eval_set is not None:
            where = type(self).__name__
            if not (isinstance(eval_set, tuple | list) and len(eval_set) in (2, 3)):
                kind = type(eval_set).__name__
                raise DTypeError(f"{where}: eval_set must be (X, y) or (X, y, sample_weight), got {kind}")
            x, labels = self._check(eval_set[0], eval_set[1], reset=False)
            weight = sample_weights(eval_set[2] if len(eval_set) == 3 else None, len(x), f"{where}: eval_set")
            return whole, (x, self._encode(labels), weight)
        if not self.early_stopping or settings.is_lbfgs(self):
            return whole, None
        x, encoded, weight = whole
        # as scikit-learn: for two classes the shares are kept, for more they are not
        stratify = encoded if encoded.dtype == bool and self.n_outputs_ == 1 else None
        arrays = [array for array in (x, encoded, weight) if array is not None]
        split = train_test_split(
            *arrays, random_state=self._random_state, test_size=self.validation_fraction, stratify=stratify
        )
        train, validation = (*split[0::2], None)[:3], (*split[1::2], None)[:3]
        if len(validation[0]) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        return train, validation

    def _train(self, train: Part, validation: Part | None, tasks: list[Callback], incremental: bool) -> None:
        """Let numlp train the network, with callbacks that keep scikit-learn's books."""
        network, lbfgs, (x, encoded, weight) = self.network_, settings.is_lbfgs(self), train
        loss = network.loss = self._find_loss()
        scale = settings.printed_share(loss, self.n_outputs_)
        objective = Objective(loss, network, self.alpha, scale, self.loss == "poisson")
        if self.class_weight is not None:
            weight = with_class_weights(self.class_weight, self._decode(encoded), weight)
        self.stopped_early_ = False
        listeners = self._listeners(objective, validation, len(x), incremental) + tasks
        own, network.rng = network.rng, RowOrder(network.rng.bit_generator, self._random_state, self.shuffle)
        try:
            fit(
                network,
                (x, self._target(encoded, loss)) if weight is None else (x, self._target(encoded, loss), weight),
                loss=objective,
                optimizer=self._optimizer,
                epochs=1 if incremental else self.max_iter,
                batch_size=None if lbfgs else self._rows_a_step(len(x)),
                callbacks=listeners,
                progress=False,
                n_threads=self.n_threads,
            )
        except DivergenceError as error:
            self._diverged(error, len(x))
        finally:
            network.rng, network.loss, network.l2 = own, loss, 0.0
        if lbfgs:
            self.__dict__.pop("_optimizer", None)  # nothing can go on from it

    def _listeners(self, objective: Objective, validation: Part | None, n_rows: int, incremental: bool) -> list[Callback]:
        """Return the callbacks in the order in which they must hear of an epoch, and have the optimizer ready."""
        listeners: list[Callback] = []
        if incremental and hasattr(self, "_optimizer"):
            listeners.append(KeepState())
        else:
            self._optimizer = settings.build_optimizer(self)
        self.n_iter_ = 0
        if validation is not None:
            listeners.append(self._validation(objective, validation, incremental))
        if settings.is_lbfgs(self):
            listeners.append(LBFGSRules(self, objective))
        else:
            listeners.append(Rules(self, objective.loss, n_rows, incremental))
        listeners += self.callbacks or ()
        return listeners if self.max_time is None else [*listeners, MaxTime(self.max_time)]

    def _validation(self, objective: Objective, part: Part, incremental: bool) -> Validation:
        """Return the callback that measures the validation data after each epoch."""
        (x, encoded, weight), loss = part, copy.deepcopy(objective.loss)
        if self.validation_scores_ is None:
            self.validation_scores_, self.best_validation_score_ = [], -np.inf
        target = loss.prepare(self._target(encoded, loss), self.network_.n_out, self.network_.dtype, "eval_set")
        unpenalized = Objective(loss, self.network_, 0.0, objective.scale, objective.deviance)
        return Validation(self, unpenalized, (x, target, weight), self._scorer(x, encoded, weight), incremental)

    def _scorer(self, x: Array, encoded: Array, weight: Array | None) -> Scorer:
        """Return what scores the validation rows: the estimator's own score, minus the loss, or any of scikit-learn's."""
        if self.scoring is None:
            return lambda outputs, loss: self._default_score(outputs, encoded, weight)
        if self.scoring == "loss":
            return lambda outputs, loss: -loss
        scorer, y = check_scoring(self, self.scoring), self._decode(encoded)
        view = copy.copy(self)  # knows no names of columns, and x has none
        view.__dict__.pop("feature_names_in_", None)
        options = {} if weight is None else {"sample_weight": weight}
        return lambda outputs, loss: scorer(view, x, y, **options)

    def _tasks(self, data: dict[str, Any]) -> list[Callback]:
        """Return the callback that tells scikit-learn's callbacks, if there are any."""
        if not (hasattr(self, "_skl_callbacks") or hasattr(self, "_parent_callback_ctx")):
            return []
        tasks = self._init_callback_context(max_subtasks=self.max_iter)
        return [FitTasks(self, tasks, data, self._fitted_copy)]

    def _fitted_copy(self) -> dict[str, Any]:
        """Return what a copy of this estimator needs to predict as it would now, whatever training does next."""
        twin = copy.copy(self)
        twin.network_ = copy.deepcopy(self.network_)
        twin._show_weights()
        return {name: getattr(twin, name) for name in ("network_", "coefs_", "intercepts_")}

    def _rows_a_step(self, n: int) -> int:
        """Return the batch size for n rows."""
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=7)
        return min(self.batch_size, n)

    def _diverged(self, error: DivergenceError, n_rows: int) -> None:
        """Raise, or with early stopping, which has weights to go back to, take down an epoch of NaN and warn."""
        self.__dict__.pop("_optimizer", None)
        if self._best is None:
            raise DivergedError(f"{_DIVERGED} {error}") from error
        self.n_iter_, self.t_, self.loss_ = self.n_iter_ + 1, self.t_ + n_rows, np.nan
        self.loss_curve_.append(np.nan)
        self.validation_loss_curve_.append(np.nan)
        self.validation_scores_ = [*(self.validation_scores_ or ()), np.nan]
        self.network_.restore(self._best)
        warnings.warn(f"Training diverged; the best weights are restored. {error}", ConvergenceWarning, stacklevel=7)

    def _outputs(self, X: Any) -> Array:
        """Return the network's outputs for X, a copy."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)  # slow for one row
        x = _dense(validated(self, X, accept_sparse=("csr", "csc"), reset=False))
        with nullcontext() if self.n_threads is None else kernels.threads(1, self.n_threads):
            return self._network().outputs(x, progress=False)

    def _own_loss(self) -> Loss | None:
        """Return the loss of the network: within `fit`, what its objective is made of."""
        loss = self.network_.loss
        return loss.loss if isinstance(loss, Objective) else loss

    @classmethod
    def from_sklearn(cls, model: Any) -> Self:
        """Return a fitted estimator with the parameters, weights and predictions of scikit-learn's fitted `model`.

        Errors  DTypeError for another kind of model; scikit-learn's NotFittedError.
        """
        return from_sklearn(cls, model)

    def to_sklearn(self) -> Any:
        """Return scikit-learn's estimator with the weights and predictions of this one.

        A solver or schedule that scikit-learn has not becomes its default.

        Errors  ArgumentError for a batch norm, loss or activations that scikit-learn has not; its NotFittedError.
        """
        return to_sklearn(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what shows or guards the network: it is rebuilt."""
        state: dict[str, Any] = super().__getstate__()
        if "network_" not in state:
            return state
        self._network()
        return {name: value for name, value in state.items() if name not in ("coefs_", "intercepts_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({name: value for name, value in state.items() if name != "_lock"})
        if hasattr(self, "network_"):
            self._show_weights()
