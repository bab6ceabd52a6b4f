"""The training loop, and evaluation."""

import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.callbacks import RECORD_KEYS, Callback, History, ProgressBar, Run
from numlp.data.batches import Batches
from numlp.errors import (
    ArgumentError,
    DivergenceError,
    DTypeError,
    check_count,
    check_finite,
    check_matrix,
    check_same_length,
)
from numlp.losses import Loss, SoftmaxCrossEntropy
from numlp.metrics import hits
from numlp.network import Network
from numlp.optimizers import Adam, Optimizer
from numlp.progress import progress_bar

Array = NDArray[Any]
Data = tuple[Any, Any]


def fit(
    network: Network,
    train: Data,
    *,
    validation: Data | None = None,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 10,
    batch_size: int | None = 128,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> History:
    """Train a network, in place: for each mini-batch, dL/dparams by backward, then one optimizer step.

    The optimizer starts anew; the network goes on from the weights it has. All arguments are checked before anything
    is changed. Ctrl-C ends training after the current step, with a second one at once; what was learnt stays.

    Parameters
    ----------
    network
        Trained in place; its generator draws the order of the rows.
    train, validation
        Pairs (x, y): x (n, n_in) numbers, converted to the network's dtype batch by batch; y as the loss wants it.
    loss
        None takes the network's own, else `SoftmaxCrossEntropy()`. It becomes the network's.
    optimizer
        None takes `Adam(1e-3)`.
    epochs
        Passes over the training rows.
    batch_size
        Rows a step; None takes all of them.
    callbacks
        Listeners, in order.
    progress
        Show a bar if stderr is a terminal.

    Returns
    -------
    History
        One record an epoch: loss, accuracy, learning rate, seconds, and of the validation data.

    Errors  ShapeError, DTypeError, ArgumentError about an argument. DivergenceError if the loss or a parameter becomes
        NaN or infinite: the network is then as it was after the last good epoch.

    Examples
    --------
    >>> import numlp as nl
    >>> data = nl.load_digits()
    >>> network = nl.Network([nl.Dense(64, 32, "relu"), nl.Dense(32, 10)], rng=0)
    >>> history = nl.fit(network, data.train, epochs=30, batch_size=32)
    >>> history["accuracy"][-1] > 0.95
    True
    """
    epochs = check_count(epochs, "fit", "epochs")
    batch_size = None if batch_size is None else check_count(batch_size, "fit", "batch_size")
    loss = _check_part(loss or network.loss or SoftmaxCrossEntropy(), Loss, "loss")
    optimizer = _check_part(optimizer or Adam(1e-3), Optimizer, "optimizer")
    x, y = _check_data(network, loss, train, "fit", warn=True)
    if validation is not None:
        _check_data(network, loss, validation, "fit: validation")
    batches = Batches(x, y, batch_size, network.rng, network.batch_dtype(x))
    keys = [key for key in RECORD_KEYS[1:5] if loss.classifies or not key.endswith("accuracy")]
    monitors = tuple(key for key in keys if validation is not None or not key.startswith("validation"))
    run = Run(network, optimizer, History(), epochs, len(batches), monitors)
    listeners = [_check_part(callback, Callback, "callbacks") for callback in callbacks]

    def notify(event: str) -> None:
        for listener in listeners:
            getattr(listener, event)(run)

    notify("on_fit_begin")
    network.loss, network.metrics = loss, {}
    network.reserve(batches.batch_size)
    optimizer.start(network.params, network.n_weights, epochs * len(batches))
    with interruptible(run.interrupt), progress_bar(epochs * len(batches), "training", progress, unit="step") as bar:
        listeners += [ProgressBar(bar)] if bar is not None else []
        while run.epoch < epochs and not run.stop:
            _train_epoch(run, batches, loss, notify, validation)
            notify("on_epoch")
    notify("on_fit_end")
    return run.history


def _train_epoch(run: Run, batches: Batches, loss: Loss, notify: Callable[[str], None], validation: Data | None) -> None:
    """Go once through the batches and append one record."""
    network, optimizer = run.network, run.optimizer
    started, good = time.perf_counter(), network.snapshot()
    total, right, rows = 0.0, 0, 0
    run.epoch += 1
    # what overflows or becomes NaN here is found by the checks and reported as divergence
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for x, target in batches:
            y = network.forward(x, training=True)
            value, dy = loss(y, target)
            if not math.isfinite(value):
                _diverged(run, good, x, value)
            total, rows = total + (value + network.penalty()) * len(x), rows + len(x)
            right += hits(y, target) if loss.classifies else 0
            network.backward(dy)
            notify("on_gradients")
            optimizer.step(network.params, network.grads)
            run.step += 1
            run.loss, run.accuracy = total / rows, right / rows if loss.classifies else None
            notify("on_step")
            if run.stop:
                break
        if not np.isfinite(network.params).all():
            _diverged(run, good, x, value)
    record = {"epoch": run.epoch, "loss": run.loss}
    if run.accuracy is not None:
        record["accuracy"] = run.accuracy
    if validation is not None:
        figures = evaluate(network, validation, progress=False)
        record |= {f"validation_{name}": figure for name, figure in figures.items()}
    run.history.records.append(record | {"learning_rate": optimizer.rate, "seconds": time.perf_counter() - started})


def evaluate(network: Network, data: Data, *, progress: bool = True) -> dict[str, float]:
    """Return the loss on `data`, and for a classification loss the accuracy, in inference mode.

    `loss` is the function training minimises, the network's `l2` penalty included.

    Parameters
    ----------
    network
        One that was trained or loaded, so that it has a loss.
    data
        A pair (x, y).
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
    loss = network.loss
    if loss is None:
        raise ArgumentError(
            "evaluate: network must have a loss, got none; fit it first, or pass loss=SoftmaxCrossEntropy() to Network"
        )
    x, y = _check_data(network, loss, data, "evaluate")
    total, right = 0.0, 0
    with progress_bar(len(x), "evaluating", progress, unit="row") as bar:
        for rows, outputs in network.chunks(x):
            total += loss(outputs, y[rows])[0] * len(outputs)
            right += hits(outputs, y[rows]) if loss.classifies else 0
            if bar is not None:
                bar.update(len(outputs))
    figures = {"loss": total / len(x) + network.penalty()}
    return figures | {"accuracy": right / len(x)} if loss.classifies else figures


def _check_part(part: Any, kind: type[Any], name: str) -> Any:
    """Return `part` if it is an instance of `kind`, with a hint for a class that was not called."""
    if not isinstance(part, kind):
        hint = f"; call it: {part.__name__}()" if isinstance(part, type) else ""
        raise DTypeError(f"fit: {name} must be of type {kind.__name__}, got {part!r}{hint}")
    return part


def _check_data(network: Network, loss: Loss, data: Any, where: str, warn: bool = False) -> tuple[Array, Array]:
    """Return (x, y) checked against network and loss; warn about a range no network learns well from."""
    try:
        x, y = data
    except (TypeError, ValueError):
        raise DTypeError(f"{where}: data must be a pair (x, y), got {type(data).__name__}") from None
    x, y = check_matrix(x, where, "x", network.n_in), np.asarray(y)
    check_same_length(x, y, where)
    low, high = check_finite(x, where, "x")
    y = loss.prepare(y, network.n_out, network.dtype, where)
    scaled_inside = network.batch_dtype(x) != network.dtype  # Pixels takes bytes and divides them itself
    if warn and not scaled_inside and max(-low, high) > 100:
        warnings.warn(
            f"{where}: x ranges from {low:g} to {high:g}, and a network learns best from inputs near [-1, 1]; for pixels "
            f"divide by 255, load with normalize=True, or put Pixels({network.n_in}) first and pass uint8",
            UserWarning,
            stacklevel=3,
        )
    return x, y


def _diverged(run: Run, good: tuple[Array, Array], x: Array, value: float) -> None:
    """Restore the last good weights and raise DivergenceError with what is known."""
    network = run.network
    place = "the loss"
    for i, layer in enumerate(network.layers):
        x = layer.forward(x, training=False)
        if not np.isfinite(x).all():
            place = f"layer {i} {layer}"
            break
    norm = float(np.linalg.norm(network.grads.astype(np.float64)))
    network.restore(good)
    rate = run.optimizer.rate
    raise DivergenceError(
        f"fit: loss must stay finite, got {value} at epoch {run.epoch}, step {run.step + 1}, first not finite in {place}, "
        f"learning rate {rate:g}, last gradient norm {norm:.3g}; the network is as it was after epoch {run.epoch - 1}; "
        f"try a learning rate of {rate / 10:g}, and inputs near [-1, 1]"
    )


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first Ctrl-C into a call of `stop`; the second acts as usual. Nested uses all hear the first one."""
    if threading.current_thread() is not threading.main_thread():  # only there may a handler be set
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(signum: int, frame: Any) -> None:
        stop()
        signal.signal(signal.SIGINT, before)
        if callable(before) and before is not signal.default_int_handler:
            before(signum, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, before)
