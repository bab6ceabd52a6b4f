"""Numbers that are not finite: found before they get into a file or an answer, and told with what is known of them."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.errors import DivergenceError
from numlp.network import Network
from numlp.optimizers import LBFGS
from numlp.run import Run

Array = NDArray[Any]


def ended_finite(run: Run) -> bool:
    """Whether parameters and gradients are finite after a step.

    A gradient that is not makes the parameters so, except where its size does not count.
    """
    network = run.network
    return kernels.all_finite(network.params) and (not run.optimizer.ignores_size or kernels.all_finite(network.grads))


def diverged(run: Run, value: float = 0.0, x: Array | None = None) -> DivergenceError:
    """Restore the last good weights, and return an error that tells what went wrong, and where.

    Within a step `x` is its batch and `value` the loss; without them, the step has been counted.
    """
    network, rate, step = run.network, run.optimizer.rate, run.step + (x is not None)
    norm = float(np.linalg.norm(network.grads.astype(np.float64)))
    if x is not None and not math.isfinite(value):
        what, got, place = "loss", str(value), _first_bad_output(network, x)
    elif not np.isfinite(network.grads).all():  # the way back begins at the last layer
        what, got, place = "gradient", str(norm), _first_bad(network, reversed([*enumerate(network.arena.gradients)]))
    else:
        what, got, place = "parameters", "NaN or infinite ones", _first_bad(network, enumerate(network.arena.values))
    network.restore(run.good)
    advice = ["inputs near [-1, 1]"]
    if run.step and not isinstance(run.optimizer, LBFGS):
        advice = [f"a learning rate of {rate / 10:g}", "clip_norm=1 in the optimizer", *advice]
    return DivergenceError(
        f"fit: {what} must stay finite, got {got} at epoch {run.epoch}, step {step}, first not finite in {place}, "
        f"learning rate {rate:g}, last gradient norm {norm:.3g}; the network is as it was {run.good_at}; "
        f"try {' or '.join(advice)}"
    )


def _first_bad_output(network: Network, x: Array) -> str:
    """Name the first layer whose output is not finite."""
    for i, layer in enumerate(network.layers):
        x = layer.forward(x, training=False)
        if not np.isfinite(x).all():
            return f"layer {i} {layer}"
    return "the loss"


def _first_bad(network: Network, layers: Iterable[tuple[int, Mapping[str, Array]]]) -> str:
    """Name the first layer of which an array is not finite."""
    return next(
        f"layer {i} {network.layers[i]}" for i, arrays in layers if not all(np.isfinite(a).all() for a in arrays.values())
    )
