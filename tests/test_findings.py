"""Each rule keeps silent at its limit and speaks beyond it."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest

import numlp as nl
from numlp import findings as rules
from numlp.findings import Finding


def columns(low: float, high: float, size: float, n: int = 4, rows: int = 100) -> tuple[dict[str, np.ndarray], int, str]:
    """Return what `inputs` takes: n columns alike, with this mean |x|."""
    return {"low": np.full(n, low), "high": np.full(n, high), "sum": np.full(n, size * rows)}, rows, "input"


def mixed(constant: int, value: float, rows: int = 100) -> tuple[dict[str, np.ndarray], int, str]:
    """Return ten columns, the first of them constant."""
    low, high = np.full(10, -1.0), np.full(10, 1.0)
    low[:constant] = high[:constant] = value
    return {"low": low, "high": high, "sum": np.full(10, 0.5 * rows)}, rows, "input"


def array(*values: float) -> np.ndarray:
    return np.array(values, float)


SOFTMAX, SIGMOID, SQUARES, POISSON = nl.SoftmaxCrossEntropy(), nl.SigmoidCrossEntropy(), nl.SquaredError(), nl.Poisson()

# a rule, arguments at the limit, arguments beyond it
LIMITS: dict[str, tuple[Callable[..., Iterable[Finding]], tuple, tuple]] = {
    "large input": (rules.inputs, columns(-1, 90, 10), columns(-1, 90, 10.1)),
    "small input": (rules.inputs, columns(-0.01, 0, 0.001), columns(-0.009, 0.009, 0.001)),
    "constant column": (rules.inputs, mixed(1, 0.3), mixed(1, -0.31)),
    "constant column of few rows": (rules.inputs, mixed(1, 5, rows=49), mixed(1, 5, rows=50)),
    "constant columns": (rules.inputs, mixed(9, 0), mixed(10, 0.2)),
    "one class": (rules.classes, (array(90, 10), 100), (array(0, 100), 100)),
    "one class of few rows": (rules.classes, (array(0, 49), 49), (array(0, 50), 50)),
    "few classes": (rules.classes, (array(1, 1, 1, 0, 0, 0), 120), (array(1, 1, 0, 0, 0, 0), 120)),
    "few classes of few rows": (rules.classes, (array(1, 1, 0, 0, 0, 0), 119), (array(1, 1, 0, 0, 0, 0), 120)),
    "majority": (rules.majority, (SOFTMAX, array(79, 21), array(60, 0)), (SOFTMAX, array(80, 20), array(60, 0))),
    "said once": (rules.majority, (SOFTMAX, array(9, 1), array(99, 1)), (SOFTMAX, array(9, 1), array(99, 0))),
    "one class says one": (rules.majority, (SOFTMAX, array(9, 0), array(99, 0)), (SOFTMAX, array(9, 1), array(99, 0))),
    "large numbers": (
        rules.numbers, (SQUARES, array(0), array(500), array(100), 60), (SQUARES, array(0), array(500), array(101), 60),
    ),
    "large counts": (
        rules.numbers, (POISSON, array(0), array(500), array(101), 60), (SQUARES, array(0), array(500), array(101), 60),
    ),
    "constant numbers": (
        rules.numbers, (SQUARES, array(0), array(1), array(1), 60), (SQUARES, array(0, 2), array(1, 2), array(1, 2), 60),
    ),
    "unreachable": (
        rules.unreachable_numbers, (SQUARES, "tanh", 0.05, array(0)), (SQUARES, "tanh", 0.06, array(0)),
    ),
    "unreachable by nothing": (
        rules.unreachable_numbers, (SQUARES, "elu", 0.9, array(0)), (SQUARES, "relu", 0.9, array(0)),
    ),
    "unreachable mean": (
        rules.unreachable_numbers, (POISSON, "sigmoid", 0.9, array(1, 2.7)), (POISSON, "sigmoid", 0.9, array(1, 2.8)),
    ),
    "unreachable mean below": (
        rules.unreachable_numbers, (POISSON, "relu", 0.9, array(1.1)), (POISSON, "relu", 0.9, array(0.9)),
    ),
    "logits": (
        rules.unreachable_classes, (SOFTMAX, "relu", 10), (SOFTMAX, "tanh", 10),
    ),
    "logits of yes": (
        rules.unreachable_classes, (SIGMOID, "identity", 1), (SIGMOID, "softplus", 1),
    ),
    "logits of ReLU": (rules.unreachable_classes, (SOFTMAX, "relu", 10, 0.05), (SOFTMAX, "relu", 10, 0.06)),
    "scores of ReLU": (rules.unreachable_classes, (nl.Hinge(), "relu", 10, 0.9), (nl.Focal(), "relu", 10, 0.9)),
    "scores": (rules.unreachable_classes, (nl.Hinge(), "tanh", 10), (nl.Focal(), "tanh", 10)),
    "no activation": (rules.linear, ([],), (["layer 0"],)),
    "equal units": (rules.equal_units, ([("a", np.eye(2)), ("b", np.ones((2, 1)))],), ([("a", np.ones((2, 2)))],)),
    "single rows": (rules.single_rows, (0.1, "layer"), (0.11, "layer")),
    "dead": (rules.dead, (0.94, 0.0, "layer", 0.1), (0.95, 0.0, "layer", 0.1)),
    "saturated": (rules.saturated, (0.74, "layer", "tanh"), (0.75, "layer", "tanh")),
    "vanishing": (rules.gradients, (0.02, "layer"), (0.019, "layer")),
    "exploding": (rules.gradients, (100, "layer"), (101, "layer")),
    "fast": (rules.too_fast, ((0.01, 0.1), "ab", 1.0, 3.0, 2.0), ((0.01, 0.11), "ab", 1.0, 3.0, 2.0)),
    "rising": (rules.too_fast, ((0.01,), "a", 1.0, 3.0, 2.0), ((0.01,), "a", 1.0, 3.1, 2.0)),
    "rising below zero": (rules.too_fast, ((0.01,), "a", 1.0, -1.0, -2.0), ((0.01,), "a", 1.0, -0.9, -2.0)),
    "slow": (rules.too_slow, (1e-4, 1.0), (9e-5, 1.0)),
    "no step": (rules.too_slow, (0.0, 1.0), (1e-9, 1.0)),
    "guess": (rules.guessing, (1.0, 0.979, None, 9), (1.0, 0.98, None, 9)),
    "guess on validation rows": (rules.guessing, (1.0, 0.5, 0.979, 1000), (1.0, 0.5, 0.98, 1000)),
    "guess on few validation rows": (rules.guessing, (1.0, 0.5, 2.0, 999), (1.0, 0.5, 2.0, 1000)),
    "guess of what is not known": (rules.guessing, (None, 5.0, 5.0, 1000), (1.0, 5.0, 5.0, 1000)),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_rule_keeps_silent_at_its_limit_and_gives_one_finding_beyond(name: str) -> None:
    rule, at, beyond = LIMITS[name]
    assert list(rule(*at)) == []
    (finding,) = rule(*beyond)
    assert "\n" not in str(finding) and math.isfinite(finding.number)


def test_finding_says_where_what_limit_number_and_advice_in_one_line() -> None:
    (finding,) = rules.gradients(0.0012345, "layer 0 Dense(4 -> 3)")
    assert str(finding) == (
        "layer 0 Dense(4 -> 3): size of the gradient against that of the last layer should be from 0.02 to 100, "
        "is 0.00123; it vanishes: put BatchNorm before each activation"
    )


def test_advice_names_a_rate_that_would_be_normal_but_no_more_than_a_hundred_times_smaller() -> None:
    assert next(iter(rules.too_fast([0.2], ["a"], 0.4, 1, 1))).advice.endswith("take near 0.004")
    assert next(iter(rules.too_fast([0.02, 1e9], ["a", "b"], 0.4, 1, 1)))[1:3] == ("b", 1e9)
    assert next(iter(rules.too_fast([0.02, 0.11], ["a", "b"], 0.5, 1, 1))).advice.endswith("take near 0.005")
    assert next(iter(rules.too_slow(1e-6, 1e-5))).advice.endswith("take near 0.01")


def test_advice_for_rare_rows_names_the_option_of_the_loss() -> None:
    weights, said = array(9, 1), array(99, 0)
    assert "positive_weights" in next(iter(rules.majority(SIGMOID, weights, said))).advice
    assert "class_weights" in next(iter(rules.majority(SOFTMAX, weights, said))).advice


def test_smallest_loss_is_what_the_loss_gives_for_the_best_outputs() -> None:
    (finding,) = rules.unreachable_classes(SOFTMAX, "softmax", 10, None)
    assert finding.number == pytest.approx(SOFTMAX(np.eye(10), np.arange(10))[0])
    (finding,) = rules.unreachable_classes(SIGMOID, "tanh", 1, None)
    assert finding.number == pytest.approx(SIGMOID(array(-1, 1)[:, None], array(0, 1)[:, None])[0])


def best_constant(loss: nl.Loss, target: np.ndarray, n: int) -> float:
    """Return the loss of the constant outputs that a training of biases alone arrives at."""
    network = nl.Network([nl.Dense(1, n)], rng=0, dtype=np.float64)
    x = np.zeros((len(target), 1))
    nl.fit(network, (x, target), loss=loss, optimizer=nl.LBFGS(tolerance=1e-9), batch_size=None)
    return nl.evaluate(network, (x, target))["loss"]


@pytest.mark.parametrize(
    "loss", [SOFTMAX, nl.SoftmaxCrossEntropy(0.2), nl.SoftmaxCrossEntropy(0.1, class_weights=(1, 2, 3)), SIGMOID, SQUARES]
)
def test_loss_of_a_guess_is_that_of_the_best_constant(loss: nl.Loss) -> None:
    doctor, target = nl.Doctor(lambda text: None), np.repeat([0, 1, 2], [50, 30, 20])
    if not isinstance(loss, nl.SoftmaxCrossEntropy):
        target = (target[:, None] == 1).astype(float)
    n = 1 if target.ndim == 2 else 3
    network = nl.Network([nl.Dense(1, n)], rng=0, dtype=np.float64)
    nl.fit(network, (np.zeros((100, 1)), target), loss=loss, epochs=1, batch_size=10, callbacks=[doctor])
    assert rules.loss_of_guess(loss, doctor.targets) == pytest.approx(best_constant(loss, target, n), rel=1e-6)


def test_loss_of_a_guess_at_distributions_is_the_entropy_of_their_mean() -> None:
    doctor, target = nl.Doctor(lambda text: None), np.repeat([[0.7, 0.3], [0.2, 0.8]], 50, axis=0)
    network = nl.Network([nl.Dense(1, 2)], rng=0, dtype=np.float64)
    nl.fit(network, (np.zeros((100, 1)), target), epochs=1, batch_size=10, callbacks=[doctor])
    assert rules.loss_of_guess(SOFTMAX, doctor.targets) == pytest.approx(best_constant(SOFTMAX, target, 2), rel=1e-6)


def test_units_that_died_without_a_learning_rate_want_other_weights() -> None:
    assert next(iter(rules.dead(1.0, 0.0, "layer", 0.0))).advice.startswith("leave initializer=None")


def test_loss_of_a_guess_is_not_known_of_every_loss() -> None:
    seen = {"classes": array(1, 1), "mass": 2.0}
    assert rules.loss_of_guess(nl.Focal(), seen) is None
    assert rules.loss_of_guess(nl.SigmoidCrossEntropy(positive_weights=[3]), seen) is None
    assert rules.loss_of_guess(nl.SigmoidCrossEntropy(), {"mass": 2.0}) is None
