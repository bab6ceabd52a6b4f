import re

import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError, DTypeError
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
