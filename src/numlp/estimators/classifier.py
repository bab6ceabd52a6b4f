"""MLPClassifier: scikit-learn's estimator of the same name, trained by numlp."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from numlp.callbacks import Callback
from numlp.errors import ArgumentError
from numlp.estimators import settings
from numlp.estimators.checked_data import checked_targets
from numlp.estimators.mlp import MultilayerPerceptron, takes_steps
from numlp.estimators.one_model import of_one_model, on_a_twin
from numlp.losses import ClassificationLoss, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from numlp.optimizers import Optimizer
from numlp.schedules import Schedule

Array = NDArray[Any]


def _labels(y: Array) -> Array:
    """Return labels 0, 1, ... (n,) from one column for two classes, or a column for each."""
    return y[:, 0].astype(np.intp) if y.shape[1] == 1 else y.argmax(axis=1)


class MLPClassifier(ClassifierMixin, MultilayerPerceptron):
    """Multilayer perceptron for classes: scikit-learn's `MLPClassifier`, and what numlp has besides.

    It makes the cross-entropy of softmax (two classes or several labels: sigmoid) outputs small, plus alpha / (2 n) sum w^2
    for batches of n rows. With the same parameters and `random_state`, training takes the steps scikit-learn's takes, up
    to rounding. Numbers stay float32 or float64 as X is; L-BFGS computes in float64.

    Parameters
    ----------
    hidden_layer_sizes, alpha, batch_size, learning_rate_init, power_t, max_iter, shuffle, random_state, tol, verbose
        As in scikit-learn.
    warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon
        As in scikit-learn.
    n_iter_no_change, max_fun
        As in scikit-learn.
    activation
        logistic, or any name in `numlp.activations.ACTIVATIONS`; a list has one for each hidden layer.
    solver
        lbfgs, sgd, adam; the name of an optimizer of numlp, such as "AdamW"; or an optimizer, which is copied.
    learning_rate
        constant; for sgd also invscaling, adaptive; a schedule; or the name of one that needs a rate and nothing else, such
        as "Cosine", which is then learning_rate_init.
    loss
        log_loss; the name of a loss of numlp, such as "Focal"; or a loss, which is copied.
    class_weight
        None; "balanced"; or a dict class -> weight, for several labels a list of them. It multiplies the weights of the
        rows in training.
    dropout
        Share of each hidden layer's outputs that is dropped in training, in [0, 1); a list has one for each layer.
    batch_norm
        Whether a batch norm stands before each hidden activation.
    n_layers, width
        In the place of hidden_layer_sizes: so many hidden layers (1) of so many units (100).
    scoring
        What is measured on the validation rows: None, the accuracy; "loss", minus the loss; or as scikit-learn's scorers.
    callbacks
        numlp's, called after each epoch's figures are known.
    max_time
        Seconds after which training ends.
    n_threads
        None takes what suits the size of a step.

    Attributes
    ----------
    coefs_, intercepts_, classes_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, t_, n_iter_
        As in scikit-learn.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.
    network_
        The `numlp.Network`.
    validation_loss_curve_
        The loss on the validation rows after each epoch, without penalty, if there are such rows.
    stopped_early_
        Whether the rule of tol and n_iter_no_change, or for L-BFGS a flat place, ended the last training.

    Errors  ArgumentError, DTypeError about a parameter; ValueError about the data, as in scikit-learn. DivergedError, which
        is a ValueError, if training diverges and there is no early stopping; the network is as it was an epoch before.

    Examples
    --------
    >>> from numlp.estimators import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(width=20, learning_rate_init=0.02, tol=1e-3, max_iter=500, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    def __init__(
        self,
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
        loss: str | Loss = "log_loss",
        class_weight: Any = None,
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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None, eval_set: Any = None) -> Self:
        """Train one epoch more on these rows; the optimizer goes on as if there had been no pause.

        With `early_stopping` it needs an eval_set; when patience is at its end, the best weights are put in place and
        `stopped_early_` is True: time to stop calling.

        Parameters
        ----------
        X, y, sample_weight, eval_set
            As in `fit`.
        classes
            All classes; needed in the first call.
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, eval_set, incremental=True)

    @of_one_model
    def predict(self, X: Any) -> Array:
        """Return the class of each row (n,), or 0 and 1 for each label (n, n_labels)."""
        codes = self._codes(self._outputs(X))
        if codes.ndim == 2:
            return self._decode(codes)
        return self.classes_[np.minimum(codes, len(self.classes_) - 1)]  # one class has an output like two

    @of_one_model
    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class (n, n_classes), or of each label."""
        outputs = self._outputs(X)
        p = self._classification_loss().probabilities(outputs)
        if p.shape[1] == 1:
            return np.hstack([1 - p, p])
        if self._label_binarizer.y_type_ == "multiclass" and self.out_activation_ == "logistic":
            p /= p.sum(axis=1, keepdims=True)  # one class against all others, each by itself
        return p

    @of_one_model
    def decision_function(self, X: Any) -> Array:
        """Return the network's outputs (n, n_outputs); for two classes, what speaks for the second one (n,)."""
        outputs = self._outputs(X)
        if outputs.shape[1] == 1:
            return outputs[:, 0]
        return (
            outputs[:, 1] - outputs[:, 0] if len(self.classes_) == outputs.shape[1] == 2 and not self._several else outputs
        )

    @of_one_model
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`."""
        p = self.predict_proba(X)
        return np.log(p, out=p)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on X and its classes y, which may be objects, as in `fit`."""
        return float(super().score(X, checked_targets(self, y, "MLPClassifier.score"), sample_weight))

    def _classification_loss(self) -> ClassificationLoss:
        loss = self._own_loss()
        assert isinstance(loss, ClassificationLoss)  # find_loss has seen to it
        return loss

    def _learn_targets(self, y: Array, incremental: bool) -> None:
        """Learn the classes, or raise ValueError if there are others than in the last training."""
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return
        classes = unique_labels(y)
        if self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {classes}"
            )
        if np.setdiff1d(classes, self.classes_, assume_unique=True).size:
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _encode(self, y: Array) -> Array:
        if self._several or y.ndim > 1:
            return self._label_binarizer.transform(y).astype(bool)
        # what the binarizer would give, in a fraction of its time
        codes, last = np.searchsorted(self.classes_, y), len(self.classes_) - 1
        unknown = np.flatnonzero(self.classes_[np.minimum(codes, last)] != y)
        if len(unknown):
            raise ValueError(f"y must hold classes of {self.classes_}, got {y[unknown[0]]!r} at row {unknown[0]}")
        return codes[:, None] == (np.arange(last + 1) if last > 1 else 1)

    def _decode(self, y: Array) -> Array:
        return self._label_binarizer.inverse_transform(y) if self._several else self.classes_[_labels(y)]

    @property
    def _several(self) -> bool:
        """Whether a row has several labels."""
        return self._label_binarizer.y_type_.startswith("multilabel")

    def _codes(self, outputs: Array) -> Array:
        """Return what the outputs say: labels 0, 1, ... (n,), or 0 and 1 for each of several labels (n, n_labels)."""
        codes = self._classification_loss().decide(outputs)
        return codes if codes.ndim == 1 or self._several else outputs.argmax(axis=1)

    def _find_loss(self) -> Loss:
        kind = SoftmaxCrossEntropy if self._label_binarizer.y_type_ == "multiclass" else SigmoidCrossEntropy
        return settings.find_loss(self.loss, {"log_loss": kind}, True, "MLPClassifier")

    def _target(self, y: Array, loss: Loss) -> Array:
        if isinstance(loss, SigmoidCrossEntropy):
            return y
        if self._several:
            raise ArgumentError(f"MLPClassifier: loss must be log_loss for several labels, got {type(loss).__name__}")
        return _labels(y)

    def _n_out(self, loss: Loss) -> int:
        return self.n_outputs_ if isinstance(loss, SigmoidCrossEntropy) else max(2, self.n_outputs_)

    def _default_score(self, outputs: Array, y: Array, weight: Array | None) -> float:
        """Return the accuracy; NaN where outputs are not finite."""
        if not np.isfinite(outputs).all():
            return np.nan
        right = self._codes(outputs) == (y if self._several else _labels(y))
        return float(np.average(right.reshape(len(y), -1).all(axis=1), weights=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.classifier_tags.multi_label = True
        return tags
