"""Divergence: numbers that are not finite, and losses that explode, found before they reach a file or an answer."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.errors import DivergenceError, OutputError
from numlp.losses import Loss
from numlp.network import Network
from numlp.optimizers import LBFGS, usual_rate
from numlp.run import Run

Array = NDArray[Any]

EXPLODED = 1e9  # times the loss of the first step
_ROWS = 1024  # whose loss is computed at once


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
    return DivergenceError(
        f"fit: {what} must stay finite, got {got} at epoch {run.epoch}, step {step}, first not finite in {place}, "
        f"learning rate {rate:g}, last gradient norm {norm:.3g}; the network is as it was {run.good_at}; "
        f"try {_advice(run)}"
    )


def has_exploded(run: Run, loss: Loss, y: Array, weight: Array | None) -> bool:
    """Whether the loss of the epoch is out of all proportion: equation (1), y and weight being those of all training rows.

        L > 1e9 max(1, |L_1|, |L_0|)                                     (1)

    with L_1 the loss of the first step and L_0 that of outputs that are all 0, which is large where the targets are.
    """
    limit = EXPLODED * max(1.0, abs(run.first_loss))
    if not run.loss > limit:
        return False
    total, mass = 0.0, 0.0
    for start in range(0, len(y), _ROWS):
        rows = slice(start, start + _ROWS)
        zeros = np.zeros((len(y[rows]), run.network.n_out), run.network.dtype)
        value, _ = loss(zeros, y[rows], None if weight is None else weight[rows])
        total, mass = total + value * loss.total_weight, mass + loss.total_weight
    return run.loss > EXPLODED * abs(total / (mass or 1))


def exploded(run: Run) -> DivergenceError:
    """Restore the last good weights, and return an error about a loss that `has_exploded`."""
    run.network.restore(run.good)
    return DivergenceError(
        f"fit: loss must stay below {EXPLODED:g} times that of the first step, {run.first_loss:.3g}, got {run.loss:.3g} in "
        f"epoch {run.epoch}, learning rate {run.optimizer.rate:g}; the network is as it was {run.good_at}; "
        f"try {_advice(run)}"
    )


def _advice(run: Run) -> str:
    """Return what to try: a tenth of the learning rate, but no more than the optimizer's default, and what else helps."""
    advice = ["inputs near [-1, 1]"]
    if run.step and not isinstance(run.optimizer, LBFGS):
        rate = min(run.optimizer.rate / 10, usual_rate(type(run.optimizer)))
        advice = [f"a learning rate of {rate:g}", "clip_norm=1 in the optimizer", *advice]
    return " or ".join(advice)


def unusable(run: Run, error: OutputError) -> DivergenceError:
    """Restore the last good weights, and return the error that tells of outputs for other rows than those of training."""
    if not run.network.is_finite():
        return diverged(run)
    run.network.restore(run.good)
    return DivergenceError(
        f"fit: at epoch {run.epoch}, learning rate {run.optimizer.rate:g}, {error}; the network is as it was {run.good_at}"
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
