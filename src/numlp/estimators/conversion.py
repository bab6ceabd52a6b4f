"""Between our estimators and scikit-learn's of the same name: parameters, weights and books, with equal predictions."""

import copy
from typing import Any

import sklearn.neural_network
from sklearn.utils.validation import check_is_fitted

from numlp.errors import ArgumentError, DTypeError
from numlp.estimators import settings

# what both keep besides the fitted attributes whose names end in an underscore
_BOOKS = ("_label_binarizer", "_no_improvement_count")
_OURS = ("network_", "validation_loss_curve_", "stopped_early_")
_LOSSES = ("log_loss", "squared_error", "poisson")


def _fitted(model: Any) -> dict[str, Any]:
    """Return copies of what training has left in a model of either side."""
    found = {name: value for name, value in vars(model).items() if (name[0] != "_" and name[-1] == "_") or name in _BOOKS}
    return {name: copy.deepcopy(value) for name, value in found.items() if name not in _OURS}


def from_sklearn(kind: Any, model: Any) -> Any:
    """Return an estimator of ours of this kind, from a fitted one of scikit-learn."""
    theirs = getattr(sklearn.neural_network, kind.__name__)
    if not isinstance(model, theirs):
        raise DTypeError(f"{kind.__name__}.from_sklearn: model must be scikit-learn's {theirs.__name__}, got {model!r}")
    check_is_fitted(model)
    ours = kind(**model.get_params())
    ours._open_books()
    vars(ours).update(_fitted(model))
    network = ours._network()
    ours._best = network.snapshot() if ours.early_stopping else None
    return ours


def to_sklearn(ours: Any) -> Any:
    """Return scikit-learn's estimator of this kind, from a fitted one of ours."""
    check_is_fitted(ours)
    where, theirs = f"{type(ours).__name__}.to_sklearn", getattr(sklearn.neural_network, type(ours).__name__)
    names, defaults = settings.activations(ours), theirs().get_params()
    if len({*names}) > 1 or not {*names} <= {*settings.FACTORS}:
        raise ArgumentError(f"{where}: activation must be one of {', '.join(settings.FACTORS)} for all layers, got {names}")
    if ours.batch_norm:
        raise ArgumentError(f"{where}: batch_norm must be False, got True; scikit-learn has none")
    if ours.loss not in _LOSSES or (ours.loss == "poisson" and "loss" not in defaults):
        raise ArgumentError(f"{where}: loss must be one of scikit-learn's, got {ours.loss!r}")
    parameters = {name: value for name, value in ours.get_params().items() if name in defaults}
    parameters["hidden_layer_sizes"] = tuple(settings.hidden_widths(ours))
    parameters["activation"] = names[0] if names else "identity"
    if ours.solver not in ("lbfgs", "sgd", "adam"):
        parameters["solver"] = "adam"
    if ours.learning_rate not in settings.RATES:
        parameters["learning_rate"] = "constant"
    model = theirs(**parameters)
    ours._network()
    vars(model).update(_fitted(ours))
    model._best_coefs, model._best_intercepts = copy.deepcopy((model.coefs_, model.intercepts_))
    return model
