import re

import numpy as np
import pytest

import numlp as nl
from cases import OPTIMIZER_VARIANTS
from numlp.errors import ArgumentError, DTypeError

each_optimizer = pytest.mark.parametrize("variant", OPTIMIZER_VARIANTS, ids=str)


def after(optimizer, grads, start=(1.0,)):
    params = np.array(start)
    for gradient in grads:
        optimizer.step(params, np.full_like(params, gradient))
    return params.tolist()


def test_sgd_steps_worked_by_hand():
    assert after(nl.SGD(0.5), [2, 4]) == [1 - 1 - 2]
    # v = 2, then 0.5 * 2 + 4 = 5
    assert after(nl.SGD(0.5, momentum=0.5), [2, 4]) == [1 - 1 - 2.5]
    # g + mu v = 3, then 4 + 2.5
    assert after(nl.SGD(0.5, momentum=0.5, nesterov=True), [2, 4]) == [1 - 1.5 - 3.25]


def test_adam_steps_of_a_constant_gradient_have_the_length_of_the_rate():
    np.testing.assert_allclose(after(nl.Adam(0.01), [3] * 10), [1 - 10 * 0.01], rtol=1e-8)


def test_adamw_decays_weights_and_leaves_biases():
    params = np.ones(5)
    optimizer = nl.AdamW(0.1, weight_decay=0.5)
    optimizer.start(params, 3)
    optimizer.step(params, np.zeros(5))
    np.testing.assert_allclose(params, [0.95] * 3 + [1, 1], rtol=1e-15)


def test_adamw_decays_the_weights_of_a_network_only():
    layer = nl.Dense(3, 2)
    network = nl.Network([layer], rng=0)
    layer.b[...] = 1
    before = layer.W.copy()
    optimizer = nl.AdamW(0.1, weight_decay=0.5)
    optimizer.start(network.params, network.n_weights)
    optimizer.step(network.params, network.grads)
    np.testing.assert_allclose(layer.W, 0.95 * before, rtol=1e-6)
    assert layer.b.tolist() == [1, 1]


def test_adamw_of_no_decay_is_adam():
    grads = [1, -2, 0.5]
    assert after(nl.AdamW(0.1, weight_decay=0), grads) == after(nl.Adam(0.1), grads)


def test_adamw_decay_is_not_in_the_gradient():
    # the step towards zero is lr * decay * w, whatever the history of gradients says
    np.testing.assert_allclose(after(nl.AdamW(0.1, weight_decay=0.5), [1e3]), [0.95 - 0.1], rtol=1e-9)


@each_optimizer
def test_optimizer_with_a_schedule_wants_the_number_of_steps(variant):
    optimizer = variant.build(nl.Cosine(0.1))
    name = variant.kind.__name__
    message = (
        f"{name}.step: total_steps must be known to a schedule, got none; "
        "call start(params, n_weights, total_steps) first, as fit does"
    )
    for begin in (lambda params: None, lambda params: optimizer.start(params, 2)):
        params = np.ones(3)
        begin(params)
        with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
            optimizer.step(params, np.ones(3))
        assert params.tolist() == [1, 1, 1]


@each_optimizer
def test_optimizer_follows_its_schedule(variant):
    schedule = nl.WarmUp(2, nl.Cosine(0.1))
    optimizer, params = variant.build(schedule), np.ones(3)
    optimizer.start(params, 2, total_steps=5)
    rates = []
    for step in range(5):
        assert optimizer.n_steps == step
        optimizer.step(params, np.ones(3))
        rates.append(optimizer.rate)
    assert rates == [schedule(t, 5) for t in range(5)]
    assert optimizer.learning_rate is schedule


@each_optimizer
def test_optimizer_steps_without_start_and_counts(variant):
    optimizer, params = variant.build(0.1), np.ones(3)
    assert (optimizer.n_steps, optimizer.rate) == (0, 0)
    for _ in range(3):
        optimizer.step(params, np.ones(3))
    assert (optimizer.n_steps, optimizer.rate) == (3, 0.1)
    assert (params < 1).all()


@each_optimizer
def test_optimizer_starts_over_for_other_parameters(variant):
    optimizer = variant.build(0.1)
    optimizer.step(np.ones(3), np.ones(3))
    for params in (np.ones(5), np.ones(5, np.float32)):
        optimizer.step(params, np.ones_like(params))
        assert optimizer.n_steps == 1
        fresh, expected = variant.build(0.1), np.ones_like(params)
        fresh.step(expected, np.ones_like(params))
        assert params.tobytes() == expected.tobytes()


@each_optimizer
def test_optimizer_state_is_flat_and_starts_at_zero(variant):
    optimizer, params = variant.build(0.1), np.ones(5, np.float32)
    optimizer.start(params, 3)
    for name in optimizer.state_names:
        state = getattr(optimizer, name)
        assert state.shape == params.shape
        assert state.dtype == params.dtype
        assert not state.any()


def test_optimizer_keeps_only_the_state_it_needs():
    assert nl.SGD(0.1).state_names == ()
    assert nl.SGD(0.1, momentum=0.9).state_names == ("velocity",)
    assert nl.Adam().state_names == nl.AdamW().state_names == ("m", "v")


@each_optimizer
def test_optimizer_finds_the_minimum_of_a_bowl(variant):
    target = np.linspace(-1, 1, 5)
    optimizer, params = variant.build(nl.OneCycle(0.1)), np.zeros(5)
    optimizer.start(params, 0, total_steps=400)
    for _ in range(400):
        optimizer.step(params, params - target)
    np.testing.assert_allclose(params, target, atol=1e-3)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nl.SGD(0), ArgumentError, "SGD: learning_rate must be a number above 0, got 0"),
        (lambda: nl.SGD(np.inf), ArgumentError, "SGD: learning_rate must be a number above 0, got inf"),
        (lambda: nl.Adam(-1), ArgumentError, "Adam: learning_rate must be a number above 0, got -1"),
        (lambda: nl.AdamW("0.1"), DTypeError, "AdamW: learning_rate must be a number above 0, got '0.1'"),
        (lambda: nl.SGD(0.1, 1), ArgumentError, "SGD: momentum must be a number at least 0 and below 1, got 1"),
        (
            lambda: nl.SGD(0.1, nesterov=True),
            ArgumentError,
            "SGD: momentum must be above 0 with nesterov, got 0; give for example momentum=0.9",
        ),
        (lambda: nl.Adam(beta1=1), ArgumentError, "Adam: beta1 must be a number at least 0 and below 1, got 1"),
        (lambda: nl.AdamW(beta2=-1), ArgumentError, "AdamW: beta2 must be a number at least 0 and below 1, got -1"),
        (lambda: nl.Adam(epsilon=0), ArgumentError, "Adam: epsilon must be a number above 0, got 0"),
        (lambda: nl.AdamW(weight_decay=-1), ArgumentError, "AdamW: weight_decay must be a number at least 0, got -1"),
    ],
)
def test_optimizer_rejects_arguments_out_of_range(build, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        build()


def test_optimizer_without_an_update_says_so():
    with pytest.raises(NotImplementedError):
        nl.Optimizer(0.1).step(np.ones(1), np.ones(1))


def test_learning_rate_may_be_a_numpy_number():
    rate = nl.SGD(np.float32(0.5)).learning_rate
    assert type(rate) is float
    assert rate == 0.5
