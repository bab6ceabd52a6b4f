import math
import re

import numpy as np
import pytest

import numlp as nl
from cases import ACTIVATION_CASES, INITIALIZER_CASES
from numlp.errors import ArgumentError, DTypeError
from numlp.initializers import INITIALIZERS

FLOAT64 = np.dtype("float64")
each_initializer = pytest.mark.parametrize("name", INITIALIZER_CASES)


each_random = pytest.mark.parametrize("name", [name for name in INITIALIZER_CASES if name != "zeros"])


# a million draws each: the estimates below are off by 0.1 to 0.2 %
@pytest.mark.parametrize("shape", [(1000, 1000), (400, 2500), (2500, 400)], ids=str)
@each_random
def test_initializer_has_the_mean_and_variance_of_the_paper(name, shape):
    draws = INITIALIZERS[name](shape, np.random.default_rng(0), FLOAT64)
    variance = INITIALIZER_CASES[name].variance(*shape)
    assert draws.shape == shape
    assert draws.flags.c_contiguous
    assert abs(draws.mean()) < 5 * math.sqrt(variance / draws.size)
    assert draws.var() == pytest.approx(variance, rel=0.01)


@each_random
def test_initializer_has_the_form_of_the_paper(name):
    draws = INITIALIZERS[name]((400, 2500), np.random.default_rng(0), FLOAT64)
    case = INITIALIZER_CASES[name]
    assert np.mean(draws**4) / draws.var() ** 2 == pytest.approx(case.kurtosis, abs=0.05)
    if math.isfinite(case.largest):
        bound = case.largest * math.sqrt(case.variance(400, 2500)) * (1 + 1e-6)
        assert 0.999 * bound < draws.max() <= bound
        assert -bound <= draws.min() < -0.999 * bound


def test_truncated_normal_variance_is_exact_to_the_noise_of_a_million_draws():
    # without the correction the variance would be 23 % too small
    draws = INITIALIZERS["he_truncated_normal"]((1000, 1000), np.random.default_rng(1), FLOAT64)
    assert draws.var() == pytest.approx(2 / 1000, rel=5 * math.sqrt(1.366 / 1e6))


@pytest.mark.parametrize("shape", [(60, 20), (20, 60), (30, 30), (5, 1), (1, 5), (1, 1)], ids=str)
def test_orthogonal_matrix_times_its_transpose_is_one(shape):
    W = INITIALIZERS["orthogonal"](shape, np.random.default_rng(0), FLOAT64)
    product = W.T @ W if shape[0] >= shape[1] else W @ W.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_matrices_have_no_preferred_sign():
    # of a uniformly distributed orthogonal matrix the diagonal averages 0; a QR without the sign fix gives about -0.4
    rng = np.random.default_rng(0)
    diagonal = [np.diag(INITIALIZERS["orthogonal"]((3, 3), rng, FLOAT64)).mean() for _ in range(2000)]
    assert abs(np.mean(diagonal)) < 0.04


def test_zeros_are_zero_and_a_number_fills():
    assert not INITIALIZERS["zeros"]((3, 4), np.random.default_rng(0), FLOAT64).any()
    for value in (0, -2, 0.25):
        layer = nl.Dense(3, 2, initializer=value)
        nl.Network([layer], rng=0)
        assert layer.W.tolist() == [[value] * 2] * 3
        assert layer.initializer == value


@pytest.mark.parametrize(
    ("initializer", "error", "message"),
    [
        ("he_norml", ArgumentError, "got 'he_norml'; did you mean 'he_normal'?"),
        ("constant", ArgumentError, "got 'constant'"),
        (math.nan, ArgumentError, "Dense: initializer must be a name or a finite number, got nan"),
        ([1], DTypeError, "Dense: initializer must be a name or a finite number, got [1]"),
        (True, DTypeError, "Dense: initializer must be a name or a finite number, got True"),
    ],
)
def test_initializer_of_another_kind_is_refused(initializer, error, message):
    with pytest.raises(error, match=f"{re.escape(message)}$"):
        nl.Dense(3, 2, initializer=initializer)


def test_glorot_uniform_bound_is_the_one_of_equation_16():
    draws = INITIALIZERS["glorot_uniform"]((400, 2500), np.random.default_rng(0), FLOAT64)
    assert np.abs(draws).max() == pytest.approx(math.sqrt(6) / math.sqrt(400 + 2500), rel=1e-3)


@each_random
def test_initializer_gives_the_dtype_and_the_bytes_of_the_seed(name):
    draw = INITIALIZERS[name]
    for dtype in ("float32", "float64"):
        first, second, other = (draw((3, 4), np.random.default_rng(seed), np.dtype(dtype)) for seed in (1, 1, 2))
        assert first.dtype == dtype
        assert first.tobytes() == second.tobytes() != other.tobytes()


@pytest.mark.parametrize("activation", ACTIVATION_CASES)
def test_dense_draws_from_the_initializer_of_its_activation(activation):
    layer = nl.Dense(6, 5, activation)
    nl.Network([layer], rng=3, dtype="float64")
    draw = INITIALIZERS[ACTIVATION_CASES[activation].initializer]
    assert layer.W.tobytes() == draw((6, 5), np.random.default_rng(3), FLOAT64).tobytes()
    assert not layer.b.any()


@each_initializer
def test_dense_draws_from_the_initializer_it_is_told(name):
    layer = nl.Dense(6, 5, "relu", name)
    nl.Network([layer], rng=3, dtype="float64")
    assert layer.W.tobytes() == INITIALIZERS[name]((6, 5), np.random.default_rng(3), FLOAT64).tobytes()
