import re

import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError, DTypeError, NumlpError
from numlp.gradients import numeric_gradient


def test_numeric_gradient_is_the_slope_at_each_index_and_restores_the_array():
    a = np.array([[1.0, 2.0], [-3.0, 0.5]])
    before = a.tobytes()
    slopes = numeric_gradient(lambda: float(np.sum(a**3)), a, np.ndindex(a.shape))
    np.testing.assert_allclose(slopes, (3 * a**2).ravel(), rtol=1e-8)
    assert a.tobytes() == before


def test_numeric_gradient_takes_the_indices_it_is_given():
    a = np.arange(4.0)
    np.testing.assert_allclose(numeric_gradient(lambda: float(a @ a), a, [(3,), (1,)]), [6, 2], rtol=1e-8)
    assert numeric_gradient(lambda: float(a @ a), a, []) == []


def test_check_gradients_returns_the_largest_error():
    assert 0 < nl.check_gradients(nl.Dense(4, 3, "tanh")) < 1e-7
    assert 0 < nl.check_gradients(nl.SquaredError()) < 1e-7


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("build", [lambda: nl.Dense(3, 2, "relu"), lambda: nl.BatchNorm(3), lambda: nl.Dropout(4, 0.5)])
def test_check_gradients_passes_for_any_seed(build, seed):
    assert nl.check_gradients(build(), rng=seed) < 1e-6


def test_check_gradients_is_as_strict_as_it_is_told():
    error = nl.check_gradients(nl.Dense(4, 3, "tanh"))
    with pytest.raises(NumlpError, match=r"^check_gradients: Dense\(4 -> 3, tanh\): d"):
        nl.check_gradients(nl.Dense(4, 3, "tanh"), tolerance=error / 1e6)


def test_check_gradients_names_array_index_and_both_values():
    class Crooked(nl.Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.db[1] += 0.5
            return dx

    with pytest.raises(NumlpError) as caught:
        nl.check_gradients(Crooked(3, 2))
    found = re.fullmatch(
        r"check_gradients: Crooked\(3 -> 2\): db\[1\] must be (\S+) \(central difference\), got (\S+)", str(caught.value)
    )
    assert float(found[2]) - float(found[1]) == pytest.approx(0.5, abs=1e-6)


def test_check_gradients_sees_a_gradient_that_is_not_a_number():
    class Lost(nl.SquaredError):
        def __call__(self, y, target):
            value, dy = super().__call__(y, target)
            dy[2, 3] = np.nan
            return value, dy

    with pytest.raises(NumlpError, match=r"^check_gradients: Lost: dy\[2, 3\] must be \S+ \(central difference\), got nan$"):
        nl.check_gradients(Lost())


def test_check_gradients_sees_a_softmax_whose_backward_is_zero():
    class Zero(nl.Softmax):
        def backward(self, dy):
            dy.fill(0)
            return dy

    with pytest.raises(NumlpError, match=r"^check_gradients: Zero\(4\): dx\["):
        nl.check_gradients(Zero(4))


def test_check_gradients_wants_a_new_layer():
    layer = nl.Dense(3, 2)
    nl.Network([layer])
    with pytest.raises(ArgumentError, match=r"must belong to one network, got a second one; build a new layer$"):
        nl.check_gradients(layer)


@pytest.mark.parametrize("part", [nl.Dense, nl.Adam(), "Dense", None])
def test_check_gradients_wants_a_layer_or_a_loss(part):
    with pytest.raises(DTypeError) as caught:
        nl.check_gradients(part)
    assert str(caught.value) == f"check_gradients: part must be a layer or a loss, got {part!r}"
