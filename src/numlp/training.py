"""The training loop, and evaluation."""

import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.arguments import check_batch_norm, check_callbacks, check_data, check_outputs, check_part, refuse_others
from numlp.callbacks import Callback, ProgressBar
from numlp.checkpointer import alone, in_order, resumption
from numlp.data.augment import Augmentation
from numlp.data.batches import Batches
from numlp.data.inputs import Inputs, describe_inputs
from numlp.divergence import diverged, ended_finite, exploded, has_exploded, unusable
from numlp.epoch_lines import printer
from numlp.errors import ArgumentError, OutputError, check_count
from numlp.exclusive import exclusive
from numlp.guess import GuessWatch
from numlp.listeners import notifier, with_state
from numlp.losses import ClassificationLoss, Loss, SoftmaxCrossEntropy
from numlp.network import Network
from numlp.optimizers import LBFGS, Adam, Optimizer
from numlp.progress import progress_bar
from numlp.run import RECORD_KEYS, History, Run
from numlp.signals import interruptible

Array = NDArray[Any]
Data = tuple[Any, Any] | tuple[Any, Any, Any]


def fit(
    network: Network,
    train: Data,
    *others: Never,
    validation: Data | None = None,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 10,
    batch_size: int | None = 128,
    augment: Augmentation | None = None,
    callbacks: Sequence[Callback] = (),
    resume: str | os.PathLike[str] | None = None,
    progress: bool = True,
    verbose: bool | int | None = None,
    n_threads: int | None = None,
    deterministic: bool = False,
    **unknown: Never,
) -> History:
    """Train a network, in place: for each mini-batch, dL/dparams by backward, then one optimizer step.

    The optimizer starts anew; the network goes on from the weights it has. All arguments are checked before anything
    is changed. Ctrl-C ends training after the current step, with a second one at once; what was learnt stays. With a
    `Checkpointer` that step is on the disk, and SIGTERM does the same and then exits with status 143.

    Parameters
    ----------
    network
        Trained in place; its generator draws the order of the rows.
    train, validation
        Pairs (x, y): x (n, n_in) numbers, converted to the network's dtype batch by batch; y as the loss wants it. Or
        (x, y, weight): weight (n,) at least 0, how much each row counts; all figures are then weighted means.
    loss
        None takes the network's own, else `SoftmaxCrossEntropy()`. It becomes the network's.
    optimizer
        None takes `Adam(1e-3)`.
    epochs
        Passes over the training rows; `LBFGS` has its own `max_steps`.
    batch_size
        Rows a step; None takes all of them.
    augment
        Changes the rows of each training batch, such as `Distortion()`; the training figures are those of changed rows.
    callbacks
        Listeners, in order; a `Checkpointer` hears last.
    resume
        A checkpoint, or the folder of a `Checkpointer`: its newest whole one, and none if it is empty. Training goes on from
        there to the same bytes as without an interruption, given the same other arguments; a finished one is returned.
    progress
        Show a bar if stderr is a terminal.
    verbose
        1 prints about 20 lines, as `PrintEpochs()` does, 2 one for each epoch, 0 none. None prints 1's lines in notebooks,
        consoles and IDEs, which show no bar, if `progress` is true.
    n_threads
        None takes what suits the size of a step, up to the CPUs this process may use.
    deterministic
        The same bytes for any `n_threads`: work is split into as many parts whatever their number, which costs some time.
        Without it, the same bytes for the same seed, machine and number of threads.

    Returns
    -------
    History
        One record an epoch: loss, accuracy, learning rate, seconds, and of the validation data.

    Errors  ShapeError, DTypeError, ArgumentError about an argument; CheckpointError if `resume` is damaged or of another
        training. DivergenceError if the loss, a gradient or a parameter becomes NaN or infinite: the network is then as it
        was after the last good epoch. BusyError if the network, or a part whose state changes, is in another training.

    Examples
    --------
    >>> import numlp as nl
    >>> data = nl.load_digits()
    >>> network = nl.Network([nl.Dense(64, 32, "relu"), nl.Dense(32, 10)], rng=0)
    >>> history = nl.fit(network, data.train, epochs=30, batch_size=32)
    >>> history["accuracy"][-1] > 0.95
    True
    """
    refuse_others(network, others, unknown, "fit")
    epochs = check_count(epochs, "fit", "epochs")
    batch_size = None if batch_size is None else check_count(batch_size, "fit", "batch_size")
    n_threads = None if n_threads is None else check_count(n_threads, "fit", "n_threads")
    loss = check_part(loss or network.loss or SoftmaxCrossEntropy(), Loss, "loss")
    optimizer = check_part(optimizer or Adam(1e-3), Optimizer, "optimizer")
    listeners, writer = in_order([*check_callbacks(callbacks), *printer(verbose, progress)])
    data = {"train": check_data(network, loss, train, "fit", warn=True)}
    if validation is not None:
        data["validation"] = check_data(network, loss, validation, "fit: validation")
    batches = _batches(network, optimizer, *data["train"], batch_size, augment)
    check_batch_norm(network, len(data["train"][0]), batches.batch_size)
    check_outputs(network, loss, data["train"][0], "fit")
    epochs = optimizer.max_steps if isinstance(optimizer, LBFGS) else epochs
    run = Run(network, optimizer, History(), epochs, len(batches), _monitors(loss, validation))
    sensible, n_steps = network.sensible_threads(batches.batch_size), epochs * len(batches)
    parts = {"loss": loss, "augment": augment, **data}
    own_threads, state = "any" if deterministic else n_threads or sensible, with_state(listeners)
    with exclusive("fit", network=network, loss=loss, optimizer=optimizer, augment=augment, **state), alone(writer):
        restore = resumption(run, batches, listeners, writer, resume, parts, own_threads)
        notify = notifier(run, listeners)
        notify("on_fit_begin")
        optimizer.start(network.params, network.n_weights, n_steps, network.arena.slices)
        network.loss, network.metrics = loss, {}
        network.inputs = _described_inputs(network, data["train"][0])
        network.reserve(batches.batch_size)
        if restore():
            return run.history
        with (
            interruptible(run.interrupt, signal.SIGINT, *([signal.SIGTERM] if writer else [])),
            kernels.threads(sensible, n_threads, deterministic),
            progress_bar(n_steps, "training", progress, bar_format=ProgressBar.format, initial=run.step) as bar,
        ):
            notify = notify if bar is None else notifier(run, [ProgressBar(bar), *listeners])
            _train(run, batches, loss, notify, validation, data["train"], not any(each.diagnoses for each in listeners))
        notify("on_fit_end")
        if not network.is_finite():
            raise diverged(run)
        run.history.interrupted = run.signum is not None  # it may have come after the last step
    return run.history


def _described_inputs(network: Network, x: Array) -> Inputs:
    """Return which numbers the network is trained on: bytes that it divides itself count as [0, 1]."""
    return describe_inputs(x, 255 if network.batch_dtype(x).kind == "u" else 1)


def _monitors(loss: Loss, validation: Data | None) -> tuple[str, ...]:
    """Return the names of the figures that each record will have."""
    keys = [key for key in RECORD_KEYS[1:5] if loss.classifies or not key.endswith("accuracy")]
    return tuple(key for key in keys if validation is not None or not key.startswith("validation"))


def _batches(
    network: Network,
    optimizer: Optimizer,
    x: Array,
    y: Array,
    weight: Array | None,
    batch_size: int | None,
    augment: Augmentation | None,
) -> Batches:
    """Return the batches; for LBFGS, which compares the loss of one step with that of the next, a single one.

    Errors  ShapeError, DTypeError, ArgumentError.
    """
    if augment is not None:
        check_part(augment, Augmentation, "augment").check(x[:1].astype(network.batch_dtype(x)), "fit")
    batches = Batches(x, y, batch_size, network.rng, network.batch_dtype(x), weight, augment)
    if isinstance(optimizer, LBFGS):
        if augment is not None:
            raise ArgumentError(f"fit: augment must be None with LBFGS, which needs the same rows each step, got {augment}")
        if len(batches) > 1:
            raise ArgumentError(
                f"fit: batch_size must be None with LBFGS, which takes all {len(x)} rows in a step, got {batch_size}"
            )
    return batches


def _train(
    run: Run,
    batches: Batches,
    loss: Loss,
    notify: Callable[[str], bool],
    validation: Data | None,
    rows: tuple[Array, Array, Array | None],
    warn: bool,
) -> None:
    """Train until the last epoch, or until something has stopped it; `warn` if it learns nothing from the rows."""
    if isinstance(run.optimizer, LBFGS):
        _minimize(run, *next(iter(batches)), loss, notify, validation)
        return
    _, y, weight = rows
    watch = GuessWatch(loss, y, weight) if warn and run.resumed_from is None else None
    while run.goes_on:
        _train_epoch(run, batches, loss, notify, validation)
        if has_exploded(run, loss, y, weight):
            raise exploded(run)
        _end_epoch(run, notify)
        if watch is not None:
            watch.look(run)


def _train_epoch(run: Run, batches: Batches, loss: Loss, notify: Callable[[str], bool], validation: Data | None) -> None:
    """Go once through the batches, or the rest of them, and append one record."""
    network, optimizer = run.network, run.optimizer
    if not run.is_within_epoch:
        run.begin_epoch()
        notify("on_epoch_begin")
    # what overflows or becomes NaN here is found by the checks and reported as divergence
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for x, target, weight in batches:
            y = network.forward(x, training=True)
            value, dy = loss(y, target, weight)
            value += network.penalty()
            if not math.isfinite(value):
                raise diverged(run, value, x)
            mass, right = loss.total_weight, _hits(loss, y, target, weight)
            run.add(value * mass, mass, right, _mass(y, weight))
            network.backward(dy)
            notify("on_gradients")
            finite = optimizer.step(network.params, network.grads)
            run.end_step()
            if notify("on_step") or optimizer.ignores_size:  # a listener may have changed anything
                finite = ended_finite(run)
            if not finite:
                raise diverged(run)
            if run.is_ending:
                break
        _record(run, notify, validation)


def _end_epoch(run: Run, notify: Callable[[str], bool]) -> None:
    """Tell the listeners of an epoch's record; what they have made of the network must be finite too."""
    notify("on_epoch")
    if not run.network.is_finite():
        raise diverged(run)


def _record(run: Run, notify: Callable[[str], bool], validation: Data | None) -> None:
    """Append the figures of an epoch."""
    notify("on_validation")
    record = {"epoch": run.epoch, "loss": run.loss}
    if run.accuracy is not None:
        record["accuracy"] = run.accuracy
    if validation is not None:
        try:
            figures = _figures(run.network, validation, progress=False, copies=False)  # between two steps
        except OutputError as error:
            raise unusable(run, error) from error
        record |= {f"validation_{name}": figure for name, figure in figures.items()}
    seconds = time.perf_counter() - run.started
    run.history.records.append(record | {"learning_rate": run.optimizer.rate, "seconds": seconds})


def _minimize(
    run: Run,
    x: Array,
    target: Array,
    weight: Array | None,
    loss: Loss,
    notify: Callable[[str], bool],
    validation: Data | None,
) -> None:
    """Train by L-BFGS on all rows: an iteration is an epoch of one step, and has one record."""
    network, optimizer = run.network, run.optimizer
    value, y = 0.0, target

    def objective(params: Array) -> tuple[float, Array]:
        nonlocal value, y
        network.params[...] = params
        y = network.forward(x, training=True)
        value, dy = loss(y, target, weight)
        value += network.penalty()
        network.backward(dy)
        notify("on_gradients")
        if not (math.isfinite(value) and kernels.all_finite(network.grads)):
            raise diverged(run, value, x)
        return value, network.grads.astype(np.float64)  # a copy: SciPy keeps it

    def after(params: Array) -> None:
        network.params[...] = params
        run.add(value, 1.0, _hits(loss, y, target, weight), _mass(y, weight))
        run.end_step()
        notify("on_step")
        _record(run, notify, validation)
        _end_epoch(run, notify)
        run.begin_epoch()
        if run.is_ending:
            raise StopIteration
        notify("on_epoch_begin")

    if not run.is_within_epoch:
        run.begin_epoch()
        notify("on_epoch_begin")
    assert isinstance(optimizer, LBFGS)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        optimizer.minimize(objective, network.params, after)
    network.restore(run.good)  # a last attempt of the line search may have led elsewhere
    run.epoch = len(run.history)


def evaluate(network: Network, data: Data, *others: Never, progress: bool = True, **unknown: Never) -> dict[str, float]:
    """Return the loss on `data`, and for a classification loss the accuracy, in inference mode.

    `loss` is the function training minimises, the network's `l2` penalty included.

    Parameters
    ----------
    network
        One that was trained or loaded, so that it has a loss.
    data
        A pair (x, y), or (x, y, weight) for weighted means.
    progress
        Show a bar if stderr is a terminal.

    Errors  ArgumentError if the network has no loss; ShapeError, DTypeError, ArgumentError about the data.

    Examples
    --------
    >>> import numlp as nl
    >>> data = nl.load_digits()
    >>> network = nl.Network([nl.Dense(64, 10)], rng=0, loss=nl.SoftmaxCrossEntropy())
    >>> sorted(nl.evaluate(network, data.test))
    ['accuracy', 'loss']
    """
    refuse_others(network, others, unknown, "evaluate")
    return _figures(network, data, progress, copies=True)


def _figures(network: Network, data: Data, progress: bool, copies: bool) -> dict[str, float]:
    """Return what `evaluate` does, computed with copies of the layers or, within their training, with themselves."""
    loss = network.loss
    if loss is None:
        raise ArgumentError(
            "evaluate: network must have a loss, got none; fit it first, or pass loss=SoftmaxCrossEntropy() to Network"
        )
    x, y, weight = check_data(network, loss, data, "evaluate", finite=False)  # chunk by chunk, each is looked at
    total, right, mass, shared, loss = 0.0, 0.0, 0.0, loss, loss.borrow()
    with kernels.threads(network.sensible_threads(len(x))), progress_bar(len(x), "evaluating", progress, unit="row") as bar:
        for rows, outputs in network.chunks(x, where="evaluate", copies=copies):
            if not rows.start:
                loss.check_outputs(outputs, "evaluate")
            own = None if weight is None else weight[rows]
            value, _ = loss(outputs, y[rows], own)
            total, mass = total + value * loss.total_weight, mass + loss.total_weight
            right += _hits(loss, outputs, y[rows], own)
            if bar is not None:
                bar.update(len(outputs))
    shared.give_back(loss)
    figures = {"loss": total / (mass or 1) + network.penalty()}
    return figures | {"accuracy": right / _mass(x, weight)} if loss.classifies else figures


def _hits(loss: Loss, y: Array, target: Array, weight: Array | None) -> float:
    """Return how many rows, or what weight of them, the outputs y get right; 0 for a loss of numbers."""
    return loss.hits(y, target, weight) if isinstance(loss, ClassificationLoss) else 0.0


def _mass(rows: Array, weight: Array | None) -> float:
    """Return the sum of the weights, or the number of rows."""
    return float(len(rows) if weight is None else weight.sum())
