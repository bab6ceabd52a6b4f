"""One training step, number by number, with the formula of each and the numeric gradient beside it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import DTypeError
from numlp.gradients import numeric_gradient
from numlp.layers import Dense, Layer
from numlp.losses import Loss
from numlp.network import Network

Array = NDArray[Any]

_SHOWN = 6  # numeric gradients and rows or columns of an array that are printed


def explain_step(network: Network, loss: Loss, x: Array, target: Array) -> None:
    """Print the forward pass, the loss, the backward pass and the check of every gradient for one batch.

    Works on a float64 copy: the network, its generator and its buffers stay as they are. For each dense layer z, a, dz, dW,
    db and dx are shown with shape and formula; beside dW and db stands the central difference
    (L(w + e) - L(w - e)) / 2e. Of large arrays the corner is shown.

    Parameters
    ----------
    network
        Any network.
    loss
        The loss of its outputs.
    x, target
        A batch, best a small one.

    Errors  ShapeError, DTypeError, ArgumentError if x or target do not fit.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> network = nl.Network([nl.Dense(2, 2)], rng=0)
    >>> nl.explain_step(network, nl.SoftmaxCrossEntropy(), np.ones((1, 2)), np.array([0]))  # doctest: +ELLIPSIS
    forward
      x (1, 2)
    ...
    """
    if not isinstance(loss, Loss):
        raise DTypeError(f"explain_step: loss must be a Loss, got {loss!r}")
    twin = _twin(network)
    x = np.atleast_2d(np.asarray(x)).astype(np.float64)
    target = loss.prepare(target, network.n_out, twin.dtype, "explain_step")
    state, dice = twin.state.copy(), twin.rng.bit_generator.state

    def value() -> float:
        twin.state[...], twin.rng.bit_generator.state = state, dice
        return loss(twin.forward(x, training=True), target)[0]

    value()
    _print_forward(twin, x)
    twin.state[...], twin.rng.bit_generator.state = state, dice
    result, dy = loss(twin.forward(x, training=True), target)
    print(f"loss  {type(loss).__name__} = {result:.6f}")
    _show("dL/dy", "the loss's gradient, the division by N included", dy)
    stated = _print_backward(twin, dy.copy())
    print("check  stated gradient against (L(w + e) - L(w - e)) / 2e, e = 1e-6")
    for name, array, gradient in stated:
        indices = list(np.ndindex(array.shape))[:_SHOWN]
        numeric = numeric_gradient(value, array, indices)
        for index, slope in zip(indices, numeric, strict=True):
            place = ", ".join(map(str, index))
            print(f"  {name}[{place}]  stated {gradient[index]:+.8f}  numeric {slope:+.8f}")


def _twin(network: Network) -> Network:
    """Return a float64 copy with the same numbers and the same next random draws."""
    twin = Network.from_config(network.to_config() | {"dtype": "float64"}, np.random.default_rng(0))
    twin.restore(network.snapshot())
    twin.rng.bit_generator.state = np.random.default_rng(0).bit_generator.state
    return twin


def _print_forward(network: Network, x: Array) -> None:
    """Print what every layer makes of its input."""
    print("forward")
    _show("x", "", x)
    for i, layer in enumerate(network.layers):
        if isinstance(layer, Dense):
            _show(f"z{i}", f"x{i} W{i} + b{i}, {layer}", x @ layer.W + layer.b)
        x = layer.forward(x, training=True)
        formula = f"{layer.activation}(z{i})" if isinstance(layer, Dense) else str(layer)
        _show(f"a{i}", formula, x)


def _print_backward(network: Network, dy: Array) -> list[tuple[str, Array, Array]]:
    """Print the way back, and return (name, parameter, its gradient) of every parameter."""
    stated = []
    print("backward")
    for i in range(len(network.layers) - 1, network._first - 1, -1):
        layer = network.layers[i]
        if isinstance(layer, Dense):
            dz = dy.copy()
            layer._f.backward(dz, layer._y[: len(dz)], dz)
            _show(f"dz{i}", f"da{i} * {layer.activation}'(z{i})", dz)
        dx = layer.backward(dy)
        for name, gradient in network.arena.gradients[i].items():
            _show(f"d{name}{i}", _formula(layer, name, i), gradient)
            stated.append((f"d{name}{i}", network.arena.values[i][name], gradient.copy()))
        if dx is not None:
            _show(f"da{i - 1}", f"dz{i} W{i}^T" if isinstance(layer, Dense) else f"back through {layer}", dx)
            dy = dx
    return stated


def _formula(layer: Layer, name: str, i: int) -> str:
    """Return the formula of a parameter's gradient."""
    formulas = {"W": f"x{i}^T dz{i}", "b": f"sum over the rows of dz{i}"}
    return formulas.get(name, f"of {layer}") if isinstance(layer, Dense) else f"of {layer}"


def _show(name: str, formula: str, array: Array) -> None:
    """Print name, shape, formula and the corner of an array."""
    print(f"  {name} {array.shape}" + (f"  = {formula}" if formula else ""))
    corner = array[tuple(slice(0, _SHOWN) for _ in array.shape)]
    text = np.array2string(corner, precision=4, suppress_small=True, floatmode="fixed", max_line_width=120, threshold=100)
    cut = " ..." if corner.shape != array.shape else ""
    print("    " + text.replace("\n", "\n    ") + cut)
