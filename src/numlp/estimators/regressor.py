"""MLPRegressor: scikit-learn's estimator of the same name, trained by numlp."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from numlp.callbacks import Callback
from numlp.errors import ArgumentError, OutputError
from numlp.estimators import settings
from numlp.estimators.mlp import MultilayerPerceptron, takes_steps
from numlp.estimators.one_model import of_one_model, on_a_twin
from numlp.losses import GaussianNLL, Loss, Pinball, Poisson, SquaredError
from numlp.optimizers import Optimizer
from numlp.schedules import Schedule

Array = NDArray[Any]


class MLPRegressor(RegressorMixin, MultilayerPerceptron):
    """Multilayer perceptron for numbers: scikit-learn's `MLPRegressor`, and what numlp has besides.

    It makes half the squared error small, plus alpha / (2 n) sum w^2 for batches of n rows. With the same parameters and
    `random_state`, training takes the steps scikit-learn's takes, up to rounding. Numbers stay float32 or float64 as X is;
    L-BFGS computes in float64.

    Parameters
    ----------
    loss
        squared_error, poisson; the name of a loss of numlp, such as "Huber"; or a loss, which is copied: `Pinball` learns
        quantiles, `GaussianNLL` mean and spread.
    hidden_layer_sizes, alpha, batch_size, learning_rate_init, power_t, max_iter, shuffle, random_state, tol, verbose
        As in scikit-learn.
    warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon
        As in scikit-learn.
    n_iter_no_change, max_fun
        As in scikit-learn.
    activation, solver, learning_rate, dropout, batch_norm, n_layers, width, callbacks, max_time, n_threads
        As in `MLPClassifier`.
    scoring
        What is measured on the validation rows: None, R2; "loss", minus the loss; or as scikit-learn's scorers.

    Attributes
    ----------
    coefs_, intercepts_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, t_, n_iter_
        As in scikit-learn.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.
    network_, validation_loss_curve_, stopped_early_
        As in `MLPClassifier`.

    Errors  as `MLPClassifier`.

    Examples
    --------
    >>> from numlp.estimators import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(100, 5, random_state=0)
    >>> model = MLPRegressor(width=20, learning_rate_init=0.05, tol=0.1, max_iter=2000, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.99
    True
    """

    class_weight = None

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str | Schedule = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float | Sequence[float] = 0.0,
        batch_norm: bool = False,
        n_layers: int | None = None,
        width: int | None = None,
        scoring: Any = None,
        callbacks: Sequence[Callback] | None = None,
        max_time: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        self._keep(locals())

    @available_if(takes_steps)
    @on_a_twin
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> Self:
        """Train one epoch more on these rows; as `MLPClassifier.partial_fit`."""
        return self._fit(X, y, sample_weight, eval_set, incremental=True)

    @of_one_model
    def predict(self, X: Any) -> Array:
        """Return the number of each row (n,), or the numbers (n, n_outputs).

        After `Poisson`, `Gamma` and `Tweedie` it is the mean exp(output); after `GaussianNLL` the mean; after `Pinball` the
        quantile that is nearest to the median.
        """
        numbers = self._numbers(self._outputs(X))
        return self._finite(numbers, "predict") if self.out_activation_ == "exp" else numbers

    @of_one_model
    def predict_quantiles(self, X: Any, quantiles: Sequence[float] | None = None) -> Array:
        """Return quantiles of each row (n, n_quantiles), none smaller than the one before.

        After `Pinball` those it has learnt; where two have crossed, they are sorted (Chernozhukov, Fernandez-Val, Galichon
        2010). After `GaussianNLL` of one number, those asked for, m + exp(s / 2) Phi^-1(tau).

        Errors  ArgumentError after another loss, or for quantiles that `Pinball` has not learnt.
        """
        outputs, loss, where = self._outputs(X), self._own_loss(), "MLPRegressor.predict_quantiles"
        if isinstance(loss, Pinball):
            if quantiles is not None and tuple(quantiles) != loss.quantiles:
                raise ArgumentError(f"{where}: quantiles must be those of the loss, {loss.quantiles}, got {quantiles}")
            return np.sort(outputs, axis=1)
        if not (isinstance(loss, GaussianNLL) and self.n_outputs_ == 1):
            raise ArgumentError(f"{where}: loss must be Pinball, or GaussianNLL of one number, got {type(loss).__name__}")
        normal = NormalDist()
        z = np.array([normal.inv_cdf(tau) for tau in sorted(quantiles or (0.1, 0.5, 0.9))], outputs.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._finite(outputs[:, :1] + np.exp(outputs[:, 1:] / 2) * z, "predict_quantiles")

    def _finite(self, predictions: Array, method: str) -> Array:
        """Return the predictions, or raise OutputError if one is beyond the numbers there are."""
        rows = np.flatnonzero(~np.isfinite(predictions).reshape(len(predictions), -1).all(axis=1))
        if len(rows):
            raise OutputError(
                f"MLPRegressor.{method}: predictions must be finite numbers, got {predictions[rows[0]]} in row "
                f"{rows[0]} of X; scale X"
            )
        return predictions

    def _numbers(self, outputs: Array) -> Array:
        """Return predictions from the outputs of the network."""
        loss = self._own_loss()
        if isinstance(loss, Pinball):
            nearest = int(np.abs(np.array(loss.quantiles) - 0.5).argmin())
            outputs = outputs[:, nearest : nearest + 1]
        elif isinstance(loss, GaussianNLL):
            outputs = outputs[:, : self.n_outputs_]
        if self.out_activation_ == "exp":
            with np.errstate(over="ignore"):
                outputs = np.exp(outputs)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _encode(self, y: Array) -> Array:
        return np.asarray(y, np.float64).reshape(len(y), -1)

    def _decode(self, y: Array) -> Array:
        return y[:, 0] if y.shape[1] == 1 else y

    def _find_loss(self) -> Loss:
        return settings.find_loss(self.loss, {"squared_error": SquaredError, "poisson": Poisson}, False, "MLPRegressor")

    def _target(self, y: Array, loss: Loss) -> Array:
        return y

    def _n_out(self, loss: Loss) -> int:
        return settings.n_network_outputs(loss, self.n_outputs_)

    def _default_score(self, outputs: Array, y: Array, weight: Array | None) -> float:
        """Return R2; NaN where predictions are not finite."""
        predictions = self._numbers(outputs)
        if not np.isfinite(predictions).all():
            return np.nan
        return float(r2_score(y, predictions, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.target_tags.multi_output = True
        return tags
