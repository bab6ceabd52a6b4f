"""The loss of a guess that knows no x, and the warning of `fit` about a training that has learnt no more than that."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.findings import GUESSING, loss_of_guess, weight_of_classes
from numlp.losses import ClassificationLoss, Loss, SquaredError
from numlp.run import Run

Array = NDArray[Any]

_EPOCHS, _STEPS = 2, 20  # after which a training that learns has left the guess behind


def is_time_to_judge(run: Run) -> bool:
    """Whether an epoch has ended after which training should be better than a guess: not while a schedule still warms up."""
    if run.epoch < _EPOCHS or run.step < _STEPS:
        return False
    rates = run.history["learning_rate"]
    return rates[-1] <= rates[-2]


def warn_of_guess(run: Run, loss: Loss, y: Array, weight: Array | None) -> None:
    """Warn if neither the training nor the validation loss is below that of a guess, where a formula has it."""
    guess, record = _guess(loss, y, weight, run.network.n_out), run.history.records[-1]
    now = min(record["loss"], record.get("validation_loss", np.inf)) - run.network.penalty()
    if guess is None or guess <= 0 or now < GUESSING * guess:
        return
    warnings.warn(
        f"fit: loss after {run.epoch} epochs should be below that of a guess that knows no x, {guess:.3g}, is {now:.3g}; "
        "fit(..., callbacks=[Doctor()]), or numlp train --diagnose, tells why",
        UserWarning,
        stacklevel=4,
    )


def _guess(loss: Loss, y: Array, weight: Array | None, n_outputs: int) -> float | None:
    """Return the loss of the best constant output for all targets, as `prepare` gives them; None without a formula."""
    if isinstance(loss, SquaredError):
        mean = np.average(y, axis=0, weights=weight)
        return 0.5 * float(np.average((y - mean) ** 2, axis=0, weights=weight).sum())
    if not isinstance(loss, ClassificationLoss):
        return None
    each = np.ones(len(y)) if weight is None else weight
    class_weights = getattr(loss, "class_weights", None)
    if class_weights is not None:
        each = each * (np.asarray(class_weights)[y] if y.ndim == 1 else y @ np.asarray(class_weights))
    counts = weight_of_classes(loss, y, each, n_outputs)
    return None if counts is None else loss_of_guess(loss, {"classes": counts})
