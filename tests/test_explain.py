import re
from typing import Any

import numpy as np
import pytest

import numlp as nl


def explained(capsys: pytest.CaptureFixture[str], net: nl.Network, loss: nl.Loss, x: Any, y: Any) -> str:
    nl.explain_step(net, loss, x, y)
    return capsys.readouterr().out


@pytest.fixture
def batch() -> Any:
    return np.random.default_rng(0).normal(size=(3, 4)), np.array([0, 2, 1])


def test_every_stated_gradient_stands_beside_an_equal_numeric_one(batch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [nl.Dense(4, 5, "tanh"), nl.BatchNorm(5), nl.Dropout(5, 0.4), nl.Dense(5, 3), nl.Softmax(3)]
    text = explained(capsys, nl.Network(layers, rng=0, l2=0.0), nl.CrossEntropy(0.1), *batch)
    pairs = [line.split("  |  ") for line in text.splitlines() if re.match(r"^ +-?\d.*  \|  ", line)]
    assert len(pairs) > 30
    for stated, numeric in pairs:
        np.testing.assert_allclose([float(v) for v in stated.split()], [float(v) for v in numeric.split()], atol=2e-4)


def test_all_quantities_of_a_dense_layer_are_shown_with_formula_and_shape(batch: Any, capsys: Any) -> None:
    net = nl.Network([nl.Dense(4, 5, "relu"), nl.Dense(5, 3)], rng=0)
    text = explained(capsys, net, nl.SoftmaxCrossEntropy(), *batch)
    for line in (
        "x  (3, 4)",
        "z0 = x W0 + b0  (3, 5)",
        "a0 = relu(z0)  (3, 5)",
        "z1 = a0 W1 + b1  (3, 3)",
        "da1 = dL/da1, the division by N included  (3, 3)",
        "dz1 = da1 * identity'(z1)  (3, 3)",
        "dW1 = a0^T dz1  (5, 3)",
        "db1 = sum over the rows of dz1  (3,)",
        "da0 = dz1 W1^T  (3, 5)",
        "dz0 = da0 * relu'(z0)  (3, 5)",
        "dW0 = x^T dz0  (4, 5)",
        "db0 = sum over the rows of dz0  (5,)",
    ):
        assert f"\n  {line}\n" in text, line


def test_a_wrong_backward_would_show(batch: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backward = nl.Dense.backward

    def wrong(self: nl.Dense, dy: Any) -> Any:
        dx = backward(self, dy)
        self.dW *= -1
        return dx

    monkeypatch.setattr(nl.Dense, "backward", wrong)
    text = explained(capsys, nl.Network([nl.Dense(4, 3)], rng=0), nl.SoftmaxCrossEntropy(), *batch)
    block = text[text.index("dW0") : text.index("db0")].splitlines()[1:]
    sides = [line.split("  |  ") for line in block if "  |  " in line]
    stated, numeric = (np.array([side[k].split() for side in sides], float) for k in (0, 1))
    assert np.abs(stated + numeric).max() < 2e-4 < np.abs(stated).max()


def test_network_generator_and_buffers_stay_as_they_are(batch: Any, capsys: Any) -> None:
    net = nl.Network([nl.Dense(4, 5), nl.BatchNorm(5), nl.Dropout(5, 0.5), nl.Dense(5, 3)], rng=0)
    y = net.forward(batch[0].astype(np.float32)).copy()
    view = net.forward(batch[0].astype(np.float32))
    before = net.params.tobytes(), net.state.tobytes(), net.rng.bit_generator.state
    explained(capsys, net, nl.SoftmaxCrossEntropy(), *batch)
    assert before == (net.params.tobytes(), net.state.tobytes(), net.rng.bit_generator.state)
    assert (view == y).all()


def test_large_arrays_show_their_corner_only(capsys: Any) -> None:
    net = nl.Network([nl.Dense(300, 40, "sigmoid"), nl.Dense(40, 10)], rng=0)
    text = explained(capsys, net, nl.SoftmaxCrossEntropy(), np.ones((1500, 300)), np.zeros(1500, int))
    assert "dW0 = x^T dz0  (300, 40)" in text
    assert len(text.splitlines()) < 120 and max(len(line) for line in text.splitlines()) < 140


def test_l2_is_in_value_and_gradient(batch: Any, capsys: Any) -> None:
    net = nl.Network([nl.Dense(4, 3)], rng=0, l2=0.5)
    text = explained(capsys, net, nl.SoftmaxCrossEntropy(), *batch)
    pairs = [line.split("  |  ") for line in text[text.index("dW0") : text.index("db0")].splitlines() if "  |  " in line]
    for stated, numeric in pairs:
        np.testing.assert_allclose([float(v) for v in stated.split()], [float(v) for v in numeric.split()], atol=2e-4)
