"""The loss of a guess that knows no x, and the warning of `fit` about a training that has learnt no more than that."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.findings import FEW_ROWS, GUESSING, loss_of_guess, weight_of_classes
from numlp.losses import ClassificationLoss, Loss, SquaredError
from numlp.run import Run

Array = NDArray[Any]

_EPOCHS, _STEPS = 2, 20  # after which a training that learns has left the guess behind, or is on its way
_FALL, _NEAR = 0.02, 2.0  # a loss that falls by this share in an epoch, from this many guesses, is on its way


class GuessWatch:
    """Warns once, at the first epoch where that can be told, of a training whose loss is that of a guess.

    That is the second epoch, or later: not before 20 steps, nor while a schedule warms up, nor while a loss below two
    guesses falls by 2 % in an epoch, or a greater one falls so fast that it will be below a guess after the last epoch.
    Nothing is said of fewer than 50 rows, nor where no formula has the loss of a guess.

    Parameters
    ----------
    loss
        Of the training.
    y, weight
        All targets as `prepare` gives them, and the weights of the rows, or None.
    """

    def __init__(self, loss: Loss, y: Array, weight: Array | None) -> None:
        self._loss, self._y, self._weight = loss, y, weight
        self._done = len(y) < FEW_ROWS

    def look(self, run: Run) -> None:
        """Look at the last epoch, as long as nothing is known."""
        if self._done or run.epoch < _EPOCHS or run.step < _STEPS:
            return
        record, before = run.history.records[-1], run.history.records[-2]
        if record["learning_rate"] > before["learning_rate"]:
            return
        guess = self._guess(run.network.n_out)
        loss = min(record["loss"], record.get("validation_loss", np.inf)) - run.network.penalty()
        self._done = guess is None or not 0 < GUESSING * guess <= loss
        if guess is None or self._done:
            return
        fall = record["loss"] / before["loss"]
        if loss > _NEAR * guess:
            self._done = fall >= 1 or loss * fall ** (run.epochs - run.epoch) >= GUESSING * guess
        else:
            self._done = fall > 1 - _FALL
        if self._done:
            warnings.warn(
                f"fit: loss after {run.epoch} epochs should be below that of a guess that knows no x, {guess:.3g}, is "
                f"{loss:.3g}; fit(..., callbacks=[Doctor()]), or numlp train --diagnose, tells why",
                UserWarning,
                stacklevel=4,
            )

    def _guess(self, n_outputs: int) -> float | None:
        """Return the loss of the best constant output, if a formula has it."""
        loss, y, weight = self._loss, self._y, self._weight
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
