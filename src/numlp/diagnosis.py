"""Why does a network not learn? A callback that looks at a training and says so in words."""

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import findings as rules
from numlp import kernels
from numlp.callbacks import Callback
from numlp.findings import Finding
from numlp.layers import Activation, BatchNorm, Dense
from numlp.losses import ClassificationLoss, RegressionLoss
from numlp.optimizers import LBFGS
from numlp.progress import write_line
from numlp.run import Run
from numlp.structure import layers_without_activation, named_layers

Array = NDArray[Any]

_LOOKS = 20  # at an epoch, and at the first steps of a training
_FLAT = 0.05  # of the largest slope of a sigmoid: below it an output is saturated
# the slope, the largest being 1, told from the output
_SLOPES: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda y: 4 * y * (1 - y),
    "hard_sigmoid": lambda y: (y > 0) & (y < 1),
    "tanh": lambda y: 1 - y * y,
    "softsign": lambda y: (1 - np.abs(y)) ** 2,
}


class Doctor(Callback):
    """Says in words why a network does not learn: data, loss, learning rate, units, gradients.

    It looks at the first 20 steps and at about 20 in each epoch, and counts the targets of the first epoch. It changes
    nothing: the weights are the same bytes without it. Inputs are judged where the first Dense layer takes them, behind
    Standardize, Pixels or Embedding. docs/diagnosis.md has all findings, their limits and their sources.

    `findings` is a list of `Finding`, causes first, from what was seen so far: also after a DivergenceError, when nobody
    prints the `report()`. With each `fit` it begins anew, also where a training goes on from a checkpoint.

    Source  Glorot, Bengio 2010; Goodfellow, Bengio, Courville 2016, section 11.5; Karpathy 2019; Lu et al. 2020.

    Parameters
    ----------
    say
        Takes the report at the end of training; None prints it to stderr, and a bar steps aside.

    Examples
    --------
    >>> import numlp as nl
    >>> data = nl.load_digits()
    >>> network = nl.Network([nl.Dense(64, 32, "relu"), nl.Dense(32, 10)], rng=0)
    >>> doctor = nl.Doctor(say=print)
    >>> history = nl.fit(network, data.train, epochs=5, callbacks=[doctor])
    diagnosis of the training: nothing was found
    >>> doctor.findings
    []
    """

    diagnoses = True

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self.say = say
        self._forget()

    def _forget(self) -> None:
        self.rows = 0  # whose inputs were looked at
        self.columns: dict[str, Array] = {}  # low, high and sum of |x| of each input
        self.batches = [0, 0]  # of the first epoch: all, and those of one row
        self.targets: dict[str, Any] = {}  # weight of each class; low, high and sums of each number
        self.losses: dict[str, float] = {}  # of the first step, now, the best on the validation rows; epochs
        self.window: dict[str, Any] = {}  # what was seen in one epoch of units, gradients, predictions and steps
        self.born: list[float] = []  # share of dead units of each layer at the first look
        self.change = 0.0  # the largest relative change of a layer in a step
        self.rate = 0.0  # the largest learning rate

    def on_fit_begin(self, run: Run) -> None:
        """Forget an earlier training, and list the layers to look at."""
        self._forget()
        layers, last = list(named_layers(run.network.layers)), run.network.layers[-1]
        dense = [i for i, (_, layer) in enumerate(layers) if isinstance(layer, Dense)]
        self._dense: list[tuple[str, Any]] = [layers[i] for i in dense]
        hidden: list[tuple[str, Any]] = [
            pair for pair in layers[: dense[-1] if dense else 0] if isinstance(pair[1], Dense | Activation)
        ]
        self._relus = [pair for pair in hidden if pair[1].activation == "relu"]
        self._sigmoids = [pair for pair in hidden if pair[1].activation in _SLOPES]
        self._activation = last.activation if isinstance(last, Dense | Activation) else "identity"
        self._norms = [name for name, layer in layers if isinstance(layer, BatchNorm)]
        self._linear = list(layers_without_activation(run.network.layers))
        self._network = run.network
        self._before: list[Array] = []

    def on_gradients(self, run: Run) -> None:
        """Count the targets of the first epoch; look at inputs, units, outputs and gradients if it is this step's turn."""
        first_epoch = "epochs" not in self.losses
        if first_epoch:
            self._count_targets()
        if run.step >= _LOOKS and run.step % max(1, run.steps_per_epoch // _LOOKS):
            return
        if self.window.get("epoch") != run.epoch:
            self._open_window(run.epoch)
        self._see_predictions()
        if self._dense:
            if first_epoch:
                self._see_inputs(self._dense[0][1]._x)
            self._see_units(len(self._dense[0][1]._x))
            self._see_gradients()
        if not isinstance(run.optimizer, LBFGS):  # its line search tries steps that it does not take
            self._before = [layer.W.copy() for _, layer in self._dense]

    def on_step(self, run: Run) -> None:
        """Compare the weights with those before the step."""
        self.losses.setdefault("first", run.loss - run.network.penalty())
        if not self._before:
            return
        changes = []
        for (_, layer), before in zip(self._dense, self._before, strict=True):
            size = _rms(before)
            change = _rms(np.subtract(layer.W, before, out=before)) / size if size else 0.0
            changes.append(change if math.isfinite(change) else math.inf)  # a NaN would be larger than nothing
        self._before = []
        self.window["changes"].append(changes)
        self.change, self.rate = max(self.change, *changes), max(self.rate, run.optimizer.rate)
        self.losses["now"] = run.loss - run.network.penalty()

    def on_epoch(self, run: Run) -> None:
        """Keep the losses, without the penalty on the weights."""
        record, penalty = run.history.records[-1], run.network.penalty()
        self.losses["now"] = record["loss"] - penalty
        self.losses["epochs"] = self.losses.get("epochs", 0) + 1
        if "validation_loss" in record:
            best = self.losses.get("validation", math.inf)
            self.losses["validation"] = min(best, record["validation_loss"] - penalty)

    def on_fit_end(self, run: Run) -> None:
        """Give the report."""
        if self.say is not None:
            self.say(self.report())
        elif sys.stderr is not None:
            write_line(self.report(), sys.stderr)

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, causes first; empty if nothing is."""
        if not self.losses:
            return []
        found = [*self._data(), *self._steps(), *rules.linear(self._linear)]
        equal = [*rules.equal_units((name, layer.W) for name, layer in self._dense[:-1])]
        if equal:
            found += equal
        elif not self._below(rules.WELL):  # a network that learns well may have many dead units
            units = [*self._units()]
            found += units or self._flow()  # no gradient comes through dead or saturated units: the cause is enough
        if "classes" in self.targets:
            found += rules.majority(self._network.loss, self.targets["classes"], self.window["predicted"])
        if not (found or self._below(rules.LEARNT)):
            found += rules.too_slow(self.change, self.rate)
        if not found and self.losses.get("epochs", 0) > 1:
            loss, rows = self.losses, self.targets.get("rows", 0)
            found += rules.guessing(self._guess(), loss["now"], loss.get("validation"), rows)
        return found

    def report(self) -> str:
        """Return the findings as text, or that there are none."""
        if not self.losses:
            return "diagnosis of the training: no step was seen"
        lines = [f"{i}. {finding}" for i, finding in enumerate(self.findings, 1)]
        head = "diagnosis of the training" + (", causes first:" if lines else ": nothing was found")
        return "\n".join([head, *lines])

    def _count_targets(self) -> None:
        """Add the targets of a batch: the weight of each class, or low, high and sums of each column of numbers."""
        loss, t = self._network.loss, self.targets
        if loss is None or loss.last is None:  # a loss that is called in its own way
            return
        y, target, weight = loss.last
        self.batches = [self.batches[0] + 1, self.batches[1] + (len(target) == 1)]
        each = np.ones(len(target)) if weight is None else weight
        t["rows"] = t.get("rows", 0) + len(target)
        t["mass"] = t.get("mass", 0.0) + float(each.sum())
        if isinstance(loss, RegressionLoss):
            numbers = target.reshape(len(target), -1).astype(np.float64)
            low, high = rules.RANGES.get(self._activation, (-math.inf, math.inf))
            t["low"] = np.minimum(t.get("low", np.inf), numbers.min(axis=0))
            t["high"] = np.maximum(t.get("high", -np.inf), numbers.max(axis=0))
            t["outside"] = t.get("outside", 0.0) + len(numbers) * float(np.mean((numbers < low) | (numbers > high)))
            for name, values in (("sum", numbers), ("size", np.abs(numbers)), ("squares", numbers**2)):
                t[name] = t.get(name, 0.0) + each @ values
        elif isinstance(loss, ClassificationLoss):
            counts = rules.weight_of_classes(loss, target, each, y.shape[1])
            if counts is not None:
                t["classes"] = t.get("classes", 0.0) + counts

    def _open_window(self, epoch: int) -> None:
        """Begin to look at an epoch: the findings are about the last one."""
        self.window = {
            "epoch": epoch,
            "rows": 0,
            "active": [np.zeros(layer.n_out, bool) for _, layer in self._relus],
            "saturated": [0.0 for _ in self._sigmoids],
            "ratios": [],
            "changes": [],
            "predicted": np.zeros(max(2, self._network.n_out)),
            "zeros": [],  # the share of outputs that are 0
        }

    def _see_inputs(self, x: Array) -> None:
        """Add the columns of a batch, as the first Dense layer sees them."""
        self.rows += len(x)
        c = self.columns
        c["low"] = np.minimum(c.get("low", np.inf), x.min(axis=0))
        c["high"] = np.maximum(c.get("high", -np.inf), x.max(axis=0))
        c["sum"] = c.get("sum", 0.0) + np.abs(x).sum(axis=0, dtype=np.float64)

    def _see_units(self, n: int) -> None:
        """Which ReLU units are above 0 for a row of the batch, and how many outputs of sigmoids are saturated."""
        window = self.window
        window["rows"] += n
        shares = []
        for (_, layer), active in zip(self._relus, window["active"], strict=True):
            above = (layer._y[:n] > 0).any(axis=0)
            active |= above
            shares.append(1 - float(above.mean()))
        self.born = self.born or shares
        for i, (_, layer) in enumerate(self._sigmoids):
            flat = float(np.mean(_SLOPES[layer.activation](layer._y[:n]) < _FLAT))
            window["saturated"][i] += n * flat

    def _see_gradients(self) -> None:
        """Compare what comes back to the first layer with the last: dW = scale x^T dz, so dz ~ dW / (scale x)."""
        sizes = [_rms(layer.dW) / (layer.scale * _rms(layer._x) or 1) for _, layer in (self._dense[0], self._dense[-1])]
        if len(self._dense) > 1 and sizes[1] > 0:
            self.window["ratios"].append(sizes[0] / sizes[1])

    def _see_predictions(self) -> None:
        """Count the classes that the network says, and add up the probabilities of a row."""
        loss, window = self._network.loss, self.window
        if not isinstance(loss, ClassificationLoss) or loss.last is None:
            return
        y = loss.last[0]
        labels = loss.decide(y)
        if labels.ndim == 1:
            window["predicted"] = window["predicted"] + np.bincount(labels, minlength=max(2, y.shape[1]))
        if self._activation == "relu":
            window["zeros"].append(float(np.mean(y == 0)))

    def _guess(self) -> float | None:
        """Return the loss of a guess, where it is known."""
        return rules.loss_of_guess(self._network.loss, self.targets) if self.targets else None

    def _below(self, share: float) -> bool:
        """Whether the loss has come below a share of that of a guess, or where that is not known, of the first step."""
        guess = self._guess()
        reference = self.losses["first"] if guess is None else guess
        return self.losses.get("now", math.inf) < reference - (1 - share) * abs(reference)

    def _data(self) -> Iterator[Finding]:
        """Yield findings about inputs, targets and batches."""
        for name in self._norms:
            yield from rules.single_rows(self.batches[1] / max(self.batches[0], 1), name)
        if self.rows:
            yield from rules.inputs(self.columns, self.rows, f"input of {self._dense[0][0]}")
        loss, t = self._network.loss, self.targets
        if loss is None:
            return
        if "classes" in t:
            yield from rules.classes(t["classes"], t["rows"])
            zeros = float(np.mean(self.window["zeros"] or 0))
            yield from rules.unreachable_classes(loss, self._activation, self._network.n_out, zeros)
        if "sum" in t:
            yield from rules.numbers(loss, t["low"], t["high"], t["size"] / t["mass"], t["rows"])
            outside, mean = t["outside"] / t["rows"], t["sum"] / t["mass"]
            yield from rules.unreachable_numbers(loss, self._activation, outside, mean)

    def _steps(self) -> Iterator[Finding]:
        """Yield findings about the learning rate, where nothing was learnt."""
        changes = self.window["changes"]
        if changes and not self._below(rules.LEARNT):
            names = [name for name, _ in self._dense]
            usual = [float(np.median(of_layer)) for of_layer in zip(*changes, strict=True)]
            guess = self._guess()
            before = self.losses["first"] if guess is None else max(self.losses["first"], guess)
            yield from rules.too_fast(usual, names, self.rate, self.losses["now"], before)

    def _units(self) -> Iterator[Finding]:
        """Yield findings about hidden units."""
        window = self.window
        if window["rows"] < rules.FEW_ROWS:
            return
        for (name, _), active, born in zip(self._relus, window["active"], self.born, strict=True):
            yield from rules.dead(1 - float(active.mean()), born, name, self.rate)
        for (name, layer), rows in zip(self._sigmoids, window["saturated"], strict=True):
            yield from rules.saturated(rows / window["rows"], name, layer.activation)

    def _flow(self) -> Iterator[Finding]:
        """Yield findings about the gradient on its way back."""
        if self.window["ratios"]:
            yield from rules.gradients(float(np.median(self.window["ratios"])), self._dense[0][0])


def _rms(array: Array) -> float:
    """Return the root mean square."""
    return math.sqrt(kernels.sum_of_squares(array.reshape(-1)) / array.size)
