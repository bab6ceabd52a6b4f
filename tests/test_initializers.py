import math

import numpy as np
import pytest

import numlp as nl
from cases import ACTIVATION_CASES, INITIALIZER_CASES
from numlp.initializers import INITIALIZERS

FLOAT64 = np.dtype("float64")
each_initializer = pytest.mark.parametrize("name", INITIALIZER_CASES)


# a million draws each: the estimates below are off by 0.1 to 0.2 %
@pytest.mark.parametrize("shape", [(1000, 1000), (400, 2500), (2500, 400)], ids=str)
@each_initializer
def test_initializer_has_the_mean_and_variance_of_the_paper(name, shape):
    draws = INITIALIZERS[name](shape, np.random.default_rng(0), FLOAT64)
    variance = INITIALIZER_CASES[name].variance(*shape)
    assert draws.shape == shape
    assert abs(draws.mean()) < 5 * math.sqrt(variance / draws.size)
    assert draws.var() == pytest.approx(variance, rel=0.01)


@each_initializer
def test_initializer_has_the_form_of_the_paper(name):
    draws = INITIALIZERS[name]((400, 2500), np.random.default_rng(0), FLOAT64)
    case = INITIALIZER_CASES[name]
    kurtosis = np.mean(draws**4) / draws.var() ** 2
    assert kurtosis == pytest.approx(1.8 if case.uniform else 3.0, abs=0.05)
    if case.uniform:
        bound = math.sqrt(3 * case.variance(400, 2500))
        assert 0.999 * bound < draws.max() <= bound
        assert -bound <= draws.min() < -0.999 * bound


def test_glorot_uniform_bound_is_the_one_of_equation_16():
    draws = INITIALIZERS["glorot_uniform"]((400, 2500), np.random.default_rng(0), FLOAT64)
    assert np.abs(draws).max() == pytest.approx(math.sqrt(6) / math.sqrt(400 + 2500), rel=1e-3)


@each_initializer
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
