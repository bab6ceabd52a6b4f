"""`fit` warns of a training that has learnt nothing, ends one whose loss explodes, and leaves all others alone."""

import warnings
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.errors import DivergenceError
from numlp.guess import GuessWatch
from numlp.optimizers import OPTIMIZERS

DATA: Any = nl.load_digits()
X, Y = DATA.train
NUMBERS = X @ np.random.default_rng(0).normal(size=(64, 1))
NUMBERS = (NUMBERS - NUMBERS.mean()) / NUMBERS.std()
SHUFFLED = np.random.default_rng(0).permutation(Y)
SQUARES = nl.SquaredError()


def layers(*activations: str, n_out: int = 10) -> list[nl.Layer]:
    first, last = activations or ("relu", "identity")
    return [nl.Dense(64, 32, first), nl.Dense(32, n_out, last)]


def warned(y: np.ndarray = Y, stack: Any = None, x: np.ndarray = X, **options: Any) -> list[str]:
    network = nl.Network(stack or layers(), rng=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nl.fit(network, (x, y), **{"epochs": 3, "batch_size": 64} | options)
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


LEARNT_NOTHING: dict[str, dict[str, Any]] = {
    "shuffled labels": {"y": SHUFFLED},
    "two epochs only": {"y": SHUFFLED, "epochs": 2},
    "tiny learning rate": {"optimizer": nl.SGD(1e-9)},
    "large learning rate": {"optimizer": nl.SGD(100.0)},
    "large learning rate, many epochs": {"optimizer": nl.SGD(100.0), "epochs": 20},
    "softmax twice": {"stack": layers("relu", "softmax"), "epochs": 2},
    "equal weights": {"stack": [nl.Dense(64, 32, initializer="zeros"), nl.Dense(32, 10, initializer="zeros")], "epochs": 3},
    "targets far from 0": {"y": 1e5 + NUMBERS, "stack": layers("relu", "identity", n_out=1), "loss": SQUARES},
    "after a warm-up": {"y": SHUFFLED, "optimizer": nl.Adam(nl.WarmUp(40, nl.Constant(1e-3))), "epochs": 6},
    "smoothed": {"y": SHUFFLED, "loss": nl.SoftmaxCrossEntropy(0.3)},
    "class weights": {"y": SHUFFLED, "loss": nl.SoftmaxCrossEntropy(class_weights=[1.0, 5.0] * 5), "epochs": 6},
    "weights": {"y": SHUFFLED, "validation": (X, SHUFFLED)},
    "full batch": {"y": SHUFFLED, "batch_size": None, "epochs": 40, "optimizer": nl.SGD(0.1)},
}  # fmt: skip


@pytest.mark.parametrize("name", LEARNT_NOTHING)
def test_training_that_is_no_better_than_a_guess_warns_once(name: str) -> None:
    (text,) = warned(**LEARNT_NOTHING[name])
    assert "epochs should be below that of a guess that knows no x, " in text
    assert "callbacks=[Doctor()]" in text


RARE = np.flatnonzero((Y != 0) | (np.arange(len(Y)) % 4 == 0))
HEALTHY: dict[str, dict[str, Any]] = {
    "digits": {},
    "a rare class": {"x": X[RARE], "y": (Y[RARE] == 0).astype(np.int64), "epochs": 20},
    "numbers far from 0": {"y": 3 + NUMBERS, "stack": layers("relu", "identity", n_out=1), "loss": SQUARES, "epochs": 60},
    "one epoch": {"y": SHUFFLED, "epochs": 1},
    "slow start behind batch norm": {
        "stack": [nl.Dense(64, 16), nl.BatchNorm(16), nl.Activation(16, "relu"), nl.Dropout(16, 0.5), nl.Dense(16, 10)],
        "epochs": 2, "batch_size": 128,
    },
    "warm-up": {"optimizer": nl.Adam(nl.OneCycle(0.01)), "epochs": 4},
    "full batch": {"batch_size": None, "epochs": 40, "optimizer": nl.SGD(0.5)},
    "numbers": {"y": NUMBERS, "stack": layers("relu", "identity", n_out=1), "loss": SQUARES},
    "no formula": {"y": SHUFFLED, "loss": nl.Focal()},
    "L-BFGS": {"y": SHUFFLED, "optimizer": nl.LBFGS(max_steps=25), "batch_size": None},
    "few rows": {"x": X[:49], "y": SHUFFLED[:49], "batch_size": 4},
    "a doctor looks on": {"y": SHUFFLED, "callbacks": [nl.Doctor(lambda text: None)]},
    "one class": {"y": 0 * Y},
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_training_on_its_way_or_without_a_formula_does_not_warn(name: str) -> None:
    assert warned(**HEALTHY[name]) == []


@pytest.mark.parametrize("weight", [None, np.arange(60.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("class_weights", [None, [1.0, 2.0, 5.0]])
def test_loss_of_a_guess_is_the_least_of_any_constant_output(weight: Any, smoothing: float, class_weights: Any) -> None:
    y = np.arange(60) % 7 % 3
    loss = nl.SoftmaxCrossEntropy(smoothing, class_weights)
    guess = GuessWatch(loss, y, weight)._guess(3)
    outputs = np.zeros((60, 3))
    for _ in range(2000):
        value, dy = loss(outputs, y, weight)
        outputs -= 0.5 * dy.sum(axis=0)
    assert guess == pytest.approx(value, rel=1e-4)
    numbers = np.column_stack([y, 1e6 + y])
    mean = np.average(numbers, axis=0, weights=weight)
    expected, _ = SQUARES(np.tile(mean, (60, 1)), numbers, weight)
    assert GuessWatch(SQUARES, numbers, weight)._guess(2) == pytest.approx(expected)


@pytest.mark.parametrize("kind", sorted({"Adam", "AdamW", "NAdam", "RMSprop", "Lion", "Adagrad"}))
@pytest.mark.parametrize("rate", [1e8, 1e12])
def test_loss_that_explodes_without_nan_is_divergence(kind: str, rate: float) -> None:
    network = nl.Network(layers(), rng=0)
    before, seen = network.params.tobytes(), []

    class Watch(nl.Callback):
        def on_epoch(self, run: Any) -> None:
            seen.append(run.epoch)

    with pytest.raises(DivergenceError, match=r"loss must stay .* after epoch 0; try a learning rate of ") as caught:
        nl.fit(network, (X, Y), optimizer=OPTIMIZERS[kind](rate), epochs=3, callbacks=[Watch()])
    assert network.params.tobytes() == before and not seen
    assert float(str(caught.value).rpartition("learning rate of ")[2].split()[0]) <= 0.1


@pytest.mark.parametrize("scale", [1e6, 1e12, 1e18])
def test_numbers_that_are_large_are_no_explosion(scale: float) -> None:
    y = np.where(np.arange(len(X))[:, None] == 700, scale, NUMBERS)  # one row, so that the first step may not see it
    network = nl.Network(layers("relu", "identity", n_out=1), rng=0)
    nl.fit(network, (X, y), loss=SQUARES, optimizer=nl.Adam(), epochs=1, batch_size=32)
    assert network.is_finite()


def test_advice_of_a_normal_learning_rate_is_a_tenth_of_it() -> None:
    network = nl.Network([nl.Dense(64, 1)], rng=0)
    with pytest.raises(DivergenceError, match=r"try a learning rate of 0\.005 or"):
        nl.fit(network, (90 * X, 90 * NUMBERS), loss=SQUARES, optimizer=nl.SGD(0.05), epochs=9)
