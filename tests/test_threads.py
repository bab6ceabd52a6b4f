"""Several threads and one network: predictions are as alone, training is not disturbed, two trainings are refused."""

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import numlp as nl
from cases import LAYER_VARIANTS, Array, Variant, before
from numlp.errors import BusyError

DATA = nl.load_digits()
SIZES = (1, 7, 40)


class Doubled(nl.Layer):
    """A layer of the user's own, with a buffer and a setting that the constructor does not declare."""

    def __init__(self, n_in: int, factor: float = 2.0) -> None:
        self.n_in = self.n_out = n_in
        self.factor = factor

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        super().reserve(batch_size, need_dx)
        self._y = np.empty((batch_size, self.n_out), self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        return np.multiply(x, self.factor, out=self._y[: len(x)])

    def backward(self, dy: Array) -> Array:
        return self.factor * dy


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(usual)


def ask_in_threads(ask: Callable[[Array], Any], rows: list[Array], n_threads: int = 8) -> None:
    """Ask for each of several rows many times at once, and compare with what is answered alone."""
    alone = [copy.deepcopy(ask(x)) for x in rows]
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(2):
            for expected, answer in zip(alone, pool.map(ask, rows), strict=True):
                if isinstance(expected, dict):
                    expected, answer = list(expected.values()), list(answer.values())
                if np.asarray(expected).dtype.kind in "fc":
                    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6)
                else:
                    np.testing.assert_array_equal(answer, expected)


def some_rows(network: nl.Network, seed: int = 0) -> list[Array]:
    rng, dtype = np.random.default_rng(seed), network.dtype
    return [network.layers[0].example(rng.normal(size=(n, network.n_in))).astype(dtype) for n in SIZES for _ in range(4)]


@pytest.mark.parametrize("variant", LAYER_VARIANTS, ids=str)
def test_layer_answers_threads_as_alone(variant: Variant) -> None:
    layer = variant.layer(12, 9)
    network = nl.Network([*before(layer, 12, "tanh"), layer], rng=0)
    ask_in_threads(lambda x: network.outputs(x, progress=False), some_rows(network))


def classifier(*layers: nl.Layer) -> nl.Network:
    """Return a network that has been trained a little."""
    network = nl.Network([*layers, nl.Dense(64, 10)], rng=0)
    nl.fit(network, DATA.train, epochs=1, batch_size=64, progress=False)
    return network


NETWORKS = {
    "one call": lambda: classifier(nl.Dense(64, 64, "relu")),
    "batch norm": lambda: classifier(nl.Dense(64, 64, "gelu"), nl.BatchNorm(64), nl.Dropout(64, 0.5)),
    "own layer": lambda: classifier(Doubled(64), nl.Residual([Doubled(64), nl.Dense(64, 64, "tanh")])),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nl.Network:
    return NETWORKS[request.param]()


ASKS: dict[str, Callable[[nl.Network, Array], Any]] = {
    "predict": lambda network, x: network.predict(x, progress=False),
    "predict_proba": lambda network, x: network.predict_proba(x, progress=False),
    "outputs": lambda network, x: network.outputs(x, progress=False),
    "chunks": lambda network, x: np.concatenate([y.copy() for _, y in network.chunks(x, batch_size=3)]),
    "evaluate": lambda network, x: nl.evaluate(network, (x, np.arange(len(x)) % 10), progress=False),
}


@pytest.mark.parametrize("name", ASKS)
def test_predicting_function_answers_threads_as_alone(network: nl.Network, name: str) -> None:
    ask_in_threads(lambda x: ASKS[name](network, x), some_rows(network))


def test_copies_follow_settings_and_weights(network: nl.Network) -> None:
    x = DATA.test.x[:50]
    network.outputs(x, progress=False)  # from here on there are copies
    for layer in network.layers:
        if isinstance(layer, nl.BatchNorm):
            layer.epsilon = 3.0
        if isinstance(layer, Doubled):
            layer.factor = 0.5
    network.layers[-1].W = np.ones((64, 10))  # type: ignore[attr-defined]
    for n in SIZES:
        np.testing.assert_allclose(network.outputs(x[:n]), network.forward(x[:n]), rtol=1e-5, atol=1e-5)


def train(network: nl.Network, epochs: int = 6) -> bytes:
    nl.fit(network, DATA.train, validation=DATA.validation, epochs=epochs, batch_size=64, progress=False)
    return network.params.tobytes() + network.state.tobytes()


@pytest.mark.parametrize("kind", NETWORKS)
def test_fit_is_not_disturbed_by_predictions(kind: str) -> None:
    alone = train(NETWORKS[kind]())
    network = NETWORKS[kind]()
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(train, network)
        while not training.done():
            assert network.predict(DATA.test.x[:40], progress=False).shape == (40,)
            assert np.isfinite(nl.evaluate(network, DATA.test, progress=False)["loss"])
    assert training.result() == alone


def test_prediction_between_forward_and_backward_changes_no_gradient(network: nl.Network) -> None:
    loss, (x, y) = nl.SoftmaxCrossEntropy(), (DATA.train.x[:20], DATA.train.y[:20])
    gradients = []
    for asked in (False, True):
        network.rng = np.random.default_rng(3)
        dy = loss(network.forward(x, training=True), y)[1]
        if asked:
            network.predict(DATA.test.x[:20], progress=False)
        network.backward(dy)
        gradients.append(network.grads.copy())
    np.testing.assert_array_equal(*gradients)


class Notes:
    """An object that a part of the user's own keeps."""

    last: Any = None


class Keeps(nl.Layer):
    """A layer of the user's own that keeps x in every way there is, and a buffer that `reserve` did not make."""

    def __init__(self, n_in: int) -> None:
        self.n_in = self.n_out = n_in
        self.cache: dict[str, Any] = {}
        self.stack: list[Array] = []
        self.notes = Notes()
        self._y = np.zeros((2_000, n_in), np.float32)
        self._inner: dict[str, Any] = {"deep": [Notes()]}
        self._inner["itself"] = self._inner
        self._others = [threading.Thread(), threading.Lock(), sys.stdout, np, dict, DATA]  # that nothing copies

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache["x"] = x
        self.stack[:] = [x]
        self.notes.last = self._inner["deep"][0].last = x
        return np.multiply(x, 2, out=self._y[: len(x)])

    def backward(self, dy: Array) -> Array:
        return 2 * dy


class KeepsLoss(nl.SquaredError):
    """A loss of the user's own that keeps its arguments in a dict."""

    def __init__(self) -> None:
        self.cache: dict[str, Any] = {}

    def _rows(self, y: Array, target: Array, weight: Array | None, losses: Array, dy: Array) -> Array | None:
        self.cache["y"] = y
        return super()._rows(y, target, weight, losses, dy)


@pytest.mark.parametrize("build", [lambda: Keeps(4), lambda: nl.Residual([Keeps(4)])], ids=["outside", "inside"])
def test_prediction_changes_nothing_that_own_parts_keep(build: Callable[[], nl.Layer]) -> None:
    network = nl.Network([nl.Dense(4, 4), build(), nl.Dense(4, 1)], rng=0, loss=KeepsLoss())
    layer: Any = network.layers[1] if isinstance(network.layers[1], Keeps) else network.layers[1].stacks[0][0]
    x, target = np.ones((3, 4), np.float32), np.zeros((3, 1), np.float32)
    loss: Any = network.loss
    loss(network.forward(x, training=True), target)
    entered, outputs = layer.cache["x"], loss.cache["y"]
    kept = layer._y.copy()
    for n in (1, 50):
        network.outputs(np.zeros((n, 4), np.float32), progress=False)
        nl.evaluate(network, (np.zeros((n, 4), np.float32), np.zeros((n, 1))), progress=False)
    assert layer.cache["x"] is layer.stack[0] is layer.notes.last is layer._inner["deep"][0].last is entered
    assert loss.cache["y"] is outputs
    np.testing.assert_array_equal(layer._y, kept)


class Waits(nl.Callback):
    """Begins and ends an epoch when told so."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def on_epoch_begin(self, run: Any) -> None:
        self.begun.set()
        assert self.may_end.wait(30)


SHARED: dict[str, Callable[[], dict[str, Any]]] = {
    "network": lambda: {},
    "optimizer": lambda: {"optimizer": nl.Adam()},
    "loss": lambda: {"loss": nl.SoftmaxCrossEntropy()},
    "augment": lambda: {"augment": nl.Distortion((8, 8))},
}


@pytest.mark.parametrize("name", SHARED)
def test_second_training_of_a_part_is_refused_at_once(name: str) -> None:
    def start(network: nl.Network, **options: Any) -> None:
        nl.fit(network, DATA.train, epochs=1, progress=False, **shared, **options)

    networks = [nl.Network([nl.Dense(64, 10)], rng=0) for _ in range(2)]
    first, second = networks[:1] * 2 if name == "network" else networks
    shared, waits = SHARED[name](), Waits()
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(start, first, callbacks=[waits])
        try:
            assert waits.begun.wait(30)
            with pytest.raises(BusyError, match=f"fit: {name} must be in one training at a time"):
                start(second)
        finally:
            waits.may_end.set()
        training.result()
    start(second)  # afterwards it may be


def test_callback_without_state_may_be_in_two_trainings() -> None:
    shared, waits = nl.MaxNorm(1.0), Waits()
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(nl.fit, classifier(), DATA.train, epochs=1, progress=False, callbacks=[shared, waits])
        try:
            assert waits.begun.wait(30)
            nl.fit(classifier(), DATA.train, epochs=1, progress=False, callbacks=[shared])
        finally:
            waits.may_end.set()
        training.result()
