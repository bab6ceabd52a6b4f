"""One training step of `fit`, number by number, with the formula of each and the numeric gradient beside it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.activations import ACTIVATIONS
from numlp.copies import fresh
from numlp.differences import numeric_gradient
from numlp.errors import DTypeError, as_array, check_finite, check_matrix, check_same_length, check_weight
from numlp.layers import Dense
from numlp.losses import Loss
from numlp.network import Network

Array = NDArray[Any]

_SHOWN = 6  # rows and columns of a large array that are printed


def explain_step(network: Network, loss: Loss, x: Any, target: Any, weight: Any = None) -> None:
    """Print the forward pass, the loss and the backward pass of one batch, every gradient beside its numeric value.

    For each dense layer z, a, dz, dW, db and dx are shown with formula and shape; each gradient on the left, on the
    right the central difference (L(+e) - L(-e)) / 2e. Of large arrays the corner is shown. Loss and gradients are those
    that `fit` gives the optimizer for this batch, the network's `l2` included. Works on a float64 copy, in training mode
    with the random numbers that the network's generator gives next, in every pass the same: the network and its
    generator stay as they are.

    Parameters
    ----------
    network
        Any network.
    loss
        The loss of its outputs.
    x, target
        A batch, best a small one.
    weight
        Weights (n,) of the rows, at least 0; None counts each once.

    Errors  ShapeError, DTypeError, ArgumentError if x, target or weight do not fit.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> network = nl.Network([nl.Dense(1, 2)], rng=0)
    >>> network.params[...] = [1, 2, 0, 0]
    >>> nl.explain_step(network, nl.SoftmaxCrossEntropy(), np.ones((1, 1)), np.array([0]))
    forward
      x  (1, 1)
          1.0000
      z0 = x W0 + b0  (1, 2)
          1.0000   2.0000
      a0 = identity(z0)  (1, 2)
          1.0000   2.0000
    loss
      SoftmaxCrossEntropy(a0, target) = 1.313262
    backward: the stated gradient | the numeric one, (L(+e) - L(-e)) / 2e
      da0 = dL/da0, the division by N included  (1, 2)
         -0.7311   0.7311  |   -0.7311   0.7311
      dz0 = da0 * identity'(z0)  (1, 2)
         -0.7311   0.7311  |   -0.7311   0.7311
      dW0 = x^T dz0  (1, 2)
         -0.7311   0.7311  |   -0.7311   0.7311
      db0 = sum over the rows of dz0  (2,)
         -0.7311   0.7311  |   -0.7311   0.7311
    """
    if not isinstance(loss, Loss):
        raise DTypeError(f"explain_step: loss must be a Loss, got {loss!r}")
    where = "explain_step"
    x, target = check_matrix(x, where, "x", network.n_in), as_array(target, where, "target")
    check_same_length(x, target, where)
    check_finite(x, where, "x")
    network.layers[0].check(x, where)
    twin, loss = network.twin(np.float64, network.rng), fresh(loss)
    target = loss.prepare(target, network.n_out, twin.dtype, where)
    weight = None if weight is None else check_weight(weight, len(x), where)
    twin.reserve(len(x))
    step = _Step(twin, loss, x.astype(twin.batch_dtype(x)), target, weight)
    print("forward")
    for title, array in step.forward():
        _show(title, array)
    print("loss")
    value, last = step.loss_of_outputs(step.inputs[-1])[0], len(twin.layers) - 1
    print(f"  {type(loss).__name__}(a{last}, target{'' if weight is None else ', weight'}) = {value:.6f}")
    if twin.l2:
        print(f"  l2 / 2 sum W^2 = {twin.penalty():.6f},  l2 = {twin.l2:g}")
        print(f"  L, the sum = {value + twin.penalty():.6f}")
    print("backward: the stated gradient | the numeric one, (L(+e) - L(-e)) / 2e")
    for line in step.backward():  # a list: the numeric passes below overwrite the layers' buffers
        corner = [index for index in np.ndindex(line.array.shape) if max(index) < _SHOWN]
        numeric = np.array(numeric_gradient(line.value, line.array, corner))
        _show(line.title, line.gradient, numeric)


class _Line(NamedTuple):
    """One gradient, and the function of one array that it is the derivative of."""

    title: str
    gradient: Array
    value: Callable[[], float]
    array: Array


class _Step:
    """One training step taken apart: `inputs[i]` enters layer i, `inputs[-1]` the loss."""

    def __init__(self, network: Network, loss: Loss, x: Array, target: Array, weight: Array | None) -> None:
        self.network, self.loss, self.target, self.weight = network, loss, target, weight
        self.state = network.state.copy()
        self.inputs = [x]
        self.dice: list[Any] = []  # the generator's state before each layer, so that dropout can be repeated

    def forward(self) -> list[tuple[str, Array]]:
        """Run all layers and return what is to be shown."""
        shown = [("x", self.inputs[0])]
        for i, layer in enumerate(self.network.layers):
            self.dice.append(self.network.rng.bit_generator.state)
            x, name = self.inputs[i], _input_name(i)
            self.inputs.append(layer.forward(x, training=True).copy())
            formula = str(layer)
            if isinstance(layer, Dense):
                shown.append((f"z{i} = {name} W{i}{_scaled(layer)} + b{i}", _z(layer, x)))
                formula = f"{layer.activation}(z{i})"
            shown.append((f"a{i} = {formula}", self.inputs[i + 1]))
        return shown

    def loss_of_outputs(self, y: Array) -> tuple[float, Array]:
        """Return the loss without the penalty, and its gradient."""
        return self.loss(y, self.target, self.weight)

    def value_from(self, start: int, x: Array | None = None) -> float:
        """Return L if `x` (else what it was) enters layer `start`."""
        self.network.state[...] = self.state
        y = self.inputs[start] if x is None else x
        for layer, state in zip(self.network.layers[start:], self.dice[start:], strict=True):
            self.network.rng.bit_generator.state = state
            y = layer.forward(y, training=True)
        return self.loss_of_outputs(y)[0] + self.network.penalty()

    def backward(self) -> list[_Line]:
        """Run all layers backwards and return every gradient on the way."""
        layers, last = self.network.layers, len(self.network.layers) - 1
        dy: Array | None = self.loss_of_outputs(self.inputs[-1])[1]
        title = f"da{last} = dL/da{last}, the division by N included"
        lines = []
        for i in range(last, self.network.first_trained - 1, -1):
            assert dy is not None  # None comes from the last of these layers only
            lines += [self._line(title, dy, i + 1), *self._dense_lines(i, dy)]
            dy = layers[i].backward(dy)
            layer = layers[i]
            roles = {parameter.name: parameter.role for parameter in layer.parameters()}
            for name, gradient in self.network.arena.gradients[i].items():
                value, label = self.network.arena.values[i][name], _parameter_title(layer, name, i)
                if self.network.l2 and roles[name] == "weight":
                    label, gradient = f"{label} + l2 {name}{i}", gradient + self.network.l2 * value
                lines.append(_Line(label, gradient.copy(), lambda: self.value_from(0), value))
            source = f"dz{i} W{i}^T{_scaled(layer)}" if isinstance(layer, Dense) else f"back through {layer}"
            title = f"da{i - 1} = {source}"
        return lines

    def _line(self, title: str, gradient: Array, start: int) -> _Line:
        """Return the line of the gradient of what enters layer `start`."""
        x = self.inputs[start].copy()
        return _Line(title, gradient.copy(), lambda: self.value_from(start, x), x)

    def _dense_lines(self, i: int, dy: Array) -> list[_Line]:
        """Return the line of dz if layer i is dense."""
        layer = self.network.layers[i]
        if not isinstance(layer, Dense):
            return []
        f, z, y = ACTIVATIONS[layer.activation], _z(layer, self.inputs[i]), np.empty_like(dy)
        dz = np.empty_like(dy)
        f.backward(dy, z if f.keeps_input else self.inputs[i + 1], dz)

        def value() -> float:
            f.apply(z, y)
            return self.value_from(i + 1, y)

        back = f"da{i} * {layer.activation}'(z{i})" if f.pointwise else f"back through {layer.activation} of da{i}"
        return [_Line(f"dz{i} = {back}", dz, value, z)]


def _input_name(i: int) -> str:
    return "x" if i == 0 else f"a{i - 1}"


def _z(layer: Dense, x: Array) -> Array:
    return layer.scale * (x @ layer.W) + layer.b


def _scaled(layer: Dense) -> str:
    """Return the factor of the ntk parametrization as text."""
    return f" / sqrt({layer.n_in})" if layer.scale != 1 else ""


def _parameter_title(layer: Any, name: str, i: int) -> str:
    if not isinstance(layer, Dense):
        return f"d{name}{i} of {layer}"
    return f"d{name}{i} = " + (f"{_input_name(i)}^T dz{i}{_scaled(layer)}" if name == "W" else f"sum over the rows of dz{i}")


def _show(title: str, array: Array, numeric: Array | None = None) -> None:
    """Print title, shape and the corner of an array, row by row, with the numeric values of the same corner."""
    print(f"  {title}  {array.shape}")
    corner = np.atleast_2d(array[tuple(slice(0, _SHOWN) for _ in array.shape)])
    corner = corner.reshape(-1, corner.shape[-1])
    beside = None if numeric is None else numeric.reshape(corner.shape)
    cut = " ..." if array.shape[-1] > _SHOWN else ""
    for k, row in enumerate(corner):
        text = _numbers(row) + cut
        print(f"    {text}" if beside is None else f"    {text}  |  {_numbers(beside[k])}{cut}")
    if array.ndim > 1 and len(array) > _SHOWN:
        print("         ...")


def _numbers(row: Array) -> str:
    return " ".join(f"{number:8.4f}" for number in np.round(row, 4) + 0.0)  # + 0.0 makes -0.0 a plain zero
