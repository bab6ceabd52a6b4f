"""Is a backward pass the derivative of its forward pass? Central differences in float64 tell."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import DTypeError, NumlpError, ShapeError
from numlp.layers import Dense, Layer
from numlp.losses import Loss
from numlp.network import Network

Array = NDArray[Any]


def numeric_gradient(
    function: Callable[[], float], array: Array, indices: Iterable[tuple[int, ...]], epsilon: float = 1e-6
) -> list[float]:
    """Return d function / d array[index] for each index, by central differences; `array` is float64, changed and restored.

    (f(a + e) - f(a - e)) / 2e                                       (1)
    """
    slopes = []
    for index in indices:
        saved = array[index]
        array[index] = saved + epsilon
        above = function()
        array[index] = saved - epsilon
        below = function()
        array[index] = saved
        slopes.append((above - below) / (2 * epsilon))
    return slopes


def check_gradients(part: Layer | Loss, *, rng: int = 0, tolerance: float = 1e-6) -> float:
    """Compare every gradient a layer or loss states with central differences, and return the largest error.

    A layer is run in training mode on random rows, with a random cotangent: the derivative of sum(r * y) for a fixed
    random r. (With r all ones, a softmax whose backward is zero would pass.) A random layer draws the same numbers in
    every call. A loss says by its `example` which outputs and targets suit it. The error is
    |stated - numeric| / max(1, |numeric|).

    Parameters
    ----------
    part
        A new layer, not part of a network, or a loss.
    rng
        Seed of rows, parameters and cotangent.
    tolerance
        The largest error allowed.

    Errors  NumlpError naming the array, the index, both values, if they disagree; ShapeError if a layer returns no array of
        the right shape; DTypeError for anything else than a part.

    Examples
    --------
    >>> import numlp as nl
    >>> nl.check_gradients(nl.Dense(4, 3, "tanh")) < 1e-6
    True
    """
    if isinstance(part, Layer):
        return _check_layer(part, np.random.default_rng(rng), tolerance)
    if isinstance(part, Loss):
        return _check_loss(part, np.random.default_rng(rng), tolerance)
    raise DTypeError(f"check_gradients: part must be a layer or a loss, got {part!r}")


def _check_layer(layer: Layer, rng: np.random.Generator, tolerance: float) -> float:
    # a Dense layer in front, fed with the identity matrix, makes the layer's input a parameter: x = W, so dx = dW
    n = 5
    front = Dense(n, layer.n_in)
    network = Network([front, layer], rng, np.float64)
    x = layer.example(rng.normal(size=front.W.shape))
    network.params += 0.1 * rng.normal(size=network.params.shape)  # away from zeros and ones
    front.W[...] = x
    front.b.fill(0)
    rows, cotangent = np.eye(n), rng.normal(size=(n, layer.n_out))
    state, dice = network.state.copy(), rng.bit_generator.state

    def value() -> float:
        network.state[...], rng.bit_generator.state = state, dice
        return float(np.sum(cotangent * network.forward(rows, training=True)))

    _check_shape(layer, "forward", "y", network.forward(rows, training=True), (n, layer.n_out))
    value()
    dx = layer.backward(cotangent.copy())
    front.backward(_check_shape(layer, "backward", "dx", dx, (n, layer.n_in)))
    stated = {"x": front.dW.copy()} | {name: view.copy() for name, view in network.arena.gradients[1].items()}
    arrays = {"x": front.W, **network.arena.values[1]}
    worst = 0.0
    for name, gradient in stated.items():
        indices = list(np.ndindex(gradient.shape))
        numeric = numeric_gradient(value, arrays[name], indices)
        worst = max(worst, _compare(f"{layer}: d{name}", indices, gradient, numeric, tolerance))
    return worst


def _check_shape(layer: Layer, method: str, name: str, array: Any, shape: tuple[int, int]) -> Array:
    """Return what a layer returned, if it is an array of this shape."""
    if getattr(array, "shape", None) != shape:
        found = getattr(array, "shape", array)
        raise ShapeError(f"check_gradients: {layer}.{method}: {name} must have shape {shape}, got {found}")
    return array


def _check_loss(loss: Loss, rng: np.random.Generator, tolerance: float) -> float:
    y, target = loss.example(rng)
    stated = loss(y, target)[1].copy()
    indices = list(np.ndindex(y.shape))
    numeric = numeric_gradient(lambda: loss(y, target)[0], y, indices)
    return _compare(f"{type(loss).__name__}: dy", indices, stated, numeric, tolerance)


def _compare(label: str, indices: list[tuple[int, ...]], gradient: Array, numeric: list[float], tolerance: float) -> float:
    stated = [float(gradient[index]) for index in indices]
    errors = [abs(s - n) / max(1.0, abs(n)) for s, n in zip(stated, numeric, strict=True)]
    worst = int(np.argmax(errors))
    if not errors[worst] <= tolerance:
        raise NumlpError(
            f"check_gradients: {label}[{', '.join(map(str, indices[worst]))}] must be {numeric[worst]:.9g} "
            f"(central difference), got {stated[worst]:.9g}"
        )
    return errors[worst]
