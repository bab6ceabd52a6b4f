"""Callbacks by which numlp's training keeps scikit-learn's books and stops where scikit-learn stops."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from numlp.callbacks import Callback
from numlp.divergence import unusable
from numlp.errors import OutputError
from numlp.estimators.objective import Objective
from numlp.losses import Loss
from numlp.optimizers import LBFGS, SGD
from numlp.run import Run

Array = NDArray[Any]
Scorer = Callable[[Array, float], float]  # (outputs of the network, validation loss) -> score

_RELATIVE = 2.220446049250313e-09  # SciPy's default `ftol` of L-BFGS-B
_USER = 9  # calls between a callback and who has called the estimator's fit
_SMALLEST_RATE = 1e-6  # scikit-learn's, below which "adaptive" gives up


class KeepState(Callback):
    """Undo what `fit` does to an optimizer at its start, so that a training goes on where the last one ended."""

    def on_fit_begin(self, run: Run) -> None:
        """Take down everything the optimizer knows."""
        self._kept = dict(vars(run.optimizer))

    def on_epoch_begin(self, run: Run) -> None:
        """Put it back, once."""
        vars(run.optimizer).update(self._kept)
        self._kept = {}


class MaxTime(Callback):
    """End training after a step that ends later than `seconds` after the start."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_fit_begin(self, run: Run) -> None:
        """Start the clock."""
        self._end = time.monotonic() + self.seconds

    def on_step(self, run: Run) -> None:
        """Look at the clock."""
        if time.monotonic() > self._end:
            run.stop = True


class Validation(Callback):
    """After each epoch, one pass over the validation rows: their loss, without penalty, and their score.

    Both go into the record of the epoch, as `validation_loss` and `validation_score`, for the callbacks after this one,
    and into `validation_loss_curve_`, `validation_scores_` and `best_validation_score_` of the estimator; the weights of
    the best score so far are its `_best`, and are put back at the end if the estimator stops early. `_score_to_beat` is the
    best score before this epoch.
    """

    def __init__(
        self,
        estimator: Any,
        loss: Objective,
        data: tuple[Array, Array, Array | None],
        score: Scorer,
        incremental: bool,
    ) -> None:
        self._estimator, self._loss, self._score, self._incremental = estimator, loss, score, incremental
        self._x, self._target, self._weight = data

    def on_fit_begin(self, run: Run) -> None:
        """Tell that there will be a validation loss."""
        run.monitors = (*run.monitors, "validation_loss", "validation_score")

    def on_epoch(self, run: Run) -> None:
        """Measure, and keep the best weights."""
        estimator = self._estimator
        try:
            y = run.network.outputs(self._x, progress=False)
        except OutputError as error:
            raise unusable(run, error) from error
        loss, _ = self._loss(y, self._target, self._weight)
        score = float(self._score(y, loss))
        run.history.records[-1] |= {"validation_loss": loss, "validation_score": score}
        estimator.validation_loss_curve_.append(loss)
        estimator.validation_scores_.append(score)
        estimator._score_to_beat = estimator.best_validation_score_
        if score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            if estimator.early_stopping:
                estimator._best = run.network.snapshot()

    def on_fit_end(self, run: Run) -> None:
        """Put the best weights in place; in `partial_fit` only when patience is at its end."""
        e = self._estimator
        if e.early_stopping and e._best is not None and (e.stopped_early_ or not self._incremental):
            run.network.restore(e._best)


class Rules(Callback):
    """scikit-learn's stochastic solvers after each epoch: loss curve, patience, learning rate.

        improved,  if loss <= best - tol, or score >= best + tol with early stopping               (1)
        stop,  if there were more than n_iter_no_change epochs in a row without                    (2)
        lr = lr_0 / (t + 1)^power_t,  t the rows seen so far ("invscaling")                        (3)
        lr = lr / 5 instead of (2), down to 1e-6 ("adaptive")                                      (4)

    scikit-learn's momentum holds steps, numlp's gradients: when the rate falls, the velocity grows by as much.
    """

    def __init__(self, estimator: Any, loss: Loss, n_rows: int, incremental: bool) -> None:
        self._estimator, self._loss, self._n_rows, self._incremental = estimator, loss, n_rows, incremental

    def on_epoch_begin(self, run: Run) -> None:
        """Let a callback that saves the network see its own loss, not the objective around it."""
        run.network.loss = self._loss

    def on_epoch(self, run: Run) -> None:
        """Equations (1) to (4)."""
        e = self._estimator
        e.n_iter_, e.loss_ = run.epoch, run.history.records[-1]["loss"]
        e.t_ += self._n_rows
        e.loss_curve_.append(e.loss_)
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        if e.verbose and "validation_score" in run.monitors:
            print(f"Validation score: {e.validation_scores_[-1]:f}")
        if e.early_stopping:
            stale = e.validation_scores_[-1] < e._score_to_beat + e.tol
        else:
            best = np.inf if e.best_loss_ is None else e.best_loss_
            stale, e.best_loss_ = e.loss_ > best - e.tol, min(best, e.loss_)
        e._no_improvement_count = e._no_improvement_count + 1 if stale else 0
        rate = e.learning_rate if e.solver in ("sgd", "SGD") else "constant"
        if rate == "invscaling":
            self._set_rate(run, e.learning_rate_init / (e.t_ + 1) ** e.power_t)
        if e._no_improvement_count > e.n_iter_no_change:
            self._stop_or_slow_down(run, rate)

    def on_fit_end(self, run: Run) -> None:
        """Warn if training was interrupted, or has used all its epochs."""
        _warn_if_interrupted(run)
        if not (self._incremental or run.stop):
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({run.epochs}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=_USER,
            )

    def _stop_or_slow_down(self, run: Run, rate: str) -> None:
        """Equation (2) or (4)."""
        e, now = self._estimator, run.optimizer.rate
        figure = "Validation score" if e.early_stopping else "Training loss"
        message = f"{figure} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} consecutive epochs."
        if rate == "adaptive" and now > _SMALLEST_RATE:
            self._set_rate(run, now / 5)
            e._no_improvement_count = 0
            message += f" Setting learning rate to {now / 5:f}"
        else:
            run.stop = e.stopped_early_ = True
            message += " Learning rate too small. Stopping." if rate == "adaptive" else " Stopping."
        if e.verbose:
            print(message)

    def _set_rate(self, run: Run, rate: float) -> None:
        """Change the rate from the next step on; `learning_rate` tells it, as scikit-learn's optimizer does."""
        optimizer, change = run.optimizer, rate / run.optimizer.rate
        if isinstance(optimizer, SGD) and optimizer.momentum:
            optimizer.velocity /= change
        optimizer.learning_rate = rate


class LBFGSRules(Callback):
    """SciPy's rules for the end of L-BFGS-B that numlp's has not.

    (L_k - L_(k+1)) / max(|L_k|, |L_(k+1)|, 1) <= 2.2e-9                                       (1)
    evaluations of L > max_fun                                                                 (2)
    """

    def __init__(self, estimator: Any, objective: Objective) -> None:
        self._estimator, self._objective = estimator, objective
        self._calls = 0

    def on_epoch_begin(self, run: Run) -> None:
        """Let a callback that saves the network see its own loss, not the objective around it."""
        run.network.loss = self._objective.loss

    def on_gradients(self, run: Run) -> None:
        """Count the evaluations, and keep loss and largest slope of the first one."""
        self._calls += 1
        if self._calls == 1:
            self._slope = float(np.abs(run.network.grads).max())
            self._estimator.loss_ = self._objective.value

    def on_epoch(self, run: Run) -> None:
        """Equations (1), (2); after an iteration, the last gradient is that of the point reached."""
        e, loss, last = self._estimator, run.history.records[-1]["loss"], self._estimator.loss_
        e.n_iter_, e.loss_ = run.epoch, loss
        e.loss_curve_.append(loss)
        if e.verbose:
            print(f"Iteration {run.epoch}, loss = {loss:.8f}")
        self._slope = float(np.abs(run.network.grads).max())
        if self._calls > e.max_fun:
            run.stop = True
        elif last - loss <= _RELATIVE * max(abs(last), abs(loss), 1.0):
            run.stop = e.stopped_early_ = True

    def on_fit_end(self, run: Run) -> None:
        """Warn if something else than a flat place ended it."""
        e, optimizer = self._estimator, run.optimizer
        _warn_if_interrupted(run)
        e.stopped_early_ |= isinstance(optimizer, LBFGS) and self._slope <= optimizer.tolerance
        if self._calls > e.max_fun or not (run.stop or e.stopped_early_):
            warnings.warn(
                f"lbfgs failed to converge after {e.n_iter_} iterations, {self._calls} evaluations of the loss. Increase "
                f"the limits max_iter={e.max_iter} and max_fun={e.max_fun}, or scale the data.",
                ConvergenceWarning,
                stacklevel=_USER,
            )


def _warn_if_interrupted(run: Run) -> None:
    if run.history.interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=_USER)


class FitTasks(Callback):
    """Tells scikit-learn's callbacks of each epoch; `tasks` is the context of the whole fit, `data` what they may see."""

    def __init__(self, estimator: Any, tasks: Any, data: dict[str, Any], state: Callable[[], dict[str, Any]]) -> None:
        self._estimator, self._tasks, self._data, self._state = estimator, tasks, data, state

    def on_fit_begin(self, run: Run) -> None:
        """Begin the fit."""
        self._tasks.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def on_epoch_begin(self, run: Run) -> None:
        """Begin a task."""
        if run.epoch <= run.epochs:  # L-BFGS begins an epoch after its last
            self._task = self._tasks.subcontext(task_name="epoch")
            self._task.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def on_epoch(self, run: Run) -> None:
        """End it; a callback may want training to stop."""
        if self._task.call_on_fit_task_end(estimator=self._estimator, reconstruction_attributes=self._state, **self._data):
            run.stop = True

    def on_fit_end(self, run: Run) -> None:
        """End the fit."""
        self._tasks.call_on_fit_task_end(estimator=self._estimator, reconstruction_attributes=self._state, **self._data)
