"""The specification itself: each kernel against the loops in `naive`, in place and not, across blocks, with NaN."""

import inspect

import numpy as np
import pytest

import naive
from numlp.kernels import reference

KERNELS = {
    name: function
    for name, function in vars(reference).items()
    if inspect.isfunction(function) and function.__module__ == reference.__name__ and not name.startswith("_")
}
POINTWISE = {
    "identity": (naive.identity, naive.identity_slope),
    "relu": (naive.relu, naive.relu_slope),
    "sigmoid": (naive.sigmoid, naive.sigmoid_slope),
    "tanh": (naive.tanh, naive.tanh_slope),
}
ACTIVATIONS = [
    name for name in KERNELS if f"{name}_backward" in KERNELS and "z" in inspect.signature(KERNELS[name]).parameters
]
# fewer rows than a block, many blocks, and a row longer than a block
SHAPES = [(3, 5), (4099, 7), (3, 20_011)]
DTYPES = ["float32", "float64"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_every_kernel_states_its_equation_and_nothing_is_hidden():
    assert len(KERNELS) >= 20
    for name, kernel in KERNELS.items():
        assert "=" in kernel.__doc__ or "<-" in kernel.__doc__, name


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_kernel_equals_its_loops(name, rng):
    f, df = POINTWISE[name]
    z, dy = rng.normal(size=(6, 5)), rng.normal(size=(6, 5))
    y, dz = np.empty_like(z), np.empty_like(z)
    KERNELS[name](z, y)
    KERNELS[f"{name}_backward"](dy, y, dz)
    np.testing.assert_allclose(y, naive.pointwise(f, z), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(dz, naive.pointwise_backward(df, dy, z), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_kernel_gives_the_same_in_place_and_for_any_size(name, shape, dtype, rng):
    z, dy = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    apply, backward = KERNELS[name], KERNELS[f"{name}_backward"]
    y, dz = np.empty_like(z), np.empty_like(z)
    apply(z, y)
    backward(dy, y, dz)
    in_place, gradient = z.copy(), dy.copy()
    apply(in_place, in_place)
    backward(gradient, in_place, gradient)
    assert in_place.tobytes() == y.tobytes()
    assert gradient.tobytes() == dz.tobytes()
    last_y, last_dz = np.empty_like(z[-1:]), np.empty_like(z[-1:])
    apply(z[-1:].copy(), last_y)
    backward(dy[-1:].copy(), last_y, last_dz)
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(y[-1:], last_y, **close)
    np.testing.assert_allclose(dz[-1:], last_dz, **close)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_kernel_passes_a_nan_on(name):
    z = np.array([[0.5, np.nan, -0.5], [0.5, 1.0, -0.5]])
    y = np.empty_like(z)
    KERNELS[name](z, y)
    assert np.isnan(y[0, 1])
    assert np.isfinite(y[1]).all()


def test_relu_backward_takes_zero_at_the_kink():
    z = np.array([[-1.0, 0.0, 1.0]])
    y, dz = np.empty_like(z), np.empty_like(z)
    reference.relu(z, y)
    reference.relu_backward(np.full_like(z, 3.0), y, dz)
    assert dz.tolist() == [[0, 0, 3]]


def test_sigmoid_is_a_half_at_zero_and_saturates():
    z = np.array([[0.0, 1e4, -1e4]])
    y = np.empty_like(z)
    reference.sigmoid(z, y)
    assert y.tolist() == [[0.5, 1, 0]]


def test_softmax_equals_its_loops(rng):
    z, dy = 3 * rng.normal(size=(6, 5)), rng.normal(size=(6, 5))
    y, dz = np.empty_like(z), np.empty_like(z)
    reference.softmax(z, y)
    reference.softmax_backward(dy, y, dz)
    np.testing.assert_allclose(y, naive.softmax(z), rtol=1e-13)
    np.testing.assert_allclose(dz, naive.softmax_backward(dy, z), rtol=1e-11, atol=1e-15)


def test_softmax_does_not_change_when_a_row_is_shifted(rng):
    z = rng.normal(size=(4, 5))
    y, shifted = np.empty_like(z), np.empty_like(z)
    reference.softmax(z, y)
    reference.softmax(z + np.array([[-700], [0], [1e4], [3.0]]), shifted)
    np.testing.assert_allclose(y, shifted, rtol=1e-10)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["int64", "uint8", "int32"])
def test_one_hot_equals_its_loops(dtype, smoothing, rng):
    labels, q = rng.integers(4, size=7).astype(dtype), np.full((7, 4), np.nan)
    reference.one_hot(labels, smoothing, q)
    np.testing.assert_allclose(q, naive.distribution(labels, 4, smoothing), rtol=1e-14)
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("shape", [(6, 4), (2100, 10), (2, 20_011)], ids=str)
def test_loss_kernels_equal_their_formulas_for_any_size(shape, rng):
    # plain NumPy instead of loops: this one is about sizes beyond a block
    n, n_classes = shape
    z, q = rng.normal(size=shape), rng.dirichlet(np.ones(n_classes), size=n)
    p, dy = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), np.empty_like(z)
    expected, losses = -(q * np.log(p)).sum(axis=1), np.full(n, np.nan)
    reference.softmax_cross_entropy(z, q, losses, dy)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    np.testing.assert_allclose(dy, p - q, rtol=1e-9, atol=1e-14)
    reference.cross_entropy(p, q, losses, dy)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    np.testing.assert_allclose(dy, -q / p, rtol=1e-12)
    reference.squared_error(z, q, losses, dy)
    np.testing.assert_allclose(losses, ((z - q) ** 2).sum(axis=1) / 2, rtol=1e-12)
    np.testing.assert_allclose(dy, z - q, rtol=1e-13)


@pytest.mark.parametrize("kernel", ["softmax_cross_entropy", "cross_entropy", "squared_error"])
def test_loss_kernels_pass_a_nan_on(kernel):
    y, q, dy = np.array([[0.5, np.nan], [0.5, 0.5]]), np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros((2, 2))
    losses = np.zeros(2)
    KERNELS[kernel](y, q, losses, dy)
    assert np.isnan(losses).tolist() == [True, False]
    assert np.isnan(dy[0, 1])
    assert np.isfinite(dy[1]).all()


@pytest.mark.parametrize("key", [0, 1, 2**32 - 1, 2**63 - 1, 0x0123456789ABCDEF])
def test_dropout_equals_its_loops(key, rng):
    x = rng.normal(size=(6, 5))
    mask, y = np.full_like(x, np.nan), np.empty_like(x)
    reference.dropout(x, key, 0.25, mask, y)
    np.testing.assert_allclose(y, naive.dropout(x, naive.kept(key, 0.25, x.shape), 0.25), rtol=1e-14)
    np.testing.assert_allclose(y, x * mask, rtol=1e-14)
    assert set(np.unique(mask)) == {0, 1 / 0.75}
    reference.dropout_backward(y, mask)
    np.testing.assert_allclose(y, x * mask * mask, rtol=1e-14)


def test_finalizer_of_murmur3_has_the_values_of_its_first_implementation():
    assert naive.murmur3_finalizer(0) == 0
    assert naive.murmur3_finalizer(1) == 0x514E28B7
    assert naive.murmur3_finalizer(0xFFFFFFFF) == 0x81F16F39


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_random_mask_keeps_the_right_share_and_no_place_depends_on_another(rate):
    masks = np.empty((50, 20_000), np.float32)
    for key, mask in zip(np.random.default_rng(1).integers(1 << 63, size=50), masks, strict=True):
        reference.random_mask(int(key), rate, 1.0, mask)
    spread = np.sqrt(rate * (1 - rate))
    assert abs(masks.mean() - (1 - rate)) <= 4 * spread / np.sqrt(masks.size)
    if rate:
        # of a place with the next one, with the one a row of 100 further, and with the same place under the next key
        for one, other in [(masks[:, :-1], masks[:, 1:]), (masks[:, :-100], masks[:, 100:]), (masks[:-1], masks[1:])]:
            correlation = np.mean((one - (1 - rate)) * (other - (1 - rate))) / spread**2
            assert abs(correlation) <= 4 / np.sqrt(one.size)


def test_batch_norm_equals_its_loops(rng):
    x, dy = 2 + 3 * rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    gamma, beta = rng.normal(size=4), rng.normal(size=4)
    x_hat, y = np.empty_like(x), np.empty_like(x)
    mean, variance, inverse = reference.batch_norm(x, gamma, beta, 1e-3, x_hat, y)
    expected_mean, expected_variance = naive.mean_and_variance(x)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-13)
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-13)
    np.testing.assert_allclose(y, naive.normalize(x, mean, variance, gamma, beta, 1e-3), rtol=1e-12)
    expected = naive.batch_norm_backward(dy, x, gamma, 1e-3)
    for need_dx in (False, True):  # without dx, dgamma and dbeta are the same, and x_hat and dy stay
        dgamma, dbeta = np.full(4, np.nan), np.full(4, np.nan)
        reference.batch_norm_backward(dy, x_hat, gamma, inverse, dgamma, dbeta, need_dx)
        np.testing.assert_allclose(dgamma, expected["gamma"], rtol=1e-12)
        np.testing.assert_allclose(dbeta, expected["beta"], rtol=1e-12)
    np.testing.assert_allclose(dy, expected["x"], rtol=1e-10, atol=1e-13)


def test_batch_norm_is_not_fooled_by_a_large_mean():
    x = (1e4 + np.arange(8.0)[:, None]).astype(np.float32)
    x_hat, y, one = np.empty_like(x), np.empty_like(x), np.ones(1, np.float32)
    _, variance, _ = reference.batch_norm(x, one, one, 1e-5, x_hat, y)
    np.testing.assert_allclose(variance, np.arange(8.0).var(), rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [1, 20])
def test_optimizer_kernels_equal_their_loops(steps, dtype, rng):
    first, grads, scratch = rng.normal(size=9).astype(dtype), rng.normal(size=(steps, 9)).astype(dtype), np.empty(9, dtype)
    rates = [0.1 / (t + 1) for t in range(steps)]

    def run(update):
        params = first.copy()
        for t in range(steps):
            update(params, grads[t], t)
        assert params.dtype == dtype
        return params

    v, m, square = (np.zeros(9, dtype) for _ in range(3))
    close = {"rtol": 2e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    plain = run(lambda p, g, t: reference.sgd(p, g, rates[t], scratch))
    np.testing.assert_allclose(plain, naive.sgd(first, grads, rates, 9), **close)
    for nesterov in (False, True):
        v.fill(0)
        found = run(lambda p, g, t, n=nesterov: reference.sgd_momentum(p, g, v, rates[t], 0.9, n, scratch))
        np.testing.assert_allclose(found, naive.sgd(first, grads, rates, 9, momentum=0.9, nesterov=nesterov), **close)
    found = run(lambda p, g, t: reference.adam(p, g, m, square, t + 1, rates[t], 0.9, 0.99, 1e-8, scratch))
    np.testing.assert_allclose(found, naive.adam(first, grads, rates, 9, beta1=0.9, beta2=0.99), **close)


def test_adam_first_step_has_the_length_of_the_rate():
    # at t = 1 the corrected moments are g and g^2, whatever the betas
    params, grads = np.zeros(3), np.array([1e-3, -5.0, 1e3])
    reference.adam(params, grads, np.zeros(3), np.zeros(3), 1, 0.01, 0.9, 0.999, 1e-12, np.empty(3))
    np.testing.assert_allclose(params, [-0.01, 0.01, -0.01], rtol=1e-8)


def test_standardize_backward_equals_the_formulas_with_and_without_dx(rng):
    dy, x_hat, gamma, inverse = (rng.normal(size=shape) for shape in [(6, 4), (6, 4), 4, 4])
    expected = dy * gamma * inverse
    sums = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    for need_dx in (False, True):
        dgamma, dbeta = np.full(4, np.nan), np.full(4, np.nan)
        reference.standardize_backward(dy, x_hat, gamma, inverse, dgamma, dbeta, need_dx)
        np.testing.assert_allclose(dgamma, sums[0], rtol=1e-12)
        np.testing.assert_allclose(dbeta, sums[1], rtol=1e-12)
    np.testing.assert_allclose(dy, expected, rtol=1e-13)


def test_look_for_nan_minds_neither_huge_nor_tiny_numbers() -> None:
    with np.errstate(all="raise"):
        for values in (1e-30, 1e30, 3e38):
            assert reference.all_finite(np.full(9, values, np.float32))
        for value in (np.nan, np.inf, -np.inf):
            assert not reference.all_finite(np.array([1, value, 2], np.float32))
