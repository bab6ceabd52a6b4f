"""One entry for every public part of numlp: what the contract suite needs to know about it.

A new part brings one entry in its table: its loop-level twin in `naive`, what PyTorch calls it (`oracle`, None where
PyTorch has no such thing), the options to vary, and where its kinks are. The suite does the rest; then
`tests/oracle/make.py` has to be run once. Everything an oracle needs of PyTorch comes in as the argument `torch`.
"""

import hashlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import naive
import numlp as nl
from numlp import metrics
from numlp.activations import ACTIVATIONS
from numlp.initializers import INITIALIZERS
from numlp.layers import LAYERS, Layer
from numlp.losses import LOSSES, ClassificationLoss, Loss
from numlp.optimizers import OPTIMIZERS, Optimizer
from numlp.schedules import SCHEDULES, Schedule

Array = np.ndarray[Any, Any]
Options = Mapping[str, Any]

# what the parts derive from: no parts themselves
BASES = (Layer, Loss, ClassificationLoss, Optimizer, Schedule)

MARGIN = 1e-3  # how far from a kink the numbers of a gradient check stay


@dataclass(frozen=True)
class ActivationCase:
    """`forward(z)`, `backward(dy, z)` and `oracle(torch, z)`; `initializer` is the one its weights should have."""

    forward: Callable[[Array], Array]
    backward: Callable[[Array, Array], Array]
    oracle: Callable[..., Any] | None
    initializer: str
    kinks: tuple[float, ...] = ()

    def margin(self, z: Array) -> float:
        """Return the distance of the numbers from the nearest kink."""
        return min((float(np.abs(z - kink).min()) for kink in self.kinks), default=math.inf)


@dataclass(frozen=True)
class LayerCase:
    """A layer; v holds its parameters, its state and what `draw` gives, by name.

    `forward(x, v, training, **options)` gives y; `backward(dy, x, v, **options)` the gradients in training, by name, "x"
    among them; `state(x, v, **options)` the state after a forward pass in training; `draw(rng, shape, **options)` what such
    a pass draws from the network's generator; `margin(x, v, **options)` the distance from the nearest kink;
    `oracle(torch, x, v, training, **options)` gives y. `takes` names dtypes besides the network's own. PyTorch may want
    `least_rows` rows in training.
    """

    forward: Callable[..., Array]
    backward: Callable[..., dict[str, Array]]
    oracle: Callable[..., Any] | None
    options: tuple[Options, ...] = ({},)
    state: Callable[..., dict[str, Array]] = lambda x, v, **options: {}
    draw: Callable[..., dict[str, Array]] = lambda rng, shape, **options: {}
    margin: Callable[..., float] = lambda x, v, **options: math.inf
    trains_differently: bool = False
    takes: tuple[str, ...] = ()
    least_rows: int = 1


@dataclass(frozen=True)
class LossCase:
    """`forward(y, target, **options)` gives (value, dy), `oracle(torch, y, target, **options)` the value.

    `outputs` is a key of OUTPUTS, `targets` are keys of TARGETS.
    """

    forward: Callable[..., tuple[float, Array]]
    oracle: Callable[..., Any] | None
    outputs: str
    targets: tuple[str, ...]
    options: tuple[Options, ...] = ({},)
    margin: Callable[..., float] = lambda y, target, **options: math.inf


@dataclass(frozen=True)
class OptimizerCase:
    """`run(params, grads, rates, n_weights, **options)` gives the parameters after as many steps as there are rates.

    `oracle(torch, weights, biases, **options)` gives PyTorch's optimizer of two parameter groups.
    """

    run: Callable[..., Array]
    oracle: Callable[..., Any] | None
    options: tuple[Options, ...] = ({},)


@dataclass(frozen=True)
class ScheduleCase:
    """`rate(t, total, **options)`; `oracle(torch, optimizer, total, **options)` gives PyTorch's scheduler."""

    rate: Callable[..., float]
    oracle: Callable[..., Any] | None
    options: tuple[Options, ...]


@dataclass(frozen=True)
class InitializerCase:
    """The paper's Var(W) for (fan_in, fan_out), drawn uniformly or from a normal distribution."""

    variance: Callable[[int, int], float]
    uniform: bool


@dataclass(frozen=True)
class MetricCase:
    """A twin, and arguments drawn from a generator."""

    twin: Callable[..., Any]
    arguments: Callable[[np.random.Generator], tuple[Any, ...]]


def _pointwise(f: Callable[[float], float], df: Callable[[float], float]) -> dict[str, Any]:
    return {
        "forward": lambda z: naive.pointwise(f, z),
        "backward": lambda dy, z: naive.pointwise_backward(df, dy, z),
    }


ACTIVATION_CASES = {
    "identity": ActivationCase(
        **_pointwise(naive.identity, naive.identity_slope),
        oracle=lambda torch, z: torch.nn.Identity()(z),
        initializer="glorot_uniform",
    ),
    "relu": ActivationCase(
        **_pointwise(naive.relu, naive.relu_slope),
        oracle=lambda torch, z: torch.relu(z),
        initializer="he_normal",
        kinks=(0.0,),
    ),
    "sigmoid": ActivationCase(
        **_pointwise(naive.sigmoid, naive.sigmoid_slope),
        oracle=lambda torch, z: torch.sigmoid(z),
        initializer="glorot_uniform",
    ),
    "tanh": ActivationCase(
        **_pointwise(naive.tanh, naive.tanh_slope),
        oracle=lambda torch, z: torch.tanh(z),
        initializer="glorot_uniform",
    ),
    "softmax": ActivationCase(
        naive.softmax,
        naive.softmax_backward,
        oracle=lambda torch, z: torch.softmax(z, 1),
        initializer="glorot_uniform",
    ),
}

_EACH_ACTIVATION = tuple({"activation": name} for name in ACTIVATION_CASES)


def _dense_backward(dy: Array, x: Array, v: Options, activation: str) -> dict[str, Array]:
    z = naive.dense(x, v["W"], v["b"])
    return naive.dense_backward(ACTIVATION_CASES[activation].backward(dy, z), x, v["W"])


def _batch_norm(x: Array, v: Options, training: bool, momentum: float = 0.1, epsilon: float = 1e-5) -> Array:
    mean, variance = naive.mean_and_variance(x) if training else (v["running_mean"], v["running_variance"])
    return naive.normalize(x, mean, variance, v["gamma"], v["beta"], epsilon)


def _batch_norm_state(x: Array, v: Options, momentum: float = 0.1, epsilon: float = 1e-5) -> dict[str, Array]:
    mean, variance = naive.mean_and_variance(x)
    unbiased = variance * len(x) / (len(x) - 1) if len(x) > 1 else variance
    return {
        "running_mean": naive.running(v["running_mean"], mean, momentum),
        "running_variance": naive.running(v["running_variance"], unbiased, momentum),
    }


LAYER_CASES = {
    "Dense": LayerCase(
        forward=lambda x, v, training, activation: ACTIVATION_CASES[activation].forward(naive.dense(x, v["W"], v["b"])),
        backward=_dense_backward,
        oracle=lambda torch, x, v, training, activation: ACTIVATION_CASES[activation].oracle(torch, x @ v["W"] + v["b"]),
        options=_EACH_ACTIVATION,
        margin=lambda x, v, activation: ACTIVATION_CASES[activation].margin(x @ v["W"] + v["b"]),
    ),
    "Activation": LayerCase(
        forward=lambda x, v, training, activation: ACTIVATION_CASES[activation].forward(x),
        backward=lambda dy, x, v, activation: {"x": ACTIVATION_CASES[activation].backward(dy, x)},
        oracle=lambda torch, x, v, training, activation: ACTIVATION_CASES[activation].oracle(torch, x),
        options=_EACH_ACTIVATION,
        margin=lambda x, v, activation: ACTIVATION_CASES[activation].margin(x),
    ),
    "Softmax": LayerCase(
        forward=lambda x, v, training: naive.softmax(x),
        backward=lambda dy, x, v: {"x": naive.softmax_backward(dy, x)},
        oracle=lambda torch, x, v, training: torch.softmax(x, 1),
    ),
    "Pixels": LayerCase(
        forward=lambda x, v, training: naive.pointwise(lambda value: value / 255, x) if x.dtype == np.uint8 else x,
        backward=lambda dy, x, v: {"x": dy},
        oracle=None,
        takes=("uint8",),
    ),
    "Dropout": LayerCase(
        forward=lambda x, v, training, rate: naive.dropout(x, v["kept"], rate) if training else x,
        backward=lambda dy, x, v, rate: {"x": naive.dropout(dy, v["kept"], rate)},
        oracle=None,  # PyTorch draws other masks
        options=({"rate": 0.4}, {"rate": 0.0}),
        draw=lambda rng, shape, rate: {
            "kept": rng.random(shape, np.float32) >= np.float32(rate) if rate else np.ones(shape)
        },
        trains_differently=True,
    ),
    "BatchNorm": LayerCase(
        forward=_batch_norm,
        backward=lambda dy, x, v, momentum=0.1, epsilon=1e-5: naive.batch_norm_backward(dy, x, v["gamma"], epsilon),
        oracle=lambda torch, x, v, training, momentum=0.1, epsilon=1e-5: torch.nn.functional.batch_norm(
            x, v["running_mean"], v["running_variance"], v["gamma"], v["beta"], training, momentum, epsilon
        ),
        options=({}, {"momentum": 1 / 3, "epsilon": 1e-3}),
        state=_batch_norm_state,
        trains_differently=True,
        least_rows=2,
    ),
}


OUTPUTS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "logits": lambda rng, n, n_out: 2 * rng.normal(size=(n, n_out)),
    "probabilities": lambda rng, n, n_out: naive.softmax(rng.normal(size=(n, n_out))),
    "numbers": lambda rng, n, n_out: rng.normal(size=(n, n_out)),
}

TARGETS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "labels": lambda rng, n, n_out: rng.integers(n_out, size=n),
    "one_hot": lambda rng, n, n_out: np.eye(n_out)[rng.integers(n_out, size=n)],
    "soft": lambda rng, n, n_out: rng.dirichlet(np.ones(n_out), size=n),
    "numbers": lambda rng, n, n_out: rng.normal(size=(n, n_out)),
}


def _torch_cross_entropy(torch: Any, p: Any, target: Any, label_smoothing: float = 0.0) -> Any:
    if target.ndim == 1 and label_smoothing == 0:
        return torch.nn.functional.nll_loss(torch.log(p), target)
    q = target if target.ndim == 2 else torch.nn.functional.one_hot(target, p.shape[1])
    q = (1 - label_smoothing) * q + label_smoothing / p.shape[1]
    return -(q * torch.log(p)).sum(1).mean()


LOSS_CASES = {
    "SoftmaxCrossEntropy": LossCase(
        naive.softmax_cross_entropy,
        oracle=lambda torch, y, target, **options: torch.nn.functional.cross_entropy(y, target, **options),
        outputs="logits",
        targets=("labels", "one_hot", "soft"),
        options=({}, {"label_smoothing": 0.1}),
    ),
    "CrossEntropy": LossCase(
        naive.cross_entropy,
        oracle=_torch_cross_entropy,
        outputs="probabilities",
        targets=("labels", "one_hot", "soft"),
        options=({}, {"label_smoothing": 0.1}),
    ),
    "SquaredError": LossCase(
        naive.squared_error,
        oracle=lambda torch, y, target: torch.nn.functional.mse_loss(y, target) * y.shape[1] / 2,
        outputs="numbers",
        targets=("numbers",),
    ),
}


OPTIMIZER_CASES = {
    "SGD": OptimizerCase(
        naive.sgd,
        oracle=lambda torch, weights, biases, **options: torch.optim.SGD([weights, biases], **options),
        options=({}, {"momentum": 0.9}, {"momentum": 0.8, "nesterov": True}),
    ),
    "Adam": OptimizerCase(
        naive.adam,
        oracle=lambda torch, weights, biases, beta1=0.9, beta2=0.999, epsilon=1e-8: torch.optim.Adam(
            [weights, biases], betas=(beta1, beta2), eps=epsilon
        ),
        options=({}, {"beta1": 0.8, "beta2": 0.9, "epsilon": 1e-3}),
    ),
    "AdamW": OptimizerCase(
        naive.adamw,
        oracle=lambda torch, weights, biases, weight_decay=0.01, beta1=0.9: torch.optim.AdamW(
            [{"params": [weights]}, {"params": [biases], "weight_decay": 0}], betas=(beta1, 0.999), weight_decay=weight_decay
        ),
        options=({}, {"weight_decay": 0.3, "beta1": 0.8}, {"weight_decay": 0.0}),
    ),
}


def schedule_rate(schedule: Schedule) -> naive.Rate:
    """Return the twin of a schedule that stands inside another one."""
    options = {name: getattr(schedule, name) for name in inspect.signature(type(schedule)).parameters}
    return lambda t, total: SCHEDULE_CASES[type(schedule).__name__].rate(t, total, **options)


def schedule_oracle(torch: Any, optimizer: Any, schedule: Schedule, total: int) -> Any:
    """Return PyTorch's scheduler for a schedule."""
    options = {name: getattr(schedule, name) for name in inspect.signature(type(schedule)).parameters}
    return SCHEDULE_CASES[type(schedule).__name__].oracle(torch, optimizer, total, **options)


def _from_rate(optimizer: Any, rate: float) -> Any:
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = rate
    return optimizer


def _torch_warm_up(torch: Any, optimizer: Any, total: int, steps: int, then: Schedule) -> Any:
    _from_rate(optimizer, then.learning_rate)
    lr = torch.optim.lr_scheduler
    rise = lr.LinearLR(optimizer, 1 / steps, 1.0, steps - 1)
    return lr.SequentialLR(optimizer, [rise, schedule_oracle(torch, optimizer, then, total - steps)], [steps])


SCHEDULE_CASES = {
    "Constant": ScheduleCase(
        naive.constant,
        oracle=lambda torch, optimizer, total, learning_rate: torch.optim.lr_scheduler.ConstantLR(
            _from_rate(optimizer, learning_rate), factor=1.0
        ),
        options=({"learning_rate": 0.03},),
    ),
    "Cosine": ScheduleCase(
        naive.cosine,
        oracle=lambda torch, optimizer, total, learning_rate, final=0.0: torch.optim.lr_scheduler.CosineAnnealingLR(
            _from_rate(optimizer, learning_rate), total, final
        ),
        options=({"learning_rate": 0.1}, {"learning_rate": 0.1, "final": 0.01}),
    ),
    "WarmUp": ScheduleCase(
        lambda t, total, steps, then: naive.warm_up(t, total, steps, schedule_rate(then)),
        oracle=_torch_warm_up,
        options=(
            {"steps": 4, "then": nl.Constant(0.05)},
            {"steps": 3, "then": nl.Cosine(0.1, 0.02)},
        ),
    ),
    "OneCycle": ScheduleCase(
        naive.one_cycle,
        oracle=lambda torch, optimizer, total, peak, rise=0.3, start_divisor=25.0, end_divisor=1e4: (
            torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                peak,
                total,
                pct_start=rise,
                cycle_momentum=False,
                div_factor=start_divisor,
                final_div_factor=end_divisor,
            )
        ),
        options=(
            {"peak": 0.1},
            {"peak": 0.05, "rise": 0.25, "start_divisor": 10.0, "end_divisor": 100.0},
            {"peak": 0.1, "rise": 0.97},
        ),
    ),
}


INITIALIZER_CASES = {
    "lecun_normal": InitializerCase(lambda fan_in, fan_out: 1 / fan_in, uniform=False),
    "lecun_uniform": InitializerCase(lambda fan_in, fan_out: 1 / fan_in, uniform=True),
    "glorot_normal": InitializerCase(lambda fan_in, fan_out: 2 / (fan_in + fan_out), uniform=False),
    "glorot_uniform": InitializerCase(lambda fan_in, fan_out: 2 / (fan_in + fan_out), uniform=True),
    "he_normal": InitializerCase(lambda fan_in, fan_out: 2 / fan_in, uniform=False),
    "he_uniform": InitializerCase(lambda fan_in, fan_out: 2 / fan_in, uniform=True),
}


METRIC_CASES = {
    "accuracy": MetricCase(naive.accuracy, lambda rng: (rng.integers(3, size=20), rng.integers(3, size=20))),
    "confusion_matrix": MetricCase(
        naive.confusion_matrix, lambda rng: (rng.integers(4, size=30), rng.integers(4, size=30), 5)
    ),
    "hits": MetricCase(naive.hits, lambda rng: (rng.integers(3, size=(20, 4)), rng.integers(4, size=20))),
}


# (name in the tables above, the part's own table or namespace)
TABLES: dict[str, tuple[Mapping[str, Any], Iterable[str]]] = {
    "activation": (ACTIVATION_CASES, ACTIVATIONS),
    "layer": (LAYER_CASES, LAYERS),
    "loss": (LOSS_CASES, LOSSES),
    "optimizer": (OPTIMIZER_CASES, OPTIMIZERS),
    "schedule": (SCHEDULE_CASES, SCHEDULES),
    "initializer": (INITIALIZER_CASES, INITIALIZERS),
    "metric": (METRIC_CASES, [n for n, f in vars(metrics).items() if getattr(f, "__module__", "") == "numlp.metrics"]),
}


@dataclass(frozen=True)
class Variant:
    """A part with one choice of its options."""

    kind: type[Any]
    case: Any
    options: Options

    def __str__(self) -> str:
        return f"{self.kind.__name__}({', '.join(f'{name}={value}' for name, value in self.options.items())})"

    def build(self, *arguments: Any) -> Any:
        """Return a new part."""
        return self.kind(*arguments, **self.options)

    def layer(self, n_in: int, n_out: int) -> Layer:
        """Return a new layer: (n_in, n_out) if its outputs may differ in number from its inputs, else (n_in, n_in)."""
        return self.build(n_in, n_out) if "n_out" in inspect.signature(self.kind).parameters else self.build(n_in)

    @property
    def seed(self) -> int:
        """The same for the same variant, whatever stands before it in the table."""
        return int.from_bytes(hashlib.sha256(str(self).encode()).digest()[:4], "little")


def _variants(cases: Mapping[str, Any], kinds: Mapping[str, type[Any]]) -> list[Variant]:
    return [Variant(kinds[name], case, options) for name, case in cases.items() for options in case.options]


LAYER_VARIANTS = _variants(LAYER_CASES, LAYERS)
LOSS_VARIANTS = _variants(LOSS_CASES, LOSSES)
OPTIMIZER_VARIANTS = _variants(OPTIMIZER_CASES, OPTIMIZERS)
SCHEDULE_VARIANTS = _variants(SCHEDULE_CASES, SCHEDULES)


def draw_values(layer: Layer, rng: np.random.Generator) -> dict[str, Array]:
    """Return random parameters and state, the latter positive; nothing is 0 or 1 by chance of initialization."""
    return {
        p.name: rng.uniform(0.5, 1.5, p.shape) if p.role == "state" else rng.normal(size=p.shape) for p in layer.parameters()
    }


def draw_layer(variant: Variant, n: int, n_in: int, n_out: int) -> tuple[Layer, Array, dict[str, Array]]:
    """Return (a new layer, x, values) with everything in the layer away from kinks."""
    rng = np.random.default_rng([variant.seed, n, n_in, n_out])
    layer = variant.layer(n_in, n_out)
    while True:
        x, values = rng.normal(size=(n, n_in)), draw_values(layer, rng)
        if variant.case.margin(x, values, **variant.options) > MARGIN:
            return layer, x, values


def draw_loss(variant: Variant, kind: str, n: int, n_out: int) -> tuple[Array, Array]:
    """Return (y, target) away from kinks."""
    rng = np.random.default_rng([variant.seed, n, n_out])
    while True:
        y, target = OUTPUTS[variant.case.outputs](rng, n, n_out), TARGETS[kind](rng, n, n_out)
        if variant.case.margin(y, target, **variant.options) > MARGIN:
            return y, target


def output_layers(loss: Variant, n_in: int, n_out: int) -> list[Layer]:
    """Return last layers whose outputs the loss wants."""
    last: list[Layer] = [nl.Dense(n_in, n_out)]
    return [*last, nl.Softmax(n_out)] if loss.case.outputs == "probabilities" else last


def digests() -> dict[str, str]:
    """Return for each part a hash of what a seed decides: parameters, state and outputs after three steps with it."""
    layers = {str(v): ([v.layer(4, 5)], nl.SquaredError(), "numbers", nl.SGD(0.1)) for v in LAYER_VARIANTS}
    losses = {
        f"{v} {kind}": (output_layers(v, 5, 3), v.build(), kind, nl.SGD(0.1))
        for v in LOSS_VARIANTS
        for kind in v.case.targets
    }
    optimizers = {str(v): ([nl.Dense(5, 3)], nl.SquaredError(), "numbers", v.build(0.1)) for v in OPTIMIZER_VARIANTS}
    schedules = {str(v): ([nl.Dense(5, 3)], nl.SquaredError(), "numbers", nl.SGD(v.build())) for v in SCHEDULE_VARIANTS}
    initializers = {
        name: ([nl.Dense(5, 3, initializer=name)], nl.SquaredError(), "numbers", nl.SGD(0.1)) for name in INITIALIZER_CASES
    }
    return {name: _digest(*parts) for name, parts in (layers | losses | optimizers | schedules | initializers).items()}


def _digest(layers: list[Layer], loss: Loss, kind: str, optimizer: Optimizer) -> str:
    network = nl.Network([nl.Dense(3, layers[0].n_in, "tanh"), *layers], rng=7)
    rng = np.random.default_rng(8)
    x, target = rng.normal(size=(6, 3)).astype(np.float32), TARGETS[kind](rng, 6, network.n_out)
    target = loss.prepare(target, network.n_out, network.dtype, "digests")
    optimizer.start(network.params, network.n_weights, 3)
    for _ in range(3):
        y = network.forward(x, training=True)
        network.backward(loss(y, target)[1])
        optimizer.step(network.params, network.grads)
    whole = network.params.tobytes() + network.state.tobytes() + network.outputs(x).tobytes()
    return hashlib.sha256(whole).hexdigest()
