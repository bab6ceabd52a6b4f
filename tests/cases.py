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
from numlp.losses import LOSSES, ClassificationLoss, Loss, RegressionLoss
from numlp.optimizers import OPTIMIZERS, Optimizer
from numlp.schedules import SCHEDULES, Schedule

Array = np.ndarray[Any, Any]
Options = Mapping[str, Any]

# what the parts derive from: no parts themselves; and L-BFGS, which has no step (tests/test_lbfgs.py)
BASES = (Layer, Loss, ClassificationLoss, RegressionLoss, Optimizer, Schedule, nl.LBFGS)

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
    `least_rows` rows in training. A layer that belongs `first` takes rows of its own kind (`Layer.example`). `make(n_in,
    **options)` builds a layer that is not built from n_in and the options.
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
    first: bool = False
    make: Callable[..., Layer] | None = None


@dataclass(frozen=True)
class LossCase:
    """`forward(y, target, **options)` gives (value, dy), `oracle(torch, y, target, **options)` the value.

    `outputs` is a key of OUTPUTS, `targets` are keys of TARGETS. `columns(n, **options)` is the number of outputs the loss
    takes when n are wanted, `target_columns` the number of the target's columns for so many outputs.
    """

    forward: Callable[..., tuple[float, Array]]
    oracle: Callable[..., Any] | None
    outputs: str
    targets: tuple[str, ...]
    options: tuple[Options, ...] = ({},)
    margin: Callable[..., float] = lambda y, target, **options: math.inf
    columns: Callable[..., int] = lambda n, **options: n
    target_columns: Callable[[int], int] = lambda n: n


@dataclass(frozen=True)
class OptimizerCase:
    """`run(params, grads, rates, n_weights, **options)` gives the parameters after as many steps as there are rates.

    `oracle(torch, groups, **options)` gives PyTorch's optimizer for its parameter groups, of which weight decay is
    already taken care. `bowl` is a rate with which 400 steps lead to the bottom of a bowl.
    """

    run: Callable[..., Array]
    oracle: Callable[..., Any] | None
    options: tuple[Options, ...] = ({},)
    bowl: float = 0.1


@dataclass(frozen=True)
class ScheduleCase:
    """`rate(t, total, **options)`; `oracle(torch, optimizer, total, **options)` gives PyTorch's scheduler."""

    rate: Callable[..., float]
    oracle: Callable[..., Any] | None
    options: tuple[Options, ...]


@dataclass(frozen=True)
class InitializerCase:
    """The paper's Var(W) for (fan_in, fan_out), with the largest |W| / sd and E W^4 / Var(W)^2 of the distribution."""

    variance: Callable[[int, int], float]
    largest: float
    kurtosis: float


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
    "leaky_relu": ActivationCase(
        **_pointwise(naive.leaky_relu, naive.leaky_relu_slope),
        oracle=lambda torch, z: torch.nn.functional.leaky_relu(z),
        initializer="he_normal",
        kinks=(0.0,),
    ),
    "elu": ActivationCase(
        **_pointwise(naive.elu, naive.elu_slope),
        oracle=lambda torch, z: torch.nn.functional.elu(z),
        initializer="he_normal",
    ),
    "selu": ActivationCase(
        **_pointwise(naive.selu, naive.selu_slope),
        oracle=lambda torch, z: torch.selu(z),
        initializer="lecun_normal",
        kinks=(0.0,),
    ),
    "celu": ActivationCase(
        **_pointwise(naive.elu, naive.elu_slope),
        oracle=lambda torch, z: torch.celu(z),
        initializer="he_normal",
    ),
    "gelu": ActivationCase(
        **_pointwise(naive.gelu, naive.gelu_slope),
        oracle=lambda torch, z: torch.nn.functional.gelu(z),
        initializer="he_normal",
    ),
    "gelu_tanh": ActivationCase(
        **_pointwise(naive.gelu_tanh, naive.gelu_tanh_slope),
        oracle=lambda torch, z: torch.nn.functional.gelu(z, approximate="tanh"),
        initializer="he_normal",
    ),
    "silu": ActivationCase(
        **_pointwise(naive.silu, naive.silu_slope),
        oracle=lambda torch, z: torch.nn.functional.silu(z),
        initializer="he_normal",
    ),
    "mish": ActivationCase(
        **_pointwise(naive.mish, naive.mish_slope),
        oracle=lambda torch, z: torch.nn.functional.mish(z),
        initializer="he_normal",
    ),
    "softplus": ActivationCase(
        **_pointwise(naive.softplus, naive.sigmoid),
        oracle=lambda torch, z: torch.nn.functional.softplus(z),
        initializer="glorot_uniform",
    ),
    "hard_sigmoid": ActivationCase(
        **_pointwise(naive.hard_sigmoid, naive.hard_sigmoid_slope),
        # PyTorch's own hardsigmoid rounds 1/6 to single precision in its backward pass, for float64 as well
        oracle=lambda torch, z: torch.clamp(z / 6 + 0.5, 0, 1),
        initializer="glorot_uniform",
        kinks=(-3.0, 3.0),
    ),
    "hard_swish": ActivationCase(
        **_pointwise(naive.hard_swish, naive.hard_swish_slope),
        oracle=lambda torch, z: torch.nn.functional.hardswish(z),
        initializer="he_normal",
        kinks=(-3.0, 3.0),
    ),
    "softsign": ActivationCase(
        **_pointwise(naive.softsign, naive.softsign_slope),
        oracle=lambda torch, z: torch.nn.functional.softsign(z),
        initializer="glorot_uniform",
    ),
    "log_softmax": ActivationCase(
        naive.log_softmax,
        naive.log_softmax_backward,
        oracle=lambda torch, z: torch.log_softmax(z, 1),
        initializer="glorot_uniform",
    ),
}

_EACH_ACTIVATION = tuple({"activation": name} for name in ACTIVATION_CASES)


def _dense_z(x: Array, v: Options, parametrization: str) -> Array:
    if parametrization == "ntk":
        return naive.dense(x, v["W"] / math.sqrt(x.shape[1]), v["b"])
    return naive.dense(x, v["W"], v["b"])


def _dense_backward(dy: Array, x: Array, v: Options, activation: str, parametrization: str = "standard") -> dict[str, Array]:
    dz, scale = ACTIVATION_CASES[activation].backward(dy, _dense_z(x, v, parametrization)), 1.0
    if parametrization == "ntk":
        scale = 1 / math.sqrt(x.shape[1])
    gradients = naive.dense_backward(dz, x, scale * v["W"])  # W is a scale away from what multiplies x
    return gradients | {"W": scale * gradients["W"]}


def _torch_dense(torch: Any, x: Any, v: Options, training: bool, activation: str, parametrization: str = "standard") -> Any:
    W = v["W"] if parametrization == "standard" else v["W"] * x.shape[1] ** -0.5
    return ACTIVATION_CASES[activation].oracle(torch, torch.nn.functional.linear(x, W.T, v["b"]))  # type: ignore[misc]


def _parametric_backward(dy: Array, x: Array, v: Options, activation: str) -> dict[str, Array]:
    f = ACTIVATION_CASES[activation]
    return naive.parametric_backward(dy, f.backward(dy, x), x, f.forward(x), v["alpha"])


def _torch_parametric(torch: Any, x: Any, v: Options, training: bool, activation: str) -> Any:
    return torch.lerp(x, ACTIVATION_CASES[activation].oracle(torch, x), v["alpha"])  # type: ignore[misc]


def _tables(v: Options, columns: Iterable[tuple[int, int, int]]) -> dict[int, Array]:
    return {index: v[f"table{index}"] for index, _, _ in columns}


def _torch_embedding(torch: Any, x: Any, v: Options, training: bool, columns: Any) -> Any:
    tables = _tables(v, columns)
    others = [i for i in range(x.shape[1]) if i not in tables]
    vectors = [torch.nn.functional.embedding(x[:, i].long(), table) for i, table in tables.items()]
    return torch.cat([x[:, others], *vectors], 1) + 0 * x.sum()  # a gradient for x, even if all columns are coded


def _torch_periodic(torch: Any, x: Any, v: Options, training: bool, columns: Any = None, **options: Any) -> Any:
    I = len(v["w"])  # noqa: E741
    cosines = torch.cos(2 * math.pi * x[:, :I, None] * v["w"] + v["b"])
    outputs = torch.einsum("nik,idk->nid", cosines, v["V"]) + v["c"]
    return torch.cat([torch.cat([outputs, x[:, :I, None]], 2).flatten(1), x[:, I:]], 1)


def _torch_piecewise_linear(torch: Any, x: Any, v: Options, training: bool, knots: Any, size: int = 3) -> Any:
    outputs, first = [], 0
    for i, own in enumerate(knots):  # the encoding of the paper: how far x has come through each bin, times the bin's rise
        q, V = torch.tensor(own, dtype=x.dtype), v["V"][first : first + len(own)]
        encoded = torch.clamp((x[:, i, None] - q[:-1]) / (q[1:] - q[:-1]), 0, 1)
        outputs += [V[0] + encoded @ (V[1:] - V[:-1]), x[:, i, None]]
        first += len(own)
    return torch.cat([*outputs, x[:, len(knots) :]], 1)


# what stands inside a Residual, by the name of the case
STACKS: dict[str, tuple[tuple[str, Options], ...]] = {
    "dense": (("Dense", {"activation": "gelu"}), ("Dense", {"activation": "identity"})),
    "norm": (("BatchNorm", {}), ("Dense", {"activation": "tanh"})),
    "nested": (("Residual", {"stack": "dense"}), ("Scale", {})),
}


def _make_residual(n_in: int, stack: str) -> Layer:
    return nl.Residual([Variant(LAYERS[name], LAYER_CASES[name], o).layer(n_in, n_in) for name, o in STACKS[stack]])


def _within(v: Options, i: int) -> dict[str, Any]:
    return {name.removeprefix(f"{i}."): value for name, value in v.items() if name.startswith(f"{i}.")}


def _stack_inputs(x: Array, v: Options, training: bool, stack: str) -> list[Array]:
    """Return what enters each layer of the stack, and what leaves the last."""
    inputs = [x]
    for i, (name, options) in enumerate(STACKS[stack]):
        inputs.append(LAYER_CASES[name].forward(inputs[-1], _within(v, i), training, **options))
    return inputs


def _residual_backward(dy: Array, x: Array, v: Options, stack: str) -> dict[str, Array]:
    inputs, gradients, through = _stack_inputs(x, v, True, stack), {}, dy
    for i, (name, options) in reversed(list(enumerate(STACKS[stack]))):
        found = LAYER_CASES[name].backward(through, inputs[i], _within(v, i), **options)
        through = found.pop("x")
        gradients |= {f"{i}.{key}": gradient for key, gradient in found.items()}
    return gradients | {"x": dy + through}


def _residual_state(x: Array, v: Options, stack: str) -> dict[str, Array]:
    inputs, state = _stack_inputs(x, v, True, stack), {}
    for i, (name, options) in enumerate(STACKS[stack]):
        found = LAYER_CASES[name].state(inputs[i], _within(v, i), **options)
        state |= {f"{i}.{key}": array for key, array in found.items()}
    return state


def _torch_residual(torch: Any, x: Any, v: Options, training: bool, stack: str) -> Any:
    y = x
    for i, (name, options) in enumerate(STACKS[stack]):
        y = LAYER_CASES[name].oracle(torch, y, _within(v, i), training, **options)  # type: ignore[misc]
    return x + y


def _make_average(n_in: int, stacks: tuple[str, ...]) -> Layer:
    return nl.Average([_make_residual(n_in, stack).layers for stack in stacks])  # type: ignore[attr-defined]


def _average(x: Array, v: Options, training: bool, stacks: tuple[str, ...]) -> Array:
    outputs = [_stack_inputs(x, _within(v, k), training, stack)[-1] for k, stack in enumerate(stacks)]
    return np.mean(outputs, axis=0)


def _average_backward(dy: Array, x: Array, v: Options, stacks: tuple[str, ...]) -> dict[str, Array]:
    gradients: dict[str, Array] = {"x": np.zeros(x.shape)}
    for k, stack in enumerate(stacks):
        found = _residual_backward(dy / len(stacks), x, _within(v, k), stack)
        gradients["x"] += found.pop("x") - dy / len(stacks)  # there is no way around the stack here
        gradients |= {f"{k}.{key}": gradient for key, gradient in found.items()}
    return gradients


def _average_state(x: Array, v: Options, stacks: tuple[str, ...]) -> dict[str, Array]:
    states = [_residual_state(x, _within(v, k), stack) for k, stack in enumerate(stacks)]
    return {f"{k}.{key}": array for k, state in enumerate(states) for key, array in state.items()}


def _torch_average(torch: Any, x: Any, v: Options, training: bool, stacks: tuple[str, ...]) -> Any:
    outputs = [_torch_residual(torch, x, _within(v, k), training, stack) - x for k, stack in enumerate(stacks)]
    return torch.stack(outputs).mean(0)


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
        forward=lambda x, v, training, activation, parametrization="standard": ACTIVATION_CASES[activation].forward(
            _dense_z(x, v, parametrization)
        ),
        backward=_dense_backward,
        oracle=_torch_dense,
        options=(*_EACH_ACTIVATION, {"activation": "tanh", "parametrization": "ntk"}),
        margin=lambda x, v, activation, parametrization="standard": ACTIVATION_CASES[activation].margin(
            _dense_z(x, v, parametrization)
        ),
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
            "kept": naive.kept(int(rng.integers(1 << 63)), rate, shape) if rate else np.ones(shape)
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
    "PReLU": LayerCase(
        forward=lambda x, v, training, shared=False: naive.prelu(x, v["alpha"]),
        backward=lambda dy, x, v, shared=False: naive.prelu_backward(dy, x, v["alpha"]),
        oracle=lambda torch, x, v, training, shared=False: torch.nn.functional.prelu(x, v["alpha"]),
        options=({}, {"shared": True}),
        margin=lambda x, v, shared=False: float(np.abs(x).min()),
    ),
    "ParametricActivation": LayerCase(
        forward=lambda x, v, training, activation: naive.parametric(x, ACTIVATION_CASES[activation].forward(x), v["alpha"]),
        backward=_parametric_backward,
        oracle=_torch_parametric,
        options=({"activation": "relu"}, {"activation": "selu"}, {"activation": "mish"}),
        margin=lambda x, v, activation: ACTIVATION_CASES[activation].margin(x),
    ),
    "AlphaDropout": LayerCase(
        forward=lambda x, v, training, rate: naive.alpha_dropout(x, v["kept"], rate) if training else x,
        backward=lambda dy, x, v, rate: {"x": naive.alpha_dropout_backward(dy, v["kept"], rate)},
        oracle=None,  # PyTorch draws other masks
        options=({"rate": 0.4}, {"rate": 0.0}),
        draw=lambda rng, shape, rate: {
            "kept": naive.kept(int(rng.integers(1 << 63)), rate, shape) if rate else np.ones(shape)
        },
        trains_differently=True,
    ),
    "GaussianNoise": LayerCase(
        forward=lambda x, v, training, std: naive.gaussian_noise(x, v["noise"], std) if training else x,
        backward=lambda dy, x, v, std: {"x": dy},
        oracle=None,  # PyTorch draws other noise
        options=({"std": 0.3}, {"std": 0.0}),
        draw=lambda rng, shape, std: {"noise": rng.standard_normal(shape, np.float32) if std else np.zeros(shape)},
        trains_differently=True,
    ),
    "LayerNorm": LayerCase(
        forward=lambda x, v, training, epsilon=1e-5: naive.layer_norm(x, v["gamma"], v["beta"], epsilon),
        backward=lambda dy, x, v, epsilon=1e-5: naive.layer_norm_backward(dy, x, v["gamma"], epsilon),
        oracle=lambda torch, x, v, training, epsilon=1e-5: torch.nn.functional.layer_norm(
            x, x.shape[1:], v["gamma"], v["beta"], epsilon
        ),
        options=({}, {"epsilon": 1e-2}),
    ),
    "RMSNorm": LayerCase(
        forward=lambda x, v, training, epsilon=1e-5: naive.rms_norm(x, v["gamma"], epsilon),
        backward=lambda dy, x, v, epsilon=1e-5: naive.rms_norm_backward(dy, x, v["gamma"], epsilon),
        oracle=lambda torch, x, v, training, epsilon=1e-5: torch.nn.functional.rms_norm(x, x.shape[1:], v["gamma"], epsilon),
        options=({}, {"epsilon": 1e-2}),
    ),
    "Scale": LayerCase(
        forward=lambda x, v, training: naive.scale(x, v["gamma"]),
        backward=lambda dy, x, v: naive.scale_backward(dy, x, v["gamma"]),
        oracle=lambda torch, x, v, training: torch.mul(x, v["gamma"]),
    ),
    "Standardize": LayerCase(
        forward=lambda x, v, training: naive.standardize(x, v["mean"], v["std"]),
        backward=lambda dy, x, v: {"x": naive.standardize(dy, 0 * v["mean"], v["std"])},
        oracle=lambda torch, x, v, training: (x - v["mean"]) / v["std"],
    ),
    "Residual": LayerCase(
        forward=lambda x, v, training, stack: x + _stack_inputs(x, v, training, stack)[-1],
        backward=_residual_backward,
        oracle=_torch_residual,
        options=tuple({"stack": name} for name in STACKS),
        state=_residual_state,
        trains_differently=True,
        least_rows=2,
        make=_make_residual,
    ),
    "Average": LayerCase(
        forward=_average,
        backward=_average_backward,
        oracle=_torch_average,
        options=({"stacks": ("dense", "norm")}, {"stacks": ("nested",)}),
        state=_average_state,
        trains_differently=True,
        least_rows=2,
        make=_make_average,
    ),
    "Periodic": LayerCase(
        forward=lambda x, v, training, **options: naive.periodic(x, v["w"], v["b"], v["V"], v["c"]),
        backward=lambda dy, x, v, **options: naive.periodic_backward(dy, x, v["w"], v["b"], v["V"]),
        oracle=_torch_periodic,
        options=({}, {"columns": 1, "waves": 5, "size": 1, "sigma": 1 / 3}),
    ),
    "PiecewiseLinear": LayerCase(
        forward=lambda x, v, training, knots, size=3: naive.piecewise_linear(x, v["V"], knots),
        backward=lambda dy, x, v, knots, size=3: naive.piecewise_linear_backward(dy, x, v["V"], knots),
        oracle=_torch_piecewise_linear,
        options=({"knots": ((-1.0, -0.25, 0.5, 1.0),)}, {"knots": ((0.0, 1.0),), "size": 1}),
        margin=lambda x, v, knots, size=3: min(
            float(np.abs(x[:, i, None] - np.array(own)).min()) for i, own in enumerate(knots)
        ),
    ),
    "Embedding": LayerCase(
        forward=lambda x, v, training, columns: naive.embedding(x, _tables(v, columns)),
        backward=lambda dy, x, v, columns: naive.embedding_backward(dy, x, _tables(v, columns)),
        oracle=_torch_embedding,
        options=({"columns": ((0, 3, 2),)},),
        first=True,
    ),
}


OUTPUTS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "logits": lambda rng, n, n_out: 2 * rng.normal(size=(n, n_out)),
    "probabilities": lambda rng, n, n_out: naive.softmax(rng.normal(size=(n, n_out))),
    "numbers": lambda rng, n, n_out: rng.normal(size=(n, n_out)),
    "log_probabilities": lambda rng, n, n_out: naive.log_softmax(rng.normal(size=(n, n_out))),
}

TARGETS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "labels": lambda rng, n, n_out: rng.integers(n_out, size=n),
    "one_hot": lambda rng, n, n_out: np.eye(n_out)[rng.integers(n_out, size=n)],
    "soft": lambda rng, n, n_out: rng.dirichlet(np.ones(n_out), size=n),
    "numbers": lambda rng, n, n_out: rng.normal(size=(n, n_out)),
    "bits": lambda rng, n, n_out: rng.integers(2, size=(n, n_out)),
    "shares": lambda rng, n, n_out: rng.uniform(size=(n, n_out)),
    "counts": lambda rng, n, n_out: rng.poisson(1.5, size=(n, n_out)).astype(np.float64),
    "positive": lambda rng, n, n_out: rng.gamma(2.0, size=(n, n_out)),
    "amounts": lambda rng, n, n_out: np.maximum(rng.normal(size=(n, n_out)), 0),
}


def _torch_cross_entropy(torch: Any, p: Any, target: Any, label_smoothing: float = 0.0) -> Any:
    if target.ndim == 1 and label_smoothing == 0:
        return torch.nn.functional.nll_loss(torch.log(p), target)
    q = target if target.ndim == 2 else torch.nn.functional.one_hot(target, p.shape[1])
    q = (1 - label_smoothing) * q + label_smoothing / p.shape[1]
    return -(q * torch.log(p)).sum(1).mean()


def _torch_softmax_cross_entropy(
    torch: Any, y: Any, target: Any, label_smoothing: float = 0.0, class_weights: Any = None
) -> Any:
    f = torch.nn.functional
    if class_weights is None:
        return f.cross_entropy(y, target, label_smoothing=label_smoothing)
    v = torch.tensor(class_weights)
    if target.ndim == 1 and label_smoothing == 0:
        return f.cross_entropy(y, target, weight=v)
    w = v[target] if target.ndim == 1 else target @ v  # PyTorch weighs each term of a distribution, not the row
    return (w * f.cross_entropy(y, target, label_smoothing=label_smoothing, reduction="none")).sum() / w.sum()


def _torch_sigmoid_cross_entropy(
    torch: Any, y: Any, target: Any, label_smoothing: float = 0.0, positive_weights: Any = None
) -> Any:
    v = None if positive_weights is None else torch.tensor(positive_weights)
    t = (1 - label_smoothing) * target + label_smoothing / 2
    return torch.nn.functional.binary_cross_entropy_with_logits(y, t, pos_weight=v) * y.shape[1]


def _torch_focal(torch: Any, y: Any, target: Any, gamma: float = 2.0) -> Any:
    log_p = torch.log_softmax(y, 1)
    q = target if target.ndim == 2 else torch.nn.functional.one_hot(target, y.shape[1])
    return -(q * (1 - torch.exp(log_p)) ** gamma * log_p).sum(1).mean()


def _torch_pinball(torch: Any, y: Any, target: Any, quantiles: Any) -> Any:
    tau, d = torch.tensor(quantiles), target[:, :1] - y
    return torch.maximum(tau * d, (tau - 1) * d).sum(1).mean()


def _distance(y: Array, target: Array) -> Array:
    return np.abs(y - target[:, : 1 if target.shape[1] != y.shape[1] else None])


def _hinge_margin(y: Array, target: Array, margin: float = 1.0) -> float:
    others = np.arange(y.shape[1]) != target[:, None]
    return float(np.abs(margin - y[np.arange(len(y)), target, None] + y)[others].min(initial=math.inf))


LOSS_CASES = {
    "SoftmaxCrossEntropy": LossCase(
        naive.softmax_cross_entropy,
        oracle=_torch_softmax_cross_entropy,
        outputs="logits",
        targets=("labels", "one_hot", "soft"),
        options=(
            {},
            {"label_smoothing": 0.1},
            {"class_weights": (0.5, 2.0, 1.25)},
            {"label_smoothing": 0.1, "class_weights": (0.5, 2.0, 0.25)},
        ),
        columns=lambda n, label_smoothing=0.0, class_weights=None: n if class_weights is None else len(class_weights),
    ),
    "SigmoidCrossEntropy": LossCase(
        naive.sigmoid_cross_entropy,
        oracle=_torch_sigmoid_cross_entropy,
        outputs="logits",
        targets=("bits", "shares"),
        options=({}, {"label_smoothing": 0.1}, {"positive_weights": (0.5, 2.0, 1.25)}),
        columns=lambda n, label_smoothing=0.0, positive_weights=None: (
            n if positive_weights is None else len(positive_weights)
        ),
    ),
    "Focal": LossCase(
        naive.focal,
        oracle=_torch_focal,
        outputs="logits",
        targets=("labels", "one_hot", "soft"),
        options=({}, {"gamma": 1.5}, {"gamma": 0.0}),
    ),
    "KLDivergence": LossCase(
        naive.kl_divergence,
        oracle=lambda torch, y, target: torch.nn.functional.kl_div(y, target, reduction="batchmean"),
        outputs="log_probabilities",
        targets=("soft", "one_hot"),
    ),
    "Hinge": LossCase(
        naive.hinge,
        oracle=lambda torch, y, target, margin=1.0: torch.nn.functional.multi_margin_loss(y, target, margin=margin),
        outputs="logits",
        targets=("labels",),
        options=({}, {"margin": 0.5}),
        margin=_hinge_margin,
    ),
    "AbsoluteError": LossCase(
        naive.absolute_error,
        oracle=lambda torch, y, target: torch.nn.functional.l1_loss(y, target) * y.shape[1],
        outputs="numbers",
        targets=("numbers",),
        margin=lambda y, target: _distance(y, target).min(),
    ),
    "Huber": LossCase(
        naive.huber,
        oracle=lambda torch, y, target, delta=1.0: torch.nn.functional.huber_loss(y, target, delta=delta) * y.shape[1],
        outputs="numbers",
        targets=("numbers",),
        options=({}, {"delta": 0.4}),
    ),
    "LogCosh": LossCase(
        naive.log_cosh,
        oracle=lambda torch, y, target: torch.log(torch.cosh(y - target)).sum(1).mean(),
        outputs="numbers",
        targets=("numbers",),
    ),
    "Pinball": LossCase(
        naive.pinball,
        oracle=_torch_pinball,
        outputs="numbers",
        targets=("numbers",),
        options=({"quantiles": (0.1, 0.5, 0.9)}, {"quantiles": (0.3,)}),
        margin=lambda y, target, quantiles: _distance(y, target).min(),
        columns=lambda n, quantiles: len(quantiles),
        target_columns=lambda n: 1,
    ),
    "Poisson": LossCase(
        naive.poisson,
        oracle=lambda torch, y, target: torch.nn.functional.poisson_nll_loss(y, target) * y.shape[1],
        outputs="numbers",
        targets=("counts",),
    ),
    "Gamma": LossCase(naive.gamma, oracle=None, outputs="numbers", targets=("positive",)),
    "Tweedie": LossCase(
        naive.tweedie, oracle=None, outputs="numbers", targets=("amounts",), options=({}, {"power": 1.2}, {"power": 1.9})
    ),
    "GaussianNLL": LossCase(
        naive.gaussian_nll,
        oracle=lambda torch, y, target: (
            torch.nn.functional.gaussian_nll_loss(y[:, : target.shape[1]], target, torch.exp(y[:, target.shape[1] :]))
            * target.shape[1]
        ),
        outputs="numbers",
        targets=("numbers",),
        columns=lambda n: 2 * n,
        target_columns=lambda n: n // 2,
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


def _torch_adam(torch: Any, name: str, groups: Any, options: dict[str, Any], **fixed: Any) -> Any:
    options = dict(options)
    betas = (options.pop("beta1", 0.9), options.pop("beta2", 0.999))
    return getattr(torch.optim, name)(groups, betas=betas, eps=options.pop("epsilon", 1e-8), **options, **fixed)


OPTIMIZER_CASES = {
    "SGD": OptimizerCase(
        naive.sgd,
        oracle=lambda torch, groups, **options: torch.optim.SGD(groups, **options),
        options=({}, {"momentum": 0.9}, {"momentum": 0.8, "nesterov": True}),
    ),
    "RMSprop": OptimizerCase(
        naive.rmsprop,
        oracle=lambda torch, groups, epsilon=1e-8, **options: torch.optim.RMSprop(groups, eps=epsilon, **options),
        options=({}, {"alpha": 0.9, "epsilon": 1e-3, "momentum": 0.8, "centered": True}, {"momentum": 0.5}),
    ),
    "Adagrad": OptimizerCase(
        naive.adagrad,
        oracle=lambda torch, groups, epsilon=1e-10: torch.optim.Adagrad(groups, eps=epsilon),
        options=({}, {"epsilon": 1e-2}),
        bowl=0.5,
    ),
    "Adadelta": OptimizerCase(
        naive.adadelta,
        oracle=lambda torch, groups, rho=0.9, epsilon=1e-6: torch.optim.Adadelta(groups, rho=rho, eps=epsilon),
        options=({}, {"rho": 0.8, "epsilon": 1e-3}),
        bowl=5.0,
    ),
    "Adam": OptimizerCase(
        naive.adam,
        oracle=lambda torch, groups, **options: _torch_adam(torch, "Adam", groups, options),
        options=({}, {"beta1": 0.8, "beta2": 0.9, "epsilon": 1e-3}),
    ),
    "AMSGrad": OptimizerCase(
        naive.amsgrad,
        oracle=lambda torch, groups, **options: _torch_adam(torch, "Adam", groups, options, amsgrad=True),
        options=({}, {"beta1": 0.8, "beta2": 0.9, "epsilon": 1e-3}),
    ),
    "AdamW": OptimizerCase(
        naive.adamw,
        oracle=lambda torch, groups, **options: _torch_adam(torch, "AdamW", groups, options),
        options=({}, {"weight_decay": 0.3, "beta1": 0.8}, {"weight_decay": 0.0}),
    ),
    "NAdam": OptimizerCase(
        naive.nadam,
        oracle=lambda torch, groups, **options: _torch_adam(torch, "NAdam", groups, options, decoupled_weight_decay=True),
        options=({}, {"beta1": 0.8, "beta2": 0.9, "epsilon": 1e-3, "weight_decay": 0.2, "momentum_decay": 0.1}),
    ),
    "RAdam": OptimizerCase(
        naive.radam,
        oracle=lambda torch, groups, **options: _torch_adam(torch, "RAdam", groups, options, decoupled_weight_decay=True),
        options=({}, {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3, "weight_decay": 0.2}),
    ),
    "Lion": OptimizerCase(
        naive.lion,
        oracle=None,  # PyTorch has none
        options=({}, {"beta1": 0.8, "beta2": 0.9, "weight_decay": 0.3}),
    ),
}

# what every optimizer takes; parameters are called layers.0.W and layers.0.b
COMMON_OPTIONS: tuple[Options, ...] = (
    {"clip_norm": 2.0},
    {"clip_value": 0.5},
    {"clip_norm": 1.0, "clip_value": 0.7},
    {"factors": {"*.b": (0.25, 0.5), "layers.0.*": (2.0, 0.5), "*.W": (9.0, 9.0)}},
)
SLICED_NAMES = ("layers.0.W", "layers.0.b")


def optimizer_twin(variant: "Variant", params: Array, grads: Array, rates: list[float], n_weights: int) -> Array:
    """Return what the loops make of the parameters; patterns are resolved by hand here."""
    options = dict(variant.options)
    if "factors" in options:
        options["factors"] = (options["factors"]["layers.0.*"], options["factors"]["*.b"])
    return variant.case.run(params, grads, rates, n_weights, **options)


def optimizer_oracle(torch: Any, variant: "Variant", weights: Any, biases: Any) -> tuple[Any, tuple[float, float]]:
    """Return PyTorch's optimizer, and the factors of the rates of its two groups."""
    options = {name: value for name, value in variant.options.items() if name not in ("clip_norm", "clip_value", "factors")}
    factors = variant.options.get("factors")
    (a, c), (a_bias, c_bias) = (factors["layers.0.*"], factors["*.b"]) if factors else ((1.0, 1.0), (1.0, 0.0))
    decay = options.pop("weight_decay", 0.01 if variant.kind.__name__ == "AdamW" else 0.0)
    groups: list[dict[str, Any]] = [{"params": [weights]}, {"params": [biases]}]
    if decay:
        groups[0]["weight_decay"], groups[1]["weight_decay"] = decay * c, decay * c_bias
    elif variant.kind.__name__ == "AdamW":
        groups[0]["weight_decay"] = groups[1]["weight_decay"] = 0.0
    return variant.case.oracle(torch, groups, **options), (a, a_bias)


def clip_oracle(torch: Any, variant: "Variant", tensors: list[Any]) -> None:
    """Clip the gradients of PyTorch's tensors in place."""
    if "clip_value" in variant.options:
        torch.nn.utils.clip_grad_value_(tensors, variant.options["clip_value"])
    if "clip_norm" in variant.options:
        torch.nn.utils.clip_grad_norm_(tensors, variant.options["clip_norm"])


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


def _torch_polynomial(
    torch: Any, optimizer: Any, total: int, learning_rate: float, final: float = 0.0, power: float = 1.0
) -> Any:
    """PyTorch's falls to 0: (final + the rest of it) has no scheduler of its own, so it is built from the factors."""
    lr = torch.optim.lr_scheduler
    _from_rate(optimizer, learning_rate)
    if final == 0:
        return lr.PolynomialLR(optimizer, total, power)
    share = final / learning_rate
    return lr.LambdaLR(optimizer, lambda t: share + (1 - share) * (1 - t / total) ** power)


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
    "Step": ScheduleCase(
        naive.step,
        oracle=lambda torch, optimizer, total, learning_rate, every, factor=0.1: torch.optim.lr_scheduler.StepLR(
            _from_rate(optimizer, learning_rate), every, factor
        ),
        options=({"learning_rate": 0.1, "every": 3}, {"learning_rate": 0.05, "every": 4, "factor": 0.5}),
    ),
    "Exponential": ScheduleCase(
        naive.exponential,
        oracle=lambda torch, optimizer, total, learning_rate, factor: torch.optim.lr_scheduler.ExponentialLR(
            _from_rate(optimizer, learning_rate), factor
        ),
        options=({"learning_rate": 0.1, "factor": 0.97},),
    ),
    "Polynomial": ScheduleCase(
        naive.polynomial,
        oracle=_torch_polynomial,
        options=(
            {"learning_rate": 0.1},
            {"learning_rate": 0.1, "power": 0.9},
            {"learning_rate": 0.1, "final": 0.01, "power": 2.0},
        ),
    ),
    "CosineRestarts": ScheduleCase(
        naive.cosine_restarts,
        oracle=lambda torch, optimizer, total, learning_rate, period, growth=1, final=0.0: (
            torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(_from_rate(optimizer, learning_rate), period, growth, final)
        ),
        options=(
            {"learning_rate": 0.1, "period": 4},
            {"learning_rate": 0.1, "period": 3, "growth": 2, "final": 0.01},
        ),
    ),
    "CosLog4": ScheduleCase(naive.cos_log4, oracle=None, options=({"peak": 0.1},)),
    "FlatCosine": ScheduleCase(naive.flat_cosine, oracle=None, options=({"learning_rate": 0.1},)),
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


_RULES: dict[str, Callable[[int, int], float]] = {
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he": lambda fan_in, fan_out: 2 / fan_in,
}
# a normal variable cut at +-2 has variance 0.773741 and fourth moment 1.416189
_FORMS = {"normal": (math.inf, 3.0), "uniform": (math.sqrt(3), 1.8), "truncated_normal": (2 / 0.879626, 2.36554)}

INITIALIZER_CASES = {
    **{f"{rule}_{form}": InitializerCase(_RULES[rule], *_FORMS[form]) for rule in _RULES for form in _FORMS},
    "orthogonal": InitializerCase(lambda fan_in, fan_out: 1 / max(fan_in, fan_out), math.inf, 3.0),
    "zeros": InitializerCase(lambda fan_in, fan_out: 0.0, 0.0, math.nan),
}


def _labels(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.integers(3, size=20), rng.choice([0, 1, 1, 3], size=20), rng.uniform(size=20)


def _numbers(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.normal(size=(20, 2)), rng.normal(size=(20, 2)), rng.uniform(size=20)


def _chances(rng: np.random.Generator, *more: Any) -> tuple[Any, ...]:
    return rng.dirichlet(np.ones(3), size=20), rng.integers(3, size=20), *more, rng.uniform(size=20)


METRIC_CASES = {
    "balanced_accuracy": MetricCase(naive.balanced_accuracy, _labels),
    "precision": MetricCase(lambda a, b: naive.precision(a, b, np.ones(20)), lambda rng: _labels(rng)[:2]),
    "recall": MetricCase(lambda a, b: naive.recall(a, b, np.ones(20)), lambda rng: _labels(rng)[:2]),
    "f1": MetricCase(lambda a, b: naive.f1(a, b, np.ones(20)), lambda rng: _labels(rng)[:2]),
    "top_k_accuracy": MetricCase(
        naive.top_k_accuracy,
        lambda rng: (rng.integers(5, size=(20, 6)), rng.integers(6, size=20), 3, rng.uniform(size=20)),
    ),
    "roc_auc": MetricCase(
        naive.roc_auc, lambda rng: (rng.integers(5, size=(20, 3)), rng.permutation(20) % 3, rng.uniform(size=20))
    ),
    "log_loss": MetricCase(naive.log_loss, _chances),
    "brier_score": MetricCase(naive.brier_score, _chances),
    "expected_calibration_error": MetricCase(naive.expected_calibration_error, lambda rng: _chances(rng, 7)),
    "r2": MetricCase(naive.r2, _numbers),
    "mean_absolute_error": MetricCase(naive.mean_absolute_error, _numbers),
    "root_mean_squared_error": MetricCase(naive.root_mean_squared_error, _numbers),
    "accuracy": MetricCase(naive.accuracy, lambda rng: (rng.integers(3, size=20), rng.integers(3, size=20))),
    "confusion_matrix": MetricCase(
        naive.confusion_matrix, lambda rng: (rng.integers(4, size=30), rng.integers(4, size=30), 5)
    ),
    "hits": MetricCase(naive.hits, lambda rng: (rng.integers(2, size=(20, 2)), rng.integers(2, size=(20, 2)))),
}


# (name in the tables above, the part's own table or namespace)
TABLES: dict[str, tuple[Mapping[str, Any], Iterable[str]]] = {
    "activation": (ACTIVATION_CASES, ACTIVATIONS),
    "layer": (LAYER_CASES, LAYERS),
    "loss": (LOSS_CASES, LOSSES),
    "optimizer": (OPTIMIZER_CASES, OPTIMIZERS),
    "schedule": (SCHEDULE_CASES, SCHEDULES),
    "initializer": (INITIALIZER_CASES, INITIALIZERS),
    "metric": (METRIC_CASES, metrics.__all__),
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
        if self.case.make is not None:
            return self.case.make(n_in, **self.options)
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
# the last variant of each optimizer with each of the common options
COMMON_VARIANTS = [
    Variant(OPTIMIZERS[name], case, {**case.options[-1], **options})
    for name, case in OPTIMIZER_CASES.items()
    for options in COMMON_OPTIONS
]


def optimizer_runs() -> list[tuple[Variant, Variant]]:
    """Return (optimizer, schedule): each optimizer with each option, decay and clipping; each schedule in its first form."""
    schedules = {v.kind: v for v in reversed(SCHEDULE_VARIANTS)}
    runs = [(optimizer, schedule) for optimizer in OPTIMIZER_VARIANTS + COMMON_VARIANTS for schedule in schedules.values()]
    plain = next(v for v in OPTIMIZER_VARIANTS if v.kind is OPTIMIZERS["SGD"])
    return runs + [(plain, v) for v in SCHEDULE_VARIANTS if v is not schedules[v.kind]]


OPTIMIZER_RUNS = optimizer_runs()


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
        x, values = layer.example(rng.normal(size=(n, n_in))), draw_values(layer, rng)
        if variant.case.margin(x, values, **variant.options) > MARGIN:
            return layer, x, values


def draw_loss(variant: Variant, kind: str, n: int, n_out: int) -> tuple[Array, Array]:
    """Return (y, target) away from kinks, with as many columns as the loss takes when `n_out` are wanted."""
    rng = np.random.default_rng([variant.seed, n, n_out])
    n_out = loss_columns(variant, n_out)
    while True:
        y, target = OUTPUTS[variant.case.outputs](rng, n, n_out), draw_target(variant, kind, rng, n, n_out)
        if variant.case.margin(y, target, **variant.options) > MARGIN:
            return y, target


def loss_columns(variant: Variant, n_out: int) -> int:
    """Return the number of outputs the loss takes when `n_out` are wanted."""
    return variant.case.columns(n_out, **variant.options)


def draw_target(variant: Variant, kind: str, rng: np.random.Generator, n: int, n_out: int) -> Array:
    """Return a target for n rows of `n_out` outputs."""
    return TARGETS[kind](rng, n, variant.case.target_columns(n_out))


def before(layer: Layer, n_in: int, activation: str = "identity") -> list[Layer]:
    """Return a dense layer to stand before another one, or nothing if that belongs first."""
    first = type(layer).__name__ in LAYER_CASES and LAYER_CASES[type(layer).__name__].first
    return [] if first else [nl.Dense(n_in, layer.n_in, activation)]


def output_layers(loss: Variant, n_in: int, n_out: int) -> list[Layer]:
    """Return last layers whose outputs the loss wants."""
    n_out = loss_columns(loss, n_out)
    last: list[Layer] = [nl.Dense(n_in, n_out)]
    ends = {"probabilities": [nl.Softmax(n_out)], "log_probabilities": [nl.Activation(n_out, "log_softmax")]}
    return [*last, *ends.get(loss.case.outputs, [])]


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
    network = nl.Network([*before(layers[0], 3, "tanh"), *layers], rng=7)
    rng = np.random.default_rng(8)
    x = network.layers[0].example(rng.normal(size=(6, network.n_in)).astype(np.float32))
    columns = LOSS_CASES[type(loss).__name__].target_columns
    target = TARGETS[kind](rng, 6, columns(network.n_out))
    target = loss.prepare(target, network.n_out, network.dtype, "digests")
    optimizer.start(network.params, network.n_weights, 3)
    for _ in range(3):
        y = network.forward(x, training=True)
        network.backward(loss(y, target)[1])
        optimizer.step(network.params, network.grads)
    whole = network.params.tobytes() + network.state.tobytes() + network.outputs(x).tobytes()
    return hashlib.sha256(whole).hexdigest()
