"""From scikit-learn's words to numlp's parts: the parameters of an estimator checked, and what they describe built."""

import copy
import inspect
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.activations import ACTIVATIONS
from numlp.callbacks import Callback
from numlp.errors import ArgumentError, DTypeError, check_choice, check_count, check_number
from numlp.estimators.objective import EarlyEpsilonAdam
from numlp.layers import Activation, BatchNorm, Dense, Dropout, Layer
from numlp.losses import (
    LOSSES,
    CrossEntropy,
    Focal,
    Gamma,
    GaussianNLL,
    KLDivergence,
    Loss,
    Pinball,
    Poisson,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    Tweedie,
)
from numlp.network import Network
from numlp.optimizers import LBFGS, OPTIMIZERS, SGD, Optimizer
from numlp.schedules import SCHEDULES, Schedule

Array = NDArray[Any]

# scikit-learn's activations, each with the factor of the variance from which it draws weights and biases
FACTORS = {"identity": 6.0, "relu": 6.0, "tanh": 6.0, "logistic": 2.0}
RATES = ("constant", "invscaling", "adaptive")
# the schedules that need a rate and nothing else: the others are given as objects
_BY_NAME = {
    name: kind
    for name, kind in SCHEDULES.items()
    if sum(p.default is p.empty for p in inspect.signature(kind).parameters.values()) == 1
}
_BELOW_ONE = math.nextafter(1.0, 0.0)  # scikit-learn takes a momentum of 1
# how each loss turns the outputs of the network into predictions: scikit-learn's name of it
_LINKS = {Poisson: "exp", Gamma: "exp", Tweedie: "exp", SigmoidCrossEntropy: "logistic"} | dict.fromkeys(
    (SoftmaxCrossEntropy, Focal, CrossEntropy, KLDivergence), "softmax"
)
# losses of what a network says after its last product
_LAST_ACTIVATION = {CrossEntropy: "softmax", KLDivergence: "log_softmax"}


def check_settings(estimator: Any) -> None:
    """Raise ArgumentError or DTypeError about the first parameter that is not what it must be."""
    where, get = type(estimator).__name__, vars(estimator).get
    for name in ("alpha", "power_t", "tol"):
        check_number(get(name), where, name, low=0)
    for name in ("learning_rate_init", "epsilon"):
        check_number(get(name), where, name, above=0)
    for name in ("validation_fraction", "beta_1", "beta_2"):
        check_number(get(name), where, name, low=0, below=1)
    check_number(get("momentum"), where, "momentum", low=0, below=math.nextafter(1.0, 2.0))
    for name in ("max_iter", "max_fun"):
        check_count(get(name), where, name)
    for name in ("n_layers", "width", "n_threads"):
        if get(name) is not None:
            check_count(get(name), where, name)
    for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping", "batch_norm"):
        if not isinstance(get(name), bool | np.bool_):
            raise DTypeError(f"{where}: {name} must be True or False, got {get(name)!r}")
    if get("n_iter_no_change") != math.inf:
        check_count(get("n_iter_no_change"), where, "n_iter_no_change")
    if get("batch_size") != "auto":
        check_count(get("batch_size"), where, "batch_size")
    if get("max_time") is not None:
        check_number(get("max_time"), where, "max_time", above=0)
    for callback in get("callbacks") or ():
        if not isinstance(callback, Callback):
            raise DTypeError(f"{where}: callbacks must be numlp.Callback objects, got {callback!r}")
    if not isinstance(get("solver"), Optimizer):
        check_choice(get("solver"), {"sgd", "adam", "lbfgs", *OPTIMIZERS}, where, "solver")
    if not isinstance(get("learning_rate"), Schedule):
        check_choice(get("learning_rate"), {*RATES, *_BY_NAME}, where, "learning_rate")


def is_lbfgs(estimator: Any) -> bool:
    """Whether the solver takes all rows in a step."""
    return isinstance(estimator.solver, LBFGS) or estimator.solver == "lbfgs"


def has_schedule(estimator: Any) -> bool:
    """Whether the learning rate depends on how many steps there will be."""
    rate = getattr(estimator.solver, "learning_rate", estimator.learning_rate)
    return isinstance(rate, Schedule) or rate in _BY_NAME


def hidden_widths(estimator: Any) -> list[int]:
    """Return the width of each hidden layer: `n_layers` times `width` if one of them is given, else hidden_layer_sizes."""
    if estimator.n_layers is not None or estimator.width is not None:
        return [estimator.width or 100] * (estimator.n_layers or 1)
    sizes = np.atleast_1d(np.asarray(estimator.hidden_layer_sizes)).tolist()
    if any(isinstance(size, int) and size <= 0 for size in sizes):
        raise ArgumentError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [check_count(size, type(estimator).__name__, "hidden_layer_sizes") for size in sizes]


def _each(value: Any, n: int, where: str, name: str) -> list[Any]:
    """Return one value for each of n hidden layers, from one for all or a sequence."""
    values = list(value) if isinstance(value, list | tuple | np.ndarray) else [value] * n
    if len(values) != n:
        raise ArgumentError(f"{where}: {name} must be one for all {n} hidden layers or one for each, got {len(values)}")
    return values


def activations(estimator: Any) -> list[str]:
    """Return the name of the activation of each hidden layer."""
    where = type(estimator).__name__
    names = _each(estimator.activation, len(hidden_widths(estimator)), where, "activation")
    return [check_choice(name, {"logistic", *ACTIVATIONS}, where, "activation") for name in names]


def build_network(estimator: Any, n_in: int, n_out: int, loss: Loss, dtype: Any, random: np.random.RandomState) -> Network:
    """Return the network with its initial weights.

    Weights and biases of layers with one of scikit-learn's four activations are drawn as scikit-learn does,

        W, b ~ uniform(-a, a),  a = sqrt(f / (I + O)),  f = 2 for logistic, else 6                 (1)

    so that the same `random_state` gives the same network; other layers are drawn as numlp does.

    Source  Glorot, Bengio 2010, eq. 16.
    """
    where, widths, names = type(estimator).__name__, hidden_widths(estimator), activations(estimator)
    rates = _each(estimator.dropout, len(widths), where, "dropout")
    layers: list[Layer] = []
    for width, name, rate in zip(widths, names, rates, strict=True):
        layers += _hidden(n_in, width, name, rate, bool(estimator.batch_norm))
        n_in = width
    last = names[-1] if names else "identity"
    initializer = "zeros" if last in FACTORS else None
    layers.append(Dense(n_in, n_out, _LAST_ACTIVATION.get(type(loss), "identity"), initializer))
    own_draws = any(rates) or not {*names} <= {*FACTORS}
    network = Network(layers, int(random.randint(2**31)) if own_draws else 0, dtype, loss=loss)
    for layer, name in zip(dense_layers(network), [*names, last], strict=True):
        if name in FACTORS:
            bound = math.sqrt(FACTORS[name] / (layer.n_in + layer.n_out))
            layer.W[...] = random.uniform(-bound, bound, layer.W.shape)
            layer.b[...] = random.uniform(-bound, bound, layer.n_out)
    return network


def _hidden(n_in: int, n_out: int, name: str, rate: float, batch_norm: bool) -> list[Layer]:
    """Return one hidden layer: dense, batch norm, activation, dropout."""
    activation, initializer = "sigmoid" if name == "logistic" else name, "zeros" if name in FACTORS else None
    if batch_norm:
        layers = [Dense(n_in, n_out, initializer=initializer), BatchNorm(n_out), Activation(n_out, activation)]
    else:
        layers = [Dense(n_in, n_out, activation, initializer)]
    return [*layers, Dropout(n_out, rate)] if rate else layers


def dense_layers(network: Network) -> list[Dense]:
    """Return the dense layers of a network, in order."""
    return [layer for layer in network.layers if isinstance(layer, Dense)]


def build_optimizer(estimator: Any) -> Optimizer:
    """Return a new optimizer: scikit-learn's by its name, numlp's by its class name, or a copy of the one given."""
    e = estimator
    if isinstance(e.solver, Optimizer):
        return copy.deepcopy(e.solver)
    if e.solver == "lbfgs":
        return LBFGS(e.max_iter, tolerance=e.tol)
    rate: float | Schedule = float(e.learning_rate_init)
    if isinstance(e.learning_rate, Schedule):
        rate = e.learning_rate
    elif e.learning_rate in _BY_NAME:
        rate = _BY_NAME[e.learning_rate](rate)
    if e.solver == "sgd":
        return SGD(rate, min(e.momentum, _BELOW_ONE), bool(e.nesterovs_momentum and e.momentum > 0))
    return EarlyEpsilonAdam(rate, e.beta_1, e.beta_2, e.epsilon) if e.solver == "adam" else OPTIMIZERS[e.solver](rate)


def find_loss(loss: Any, names: dict[str, type[Loss]], classifies: bool, where: str) -> Loss:
    """Return a loss of the right kind: scikit-learn's by its name, numlp's by its class name, or a copy of the one given."""
    if isinstance(loss, Loss):
        found = copy.deepcopy(loss)
    else:
        known = names | {name: kind for name, kind in LOSSES.items() if kind.classifies == classifies}
        found = known[check_choice(loss, known, where, "loss")]()
    if found.classifies != classifies:
        kind = "a loss for classes" if classifies else "a loss for numbers"
        raise ArgumentError(f"{where}: loss must be {kind}, got {type(found).__name__}")
    return found


def n_network_outputs(loss: Loss, n_targets: int) -> int:
    """Return how many outputs a network needs for so many numbers."""
    if isinstance(loss, Pinball):
        return len(loss.quantiles)
    return 2 * n_targets if isinstance(loss, GaussianNLL) else n_targets


def link_of(loss: Loss) -> str:
    """Return what turns outputs into predictions, in scikit-learn's word."""
    return _LINKS.get(type(loss), "identity")


def printed_share(loss: Loss, n_targets: int) -> float:
    """Return the share of the loss that is printed: a squared error is a mean over the targets."""
    return 1 / n_targets if isinstance(loss, SquaredError) else 1.0
