import numpy as np
import pytest

import numlp as nl
from cases import ACTIVATION_CASES
from numlp.activations import ACTIVATIONS
from numlp.initializers import INITIALIZERS

SHAPES = [(5, 4), (1, 4), (5, 1)]
each_activation = pytest.mark.parametrize("name", ACTIVATION_CASES)


def kept(name, z, y):
    """Return what a layer keeps for the backward pass."""
    return z if ACTIVATIONS[name].keeps_input else y


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_activation
def test_activation_equals_its_loops(name, shape):
    rng = np.random.default_rng(0)
    z, dy = 3 * rng.normal(size=shape), rng.normal(size=shape)
    y, dz = np.empty_like(z), np.empty_like(z)
    ACTIVATIONS[name].apply(z, y)
    ACTIVATIONS[name].backward(dy, kept(name, z, y), dz)
    np.testing.assert_allclose(y, ACTIVATION_CASES[name].forward(z), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(dz, ACTIVATION_CASES[name].backward(dy, z), rtol=1e-10, atol=1e-14)


@each_activation
def test_activation_may_work_in_place(name):
    rng = np.random.default_rng(0)
    z, dy = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    y, dz = np.empty_like(z), np.empty_like(z)
    ACTIVATIONS[name].apply(z, y)
    before = kept(name, z, y).copy()
    ACTIVATIONS[name].backward(dy, before, dz)
    ACTIVATIONS[name].apply(z, z)
    ACTIVATIONS[name].backward(dy, before, dy)
    assert z.tobytes() == y.tobytes()
    assert dy.tobytes() == dz.tobytes()


@each_activation
def test_activation_writes_to_nothing_but_out(name):
    z, dy = np.linspace(-1, 1, 12).reshape(3, 4), np.ones((3, 4))
    y, dz = np.empty_like(z), np.empty_like(z)
    z.setflags(write=False)
    dy.setflags(write=False)
    ACTIVATIONS[name].apply(z, y)
    y.setflags(write=False)
    ACTIVATIONS[name].backward(dy, kept(name, z, y), dz)


@each_activation
def test_activation_names_the_initializer_that_suits_it(name):
    assert ACTIVATIONS[name].initializer == ACTIVATION_CASES[name].initializer
    assert ACTIVATIONS[name].initializer in INITIALIZERS


def test_relu_with_its_initializer_keeps_a_signal_alive_through_many_layers():
    layers = [nl.Dense(400, 400, "relu") for _ in range(10)]
    network = nl.Network(layers, rng=0)
    x = np.random.default_rng(1).normal(size=(100, 400)).astype(np.float32)
    assert 0.5 < np.sqrt(np.mean(network.forward(x) ** 2)) < 2
