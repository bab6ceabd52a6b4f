"""Comparison of backward passes with central differences in float64."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.differences import GradientCheck, GradientReport, random_states
from numlp.errors import DTypeError, NumlpError, ShapeError
from numlp.layers import Dense, Layer, check_sizes
from numlp.losses import Loss
from numlp.network import Network
from numlp.plain_gradients import check_passes, has_passes, passes_of
from numlp.undeclared import Undeclared, undeclared

Array = NDArray[Any]


def check_gradients(
    forward: Any, backward: Any = None, inputs: Any = None, *, rng: int = 0, tolerance: float = 1e-6
) -> GradientCheck:
    """Compare every gradient that a backward pass states with central differences, and return the largest error.

    A layer is run in training mode on random rows, with a random cotangent: the derivative of sum(r * y) for a fixed
    random r. (With r all ones, a softmax whose backward is zero would pass.) A random layer draws the same numbers in
    every call. A loss says by its `example` which outputs and targets suit it. The error is
    |stated - numeric| / max(1, |numeric|).

    Parameters
    ----------
    forward : Layer, Loss, function or object
        A new layer, not part of a network; a loss; a function that returns y, or (y, cache); or an object with the
        methods `forward` and `backward`.
    backward : function, optional
        For a function: takes dy, or dy and the cache, or dy and the inputs, and returns the gradient of each input of
        floats. One without arguments is that of the sum of y.
    inputs : list or dict of arrays, optional
        Arguments of a function or of an object's `forward`. Floats are compared, integers such as labels are not.
    rng : int
        Seed of rows, parameters and cotangent.
    tolerance : float
        The largest error allowed.

    Returns
    -------
    GradientCheck
        A float, the largest error; its `errors` has that of each gradient, by name.

    Raises
    ------
    NumlpError
        If a gradient is wrong: with the array, the index and both values. If a layer holds arrays that change its output
        and that `parameters` does not declare, or another object holds some whose gradient it does not keep (`dW` for `W`).
    ShapeError
        If an array has not the right shape.
    DTypeError
        For anything that has no gradients.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> check = nl.check_gradients(nl.Dense(4, 3, "tanh"))
    >>> check < 1e-6, list(check.errors)
    (True, ['dx', 'dW', 'db'])
    >>> X, W = np.ones((2, 3)), np.ones((3, 4))
    >>> list(nl.check_gradients(lambda X, W: X @ W, lambda dy: (dy @ W.T, X.T @ dy), [X, W]).errors)
    ['dX', 'dW']
    """
    report = gradient_report(forward, backward, inputs, rng=rng, tolerance=tolerance)
    if report.failures:
        raise NumlpError(report.failures[0])
    return GradientCheck(report.errors)


def gradient_report(
    forward: Any, backward: Any = None, inputs: Any = None, *, rng: int = 0, tolerance: float = 1e-6
) -> GradientReport:
    """Return what `check_gradients` compares, with every failure instead of the first one raised.

    Errors  ShapeError, DTypeError, ArgumentError about what cannot be compared at all.
    """
    generator = np.random.default_rng(rng)
    if backward is not None:
        return check_passes(passes_of(forward, backward), inputs, generator, tolerance)
    if isinstance(forward, Layer):
        return _check_layer(forward, generator, tolerance)
    if isinstance(forward, Loss):
        return _check_loss(forward, generator, tolerance)
    if has_passes(forward) and not isinstance(forward, type):
        return check_passes(passes_of(forward), inputs, generator, tolerance)
    raise DTypeError(
        f"check_gradients: part must be a layer or a loss, got {forward!r}; for functions give "
        "check_gradients(forward, backward, inputs)"
    )


def _check_layer(layer: Layer, rng: np.random.Generator, tolerance: float) -> GradientReport:
    # a Dense layer in front, fed with the identity matrix, makes the layer's input a parameter: x = W, so dx = dW
    check_sizes(layer, "check_gradients")
    n = 5
    front = Dense(n, layer.n_in)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of arrays that are not declared: they are an error here
        network = Network([front, layer], rng, np.float64)
    x = layer.example(rng.normal(size=front.W.shape))
    network.params += 0.1 * rng.normal(size=network.params.shape)  # away from zeros and ones
    front.W[...] = x
    front.b.fill(0)
    rows, cotangent = np.eye(n), rng.normal(size=(n, layer.n_out))
    state, dice = network.state.copy(), rng.bit_generator.state
    restore = random_states(layer)

    def outputs(training: bool = True) -> Array:
        restore()
        network.state[...], rng.bit_generator.state = state, dice
        return network.forward(rows, training)

    def value() -> float:
        return float(np.sum(cotangent * outputs()))

    _check_shape(layer, "forward", "y", network.forward(rows, training=True), (n, layer.n_out))
    report = GradientReport(str(layer), tolerance)
    if not report.check_repeatable(value):
        return report
    dx = layer.backward(cotangent.copy())
    front.backward(_check_shape(layer, "backward", "dx", dx, (n, layer.n_in)))
    stated = {"x": front.dW.copy()} | {name: view.copy() for name, view in network.arena.gradients[1].items()}
    arrays = {"x": front.W, **network.arena.values[1]}
    for name, gradient in stated.items():
        report.compare(f"d{name}", gradient, arrays[name], value)
    value()
    layer.backward(cotangent.copy())
    _report_sums(report, stated, network.arena.gradients[1])
    declared = [network.params, network.grads, network.state]
    _report_undeclared(report, undeclared(layer, lambda: np.stack([outputs(True), outputs(False)]), declared))
    return report


def _report_sums(report: GradientReport, stated: Mapping[str, Array], again: Mapping[str, Array]) -> None:
    """Add a failure for each gradient that is another one after a second backward pass."""
    for name, gradient in again.items():
        if not np.allclose(gradient, stated[name], equal_nan=True):
            report.failures.append(
                f"check_gradients: {report.subject}: d{name} must be the same after a second backward pass, got another "
                "one; assign it (=), do not add to it (+=)"
            )


def _report_undeclared(report: GradientReport, found: list[Undeclared]) -> None:
    """Add a failure for the parameters that a layer does not declare."""
    report.unchecked = [name.array.name for name in found]
    names = [name.array.name for name in found if not name.is_constant]
    gradients = ", ".join(name.gradient.name for name in found if name.gradient is not None)
    if names:
        report.failures.append(
            f"check_gradients: {report.subject}: parameters() must declare every array that the output depends on, got "
            f"{', '.join(names)} besides, not checked{f' (nor {gradients})' if gradients else ''}; return a "
            "Parameter for each (role 'state' if it is not trained), or begin the name of a constant with an underscore"
        )


def _check_shape(layer: Layer, method: str, name: str, array: Any, shape: tuple[int, int]) -> Array:
    """Return what a layer returned, if it is an array of this shape."""
    if getattr(array, "shape", None) != shape:
        found = getattr(array, "shape", array)
        raise ShapeError(f"check_gradients: {layer}.{method}: {name} must have shape {shape}, got {found}")
    return array


def _check_loss(loss: Loss, rng: np.random.Generator, tolerance: float) -> GradientReport:
    y, target = loss.example(rng)
    report = GradientReport(type(loss).__name__, tolerance)
    report.compare("dy", loss(y, target)[1].copy(), y, lambda: loss(y, target)[0])
    return report
