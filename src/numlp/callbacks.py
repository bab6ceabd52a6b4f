"""What may listen to training: five events, early stopping and the progress bar."""

from dataclasses import dataclass, field
from typing import Any

from numlp.errors import ArgumentError, check_count, check_number
from numlp.network import Network
from numlp.optimizers import Optimizer

RECORD_KEYS = ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "seconds")


@dataclass
class History:
    """What training did: one record an epoch, a dict with the keys of `RECORD_KEYS` that apply.

    `loss` and `accuracy` are means over the epoch's batches, taken while the weights change (and with dropout at
    work); `validation_loss` and `validation_accuracy` are taken at the end of the epoch. `history["loss"]` is a column.
    `interrupted` tells that Ctrl-C ended it, `best_epoch` which epoch's weights early stopping has restored.
    """

    records: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False
    best_epoch: int | None = None

    def __getitem__(self, key: str) -> list[float]:
        """Return one column over the epochs."""
        return [record[key] for record in self.records]

    def __len__(self) -> int:
        """Return the number of epochs recorded."""
        return len(self.records)


@dataclass
class Run:
    """The state of a training that callbacks see. Set `stop` to end it after the current step.

    `epoch` counts from 1, `step` all steps from 1; `loss` and `accuracy` are the epoch's running means.
    """

    network: Network
    optimizer: Optimizer
    history: History
    epochs: int
    steps_per_epoch: int
    monitors: tuple[str, ...]
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    accuracy: float | None = None
    stop: bool = False

    def interrupt(self) -> None:
        """End training after the current step, because the user said so."""
        self.stop = self.history.interrupted = True


class Callback:
    """What training tells its listeners: override any of the five events.

    Each event is told the `Run`. Callbacks are called in the order given to `fit`; what one raises ends the training.
    """

    def on_fit_begin(self, run: Run) -> None:
        """Before the first step; the place to check settings."""

    def on_gradients(self, run: Run) -> None:
        """Between backward and the optimizer's step: `run.network.grads` may be changed in place."""

    def on_step(self, run: Run) -> None:
        """After each optimizer step."""

    def on_epoch(self, run: Run) -> None:
        """After each epoch: `run.history.records[-1]` is complete."""

    def on_fit_end(self, run: Run) -> None:
        """After the last epoch, also when training was stopped or interrupted; not after an error."""


class EarlyStopping(Callback):
    """Stop when the monitored figure has not improved for `patience` epochs, and restore the best weights.

    The best weights are restored however training ends.

    Parameters
    ----------
    patience
        Epochs without improvement before stopping.
    monitor
        A key of the records; of an accuracy the largest is best, of a loss the smallest.
    min_delta
        What counts as improvement, at least 0.

    Examples
    --------
    >>> import numlp as nl
    >>> data = nl.load_digits()
    >>> network = nl.Network([nl.Dense(64, 32, "relu"), nl.Dense(32, 10)], rng=0)
    >>> history = nl.fit(network, data.train, validation=data.validation, epochs=200,
    ...                  batch_size=32, callbacks=[nl.EarlyStopping(patience=3)])
    >>> history.best_epoch == len(history) - 3
    True
    """

    def __init__(self, patience: int = 5, monitor: str = "validation_loss", min_delta: float = 0.0) -> None:
        self.patience = check_count(patience, "EarlyStopping", "patience")
        self.monitor = monitor
        self.min_delta = check_number(min_delta, "EarlyStopping", "min_delta", low=0)
        self._sign = -1.0 if monitor.endswith("accuracy") else 1.0

    def on_fit_begin(self, run: Run) -> None:
        """Check that the monitored figure will exist, and forget an earlier training."""
        if self.monitor not in run.monitors:
            raise ArgumentError(
                f"EarlyStopping: monitor must be one of {', '.join(run.monitors)}, got {self.monitor!r}; "
                "validation figures need fit(..., validation=...)"
            )
        self._best = float("inf")
        self._snapshot: Any = None

    def on_epoch(self, run: Run) -> None:
        """Keep a copy of the best weights; stop when patience is at its end."""
        value = self._sign * run.history.records[-1][self.monitor]
        if value < self._best - self.min_delta:
            self._best, self._snapshot, run.history.best_epoch = value, run.network.snapshot(), run.epoch
        elif run.epoch - (run.history.best_epoch or 0) >= self.patience:
            run.stop = True

    def on_fit_end(self, run: Run) -> None:
        """Restore the best weights."""
        if self._snapshot is not None:
            run.network.restore(self._snapshot)


class ProgressBar(Callback):
    """A bar over all steps, with epoch, loss and accuracy in its description."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def on_step(self, run: Run) -> None:
        """Advance; the description changes ten times an epoch at the most."""
        self._bar.update()
        if run.step % max(1, run.steps_per_epoch // 10) == 0:
            self._bar.set_description_str(self._describe(run))

    @staticmethod
    def _describe(run: Run) -> str:
        text = f"epoch {run.epoch}/{run.epochs} loss {run.loss:.4f}"
        if run.accuracy is not None:
            text += f" accuracy {run.accuracy:.2%}"
        if run.history.records and "validation_accuracy" in run.history.records[-1]:
            text += f" validation {run.history.records[-1]['validation_accuracy']:.2%}"
        return text
