"""A training made sick in one way is told so; its healthy twin is told nothing."""

import contextlib
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.activations import ACTIVATIONS
from numlp.diagnosis import _SLOPES
from numlp.errors import DivergenceError

DIGITS = nl.load_digits()
X, Y = DIGITS.train.x, DIGITS.train.y
RNG = np.random.default_rng(0)
NUMBERS = X @ RNG.normal(size=(64, 2))
NUMBERS = (NUMBERS - NUMBERS.mean(axis=0)) / NUMBERS.std(axis=0)
COUNTS = RNG.poisson(np.exp(NUMBERS[:, :1])).astype(float)
RARE = (NUMBERS[:, 0] > 1.6).astype(np.int64)
NOISE = RNG.permutation(RARE)
SHUFFLED = RNG.permutation(Y)

Stack = Callable[[], list[nl.Layer]]


def dense(*activations: str, n_out: int = 10, width: int = 32) -> Stack:
    """Return what builds dense layers, one for each activation."""
    widths = [64, *[width] * (len(activations) - 1), n_out]
    return lambda: [nl.Dense(a, b, name) for (a, b), name in zip(pairwise(widths), activations, strict=True)]


PLAIN = dense("relu", "identity")


def examine(
    x: Any = X, y: Any = Y, stack: Stack = PLAIN, optimizer: nl.Optimizer | None = None,
    factor: float = 1.0, l2: float = 0.0, **options: Any,
) -> nl.Doctor:  # fmt: skip
    """Train a network, all its weights first multiplied by a factor, and return the doctor that looked on."""
    network = nl.Network(stack(), rng=0, l2=l2)
    network.params[: network.n_weights] *= factor
    doctor = nl.Doctor(lambda text: None)
    options = {"epochs": 3, "batch_size": 32, "callbacks": [doctor], "progress": False} | options
    with contextlib.suppress(DivergenceError):
        nl.fit(network, (x, y), optimizer=optimizer or nl.Adam(3e-3), **options)
    return doctor


class Negative(nl.Dense):
    """Begins with weights below 0: its units are dead where no input is below 0."""

    def initialize(self, rng: np.random.Generator) -> None:
        super().initialize(rng)
        self.W[...] = -np.abs(self.W)


def NORMED() -> list[nl.Layer]:
    return [nl.Dense(64, 32), nl.BatchNorm(32), nl.Activation(32, "relu"), nl.Dense(32, 10)]


YES, SQUARES = nl.SigmoidCrossEntropy(), nl.SquaredError()
LINEAR = dense("identity", n_out=2)
ONE, TWO = dense("relu", "identity", n_out=1), dense("relu", "identity", n_out=2)

# name -> what makes a training sick, what is found, where; and what differs from a plain training of digits in the twin
SICK: dict[str, tuple[dict[str, Any], str, str, dict[str, Any]]] = {
    "large inputs": ({"x": 1000 * X}, "mean absolute value of column", "input of layer 0 Dense(64 -> 32, relu)", {}),
    "small inputs": ({"x": 1e-4 * X}, "largest absolute value", "input of layer 0", {}),
    "constant column": (
        {"x": np.where(np.arange(64) == 7, 5, X)}, "number of constant columns, the first being column 7,", "input", {},
    ),
    "constant columns": ({"x": np.where(np.arange(64) < 60, 0, X)}, "share of constant columns", "input", {}),
    "one class": ({"y": 0 * Y}, "number of classes", "targets", {}),
    "few classes": ({"y": Y % 3}, "number of classes", "targets", {"y": Y % 3, "stack": dense("relu", "identity", n_out=3)}),
    "shuffled labels": ({"y": SHUFFLED}, "loss on the training rows", "training", {}),
    "shuffled labels learnt by heart": (
        {"y": SHUFFLED, "epochs": 40, "validation": DIGITS.validation}, "loss on the validation rows", "training",
        {"epochs": 40, "validation": DIGITS.validation},
    ),
    "shuffled labels and a penalty": ({"y": SHUFFLED, "l2": 1e-3}, "loss on the training rows", "training", {"l2": 1e-3}),
    "shuffled numbers": (
        {"y": RNG.permutation(NUMBERS), "loss": SQUARES, "stack": TWO}, "loss on the training rows", "training",
        {"y": NUMBERS, "loss": SQUARES, "stack": TWO},
    ),
    "only the largest class": (
        {"y": NOISE, "stack": TWO}, "share of rows predicted as class 0", "predictions",
        {"y": RARE, "stack": TWO, "epochs": 20},
    ),
    "only no": (
        {"y": NOISE[:, None], "stack": ONE, "loss": YES}, "share of rows predicted as class 0", "predictions",
        {"y": RARE[:, None], "stack": ONE, "loss": YES, "epochs": 20},
    ),
    "softmax twice": (
        {"stack": dense("relu", "softmax")}, "smallest loss of a row", "last activation, softmax",
        {"stack": dense("relu", "softmax"), "loss": nl.CrossEntropy()},
    ),
    "yes or no of a ReLU": (
        {"y": RARE[:, None], "stack": dense("relu", "relu", n_out=1), "loss": YES},
        "smallest loss of a row", "last activation, relu",
        {"y": RARE[:, None], "stack": ONE, "loss": YES, "epochs": 20},
    ),
    "ReLU last": (
        {"stack": dense("relu", "relu"), "epochs": 9}, "share of outputs that are 0", "last activation, relu", {"epochs": 9},
    ),
    "no activation": (
        {"stack": dense("identity", "identity")}, "number of activations before", "layer 0 Dense(64 -> 32)", {},
    ),
    "equal units": ({"factor": 0.0}, "number of different units", "layer 0 Dense(64 -> 32, relu)", {}),
    "batches of one row": (
        {"x": X[:297], "y": Y[:297], "stack": NORMED, "batch_size": 37}, "share of batches of one row", "layer 1 BatchNorm",
        {"x": X[:297], "y": Y[:297], "stack": NORMED, "batch_size": 33},
    ),
    "huge numbers": (
        {"y": 1e4 * NUMBERS, "loss": SQUARES, "stack": TWO}, "mean absolute value of column", "targets",
        {"y": NUMBERS, "loss": SQUARES, "stack": TWO},
    ),
    "constant numbers": (
        {"y": 0 * NUMBERS + 1, "loss": SQUARES, "stack": TWO}, "number of constant columns", "targets",
        {"y": NUMBERS, "loss": SQUARES, "stack": TWO},
    ),
    "numbers above tanh": (
        {"y": NUMBERS, "loss": SQUARES, "stack": dense("relu", "tanh", n_out=2)},
        "share of targets it cannot give", "last activation, tanh",
        {"y": np.tanh(NUMBERS), "loss": SQUARES, "stack": dense("relu", "tanh", n_out=2)},
    ),
    "counts above sigmoid": (
        {"y": 300 + COUNTS, "loss": nl.Poisson(), "stack": dense("relu", "sigmoid", n_out=1)},
        "logarithm of the mean target", "last activation, sigmoid",
        {"y": 300 + COUNTS, "loss": nl.Poisson(), "stack": ONE},
    ),
    "long steps": (
        {"y": NUMBERS, "loss": SQUARES, "stack": LINEAR, "optimizer": nl.SGD(1.0)},
        "change of the weights in a step", "layer 0 Dense(64 -> 2)",
        {"y": NUMBERS, "loss": SQUARES, "stack": LINEAR, "optimizer": nl.SGD(0.01)},
    ),
    "rising loss": ({"optimizer": nl.SGD(100.0)}, "loss, which began at", "training", {}),
    "short steps": ({"optimizer": nl.SGD(1e-5)}, "largest change of the weights in a step", "training", {}),
    "born dead": (
        {"stack": lambda: [Negative(64, 32, "relu"), nl.Dense(32, 10)]},
        "share of ReLU units", "layer 0 Negative(64 -> 32, relu)", {},
    ),
    "died": ({"optimizer": nl.SGD(20.0)}, "share of ReLU units", "layer 0 Dense(64 -> 32, relu)", {}),
    "saturated tanh": (
        {"stack": dense("tanh", "tanh", "identity"), "factor": 200.0}, "share of tanh outputs", "layer 0 Dense(64 -> ",
        {"stack": dense("tanh", "tanh", "identity")},
    ),
    "saturated sigmoid": (
        {"stack": dense("sigmoid", "sigmoid", "identity"), "factor": 500.0}, "share of sigmoid outputs", "layer ",
        {"stack": dense("sigmoid", "sigmoid", "identity"), "epochs": 10},
    ),
    "vanishing": (
        {"stack": dense(*["sigmoid"] * 8, "identity")}, "size of the gradient", "layer 0 Dense(64 -> 32, sigmoid)",
        {"stack": dense(*["relu"] * 8, "identity")},
    ),
    "exploding": (
        {"stack": dense(*["relu"] * 8, "identity"), "factor": 5.0, "optimizer": nl.SGD(1e-12), "epochs": 1},
        "size of the gradient", "layer 0 Dense(64 -> 32, relu)",
        {"stack": dense(*["relu"] * 8, "identity")},
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:fit. x ranges:UserWarning")
@pytest.mark.parametrize("name", SICK)
def test_doctor_finds_what_a_training_suffers_from_and_nothing_in_its_twin(name: str) -> None:
    sick, what, where, twin = SICK[name]
    found = [finding for finding in examine(**sick).findings if finding.what.startswith(what)]
    assert found and found[0].where.startswith(where)
    assert examine(**twin).findings == []


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu", "selu", "softsign"])
def test_doctor_finds_nothing_in_what_learns(activation: str) -> None:
    deep = dense(activation, activation, "identity")
    assert examine(stack=deep, epochs=12).findings == []
    assert examine(stack=deep, epochs=12, optimizer=nl.SGD(0.02, momentum=0.9)).findings == []


@pytest.mark.parametrize("loss", [nl.Focal(), nl.Hinge(), nl.SoftmaxCrossEntropy(0.1, class_weights=range(1, 11))])
def test_doctor_finds_nothing_with_losses_of_other_heights(loss: nl.Loss) -> None:
    assert examine(loss=loss, epochs=6).findings == []


def test_doctor_finds_nothing_in_a_minimisation_by_lbfgs() -> None:
    doctor = examine(optimizer=nl.LBFGS(max_steps=30), batch_size=None)
    assert doctor.findings == [] and doctor.window["changes"] == []


def test_doctor_finds_nothing_behind_a_layer_that_brings_columns_near_one() -> None:
    x = 1000 * X + 5
    assert examine(x=x, stack=lambda: [nl.Standardize(64).fit(x), *PLAIN()]).findings == []
    coded = np.where(np.arange(64) == 3, Y[:, None], X)
    assert examine(x=coded, stack=lambda: [nl.Embedding(64, {3: (10, 1)}), *PLAIN()]).findings == []


def test_doctor_finds_nothing_where_weights_make_rare_rows_count() -> None:
    weight = np.where(RARE, 1 / RARE.mean(), 1 / (1 - RARE.mean()))
    network, doctor = nl.Network(TWO(), rng=0), nl.Doctor(lambda text: None)
    nl.fit(network, (X, RARE, weight), epochs=5, optimizer=nl.Adam(3e-3), batch_size=32, callbacks=[doctor])
    assert doctor.findings == []
    assert doctor.targets["classes"] == pytest.approx([len(X)] * 2)


def test_units_inside_a_residual_are_seen_and_named() -> None:
    def stack() -> list[nl.Layer]:
        return [nl.Dense(64, 32), nl.Residual([nl.Dense(32, 32), nl.Activation(32, "relu")]), nl.Dense(32, 10)]

    network, doctor = nl.Network(stack(), rng=0), nl.Doctor(lambda text: None)
    network.layers[1].layers[0].b.fill(-1e3)
    nl.fit(network, (X, SHUFFLED), epochs=2, callbacks=[doctor])
    assert [finding.where for finding in doctor.findings] == ["layer 1.1 Activation(32, relu)"]


def test_activation_of_the_outputs_is_no_hidden_unit() -> None:
    doctor = examine(y=0 * NUMBERS + 1, stack=dense("identity", "relu", n_out=2), loss=SQUARES)
    assert doctor._relus == [] and doctor.window["active"] == []


def test_dead_units_that_a_step_has_killed_want_a_lower_rate_and_others_other_weights() -> None:
    def advice(name: str) -> str:
        return next(f.advice for f in examine(**SICK[name][0]).findings if f.what.startswith("share of ReLU"))

    assert advice("died").startswith("take a learning rate of 2,")
    assert advice("born dead").startswith("leave initializer=None")


@pytest.mark.parametrize("optimizer", [nl.Adam(3e-3), nl.LBFGS(max_steps=5)])
def test_doctor_changes_no_byte_of_a_training(optimizer: nl.Optimizer) -> None:
    ends = []
    for callbacks in ([], [nl.Doctor(lambda text: None)]):
        layers = [nl.Dense(64, 32), nl.BatchNorm(32), nl.Activation(32, "relu"), nl.Dropout(32, 0.2), nl.Dense(32, 10)]
        network = nl.Network(layers, rng=0, l2=1e-3)
        nl.fit(network, DIGITS.train, validation=DIGITS.validation, optimizer=optimizer, epochs=3, batch_size=None
               if isinstance(optimizer, nl.LBFGS) else 32, callbacks=callbacks)  # fmt: skip
        ends.append((network.params.tobytes(), network.state.tobytes(), network.rng.bit_generator.state))
    assert ends[0] == ends[1]


def test_doctor_looks_at_the_first_steps_and_twenty_times_an_epoch() -> None:
    doctor = examine(batch_size=4, epochs=1)
    assert doctor.rows == 4 * (20 + 19)  # 315 steps: the first 20, then each 15th
    assert examine(batch_size=4, epochs=2).window["rows"] == 4 * 21
    assert doctor.targets["rows"] == len(X)


def test_doctor_tells_what_it_saw_before_a_divergence() -> None:
    network, said = nl.Network(LINEAR(), rng=0), []
    doctor = nl.Doctor(said.append)
    with pytest.raises(DivergenceError):
        nl.fit(network, (X, NUMBERS), loss=SQUARES, optimizer=nl.SGD(1.0), callbacks=[doctor])
    assert said == []
    assert "lower the learning rate 1: take near 0.01" in doctor.report()


def test_weights_that_are_no_numbers_any_more_have_changed_without_limit() -> None:
    doctor = examine(y=NUMBERS, stack=LINEAR, loss=nl.AbsoluteError(), optimizer=nl.SGD(1e25))
    assert doctor.findings[0].what.startswith("change of the weights") and doctor.findings[0].number == np.inf


def test_doctor_keeps_the_last_loss_and_the_best_validation_loss_without_the_penalty() -> None:
    network, doctor, penalties = nl.Network(PLAIN(), rng=0, l2=0.2), nl.Doctor(lambda text: None), Penalties()
    options: dict[str, Any] = {"optimizer": nl.SGD(0.3), "epochs": 8, "callbacks": [doctor, penalties]}
    history = nl.fit(network, DIGITS.train, validation=DIGITS.validation, **options)
    pure = [loss - penalty for loss, penalty in zip(history["validation_loss"], penalties.seen, strict=True)]
    assert doctor.losses["now"] == pytest.approx(history["loss"][-1] - penalties.seen[-1])
    assert doctor.losses["validation"] == pytest.approx(min(pure)) and min(pure) < pure[-1]


class Penalties(nl.Callback):
    """Keeps the penalty of each epoch."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_epoch(self, run: Any) -> None:
        self.seen.append(run.network.penalty())


@pytest.mark.parametrize("name", _SLOPES)
def test_slope_told_from_the_output_is_that_of_the_activation(name: str) -> None:
    y, slope = (np.empty((1, 9)) for _ in range(2))
    ACTIVATIONS[name].apply(np.linspace(-4, 4, 9)[None], y)
    ACTIVATIONS[name].backward(np.ones((1, 9)), y, slope)
    assert _SLOPES[name](y) == pytest.approx(slope / slope.max())


def half_dead(epochs: int) -> nl.Doctor:
    """Train a network of which 16 units of 400 are alive."""
    network, doctor = nl.Network(dense("relu", "identity", width=400)(), rng=0), nl.Doctor(lambda text: None)
    network.layers[0].b[16:] = -1e3
    nl.fit(network, (X, Y), optimizer=nl.Adam(3e-3), epochs=epochs, batch_size=32, callbacks=[doctor])
    return doctor


def test_dead_units_of_a_network_that_learns_well_are_no_finding() -> None:
    assert [finding.number for finding in half_dead(1).findings] == [pytest.approx(384 / 400, abs=0.01)]
    assert half_dead(12).findings == []


def test_gradient_that_dead_units_stop_is_no_finding_of_its_own() -> None:
    network, doctor = nl.Network(dense("relu", "tanh", "identity")(), rng=0), nl.Doctor(lambda text: None)
    network.layers[0].b.fill(-1e3)
    network.layers[1].b.fill(1)
    nl.fit(network, (X, Y), epochs=2, batch_size=32, callbacks=[doctor])
    assert max(doctor.window["ratios"]) == 0
    assert [finding.what for finding in doctor.findings] == ["share of ReLU units that are 0 for every row"]


def test_doctor_that_saw_no_step_says_so() -> None:
    doctor = nl.Doctor()
    assert doctor.findings == []
    assert doctor.report() == "diagnosis of the training: no step was seen"


def test_report_is_one_line_for_each_finding_and_goes_where_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    doctor = nl.Doctor(said.append)
    nl.fit(nl.Network(dense("relu", "softmax")(), rng=0), (X, 0 * Y), epochs=2, callbacks=[doctor])
    assert said == [doctor.report()]
    lines = said[0].splitlines()
    assert lines[0] == "diagnosis of the training, causes first:"
    assert lines[1:] == [f"{i}. {finding}" for i, finding in enumerate(doctor.findings, 1)] and len(lines) >= 3
    assert re.fullmatch(r"1\. targets: number of classes should be at least 2, is 1; look at .*", lines[1])
    assert capsys.readouterr() == ("", "")


def test_report_goes_to_stderr_beside_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    examine(callbacks=[nl.Doctor()])
    assert capsys.readouterr() == ("", "diagnosis of the training: nothing was found\n")
    monkeypatch.setattr(sys, "stderr", None)
    examine(callbacks=[nl.Doctor()])


def test_doctor_begins_anew_with_each_training() -> None:
    doctor = nl.Doctor(lambda text: None)
    for y, n in ((0 * Y, 1), (Y, 0)):
        nl.fit(nl.Network(PLAIN(), rng=0), (X, y), epochs=3, batch_size=32, callbacks=[doctor])
        assert len(doctor.findings) == n


def test_doctor_may_be_called_when_a_training_goes_on(tmp_path: Any) -> None:
    def train(*callbacks: nl.Callback) -> None:
        network = nl.Network(dense("relu", "identity")(), rng=0)
        nl.fit(network, (X, SHUFFLED), epochs=3, callbacks=[*callbacks, nl.Checkpointer(tmp_path)], resume=tmp_path)

    class Stop(nl.Callback):
        def on_epoch_begin(self, run: Any) -> None:
            if run.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Stop())
    doctor = nl.Doctor(lambda text: None)
    train(doctor)
    assert doctor.losses["epochs"] == 2 and doctor.rows


PAGE = Path(__file__).parent.parent / "docs" / "diagnosis.md"


@pytest.mark.filterwarnings("ignore:fit. x ranges:UserWarning")
def test_page_has_a_row_for_every_finding_with_its_limit_and_no_other() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = {tuple(line.split(" | ")[:2]) for line in text.splitlines() if line.startswith("| ") and "should be" not in line}
    used = set()
    for sick, what, _, _ in SICK.values():
        finding = next(finding for finding in examine(**sick).findings if finding.what.startswith(what))
        own = {row for row in rows if finding.what.startswith(row[0][2:]) and re.match(row[1] + r"(?![\d.])", finding.limit)}
        assert len(own) == 1, finding
        used |= own
    assert used == rows


@pytest.mark.filterwarnings("ignore:fit. x ranges:UserWarning")
def test_example_of_the_page_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = re.findall(r"```(?:python|text)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(code, {})
    said = capsys.readouterr().out.splitlines()
    blunt = [re.sub(r"\d+", "#", line) for line in printed.splitlines()]
    assert [re.sub(r"\d+", "#", line) for line in said] == blunt
