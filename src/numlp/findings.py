"""What may be wrong with a training: each rule takes what was seen and gives a finding if a limit is passed.

The limits are wide: a training that learns passes none of them. docs/diagnosis.md tells where they come from.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.losses import (
    ClassificationLoss,
    CrossEntropy,
    Focal,
    Gamma,
    KLDivergence,
    Loss,
    Poisson,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    Tweedie,
)

Array = NDArray[Any]

FEW_ROWS = 50  # too few to say something about all of them
FEW_TO_GENERALIZE = 1000  # training rows from which little may hold for others
LARGE_INPUT, SMALL_INPUT, LARGE_TARGET = 10.0, 0.01, 100.0
CONSTANT_COLUMNS = 0.9
OFFSET = 0.3  # a standardized column that is nearly always the same lies nearer to 0
IMBALANCED = 0.8  # share of the largest class
LEAST_LOSS = 0.1  # nats that the outputs cannot get below
OUTSIDE = 0.05  # share of the targets, or of the outputs
SINGLE = 0.1  # share of the batches
DEAD = 0.95  # share of the units of a layer
SATURATED = 0.75  # share of the outputs of a layer
VANISHED, EXPLODED = 0.02, 100.0  # gradient of the first layer, that of the last one being 1
SLOW, NORMAL, FAST = 1e-4, 1e-3, 0.1  # change of the weights in a step, their size being 1
RISEN = 0.5  # of the loss at the beginning
GUESSING = 0.98  # of the loss of a guess: above it nothing was learnt
LEARNT = 0.9  # of the same: below it something was, and the learning rate is no longer in question
WELL = 0.5  # of the same: below it units and gradients are no longer in question

# the range of the outputs of an activation, where that matters; log_softmax is its own logits
RANGES = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "softmax"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "softsign"), (-1.0, 1.0)),
    **dict.fromkeys(("relu", "softplus"), (0.0, math.inf)),
}
LOGARITHMIC = (Poisson, Gamma, Tweedie)  # losses of outputs that are logarithms of means


class Finding(NamedTuple):
    """One thing that is wrong: `what` should be `limit`, and is `number`, in this place; and what to do.

    `str` is one line: `<where>: <what> should be <limit>, is <number>; <advice>`.
    """

    what: str
    where: str
    number: float
    limit: str
    advice: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} should be {self.limit}, is {self.number:.3g}; {self.advice}"


def inputs(columns: Mapping[str, Array], rows: int, where: str) -> Iterator[Finding]:
    """Find columns far from [-1, 1], and columns that never change; `columns` has low, high and the sum of |x| of each."""
    low, high, size = columns["low"], columns["high"], columns["sum"] / rows
    column, largest, same = int(size.argmax()), float(max(-low.min(), high.max())), low == high
    advice = f"bring all columns near [-1, 1]: put Standardize({len(size)}).fit(x) first"
    if size[column] > LARGE_INPUT:
        what = f"mean absolute value of column {column}"
        yield Finding(what, where, float(size[column]), f"at most {LARGE_INPUT:g}", advice)
    elif largest < SMALL_INPUT:
        yield Finding("largest absolute value", where, largest, f"at least {SMALL_INPUT:g}", advice)
    offset = np.flatnonzero(same & (np.abs(high) > OFFSET))
    if rows >= FEW_ROWS and same.mean() > CONSTANT_COLUMNS:
        advice = "look at how x was made: rows differ in almost nothing"
        yield Finding("share of constant columns", where, float(same.mean()), f"at most {CONSTANT_COLUMNS:g}", advice)
    elif rows >= FEW_ROWS and len(offset):
        what = f"number of constant columns, the first being column {offset[0]},"
        yield Finding(what, where, len(offset), "0", "leave them out: they tell nothing, and only move the bias")


def classes(weights: Array, rows: int) -> Iterator[Finding]:
    """Find labels that are all the same, or many fewer classes than outputs; `weights` has the weight of each class."""
    present, n = int((weights > 0).sum()), len(weights)
    if rows < FEW_ROWS:
        return
    if present == 1:
        advice = f"look at how y was made: all {rows:,} rows are of class {int(weights.argmax())}"
        yield Finding("number of classes", "targets", 1, "at least 2", advice)
    elif present < n / 2 and rows >= 20 * n:
        advice = "map the labels to 0, 1, ... by np.unique(y, return_inverse=True), and give the network as many outputs"
        yield Finding("number of classes", "targets", present, f"near that of the outputs, {n}", advice)


def majority(loss: Loss | None, weights: Array, predicted: Array) -> Iterator[Finding]:
    """Find that the network says the largest class for every row."""
    largest = int(weights.argmax())
    share = float(weights[largest] / weights.sum())
    if (weights > 0).sum() > 1 and share >= IMBALANCED and predicted[largest] == predicted.sum() >= FEW_ROWS:
        what = f"share of rows predicted as class {largest}, the largest with {share:.1%} of the rows,"
        option = "positive_weights" if isinstance(loss, SigmoidCrossEntropy) else "class_weights"
        advice = f"let the rare rows count more: give the loss {option}, each 1 / frequency of its class"
        yield Finding(what, "predictions", 1, "below 1", advice)


def numbers(loss: Loss, low: Array, high: Array, size: Array, rows: int) -> Iterator[Finding]:
    """Find targets that are constant, or too large for outputs that begin near 0; `size` is the mean |t| of each column."""
    column = int(size.argmax())
    same = np.flatnonzero(low == high)
    if rows >= FEW_ROWS and len(same):
        advice = f"look at how y was made: column {same[0]} is {low[same[0]]:g} in all {rows:,} rows"
        yield Finding("number of constant columns", "targets", len(same), "0", advice)
    elif size[column] > LARGE_TARGET and not isinstance(loss, LOGARITHMIC):
        what = f"mean absolute value of column {column}"
        advice = "standardize them, (y - y.mean()) / y.std(), and turn predictions back"
        yield Finding(what, "targets", float(size[column]), f"at most {LARGE_TARGET:g}", advice)


def unreachable_numbers(loss: Loss, activation: str, outside: float, mean: Array) -> Iterator[Finding]:
    """Find targets that the last activation cannot give; `outside` is their share, `mean` that of each column."""
    if activation not in RANGES:
        return
    low, high = RANGES[activation]
    where, advice = f"last activation, {activation}", f"take {activation} away: the last layer is Dense(..., identity)"
    if not isinstance(loss, LOGARITHMIC):
        if outside > OUTSIDE:
            yield Finding("share of targets it cannot give", where, outside, f"at most {OUTSIDE:g}", advice)
        return
    wanted = np.log(np.maximum(mean, np.finfo(np.float64).tiny))
    for value in wanted[(wanted < low) | (wanted > high)][:1]:
        what = f"logarithm of the mean target, which is what {type(loss).__name__} makes of an output,"
        yield Finding(what, where, float(value), f"from {low:g} to {high:g}", advice)


def unreachable_classes(loss: Loss, activation: str, n: int, zeros: float = 0.0) -> Iterator[Finding]:
    """Find outputs with which a loss of classes cannot be small; `zeros` is the share of the outputs that are 0."""
    if activation not in RANGES or not isinstance(loss, SoftmaxCrossEntropy | Focal | SigmoidCrossEntropy):
        return
    low, high = RANGES[activation]
    if isinstance(loss, SigmoidCrossEntropy):
        least = max(math.log1p(math.exp(low)), math.log1p(math.exp(-high)))
    else:
        least = math.log1p((n - 1) * math.exp(low - high))
    where = f"last activation, {activation}"
    advice = f"take {activation} away: {type(loss).__name__} wants logits, so the last layer is Dense(..., identity)"
    if least > LEAST_LOSS:
        yield Finding(f"smallest loss of a row that its outputs, {low:g} to {high:g}, allow", where, least, "near 0", advice)
    elif zeros > OUTSIDE:
        yield Finding("share of outputs that are 0, and learn nothing there,", where, zeros, f"at most {OUTSIDE:g}", advice)


def linear(names: Sequence[str]) -> Iterator[Finding]:
    """Find dense layers that are followed by another one without an activation in between."""
    for name in names:
        advice = 'give it one, Dense(..., "relu"), or take the layer away: two linear maps are one'
        yield Finding("number of activations before the next Dense layer", name, 0, "at least 1", advice)


def equal_units(layers: Iterable[tuple[str, Array]]) -> Iterator[Finding]:
    """Find hidden layers, given as (name, W), all of whose units have equal weights."""
    for name, W in layers:
        if W.shape[1] > 1 and (W == W[:, :1]).all():
            advice = "draw them at random: leave initializer=None; units with equal weights learn the same"
            yield Finding("number of different units, by their weights,", name, 1, f"near {W.shape[1]}", advice)


def single_rows(share: float, where: str) -> Iterator[Finding]:
    """Find batches of one row before a batch norm; `share` is theirs of all batches."""
    if share > SINGLE:
        advice = "take another batch_size: one row has no variance"
        yield Finding("share of batches of one row", where, share, f"at most {SINGLE:g}", advice)


def _rounded(rate: float) -> str:
    """Return a learning rate with one digit that is not 0: "10", "0.002"."""
    return f"{float(f'{rate:.1g}'):g}"


def dead(share: float, born: float, where: str, rate: float) -> Iterator[Finding]:
    """Find ReLU units that are 0 for every row: no gradient comes through; `born` is their share in the first step."""
    if share >= DEAD:
        advice = f"take a learning rate of {_rounded(rate / 10)}, a tenth, so that no step is so long that units die"
        if born >= DEAD or rate == 0:  # L-BFGS has none
            advice = "leave initializer=None and put BatchNorm before the ReLU: they were not killed by a step"
        yield Finding("share of ReLU units that are 0 for every row", where, share, f"below {DEAD:g}", advice)


def saturated(share: float, where: str, activation: str) -> Iterator[Finding]:
    """Find outputs at the flat ends of a sigmoid."""
    if share >= SATURATED:
        what = f"share of {activation} outputs whose slope is below 5 % of the largest"
        advice = f"put BatchNorm before the {activation}, so that it sees numbers near [-1, 1]"
        yield Finding(what, where, share, f"below {SATURATED:g}", advice)


def gradients(ratio: float, where: str) -> Iterator[Finding]:
    """Find a gradient that fades or grows on its way back; `ratio` is that of the first layer, the last one's being 1."""
    what, limit = "size of the gradient against that of the last layer", f"from {VANISHED:g} to {EXPLODED:g}"
    if ratio < VANISHED:
        yield Finding(what, where, ratio, limit, "it vanishes: put BatchNorm before each activation")
    elif ratio > EXPLODED:
        yield Finding(what, where, ratio, limit, "it explodes: leave initializer=None, which keeps its size")


def too_fast(changes: Sequence[float], names: Sequence[str], rate: float, loss: float, before: float) -> Iterator[Finding]:
    """Find steps that change a layer by a large part of itself, or a loss that has risen, where nothing was learnt."""
    layer = int(np.argmax(changes))
    limit = before + RISEN * abs(before)
    if changes[layer] > FAST:
        what, better = "change of the weights in a step against their size", rate * max(NORMAL / changes[layer], 0.01)
        advice = f"lower the learning rate {rate:.3g}: take near {_rounded(better)}"
        yield Finding(what, names[layer], changes[layer], f"near {NORMAL:g}, below {FAST:g}", advice)
    elif loss > limit:
        what, advice = (
            f"loss, which began at {before:.3g},",
            f"lower the learning rate {rate:.3g}: take {_rounded(rate / 10)}",
        )
        yield Finding(what, "training", loss, f"below {limit:.3g}", advice)


def too_slow(change: float, rate: float) -> Iterator[Finding]:
    """Find steps too short to get anywhere, where nothing was learnt; `change` is the largest of the training."""
    if 0 < change < SLOW:
        advice = f"raise the learning rate {rate:.3g}: take near {_rounded(rate * NORMAL / change)}"
        what = "largest change of the weights in a step against their size"
        yield Finding(what, "training", change, f"near {NORMAL:g}, above {SLOW:g}", advice)


def guessing(guess: float | None, training: float, validation: float | None, rows: int) -> Iterator[Finding]:
    """Find a loss that the best constant output has too, on the training rows, or at all times on the validation rows."""
    if guess is None:
        return
    advice = "look whether row i of x and row i of y still belong together: the targets look shuffled to this network"
    what = f"loss on the {{}} rows, of which a guess that knows no x costs {guess:.3g},"
    if training >= GUESSING * guess:
        yield Finding(what.format("training"), "training", training, f"below {GUESSING * guess:.3g}", advice)
    elif validation is not None and validation >= GUESSING * guess and rows >= FEW_TO_GENERALIZE:
        yield Finding(what.format("validation"), "training", validation, f"below {GUESSING * guess:.3g}", advice)


def loss_of_guess(loss: Loss | None, targets: Mapping[str, Any]) -> float | None:
    """Return the loss of the best constant output, where a formula has it.

    Of classes their entropy, - sum_c q_c log q_c, q the smoothed frequencies; of squares half the variance.  (1)
    """
    if isinstance(loss, SquaredError):
        mass, mean = targets["mass"], targets["sum"] / targets["mass"]
        return 0.5 * float((targets["squares"] / mass - mean**2).sum())
    known = isinstance(loss, SoftmaxCrossEntropy | CrossEntropy | KLDivergence | SigmoidCrossEntropy)
    if not known or "classes" not in targets or getattr(loss, "positive_weights", None):
        return None
    assert isinstance(loss, ClassificationLoss)
    weights, s = targets["classes"], loss.label_smoothing
    q = (1 - s) * weights / weights.sum() + s / len(weights)
    return float(-(q * np.log(np.where(q > 0, q, 1))).sum())


def weight_of_classes(loss: ClassificationLoss, target: Array, each: Array, n: int) -> Array | None:
    """Return the weight of each class in a batch, or None if a row may have several."""
    if isinstance(loss, SigmoidCrossEntropy):
        yes = float(each @ target.reshape(len(target), -1)[:, 0])
        return np.array([each.sum() - yes, yes]) if n == 1 else None
    return np.bincount(target, each, n) if target.ndim == 1 else each @ target
