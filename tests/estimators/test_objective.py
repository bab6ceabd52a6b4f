import numpy as np
import pytest
from sklearn.utils import shuffle

import numlp as nl
from numlp.estimators.objective import EarlyEpsilonAdam, Objective, RowOrder


def test_penalty_is_shared_by_the_weight_of_the_batch() -> None:
    network = nl.Network([nl.Dense(2, 1)], rng=0, dtype="float64")
    y, target, weight = np.array([[1.0], [2.0]]), np.array([[0.0], [0.0]]), np.array([1.0, 3.0])
    objective = Objective(nl.SquaredError(), network, alpha=0.5)
    value, dy = objective(y, target, weight)
    assert value == (1 * 0.5 + 3 * 2) / 4
    assert network.l2 == 0.5 / 4 and objective.total_weight == 2
    assert objective.value == pytest.approx(value + 0.5 / 4 / 2 * np.square(network.layers[0].W).sum())
    np.testing.assert_allclose(dy, [[1 / 4], [6 / 4]])
    objective(y, target)
    assert network.l2 == 0.5 / 2


def test_deviance_is_zero_where_the_mean_is_right() -> None:
    network = nl.Network([nl.Dense(2, 1)], rng=0)
    target = np.array([[2.0], [5.0]])
    value, _ = Objective(nl.Poisson(), network, 0.0, deviance=True)(np.log(target), target)
    assert abs(value) < 1e-12
    value, _ = Objective(nl.Poisson(), network, 0.0, deviance=True)(np.zeros((1, 1)), np.zeros((1, 1)))
    assert value == 1


def test_rows_come_in_scikit_learns_order() -> None:
    order, theirs, rows = (
        RowOrder(np.random.PCG64(0), np.random.RandomState(5), True),
        np.random.RandomState(5),
        np.arange(20),
    )
    for _ in range(3):
        rows = shuffle(rows, random_state=theirs)
        np.testing.assert_array_equal(order.permutation(20), rows)
    np.testing.assert_array_equal(RowOrder(np.random.PCG64(0), np.random.RandomState(5), False).permutation(4), np.arange(4))


def test_early_epsilon_is_added_before_the_correction() -> None:
    p, g, b1, b2, epsilon = np.array([1.0]), np.array([2.0]), 0.5, 0.75, 0.1
    adam, m, v, expected = EarlyEpsilonAdam(0.1, b1, b2, epsilon), 0.0, 0.0, 1.0
    for t in (1, 2, 3):
        adam.step(p, g)
        m, v = b1 * m + (1 - b1) * 2, b2 * v + (1 - b2) * 4
        expected -= 0.1 * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + epsilon)
        np.testing.assert_allclose(p, expected, rtol=1e-12)
