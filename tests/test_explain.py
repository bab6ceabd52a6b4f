import re
from typing import Any

import numpy as np
import pytest

import numlp as nl
from cases import LAYER_VARIANTS, LOSS_VARIANTS, TARGETS, before, output_layers
from numlp.arena import Parameter
from numlp.errors import ArgumentError, ShapeError


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


def numbers(text: str, title: str) -> Any:
    """Return the stated gradient under a title, its corner of 6 x 6."""
    block = re.search(rf"\n  {title}( .*)?\n((.*  \|  .*\n)+)", text)
    assert block is not None, title
    return np.array([line.split("  |  ")[0].replace("...", "").split() for line in block[2].splitlines()], float)


def check_step(capsys: Any, net: nl.Network, loss: nl.Loss, x: Any, target: Any, weight: Any = None) -> None:
    """Compare what is printed with a training step, as `fit` makes it, in the same state."""
    before_it = net.rng.bit_generator.state, net.state.copy()
    nl.explain_step(net, loss, x, target, weight)
    text = capsys.readouterr().out
    assert before_it[0] == net.rng.bit_generator.state and (before_it[1] == net.state).all()
    rows = x.astype(net.batch_dtype(x))
    value, dy = loss(net.forward(rows, training=True), loss.prepare(target, net.n_out, net.dtype, "test"), weight)
    net.backward(dy)
    printed = float(re.findall(r" = (-?[\d.]+)\n", text[: text.index("backward")])[-1])
    assert printed == pytest.approx(value + net.penalty(), rel=1e-5, abs=2e-6)
    for i, gradients in enumerate(net.arena.gradients):
        for name, gradient in gradients.items():
            corner = np.atleast_2d(gradient[tuple(slice(6) for _ in gradient.shape)])
            found = numbers(text, f"d{name}{i}")
            np.testing.assert_allclose(found, corner.reshape(-1, corner.shape[-1]), rtol=1e-4, atol=1.01e-4, err_msg=name)


@pytest.mark.parametrize("variant", LAYER_VARIANTS, ids=str)
def test_step_shown_is_that_of_training_for_every_layer(variant: Any, capsys: Any) -> None:
    rng, layer = np.random.default_rng(3), variant.layer(3, 3)
    layers = [*before(layer, 3, "tanh"), layer]
    net = nl.Network([*layers, nl.Dense(layers[-1].n_out, 2)], rng=0, dtype="float64", l2=0.5)
    x = net.layers[0].example(rng.normal(size=(3, net.n_in)))
    check_step(capsys, net, nl.SquaredError(), x, rng.normal(size=(3, 2)), np.array([1.0, 0.5, 2.0]))


@pytest.mark.parametrize("variant", LOSS_VARIANTS, ids=str)
def test_step_shown_is_that_of_training_for_every_loss(variant: Any, capsys: Any) -> None:
    rng = np.random.default_rng(4)
    for kind in variant.case.targets:
        for weight in (None, np.array([1.0, 0.5, 2.0, 0.0])):
            net = nl.Network(output_layers(variant, 2, 3), rng=0, dtype="float64", l2=0.1)
            target = TARGETS[kind](rng, 4, variant.case.target_columns(net.n_out))
            check_step(capsys, net, variant.build(), rng.normal(size=(4, 2)), target, weight)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64, bool])
def test_rows_of_every_dtype_enter_as_in_training(dtype: Any, capsys: Any) -> None:
    x = np.random.default_rng(5).integers(0, 256, size=(3, 4)).astype(dtype)
    for first in (nl.Pixels(4), nl.Standardize(4).fit(x + np.arange(3)[:, None]), nl.Dense(4, 4)):
        net = nl.Network([first, nl.Dense(4, 2)], rng=0)
        net.params *= 0.01
        check_step(capsys, net, nl.SoftmaxCrossEntropy(), x, np.array([0, 1, 0]))


def test_step_shown_is_the_first_of_fit(batch: Any, capsys: Any) -> None:
    class Keep(nl.Callback):
        def on_gradients(self, run: Any) -> None:
            self.grads, self.value = run.network.grads.copy(), run.loss

    loss, weight = nl.SoftmaxCrossEntropy(0.1, [1.0, 2.0, 3.0]), np.array([1.0, 2.0, 0.5])
    net = nl.Network([nl.Dense(4, 5, "gelu"), nl.Dense(5, 3)], rng=0, l2=0.3, dtype="float64")
    nl.explain_step(net, loss, *batch, weight)
    text, keep = capsys.readouterr().out, Keep()
    nl.fit(net, (*batch, weight), loss=loss, epochs=1, batch_size=None, callbacks=[keep], progress=False)
    assert f"  L, the sum = {keep.value:.6f}\n" in text
    stated = np.concatenate([numbers(text, title).ravel() for title in ("dW0", "dW1", "db0", "db1")])
    np.testing.assert_allclose(stated, keep.grads, atol=1e-4)


class Twice(nl.Layer):
    """A layer of the user's own that draws, has a parameter, and keeps no argument."""

    def __init__(self, n: int, scale: float) -> None:
        self.n_in = self.n_out = n
        self._scale = scale

    def parameters(self) -> Any:
        return (Parameter("gain", (self.n_in,), "weight"),)

    def initialize(self, rng: Any) -> None:
        self.gain[...], self._rng = 2, rng

    def forward(self, x: Any, training: bool = False) -> Any:
        self._x = x * self._scale * (self._rng.random(x.shape) if training else 1)
        return (self._x * self.gain).astype(x.dtype)

    def backward(self, dy: Any) -> Any:
        self.dgain[...] = (dy * self._x).sum(axis=0)
        return dy * self.gain


class Own(nl.SquaredError):
    def __call__(self, *arguments: Any) -> Any:
        value, dy = super().__call__(*arguments)
        return 3 * value, 3 * dy


def test_step_of_own_parts_is_shown(batch: Any, capsys: Any) -> None:
    net = nl.Network([nl.Dense(4, 5), nl.Dropout(5, 0.4), Twice(5, 0.3), nl.Dense(5, 3)], rng=0, dtype="float64", l2=0.2)
    net.rng.random(7)
    check_step(capsys, net, Own(), batch[0], np.ones((3, 3)))


def test_batch_that_does_not_fit_is_named_as_by_fit(batch: Any) -> None:
    net, loss, (x, y) = nl.Network([nl.Dense(4, 3)], rng=0), nl.SoftmaxCrossEntropy(), batch
    for error, arguments, text in (
        (ShapeError, (x, y[:2]), "x has 3 rows, y has 2"),
        (ShapeError, (x, y, [1.0]), r"weight must have shape \(3,\)"),
        (ShapeError, ([[1.0] * 4, [1.0] * 3], y[:2]), "x must have rows of equal length, got lengths 3, 4"),
        (ArgumentError, (np.full((3, 4), np.nan), y), "x must hold finite numbers"),
    ):
        with pytest.raises(error, match=f"^explain_step: {text}"):
            nl.explain_step(net, loss, *arguments)  # type: ignore[misc]
