import copy
import math
import pickle
import re
import tracemalloc

import numpy as np
import pytest

import numlp as nl
from numlp.differences import numeric_gradient
from numlp.errors import ArgumentError, DTypeError, ShapeError

MANY = 2500  # rows: more than the capacity of a new network


def small(**options):
    options = {"rng": 0, "dtype": "float64"} | options
    return nl.Network([nl.Dense(4, 5, "tanh"), nl.Dense(5, 3)], **options)


def rows(n, width=4, dtype="float64"):
    return np.random.default_rng(n).normal(size=(n, width)).astype(dtype)


def test_network_shows_its_size():
    network = nl.Network([nl.Dense(784, 300, "relu"), nl.Dense(300, 10)], rng=0)
    assert repr(network) == "Network(784 -> 10, 238510 parameters, float32)"


def test_network_output_is_each_layer_after_the_other():
    network, x = small(), rows(6)
    first, last = network.layers
    np.testing.assert_allclose(network.forward(x), np.tanh(x @ first.W + first.b) @ last.W + last.b, rtol=1e-12)


def test_network_seed_decides_its_weights():
    weights = [small(rng=seed).params.tobytes() for seed in (1, 1, 2)]
    assert weights[0] == weights[1] != weights[2]
    assert small(rng=np.random.default_rng(1)).params.tobytes() == weights[0]
    generator = np.random.default_rng(1)
    assert small(rng=generator).rng is generator


def test_network_is_float32_unless_told():
    assert nl.Network([nl.Dense(2, 2)]).params.dtype == np.float32
    assert nl.Network([nl.Dense(2, 2)], dtype=float).params.dtype == np.float64


def test_network_backward_is_the_slope_of_the_loss():
    layers = [
        nl.Dense(4, 6, "tanh"),
        nl.BatchNorm(6),
        nl.Activation(6, "sigmoid"),
        nl.Dropout(6, 0.3),
        nl.Dense(6, 3),
    ]
    network, loss = nl.Network(layers, rng=0, dtype="float64"), nl.SoftmaxCrossEntropy(0.1)
    x, target = rows(7), np.array([0, 1, 2, 2, 1, 0, 0])
    dice, state = network.rng.bit_generator.state, network.state.copy()

    def value():
        network.rng.bit_generator.state, network.state[...] = dice, state
        return loss(network.forward(x, training=True), target)[0]

    network.backward(loss(network.forward(x, training=True), target)[1])
    indices = list(np.ndindex(network.params.shape))
    np.testing.assert_allclose(network.grads, numeric_gradient(value, network.params, indices), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_network_l2_is_in_value_and_gradient_and_leaves_biases_alone(l2):
    network, loss, x = small(l2=l2), nl.SquaredError(), rows(6)
    network.params += 0.1
    target = rows(6, 3)

    def value():
        return loss(network.forward(x, training=True), target)[0] + network.penalty()

    network.backward(loss(network.forward(x, training=True), target)[1])
    indices = list(np.ndindex(network.params.shape))
    np.testing.assert_allclose(network.grads, numeric_gradient(value, network.params, indices), rtol=1e-6, atol=1e-8)
    weights = [layer.W for layer in network.layers]
    assert network.penalty() == pytest.approx(l2 / 2 * sum(float(np.sum(W**2)) for W in weights))


def test_network_l2_touches_weights_only():
    gradients, networks = [], [small(), small(l2=0.3)]
    for network in networks:
        network.params += 0.1
        network.backward(np.cos(network.forward(rows(6), training=True)))
        gradients.append(network.grads.copy())
    n = networks[0].n_weights
    assert n == 4 * 5 + 5 * 3
    assert gradients[0][n:].tobytes() == gradients[1][n:].tobytes()
    np.testing.assert_allclose(gradients[1][:n] - gradients[0][:n], 0.3 * networks[0].params[:n], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nl.Network([]), ArgumentError, "Network: layers must hold at least 1 layer, got none"),
        (lambda: nl.Network([nl.Dense(3, 2), "relu"]), DTypeError, "Network: layer 1 must be a Layer, got 'relu'"),
        (
            lambda: nl.Network([nl.Dense(4, 5, "relu"), nl.Dense(6, 3)]),
            ShapeError,
            "Network: layer 1 Dense(6 -> 3) must take 5 inputs, the outputs of layer 0 Dense(4 -> 5, relu), got 6",
        ),
        (
            lambda: nl.Network([nl.Dense(3, 2)], dtype="float16"),
            ArgumentError,
            "Network: dtype must be one of float32, float64, got 'float16'",
        ),
        (lambda: nl.Network([nl.Dense(3, 2)], l2=-1), ArgumentError, "Network: l2 must be a number at least 0, got -1"),
        (
            lambda: nl.Network([nl.Dense(3, 2)], class_names=["a"]),
            ArgumentError,
            "Network: class_names must have 2 names, one for each output, got 1",
        ),
    ],
)
def test_network_rejects_what_does_not_fit(build, error, message):
    with pytest.raises(error) as caught:
        build()
    assert str(caught.value).startswith(message)


def test_network_rejects_a_layer_of_another_network():
    layer = nl.Dense(3, 3)
    nl.Network([layer])
    message = "layer {} Dense(3 -> 3) must belong to one network, got a second one; build a new layer"
    with pytest.raises(ArgumentError, match=re.escape("Network: " + message.format(1))):
        nl.Network([nl.Dense(3, 3), layer])
    twice = nl.Dense(3, 3)
    with pytest.raises(ArgumentError, match=re.escape("Network: " + message.format(1))):
        nl.Network([twice, twice])
    with pytest.raises(
        ArgumentError, match=r"^Dense\(3 -> 3\): a layer must belong to one network, got a second one; build a new layer$"
    ):
        layer.bind({}, {}, np.random.default_rng(0), np.dtype("float32"))


def test_network_keeps_class_names_as_text():
    assert small(class_names=[1, 2, 3]).class_names == ("1", "2", "3")
    assert small(class_names="abc").class_names == ("a", "b", "c")
    assert small().class_names is None


def test_forward_takes_no_more_rows_than_are_reserved():
    network = small()
    capacity = network.capacity
    message = (
        f"Network.forward: x must have at most {capacity} rows (the reserved batch size), got {MANY}; "
        f"call reserve({MANY}) first, or use predict"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        network.forward(rows(MANY))
    network.reserve(MANY)
    assert network.capacity == MANY
    assert network.forward(rows(MANY)).shape == (MANY, 3)


def test_reserve_never_shrinks_and_keeps_the_buffers():
    network = small()
    capacity, y = network.capacity, network.forward(rows(3))
    network.reserve(5)
    assert network.capacity == capacity
    assert np.shares_memory(y, network.forward(rows(3)))
    for wrong, error in ((0, ArgumentError), (2.5, DTypeError)):
        with pytest.raises(error, match=rf"^Network.reserve: batch_size must be a whole number of at least 1, got {wrong}$"):
            network.reserve(wrong)


def test_backward_takes_the_shape_of_the_last_output():
    network = small()
    network.forward(rows(6), training=True)
    message = "Network.backward: dy must have the shape of the last forward's output, (6, 3), got {}"
    for shape in ((5, 3), (6, 4), (6,)):
        with pytest.raises(ShapeError, match=f"^{re.escape(message.format(shape))}$"):
            network.backward(np.ones(shape))
    with pytest.raises(DTypeError, match=r"^Network.backward: dy must have dtype float64, got float32$"):
        network.backward(np.ones((6, 3), np.float32))


def test_backward_does_not_go_before_the_first_parameters(monkeypatch):
    network = nl.Network([nl.Pixels(4), nl.Dropout(4, 0.5), nl.Dense(4, 3)], rng=0)
    for kind in (nl.Pixels, nl.Dropout):
        monkeypatch.setattr(kind, "backward", lambda self, dy: pytest.fail("nobody reads this gradient"))
    network.backward(np.ones_like(network.forward(rows(5, dtype="float32"), training=True)))
    assert network.layers[-1].db.tolist() == [5, 5, 5]


def test_network_without_parameters_goes_forward_and_back():
    network = nl.Network([nl.Softmax(4)], dtype="float64")
    network.backward(np.ones_like(network.forward(rows(5), training=True)))
    assert network.params.size == network.grads.size == network.n_weights == 0
    assert network.penalty() == 0


def test_outputs_of_many_rows_are_those_of_all_at_once():
    network, x = small(), rows(MANY)
    found = network.outputs(x)
    assert network.capacity < MANY
    network.reserve(MANY)
    np.testing.assert_allclose(found, network.forward(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("batch_size", [1, 7, 1024, 5000])
def test_chunks_cover_every_row_once(batch_size):
    network, x = small(), rows(50)
    whole, seen = network.outputs(x), []
    for chunk, y in network.chunks(x, batch_size):
        seen.extend(range(50)[chunk])
        np.testing.assert_allclose(y, whole[chunk], rtol=1e-12, atol=1e-14)
    assert seen == list(range(50))


def test_chunks_rejects_an_empty_chunk():
    with pytest.raises(ArgumentError, match=r"^predict: batch_size must be a whole number of at least 1, got 0$"):
        next(small().chunks(rows(5), 0))


def test_outputs_are_a_copy():
    network = small()
    first = network.outputs(rows(5))
    before = first.tobytes()
    network.outputs(rows(6))
    network.forward(rows(5) + 1)
    assert first.tobytes() == before
    assert not np.shares_memory(network.predict(rows(5)), network.forward(rows(5)))


def test_predict_gives_labels_after_a_classification_loss_and_outputs_otherwise():
    x = rows(20)
    network = small(loss=nl.SoftmaxCrossEntropy())
    assert network.predict(x).tolist() == network.outputs(x).argmax(axis=1).tolist()
    for loss in (None, nl.SquaredError()):
        assert small(loss=loss).predict(x).tobytes() == network.outputs(x).tobytes()


PERCEPTRONS = {
    "one layer": lambda: [nl.Dense(4, 3)],
    "relu": lambda: [nl.Dense(4, 300, "relu"), nl.Dense(300, 7, "relu"), nl.Dense(7, 3)],
    "noise": lambda: [nl.GaussianNoise(4, 1.0), nl.Dense(4, 9, "relu"), nl.Dropout(9, 0.5), nl.Dense(9, 3)],
    "tanh": lambda: [nl.Dense(4, 9, "tanh"), nl.Dense(9, 3)],
    "ntk": lambda: [nl.Dense(4, 9, "relu", parametrization="ntk"), nl.Dense(9, 3)],
    "batch norm": lambda: [nl.Dense(4, 9, "relu"), nl.BatchNorm(9), nl.Dense(9, 3)],
    "many parameters": lambda: [nl.Dense(4, 600, "relu"), nl.Dense(600, 600, "relu"), nl.Dense(600, 3)],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PERCEPTRONS)
def test_outputs_of_a_few_rows_are_those_of_many(name, dtype):
    network, x = nl.Network(PERCEPTRONS[name](), rng=0, dtype=dtype), rows(20, dtype=dtype)
    network.params += 0.1
    expected = network.outputs(x)
    cases = [(x[rows], expected[rows]) for rows in (slice(1), slice(8), slice(0, 16, 2))]
    for few, wanted in [*cases, (np.asfortranarray(x[:8]), expected[:8])]:
        np.testing.assert_allclose(network.outputs(few), wanted, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)


def test_outputs_of_a_few_rows_follow_the_parameters():
    network, x = nl.Network(PERCEPTRONS["relu"](), rng=0), rows(3, dtype="float32")
    network.outputs(x)
    network.params[...] = 0
    network.layers[-1].b[...] = 2
    assert network.outputs(x).tolist() == np.full((3, 3), 2).tolist()


class Halved(nl.Dense):
    def forward(self, x, training=False):
        return super().forward(x, training) / 2


def test_outputs_of_a_few_rows_are_those_of_a_layer_of_ones_own():
    first, second = (nl.Network([kind(4, 3)], rng=0) for kind in (nl.Dense, Halved))
    assert (first.outputs(rows(2)) == 2 * second.outputs(rows(2))).all()


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", "float16", "bool"])
def test_predict_converts_other_numbers(dtype):
    network, x = small(), np.ones((5, 4), dtype)
    assert network.predict(x).tobytes() == network.predict(np.ones((5, 4))).tobytes()
    assert network.predict(x.tolist()).tobytes() == network.predict(x).tobytes()


def test_predict_gives_bytes_to_pixels_as_they_are():
    x = np.random.default_rng(0).integers(256, size=(MANY, 4), dtype=np.uint8)
    first, second = (nl.Network([nl.Pixels(4), nl.Dense(4, 3)], rng=0) for _ in range(2))
    np.testing.assert_allclose(first.predict(x), second.predict(x / 255), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((5, 3)), ShapeError, "predict: x must have shape (n, 4), got (5, 3)"),
        (np.ones(4), ShapeError, "predict: x must have shape (n, 4), got (4,); for one sample use x[None, :]"),
        (np.ones((0, 4)), ShapeError, "predict: x must have at least 1 row, got (0, 4)"),
        (
            np.ones((5, 2, 2)),
            ShapeError,
            "predict: x must have shape (n, 4), got (5, 2, 2); flatten each sample: x.reshape(len(x), -1)",
        ),
        (np.full((1, 4), "a"), DTypeError, "predict: x must hold real numbers, got dtype <U1"),
        (np.ones((5, 4), complex), DTypeError, "predict: x must hold real numbers, got dtype complex128"),
        (
            np.array([[0, 1, 2, 3], [0, 1, np.nan, np.inf]]),
            ArgumentError,
            "predict: x must hold finite numbers, got 2 NaN or infinite, the first nan at x[1, 2]",
        ),
    ],
)
def test_predict_rejects_what_does_not_fit(x, error, message):
    for method in (small().predict, small().outputs, small(loss=nl.SoftmaxCrossEntropy()).predict_proba):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            method(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predict_proba_rows_sum_to_one(dtype):
    for layers, loss in (
        ([nl.Dense(4, 3)], nl.SoftmaxCrossEntropy()),
        ([nl.Dense(4, 3), nl.Softmax(3)], nl.CrossEntropy()),
    ):
        p = nl.Network(layers, rng=0, dtype=dtype, loss=loss).predict_proba(100 * rows(MANY))
        assert p.shape == (MANY, 3)
        assert p.dtype == dtype
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
        assert (p >= 0).all()


@pytest.mark.parametrize("loss", [None, nl.SquaredError()])
def test_predict_proba_wants_classes(loss):
    message = (
        f"Network.predict_proba: loss must be a classification loss, got {type(loss).__name__}; "
        "fit the network with one, or pass loss=SoftmaxCrossEntropy() to Network"
    )
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        small(loss=loss).predict_proba(rows(5))


def test_training_step_after_a_prediction_is_as_without_it():
    gradients = []
    for predicts in (False, True):
        network = nl.Network([nl.Dense(4, 5, "tanh"), nl.BatchNorm(5), nl.Dropout(5, 0.2), nl.Dense(5, 3)], rng=0)
        for _ in range(3):
            y = network.forward(rows(6, dtype="float32"), training=True)
            network.backward(np.cos(y))
            network.params -= 0.1 * network.grads
            if predicts:
                network.predict(rows(MANY))
        gradients.append((network.grads.tobytes(), network.params.tobytes(), network.state.tobytes()))
    assert gradients[0] == gradients[1]


def test_prediction_changes_nothing():
    network = nl.Network([nl.Dense(4, 5), nl.BatchNorm(5), nl.Dropout(5, 0.5)], rng=0, loss=nl.SoftmaxCrossEntropy())
    dice = network.rng.bit_generator.state
    before = network.params.tobytes(), network.state.tobytes(), network.grads.tobytes()
    first = network.predict_proba(rows(20))
    assert network.predict_proba(rows(20)).tobytes() == first.tobytes()
    assert (network.params.tobytes(), network.state.tobytes(), network.grads.tobytes()) == before
    assert network.rng.bit_generator.state == dice


def test_snapshot_brings_parameters_and_state_back_in_place():
    network = nl.Network([nl.Dense(4, 5), nl.BatchNorm(5)], rng=0)
    views, kept = [id(view) for values in network.arena.values for view in values.values()], network.snapshot()
    before = network.params.tobytes(), network.state.tobytes()
    network.backward(np.cos(network.forward(rows(6, dtype="float32"), training=True)))
    network.params -= network.grads
    assert before[0] != network.params.tobytes()
    assert before[1] != network.state.tobytes()
    network.restore(kept)
    assert (network.params.tobytes(), network.state.tobytes()) == before
    assert views == [id(view) for values in network.arena.values for view in values.values()]
    assert network.layers[0].W is network.arena.values[0]["W"]
    network.params += 1
    network.restore(kept)  # the snapshot is a copy, good for more than once
    assert network.params.tobytes() == before[0]


def test_forward_takes_rows_in_any_memory_order():
    network, x = small(), rows(6)
    expected = network.forward(x).copy()
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], np.concatenate([x, x], axis=1)[:, :4]):
        np.testing.assert_allclose(network.forward(other), expected, rtol=1e-12, atol=1e-14)
        network.backward(np.cos(expected))
    gradient = network.grads.copy()
    network.backward(np.cos(network.forward(x)))
    np.testing.assert_allclose(gradient, network.grads, rtol=1e-11, atol=1e-13)


def test_network_starts_with_a_loss_near_that_of_a_guess():
    network = nl.Network([nl.Dense(50, 100, "relu"), nl.Dense(100, 10)], rng=0)
    x, target = rows(500, 50, "float32"), np.random.default_rng(0).integers(10, size=500)
    value, _ = nl.SoftmaxCrossEntropy()(network.forward(x), target)
    assert math.log(10) - 0.1 < value < math.log(10) + 1.5


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_copy_is_a_network_of_its_own(duplicate):
    layers = [nl.Dense(4, 6), nl.BatchNorm(6), nl.Activation(6, "relu"), nl.Dropout(6, 0.5), nl.Dense(6, 3)]
    net = nl.Network(layers, rng=0, class_names="abc", l2=0.1)
    x, y = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32), np.arange(20) % 3
    nl.fit(net, (x, y), epochs=1)
    twin = duplicate(net)
    assert twin.to_config() == net.to_config()
    assert not np.shares_memory(twin.params, net.params)
    assert np.shares_memory(twin.layers[0].W, twin.params)
    nl.fit(net, (x, y), epochs=2)
    nl.fit(twin, (x, y), epochs=2)  # the same numbers, the same dropout masks, the same order of rows
    assert twin.params.tobytes() == net.params.tobytes() and twin.state.tobytes() == net.state.tobytes()


def test_forward_takes_what_becomes_an_array_and_refuses_the_rest_by_name():
    net = nl.Network([nl.Dense(2, 2)], rng=0, dtype="float64")
    assert net.forward([[1.0, 2.0]]).shape == (1, 2)
    with pytest.raises(nl.errors.ShapeError, match=r"^Dense\(2 -> 2\)\.forward: x must have shape \(n, 2\), got \(2,\)"):
        net.forward([1.0, 2.0])


def test_l2_gradient_allocates_nothing_of_the_size_of_the_weights():
    net = nl.Network([nl.Dense(300, 300)], rng=0, l2=0.1)
    dy = np.zeros((2, 300), np.float32)
    net.forward(np.zeros((2, 300), np.float32))
    net.backward(dy)
    tracemalloc.start()
    net.backward(dy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64_000
    np.testing.assert_allclose(net.layers[0].dW, 0.1 * net.layers[0].W, rtol=1e-6)


def test_network_outputs_count_the_rows_on_a_terminal_if_asked(bars):
    network, x = small(), rows(MANY)
    network.predict(x, progress=False)
    assert bars == []
    network.predict(x)
    assert [(bar.desc, bar.total, bar.n, bar.unit) for bar in bars] == [("predicting", MANY, MANY, "row")]
