import re

import numpy as np
import pytest

import naive
import numlp as nl
from numlp.errors import ArgumentError, CheckpointError, DTypeError, ShapeError
from numlp.layers import LAYERS


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nl.Dense(784, 128), "Dense(784 -> 128)"),
        (nl.Dense(784, 128, "relu"), "Dense(784 -> 128, relu)"),
        (nl.Dense(128, 128), "Dense(128 -> 128)"),
        (nl.Activation(128, "tanh"), "Activation(128, tanh)"),
        (nl.Softmax(10), "Softmax(10)"),
        (nl.Pixels(784), "Pixels(784)"),
        (nl.Dropout(128, 0.5), "Dropout(128, 0.5)"),
        (nl.BatchNorm(128), "BatchNorm(128)"),
        (nl.Dense(784, 128, "relu", parametrization="ntk"), "Dense(784 -> 128, relu, ntk)"),
        (nl.PReLU(128), "PReLU(128)"),
        (nl.PReLU(128, shared=True), "PReLU(128, shared)"),
        (nl.ParametricActivation(128, "mish"), "ParametricActivation(128, mish)"),
        (nl.AlphaDropout(128, 0.05), "AlphaDropout(128, 0.05)"),
        (nl.GaussianNoise(128, 0.1), "GaussianNoise(128, 0.1)"),
        (nl.LayerNorm(128), "LayerNorm(128)"),
        (nl.RMSNorm(128), "RMSNorm(128)"),
        (nl.Scale(128), "Scale(128)"),
        (nl.Standardize(128), "Standardize(128)"),
        (nl.Embedding(5, {0: (7, 3)}), "Embedding(5 -> 7)"),
        (nl.Periodic(5, columns=2), "Periodic(5 -> 11)"),
        (nl.PiecewiseLinear(5, [[0, 1], [0, 2]]), "PiecewiseLinear(5 -> 11)"),
        (nl.Average([[nl.Dense(3, 2)], [nl.Scale(3), nl.Dense(3, 2)]]), "Average(2 x 3 -> 2)"),
        (nl.Residual([nl.LayerNorm(8), nl.Dense(8, 8, "silu")]), "Residual(LayerNorm(8), Dense(8 -> 8, silu))"),
    ],
)
def test_layer_shows_its_sizes(layer, text):
    assert repr(layer) == text


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nl.Dense(0, 3), ArgumentError, "Dense: n_in must be a whole number of at least 1, got 0"),
        (lambda: nl.Dense(3, -1), ArgumentError, "Dense: n_out must be a whole number of at least 1, got -1"),
        (lambda: nl.Dense(3.0, 1), DTypeError, "Dense: n_in must be a whole number of at least 1, got 3.0"),
        (lambda: nl.Dense(3, True), DTypeError, "Dense: n_out must be a whole number of at least 1, got True"),
        (lambda: nl.Activation(0, "relu"), ArgumentError, "Activation: n_in must be a whole number of at least 1, got 0"),
        (lambda: nl.Softmax(0), ArgumentError, "Softmax: n_in must be a whole number of at least 1, got 0"),
        (lambda: nl.Pixels(0), ArgumentError, "Pixels: n_in must be a whole number of at least 1, got 0"),
        (lambda: nl.Dropout(0, 0.5), ArgumentError, "Dropout: n_in must be a whole number of at least 1, got 0"),
        (lambda: nl.BatchNorm(0), ArgumentError, "BatchNorm: n_in must be a whole number of at least 1, got 0"),
        (lambda: nl.Dropout(3, 1), ArgumentError, "Dropout: rate must be a number at least 0 and below 1, got 1"),
        (lambda: nl.Dropout(3, -0.1), ArgumentError, "Dropout: rate must be a number at least 0 and below 1, got -0.1"),
        (lambda: nl.Dropout(3, "half"), DTypeError, "Dropout: rate must be a number at least 0 and below 1, got 'half'"),
        (lambda: nl.BatchNorm(3, 0), ArgumentError, "BatchNorm: momentum must be a number above 0 and below 1, got 0"),
        (lambda: nl.BatchNorm(3, 1), ArgumentError, "BatchNorm: momentum must be a number above 0 and below 1, got 1"),
        (lambda: nl.BatchNorm(3, 0.1, 0), ArgumentError, "BatchNorm: epsilon must be a number above 0, got 0"),
        (lambda: nl.BatchNorm(3, 0.1, np.nan), ArgumentError, "BatchNorm: epsilon must be a number above 0, got nan"),
        (lambda: nl.PReLU(0), ArgumentError, "PReLU: n_in must be a whole number of at least 1, got 0"),
        (lambda: nl.PReLU(3, 1), DTypeError, "PReLU: shared must be True or False, got 1"),
        (lambda: nl.AlphaDropout(3, 1), ArgumentError, "AlphaDropout: rate must be a number at least 0 and below 1, got 1"),
        (lambda: nl.GaussianNoise(3, -1), ArgumentError, "GaussianNoise: std must be a number at least 0, got -1"),
        (lambda: nl.LayerNorm(3, 0), ArgumentError, "LayerNorm: epsilon must be a number above 0, got 0"),
        (lambda: nl.RMSNorm(3, 0), ArgumentError, "RMSNorm: epsilon must be a number above 0, got 0"),
        (lambda: nl.Scale(0), ArgumentError, "Scale: n_in must be a whole number of at least 1, got 0"),
        (lambda: nl.Standardize(0), ArgumentError, "Standardize: n_in must be a whole number of at least 1, got 0"),
        (
            lambda: nl.Dense(3, 2, initializer="he_normal", parametrization="ntk"),
            ArgumentError,
            "Dense: initializer must be None with parametrization='ntk', got 'he_normal'",
        ),
        (
            lambda: nl.Embedding(3, {}),
            DTypeError,
            "Embedding: columns must be {index: (cardinality, dimension)} with at least one entry, got {}",
        ),
        (
            lambda: nl.Embedding(3, 5),
            DTypeError,
            "Embedding: columns must be {index: (cardinality, dimension)} with at least one entry, got 5",
        ),
        (
            lambda: nl.Embedding(3, {1: 5}),
            DTypeError,
            "Embedding: columns must be {index: (cardinality, dimension)} with at least one entry, got {1: 5}",
        ),
        (
            lambda: nl.Embedding(3, {3: (5, 2)}),
            ArgumentError,
            "Embedding: columns must be {index: (cardinality, dimension)} with an index from 0 to 2, got 3",
        ),
        (
            lambda: nl.Embedding(3, [(0, 5, 2), (0, 5, 1)]),
            ArgumentError,
            "Embedding: columns must be {index: (cardinality, dimension)} with each index once, got 0 twice",
        ),
        (
            lambda: nl.Embedding(3, {0: (0, 2)}),
            ArgumentError,
            "Embedding: cardinality must be a whole number of at least 1, got 0",
        ),
        (lambda: nl.Average([]), ArgumentError, "Average: stacks must hold at least 1 stack, got none"),
        (lambda: nl.Average([nl.Scale(3)]), DTypeError, "Average: stacks must be a list of lists of layers, got [Scale(3)]"),
        (
            lambda: nl.Average([[nl.Scale(3)], [nl.Dense(3, 2)]]),
            ShapeError,
            "Average: stack 1 must have the inputs and outputs of stack 0, (3, 3), got (3, 2)",
        ),
        (
            lambda: nl.Average([[nl.Scale(3)]] * 2),
            ArgumentError,
            "Average: a layer must belong to one stack, got one in two; build a new layer",
        ),
        (lambda: nl.Residual([]), ArgumentError, "Residual: layers must hold at least 1 layer, got none"),
        (lambda: nl.Residual(["Dense"]), DTypeError, "Residual: layer 0 must be a Layer, got 'Dense'"),
        (
            lambda: nl.Residual([nl.Dense(4, 3), nl.Dense(3, 5)]),
            ShapeError,
            "Residual: layer 0 Dense(4 -> 3) must take 5 inputs, the outputs of layer 1 Dense(3 -> 5), got 4",
        ),
        (
            lambda: nl.Residual([nl.Dense(4, 3), nl.Dense(2, 4)]),
            ShapeError,
            "Residual: layer 1 Dense(2 -> 4) must take 3 inputs, the outputs of layer 0 Dense(4 -> 3), got 2",
        ),
        (
            lambda: nl.Residual([nl.Scale(4)] * 2),
            ArgumentError,
            "Residual: layer 1 Scale(4) must belong to one network, got a second one; build a new layer",
        ),
    ],
)
def test_layer_rejects_arguments_out_of_range(build, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        build()


@pytest.mark.parametrize("build", [lambda name: nl.Dense(3, 2, name), lambda name: nl.Activation(3, name)])
def test_layer_suggests_the_nearest_activation(build):
    with pytest.raises(ArgumentError, match=r"activation must be one of .*relu.*, got 'ReLu'; did you mean 'relu'\?$"):
        build("ReLu")


def test_dense_suggests_the_nearest_initializer():
    with pytest.raises(
        ArgumentError, match=r"^Dense: initializer must be one of .*, got 'he_normall'; did you mean 'he_normal'\?$"
    ):
        nl.Dense(3, 2, initializer="he_normall")


def test_layer_arguments_may_be_numpy_numbers():
    layer = nl.Dense(np.int64(3), np.uint8(2))
    assert type(layer.n_in) is type(layer.n_out) is int
    assert type(nl.Dropout(3, np.float32(0.5)).rate) is float


def test_layer_has_no_attribute_that_is_not_there():
    with pytest.raises(AttributeError, match=r"^Dense: W must come from a network, got none; build Network\(\[layer\]\)$"):
        _ = nl.Dense(3, 2).W
    layer = nl.Dense(3, 2)
    nl.Network([layer])
    with pytest.raises(AttributeError, match=r"^'Dense' object has no attribute 'V'$"):
        _ = layer.V
    assert not hasattr(nl.Dense(3, 2), "__array__")


def test_layers_are_told_apart_by_name():
    assert all(layer.__name__ == name for name, layer in LAYERS.items())


def test_dense_computes_one_step_worked_by_hand():
    layer = nl.Dense(2, 2, "relu")
    network = nl.Network([nl.Dense(2, 2), layer], dtype="float64")
    layer.W[...] = [[1, -1], [2, 0.5]]
    layer.b[...] = [0.5, -1]
    x = np.array([[1.0, 2.0], [3.0, -2.0]])
    # z = [[5.5, -1], [-0.5, -5]], so one number of four passes
    assert layer.forward(x).tolist() == [[5.5, 0], [0, 0]]
    assert layer.backward(np.array([[10.0, 20.0], [30.0, 40.0]])).tolist() == [[10, 20], [0, 0]]
    assert layer.dW.tolist() == [[10, 0], [20, 0]]
    assert layer.db.tolist() == [10, 0]
    assert np.shares_memory(layer.dW, network.grads)


def test_activation_as_a_layer_equals_the_one_inside_dense():
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    for name in ("relu", "sigmoid", "tanh", "softmax"):
        inside = nl.Network([nl.Dense(4, 3, name, "he_normal")], rng=1, dtype="float64")
        apart = nl.Network([nl.Dense(4, 3, "identity", "he_normal"), nl.Activation(3, name)], rng=1, dtype="float64")
        outputs = [network.forward(x) for network in (inside, apart)]
        for network in (inside, apart):
            network.backward(dy.copy())
        assert outputs[0].tobytes() == outputs[1].tobytes()
        assert inside.grads.tobytes() == apart.grads.tobytes()


def test_softmax_layer_rows_sum_to_one():
    network = nl.Network([nl.Softmax(7)], dtype="float64")
    y = network.forward(10 * np.random.default_rng(0).normal(size=(5, 7)))
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-14)
    assert (y > 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pixels_divides_bytes_and_passes_numbers(dtype):
    network = nl.Network([nl.Pixels(3)], dtype=dtype)
    y = network.forward(np.array([[0, 51, 255]], np.uint8))
    np.testing.assert_allclose(y, [[0, 0.2, 1]], rtol=1e-7)
    assert y.dtype == dtype
    assert y.max() == 1
    x = np.array([[0, 0.2, 300]], dtype)
    assert network.forward(x).tobytes() == x.tobytes()


def test_pixels_gives_bytes_and_their_share_the_same_gradients():
    bytes_in = np.random.default_rng(0).integers(256, size=(5, 4), dtype=np.uint8)
    gradients = []
    for x in (bytes_in, (bytes_in * np.float32(1 / 255)).astype(np.float32)):
        network = nl.Network([nl.Pixels(4), nl.Dense(4, 3)], rng=0)
        network.backward(np.cos(network.forward(x, training=True)))
        gradients.append(network.grads.tobytes())
    assert gradients[0] == gradients[1]


@pytest.fixture
def dropout():
    layer = nl.Dropout(1000, 0.3)
    nl.Network([layer], rng=0, dtype="float64")
    return layer


def test_dropout_keeps_the_mean(dropout):
    y = dropout.forward(np.ones((500, 1000)), training=True)
    # 500,000 draws of 0 or 1/0.7: one standard deviation of the mean is 0.0009
    assert y.mean() == pytest.approx(1, abs=0.005)
    assert np.mean(y == 0) == pytest.approx(0.3, abs=0.004)
    assert set(np.unique(y)) == {0, 1 / 0.7}
    assert np.abs(y.mean(axis=0) - 1).max() < 0.15


def test_dropout_draws_a_new_mask_each_time_and_goes_back_through_the_last(dropout):
    x = np.ones((20, 1000))
    first = dropout.forward(x, training=True).copy()
    second = dropout.forward(x, training=True).copy()
    assert 0.3 < np.mean(first != second) < 0.5
    assert dropout.backward(np.ones_like(x)).tobytes() == second.tobytes()


def test_dropout_is_off_in_inference(dropout):
    x = np.random.default_rng(0).normal(size=(20, 1000))
    dropout.forward(x, training=True)
    assert dropout.forward(x).tobytes() == x.tobytes()
    assert dropout.backward(np.ones_like(x)).tolist() == np.ones_like(x).tolist()


def test_dropout_of_rate_zero_does_nothing_and_draws_nothing():
    layer = nl.Dropout(10, 0)
    network = nl.Network([layer], rng=0)
    before = network.rng.bit_generator.state
    x = np.random.default_rng(0).normal(size=(5, 10)).astype(np.float32)
    assert network.forward(x, training=True).tobytes() == x.tobytes()
    assert layer.backward(x.copy()).tobytes() == x.tobytes()
    assert network.rng.bit_generator.state == before


def test_batch_norm_standardizes_each_column():
    network = nl.Network([nl.BatchNorm(3)], dtype="float64")
    x = np.array([1.0, -5, 100]) + np.array([2.0, 0.3, 7]) * np.random.default_rng(0).normal(size=(50, 3))
    y = network.forward(x, training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(y.var(axis=0), x.var(axis=0) / (x.var(axis=0) + 1e-5), rtol=1e-12)


def test_batch_norm_of_one_row_gives_beta():
    layer = nl.BatchNorm(3)
    network = nl.Network([nl.Dense(3, 3), layer], dtype="float64")
    layer.beta[...] = [1, 2, 3]
    layer.gamma[...] = 5
    y = layer.forward(np.array([[10.0, -20.0, 30.0]]), training=True)
    assert y.tolist() == [[1, 2, 3]]
    assert layer.backward(np.ones((1, 3))).tolist() == [[0, 0, 0]]
    assert layer.dgamma.tolist() == [0, 0, 0]
    assert layer.dbeta.tolist() == [1, 1, 1]
    np.testing.assert_allclose(network.state, [1, -2, 3, 0.9, 0.9, 0.9])


def test_batch_norm_running_values_approach_those_of_the_data():
    layer = nl.BatchNorm(2, momentum=0.2)
    network = nl.Network([layer], dtype="float64")
    x = np.array([3.0, -1.0]) + np.array([2.0, 0.5]) * np.random.default_rng(0).normal(size=(20, 2))
    for _ in range(200):
        network.forward(x, training=True)
    np.testing.assert_allclose(layer.running_mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_variance, x.var(axis=0, ddof=1), rtol=1e-12)


def test_batch_norm_inference_does_not_look_at_the_other_rows():
    layer = nl.BatchNorm(2, epsilon=1e-3)
    network = nl.Network([layer], dtype="float64")
    layer.running_mean[...] = [1, 2]
    layer.running_variance[...] = [4, 9]
    layer.gamma[...] = [2, 3]
    layer.beta[...] = [0.5, -0.5]
    y = network.forward(np.array([[3.0, 5.0], [1e6, -1e6]]))
    np.testing.assert_allclose(y[0], [0.5 + 4 / np.sqrt(4.001), -0.5 + 9 / np.sqrt(9.001)], rtol=1e-12)


def test_batch_norm_starts_as_the_plain_standardization_and_is_never_decayed():
    layer = nl.BatchNorm(3)
    network = nl.Network([layer])
    assert layer.gamma.tolist() == layer.running_variance.tolist() == [1, 1, 1]
    assert layer.beta.tolist() == layer.running_mean.tolist() == [0, 0, 0]
    assert network.n_weights == 0
    assert network.params.size == 6
    assert network.state.size == 6


def test_layer_without_a_forward_pass_says_so():
    class Nothing(nl.Layer):
        n_in = n_out = 3

    network = nl.Network([Nothing()])
    with pytest.raises(NotImplementedError):
        network.forward(np.ones((1, 3), np.float32))
    with pytest.raises(NotImplementedError):
        network.layers[0].backward(np.ones((1, 3), np.float32))


def test_batch_norm_backward_after_an_inference_pass_uses_the_running_values():
    net = nl.Network([nl.Dense(3, 3), nl.BatchNorm(3)], rng=0, dtype="float64")
    rng = np.random.default_rng(1)
    net.layers[1].running_mean[...], net.layers[1].running_variance[...] = rng.normal(size=3), rng.uniform(1, 2, 3)
    x, cotangent = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    net.forward(x, training=True)
    net.forward(x, training=False)
    net.backward(cotangent.copy())
    stated, step = net.grads.copy(), rng.normal(size=net.params.shape)

    def value(epsilon: float) -> float:
        net.params += epsilon * step
        result = float(np.sum(cotangent * net.forward(x, training=False)))
        net.params -= epsilon * step
        return result

    assert stated @ step == pytest.approx((value(1e-6) - value(-1e-6)) / 2e-6, rel=1e-6)


def test_parametric_activation_takes_pointwise_functions_only():
    for name in ("softmax", "log_softmax"):
        with pytest.raises(ArgumentError, match=rf"^ParametricActivation: activation must be one of .*, got '{name}'"):
            nl.ParametricActivation(3, name)


@pytest.mark.parametrize(
    ("layer", "values"),
    [
        (nl.PReLU(3), {"alpha": [0.25] * 3}),
        (nl.PReLU(3, shared=True), {"alpha": [0.25]}),
        (nl.ParametricActivation(3, "tanh"), {"alpha": [1] * 3}),
        (nl.LayerNorm(3), {"gamma": [1] * 3, "beta": [0] * 3}),
        (nl.RMSNorm(3), {"gamma": [1] * 3}),
        (nl.Scale(3), {"gamma": [1] * 3}),
        (nl.Standardize(3), {"mean": [0] * 3, "std": [1] * 3}),
    ],
    ids=repr,
)
def test_layer_starts_where_its_docstring_says_and_is_never_decayed(layer, values):
    network = nl.Network([layer], rng=0)
    assert {name: view.tolist() for name, view in network.arena.values[0].items()} == values
    assert network.n_weights == 0


def test_ntk_weights_are_standard_normal_and_give_the_same_spread_at_any_width():
    spreads = []
    for width in (10, 1000):
        dense = nl.Dense(width, 2000, parametrization="ntk")
        network = nl.Network([dense], rng=0, dtype="float64")
        assert dense.W.std() == pytest.approx(1, abs=0.02)
        assert not dense.b.any()
        x = np.random.default_rng(1).normal(size=(1, width))
        spreads.append(network.forward(x).std() / np.sqrt(np.mean(x**2)))
    np.testing.assert_allclose(spreads, 1, atol=0.05)


def test_alpha_dropout_keeps_mean_and_variance():
    layer = nl.AlphaDropout(200, 0.3)
    nl.Network([layer], rng=0)
    x = np.random.default_rng(1).normal(size=(1000, 200)).astype(np.float32)
    y = layer.forward(x, training=True)
    assert y.mean() == pytest.approx(0, abs=0.01)
    assert y.var() == pytest.approx(1, abs=0.02)
    dropped = np.unique(y, return_counts=True)[1].max()  # they all have one value
    assert dropped / y.size == pytest.approx(0.3, abs=0.01)


def test_gaussian_noise_has_the_spread_it_is_told():
    layer = nl.GaussianNoise(200, 0.5)
    nl.Network([layer], rng=0)
    y = layer.forward(np.full((1000, 200), 3, np.float32), training=True)
    assert y.mean() == pytest.approx(3, abs=0.01)
    assert y.std() == pytest.approx(0.5, abs=0.01)


def test_embedding_sums_the_gradients_of_repeated_codes():
    layer = nl.Embedding(3, {2: (4, 1), 0: (3, 2)})
    nl.Network([layer], rng=0, dtype="float64")
    layer.reserve(8, need_dx=True)
    x = np.array([[1, 0.5, 3], [1, -0.5, 0], [2, 9, 3.0]])
    y = layer.forward(x)
    assert y.shape == (3, 4)
    np.testing.assert_array_equal(y[:, 0], x[:, 1])
    np.testing.assert_array_equal(y[:, 1], layer.table2[[3, 0, 3], 0])
    np.testing.assert_array_equal(y[:, 2:], layer.table0[[1, 1, 2]])
    dx = layer.backward(np.array([[1.0, 2, 3, 4], [10, 20, 30, 40], [100, 200, 300, 400]]))
    assert layer.dtable2.ravel().tolist() == [20, 0, 0, 202]
    assert layer.dtable0.tolist() == [[0, 0], [33, 44], [300, 400]]
    assert dx.tolist() == [[0, 1, 0], [0, 10, 0], [0, 100, 0]]


def test_embedding_may_be_described_either_way():
    by_index, by_row = nl.Embedding(3, {2: (4, 1), np.int64(0): (3, 2)}), nl.Embedding(3, [[2, 4, 1], (0, 3, 2)])
    assert by_index.columns == by_row.columns == ((2, 4, 1), (0, 3, 2))
    assert [p.name for p in by_row.parameters()] == ["table2", "table0"]


@pytest.mark.parametrize(("code", "shown"), [(3, "3"), (-1, "-1"), (0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf")])
def test_embedding_names_the_first_code_that_is_none(code, shown):
    network = nl.Network([nl.Embedding(2, {1: (3, 2)}), nl.Dense(3, 1)], rng=0)
    before = network.forward(np.ones((3, 2), np.float32)).copy()
    x = np.array([[0, 1], [0, code], [0, code]], np.float32)
    message = f"Embedding(2 -> 3).forward: column 1 of x must hold whole numbers 0..2, got {shown} at row 1"
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        network.forward(x)
    np.testing.assert_array_equal(network.forward(np.ones((3, 2), np.float32)), before)


def test_embedding_is_asked_before_anything_happens():
    network = nl.Network([nl.Embedding(2, {1: (3, 2)}), nl.Dense(3, 1)], rng=0, loss=nl.SquaredError())
    before = network.params.tobytes()
    x, y = np.zeros((300, 2)), np.zeros((300, 1))
    x[250, 1] = 3
    for where, call in (
        ("fit", lambda: nl.fit(network, (x, y), loss=nl.SquaredError(), batch_size=10, epochs=1)),
        ("evaluate", lambda: nl.evaluate(network, (x, y))),
        ("predict", lambda: network.predict(x)),
    ):
        with pytest.raises(ArgumentError, match=f"^{where}: column 1 of x must hold whole numbers 0..2, got 3 at row 250$"):
            call()
    assert network.params.tobytes() == before


def test_layers_that_scale_by_themselves_are_trained_on_raw_columns_without_a_warning():
    rng = np.random.default_rng(0)
    x, y = rng.normal(5000, 300, size=(20, 2)), rng.normal(size=(20, 1))
    for layers in ([nl.Standardize(2).fit(x)], [nl.Embedding(2, {0: (7, 1)}), nl.Standardize(2)]):
        x[:, 0] = rng.integers(7, size=20)
        network = nl.Network([*layers, nl.Dense(2, 1)], rng=0)
        nl.fit(network, (x, y), loss=nl.SquaredError(), optimizer=nl.SGD(1e-9), epochs=1, batch_size=10)


def test_embedding_learns_a_table():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(5, size=400), rng.normal(size=400)])
    y = np.array([3.0, -1, 4, -1, 5])[x[:, 0].astype(int)][:, None] + 2 * x[:, 1:]
    network = nl.Network([nl.Embedding(2, {0: (5, 1)}), nl.Dense(2, 1)], rng=0)
    nl.fit(network, (x, y), loss=nl.SquaredError(), optimizer=nl.Adam(0.05), epochs=60, batch_size=50)
    assert np.abs(network.outputs(x) - y).max() < 0.05


def test_standardize_gives_mean_zero_and_variance_one_and_zero_for_a_constant_column():
    x = np.random.default_rng(0).normal(5, 3, size=(5000, 3))
    x[:, 1] = 0.1  # the rounded mean of so many is not 0.1
    layer = nl.Standardize(3).fit(x)
    network = nl.Network([layer], dtype="float64")
    network.reserve(len(x))
    y = network.forward(x)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=0), [1, 0, 1], atol=1e-12)
    assert layer.std[1] == 0
    assert network.forward(np.full((1, 3), 7.0))[0, 1] == 0
    assert layer.backward(np.ones((1, 3)))[0, 1] == 0


def test_standardize_may_be_fitted_before_or_after_a_network_takes_it_in(tmp_path):
    x = np.random.default_rng(0).normal(5, 3, size=(50, 2))
    early = nl.Network([nl.Standardize(2).fit(x)])
    late = nl.Network([nl.Standardize(2)])
    late.layers[0].fit(x)
    given = nl.Network([nl.Standardize(2).give(x.mean(axis=0), x.std(axis=0))])
    nl.save(early, tmp_path / "m.safetensors")
    loaded = nl.load(tmp_path / "m.safetensors")
    for network in (late, loaded):
        assert network.outputs(x).tobytes() == early.outputs(x).tobytes()
    np.testing.assert_allclose(given.outputs(x), early.outputs(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.fit(np.ones((4, 3))), ShapeError, "Standardize.fit: x must have shape (n, 2), got (4, 3)"),
        (
            lambda s: s.fit([[1.0, np.nan]]),
            ArgumentError,
            "Standardize.fit: x must hold finite numbers, got 1 NaN or infinite, the first nan at x[0, 1]",
        ),
        (lambda s: s.give([0], [1, 1]), ShapeError, "Standardize.give: mean must have shape (2,), got (1,)"),
        (lambda s: s.give([0, 0], 1), ShapeError, "Standardize.give: std must have shape (2,), got ()"),
        (
            lambda s: s.give([0, 0], [1, -1]),
            ArgumentError,
            "Standardize.give: std must hold numbers at least 0, got -1.0",
        ),
    ],
)
def test_standardize_says_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(nl.Standardize(2))


def residual_network():
    inner = nl.Residual([nl.Dense(6, 6, "mish"), nl.Dropout(6, 0.3)])
    block = nl.Residual([nl.BatchNorm(5), nl.Dense(5, 6, "gelu"), inner, nl.Dense(6, 5)])
    return nl.Network([nl.Dense(4, 5), block, nl.Dense(5, 3)], rng=0)


def test_residual_comes_back_from_its_file_with_nested_names(tmp_path):
    network = residual_network()
    x = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    network.forward(x, training=True)
    names = ["0.gamma", "0.beta", "0.running_mean", "0.running_variance", "1.W", "1.b", "2.0.W", "2.0.b", "3.W", "3.b"]
    assert list(network.arena.values[1]) == names
    assert network.layers[1].layers[2].layers[0].W is network.arena.values[1]["2.0.W"]
    nl.save(network, tmp_path / "m.safetensors")
    loaded = nl.load(tmp_path / "m.safetensors")
    assert repr(loaded.layers) == repr(network.layers)
    assert loaded.params.tobytes() == network.params.tobytes()
    assert loaded.state.tobytes() == network.state.tobytes()
    assert loaded.outputs(x).tobytes() == network.outputs(x).tobytes()


def test_residual_is_trained_with_everything_in_it():
    network = residual_network()
    before = {name: view.copy() for name, view in network.arena.values[1].items()}
    rng = np.random.default_rng(1)
    nl.fit(network, (rng.normal(size=(40, 4)), rng.integers(3, size=40)), optimizer=nl.SGD(0.1), epochs=1, batch_size=20)
    for name, view in network.arena.values[1].items():
        assert not np.array_equal(view, before[name]), name


def test_residual_around_a_foreign_layer_is_not_saved(tmp_path):
    class Mine(nl.Scale):
        pass

    network = nl.Network([nl.Residual([nl.Dense(3, 3), Mine(3)])], rng=0)
    with pytest.raises(CheckpointError, match=r"^save: layer 0 must be one of Activation, .*, got Mine\(3\); for a class"):
        nl.save(network, tmp_path / "m.safetensors")
    assert not any(tmp_path.iterdir())


def test_residual_before_every_trained_layer_computes_no_dx():
    block = nl.Residual([nl.Activation(3, "tanh"), nl.Dense(3, 3), nl.Dropout(3, 0.5)])
    network = nl.Network([block, nl.Dense(3, 2)], rng=0)
    y = network.forward(np.ones((4, 3), np.float32), training=True)
    network.backward(np.ones_like(y))
    assert not block.layers[1].need_dx
    assert block.dtype == np.float32 and np.abs(network.arena.gradients[0]["1.W"]).max() > 0


def test_new_layers_are_explained_with_right_gradients(capsys):
    layers = [
        nl.Embedding(3, {0: (4, 2)}),
        nl.Standardize(4),
        nl.Scale(4),
        nl.Residual([nl.LayerNorm(4), nl.Dense(4, 4, "gelu"), nl.GaussianNoise(4, 0.1)]),
        nl.ParametricActivation(4, "silu"),
        nl.Dense(4, 4, "log_softmax", parametrization="ntk"),
        nl.AlphaDropout(4, 0.2),
        nl.RMSNorm(4),
        nl.PReLU(4),
        nl.Periodic(4, columns=1, waves=3, size=1),
        nl.PiecewiseLinear(5, [[-1, 0, 1]], size=1),
        nl.Dense(6, 2),
    ]
    network = nl.Network(layers, rng=0)
    nl.explain_step(network, nl.SoftmaxCrossEntropy(), np.array([[1, 0.5, -1], [3, 0.1, 2.0]]), np.array([0, 1]))
    text = capsys.readouterr().out
    for title in (
        "dtable00 of Embedding(3 -> 4)",
        "d1.W3 of Residual",
        "z5 = a4 W5 / sqrt(4) + b5",
        "dW5 = a4^T dz5 / sqrt(4)",
    ):
        assert title in text
    pairs = [line.split("  |  ") for line in text.splitlines() if "  |  " in line]
    assert len(pairs) > 40
    for stated, numeric in pairs:
        np.testing.assert_allclose([float(v) for v in stated.split()], [float(v) for v in numeric.split()], atol=2e-4)


def test_residual_refuses_what_its_first_layer_refuses():
    network = nl.Network([nl.Residual([nl.Embedding(2, {0: (3, 4)}), nl.Dense(5, 2)])], rng=0)
    assert network.predict(np.array([[2, 0.5]])).shape == (1, 2)
    with pytest.raises(ArgumentError, match=r"^predict: .* got 3 at row 1"):
        network.predict(np.array([[2, 0.5], [3, 0.5]]))


def test_periodic_starts_with_slow_waves_of_any_phase():
    layer = nl.Periodic(500, waves=16, sigma=0.2)
    nl.Network([layer], rng=0)
    np.testing.assert_allclose((layer.w.mean(), layer.w.std()), (0, 0.2), atol=0.01)
    for values, limit in ((layer.b, np.pi), (layer.V, 0.25), (layer.c, 0.25)):
        np.testing.assert_allclose((values.min(), values.max()), (-limit, limit), rtol=0.01)
        np.testing.assert_allclose(values.std(), limit / np.sqrt(3), rtol=0.03)


def test_periodic_takes_at_most_the_columns_there_are():
    with pytest.raises(ArgumentError, match=r"^Periodic: columns must be a whole number from 1 to 3, got 4$"):
        nl.Periodic(3, columns=4)
    assert nl.Periodic(3).columns == 3 and nl.Periodic(3).n_out == 12


def test_piecewise_linear_begins_with_the_columns_alone_and_is_constant_outside_its_knots():
    layer = nl.PiecewiseLinear(2, [[0, 1, 2]], size=2)
    network = nl.Network([layer], dtype=np.float64)
    assert network.forward(np.array([[0.5, 7]])).tolist() == [[0, 0, 0.5, 7]]
    layer.V[:] = [[1, 10], [2, 20], [3, 30]]
    y = network.forward(np.array([[-9.0, 0], [0, 0], [1.25, 0], [2, 0], [9, 0]]))
    np.testing.assert_allclose(y[:, :2], [[1, 10], [1, 10], [2.25, 22.5], [3, 30], [3, 30]])


def test_piecewise_linear_of_several_columns_equals_its_loops():
    knots, rng = [[-1.0, 0.0, 0.5], [-0.5, 0.25], [-2.0, -1.0, 1.0, 2.0]], np.random.default_rng(0)
    layer = nl.PiecewiseLinear(4, knots, size=2)
    network = nl.Network([nl.Scale(4), layer], dtype=np.float64)
    layer.V[:] = rng.normal(size=layer.V.shape)
    x, dy = rng.normal(size=(50, 4)), rng.normal(size=(50, 10))
    x[0] = x[1, 2] = 0.25  # a knot
    np.testing.assert_allclose(network.forward(x, training=True), naive.piecewise_linear(x, layer.V, knots), atol=1e-14)
    network.backward(dy.copy())
    expected = naive.piecewise_linear_backward(dy, x, layer.V, knots)
    np.testing.assert_allclose(layer.dV, expected["V"], atol=1e-13)
    np.testing.assert_allclose(layer._dx[:50], expected["x"], atol=1e-13)


@pytest.mark.parametrize(
    ("knots", "error", "message"),
    [
        ([], ArgumentError, "knots must .* for each of 1 to 2 columns, got 0"),
        ([[0, 1]] * 3, ArgumentError, "for each of 1 to 2 columns, got 3"),
        ([0, 1], DTypeError, r"knots must hold a list of increasing numbers .* got \[0, 1\]"),
        (7, DTypeError, "got 7"),
        ([[0, 1], [0, "a"]], DTypeError, "each of the knots of column 1 must be a finite number, got 'a'"),
        ([[0, 10**400]], ArgumentError, "each of the knots of column 0 must be a finite number, got 1000"),
        ([[0, 1], [0]], ArgumentError, r"at least two that differ in float32, got \[0\] for column 1"),
        ([[0, 0]], ArgumentError, r"got \[0, 0\] for column 0"),
        ([[0, 1, 1 + 1e-12]], ArgumentError, "for column 0"),
        ([[0, float("nan")]], ArgumentError, "of column 0 must be a finite number, got nan"),
        ([[0, 1e300]], ArgumentError, "for column 0"),
    ],
)
def test_piecewise_linear_says_which_column_has_bad_knots(knots, error, message):
    with pytest.raises(error, match="^PiecewiseLinear: .*" + message):
        nl.PiecewiseLinear(2, knots)


def test_average_keeps_what_each_stack_gave_and_hands_on_checks():
    layer = nl.Average([[nl.Embedding(2, {0: (3, 1)})], [nl.Scale(2)]])
    network = nl.Network([layer], rng=0, dtype=np.float64)
    x = np.array([[2.0, 7.0]])
    y = network.forward(x)
    np.testing.assert_allclose(layer.outputs, [[[7, layer.stacks[0][0].table0[2, 0]]], [[2, 7]]])
    np.testing.assert_allclose(y, np.mean(layer.outputs, axis=0))
    with pytest.raises(ArgumentError, match=r"^predict: column 0 of x must hold whole numbers 0..2, got 3 at row 0"):
        network.predict([[3.0, 0.0]])
