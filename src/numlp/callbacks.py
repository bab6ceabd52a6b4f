"""What may listen to training: seven events, early stopping and the progress bar."""

import sys
from typing import Any

import numpy as np

from numlp.attributes import Part, count, keep, number
from numlp.config import description
from numlp.errors import ArgumentError
from numlp.optimizers import LBFGS
from numlp.progress import terminal_width
from numlp.run import Run


class Callback(Part):
    """What training tells its listeners: override any of the seven events.

    Each event is told the `Run`. Callbacks are called in the order given to `fit`; what one raises ends the training.
    One that changes what is learnt names in `state_names` its attributes, beside the constructor's arguments, that change
    during a training, and keeps the arguments as attributes of the same name: a training can then go on from a checkpoint.
    """

    state_names: tuple[str, ...] | None = None  # None: it only looks on

    def __repr__(self) -> str:
        return description(self)

    diagnoses = False  # whether it reports a training that learns nothing; else `fit` warns

    def state(self) -> dict[str, Any]:
        """Return what changes during a training, for `restore`."""
        return {name: getattr(self, name) for name in self.state_names or ()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on, after `on_fit_begin`, from where `state` was taken."""
        for name in self.state_names or ():
            keep(self, name, state[name])

    def on_fit_begin(self, run: Run) -> None:
        """Before the first step; the place to check settings."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before the first step of an epoch."""

    def on_gradients(self, run: Run) -> None:
        """Between backward and the optimizer's step: `run.network.grads` may be changed in place."""

    def on_step(self, run: Run) -> None:
        """After each optimizer step."""

    def on_validation(self, run: Run) -> None:
        """After the last step of an epoch, before its validation: the weights it shall use may be put in place."""

    def on_epoch(self, run: Run) -> None:
        """After each epoch: `run.history.records[-1]` is complete."""

    def on_fit_end(self, run: Run) -> None:
        """After the last epoch, also when training was stopped or interrupted; not after an error."""


def check_monitor(monitor: str, run: Run, where: str) -> None:
    """Raise unless the records will have the figure."""
    if monitor not in run.monitors:
        raise ArgumentError(
            f"{where}: monitor must be one of {', '.join(run.monitors)}, got {monitor!r}; "
            "validation figures need fit(..., validation=...)"
        )


def sign_of(monitor: str) -> float:
    """Return what a figure is multiplied with so that the smallest is best: of an accuracy the largest is."""
    return -1.0 if monitor.endswith("accuracy") else 1.0


class EarlyStopping(Callback):
    """Stop when the monitored figure has not improved for `patience` epochs, and restore the best weights.

    The best weights are restored however training ends. Several of them count their epochs independently: the first
    whose patience runs out stops training, and the weights at the end, as well as `history.best_epoch`, are those of the
    last one in the list.

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

    state_names = ("_best", "_snapshot", "_best_epoch")
    _best_epoch = 0
    patience: int = count()
    min_delta: float = number(low=0)

    def __init__(self, patience: int = 5, monitor: str = "validation_loss", min_delta: float = 0.0) -> None:
        self.patience = patience
        self.monitor = monitor
        self.min_delta = min_delta
        self._sign = sign_of(monitor)

    def on_fit_begin(self, run: Run) -> None:
        """Check that the monitored figure will exist, and forget an earlier training."""
        check_monitor(self.monitor, run, "EarlyStopping")
        self._best = float("inf")
        self._snapshot: Any = None
        self._best_epoch = run.history.best_epoch or 0  # of a resumed run; checkpoints did not always have our own

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        super().restore({"_best_epoch": self._best_epoch, **state})

    def on_epoch(self, run: Run) -> None:
        """Keep a copy of the best weights; stop when patience runs out."""
        value = self._sign * run.history.records[-1][self.monitor]
        if value < self._best - self.min_delta:
            self._best, self._snapshot, self._best_epoch = value, run.network.snapshot(), run.epoch
            run.history.best_epoch = run.epoch
        elif run.epoch - self._best_epoch >= self.patience:
            run.stop = True

    def on_fit_end(self, run: Run) -> None:
        """Restore the best weights."""
        if self._snapshot is not None:
            run.network.restore(self._snapshot)
            run.history.best_epoch = self._best_epoch


class MaxNorm(Callback):
    """After each step, shorten each column of each dense layer's W to a length of at most `c`.

        w <- w min(1, c / |w|) for each column w of W                    (1)

    A column is what one unit multiplies its inputs with. Dense layers inside `Residual` are found as well.

    Source  Srebro, Shraibman 2005; Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014, section 5.1.

    Parameters
    ----------
    c
        The largest length, above 0; 3 or 4 beside dropout.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> data = nl.load_digits()
    >>> network = nl.Network([nl.Dense(64, 32, "relu"), nl.Dropout(32, 0.5), nl.Dense(32, 10)], rng=0)
    >>> history = nl.fit(network, data.train, epochs=2, batch_size=32, callbacks=[nl.MaxNorm(1.0)])
    >>> bool(np.linalg.norm(network.layers[0].W, axis=0).max() < 1.00001)
    True
    """

    state_names = ()

    c: float = number(above=0)

    def __init__(self, c: float) -> None:
        self.c = c

    def on_step(self, run: Run) -> None:
        """Equation (1)."""
        for values in run.network.arena.values:
            for name, W in values.items():
                if name.rpartition(".")[2] == "W":
                    norms = np.sqrt(np.einsum("io,io->o", W, W))
                    W *= self.c / np.maximum(norms, self.c)


class MovingAverage(Callback):
    """Average the parameters over the steps; validation, what other callbacks see of an epoch, and the end use the average.

        average_t = sum_i decay^(t - i) p_i / sum_i decay^(t - i),  i = 1 .. t                     (1)

    p_i are the parameters after step i; those before the first step are not in it. The running mean and variance of a batch
    norm are averaged in the same way, so that they go with the averaged weights. Training itself goes on from p_t.

    Source  Polyak, Juditsky 1992; Tarvainen, Valpola 2017, with the correction of Kingma, Ba 2015, section 7.2.

    Parameters
    ----------
    decay
        In [0, 1); about the last 1 / (1 - decay) steps count.

    Examples
    --------
    >>> import numlp as nl
    >>> data = nl.load_digits()
    >>> network = nl.Network([nl.Dense(64, 32, "relu"), nl.Dense(32, 10)], rng=0)
    >>> history = nl.fit(network, data.train, epochs=20, batch_size=32, callbacks=[nl.MovingAverage(0.99)])
    >>> nl.evaluate(network, data.test)["accuracy"] > 0.9
    True
    """

    state_names = ("_steps", "_raw", "_average")

    decay: float = number(low=0, below=1)

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = decay

    def on_fit_begin(self, run: Run) -> None:
        """Forget an earlier training."""
        self._steps = 0
        self._raw: Any = None
        self._average, self._scratch = run.network.snapshot(), run.network.snapshot()

    def on_epoch_begin(self, run: Run) -> None:
        """Go on from where training was."""
        if self._raw is not None:
            run.network.restore(self._raw)
            self._raw = None

    def on_step(self, run: Run) -> None:
        """Equation (1), as a running mean."""
        network = run.network
        if self._steps == 0:
            self._average = network.snapshot()
        self._steps += 1
        share = (1 - self.decay) / (1 - self.decay**self._steps)
        for average, scratch, values in zip(self._average, self._scratch, (network.params, network.state), strict=True):
            np.subtract(values, average, out=scratch)
            scratch *= share
            average += scratch

    def on_validation(self, run: Run) -> None:
        """Put the average in place."""
        self._raw = run.network.snapshot()
        run.network.restore(self._average)


class ReduceOnPlateau(Callback):
    """Multiply the learning rate by `factor` when the monitored figure has not improved for more than `patience` epochs.

    Improved is a figure below best (1 - threshold), or below best - threshold if not `relative`; of an accuracy, above
    best (1 + threshold) or best + threshold. After a fall, `cooldown` epochs are not counted. With a schedule, its rates
    are multiplied. As PyTorch's ReduceLROnPlateau; a fall by less than 1e-8 does not happen.

    Parameters
    ----------
    monitor
        A key of the records; of an accuracy the largest is best, of a loss the smallest.
    factor
        Above 0 and below 1.
    patience, cooldown
        Epochs, whole numbers of at least 0.
    threshold
        At least 0.
    relative
        Whether the threshold is a share of the best figure.
    min_rate
        The rate does not fall below it; at least 0.

    Examples
    --------
    >>> import numlp as nl
    >>> data = nl.load_digits()
    >>> network = nl.Network([nl.Dense(64, 10)], rng=0)
    >>> history = nl.fit(network, data.train, validation=data.validation, optimizer=nl.SGD(2.0, momentum=0.9), epochs=30,
    ...                  callbacks=[nl.ReduceOnPlateau(patience=2)])
    >>> history["learning_rate"][-1] < 2.0
    True
    """

    state_names = ("_best", "_bad", "_cooling")
    factor: float = number(above=0, below=1)
    patience: int = count(least=0)
    threshold: float = number(low=0)
    cooldown: int = count(least=0)
    min_rate: float = number(low=0)

    def __init__(
        self,
        monitor: str = "validation_loss",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        relative: bool = True,
        cooldown: int = 0,
        min_rate: float = 0.0,
    ) -> None:
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.relative = relative
        self.cooldown = cooldown
        self.min_rate = min_rate
        self._sign = sign_of(monitor)

    def on_fit_begin(self, run: Run) -> None:
        """Check that there is a figure and a rate, and forget an earlier training."""
        check_monitor(self.monitor, run, "ReduceOnPlateau")
        if isinstance(run.optimizer, LBFGS):
            raise ArgumentError("ReduceOnPlateau: optimizer must have a learning rate, got LBFGS")
        self._best, self._bad, self._cooling = self._sign * np.inf, 0, 0

    def on_epoch(self, run: Run) -> None:
        """Count epochs without improvement, and let the rate fall."""
        value = run.history.records[-1][self.monitor]
        margin = self.threshold * (abs(self._best) if self.relative else 1.0)
        better = np.isinf(self._best) or self._sign * value < self._sign * self._best - margin
        self._best, self._bad = (value, 0) if better else (self._best, self._bad + 1)
        if self._cooling:
            self._cooling, self._bad = self._cooling - 1, 0
        if self._bad > self.patience:
            self._cooling, self._bad = self.cooldown, 0
            rate = run.optimizer.rate
            lower = max(rate * self.factor, self.min_rate)
            if rate - lower > 1e-8:
                run.optimizer.scale *= lower / rate


class ProgressBar(Callback):
    """A bar over all steps, with epoch, loss and accuracy in its description, as far as there is room."""

    format = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    _room = 27  # characters of the bar and what is behind it

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def on_step(self, run: Run) -> None:
        """Advance; the description changes ten times an epoch at the most."""
        self._bar.update()
        if run.step % max(1, run.steps_per_epoch // 10) == 0:
            self._bar.set_description_str(self._describe(run, terminal_width(sys.stderr)))

    @classmethod
    def _describe(cls, run: Run, width: int | None) -> str:
        parts = [f"epoch {run.epoch}/{run.epochs}", f"loss {run.loss:.4f}"]
        if run.accuracy is not None:
            parts.append(f"accuracy {run.accuracy:.2%}")
        if run.history.records and "validation_accuracy" in run.history.records[-1]:
            parts.append(f"validation {run.history.records[-1]['validation_accuracy']:.2%}")
        while width is not None and len(parts) > 1 and len(" ".join(parts)) > width - cls._room:
            parts.pop()
        return " ".join(parts)
