import json
import re
import tracemalloc

import numpy as np
import pytest

import numlp as nl
from cases import OPTIMIZER_VARIANTS
from numlp.config import from_config, to_config
from numlp.errors import ArgumentError, DTypeError
from numlp.optimizers import OPTIMIZERS
from numlp.schedules import SCHEDULES

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
    optimizer, params = variant.build(nl.OneCycle(variant.case.bowl)), np.zeros(5)
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


# Factors, clipping and decay of every optimizer


def start(optimizer, network, total=None):
    optimizer.start(network.params, network.n_weights, total, network.arena.slices)
    return optimizer


def deep(dtype="float64"):
    return nl.Network([nl.Dense(3, 4, "tanh"), nl.BatchNorm(4), nl.Dense(4, 2)], rng=0, dtype=dtype)


def test_slices_name_every_trained_array():
    network = deep()
    slices = network.arena.slices
    assert list(slices) == ["layers.0.W", "layers.0.b", "layers.1.gamma", "layers.1.beta", "layers.2.W", "layers.2.b"]
    covered = np.zeros(network.params.size, int)
    for name, part in slices.items():
        _, i, parameter = name.split(".")
        assert network.params[part].tolist() == network.arena.values[int(i)][parameter].ravel().tolist()
        covered[part] += 1
    assert (covered == 1).all()


@each_optimizer
def test_optimizer_without_factors_is_one_pass(variant):
    optimizer = start(variant.build(0.1), deep())
    assert optimizer._rates == [(slice(0, 34), 1.0)]
    assert optimizer._decays == [(slice(0, deep().n_weights), 1.0)]


def test_neighbours_of_equal_factors_are_updated_together():
    network = deep()
    optimizer = start(nl.AdamW(0.1, factors={"layers.2.*": (0.5, 1.0), "layers.*.b": (1.0, 0.25)}), network)
    place = network.arena.slices
    last, bias = place["layers.2.W"], place["layers.2.b"]
    assert optimizer._rates == [
        (slice(0, last.start), 1.0),
        (last, 0.5),
        (slice(last.stop, bias.start), 1.0),
        (bias, 0.5),
    ]
    # rate times decay; the batch norm, which is not decayed, is left out
    assert optimizer._decays == [
        (slice(0, last.start), 1.0),
        (last, 0.5),
        (place["layers.0.b"], 0.25),
        (bias, 0.5),
    ]


@each_optimizer
def test_first_pattern_that_fits_counts_and_a_factor_of_zero_freezes(variant):
    network = deep()
    before = {name: network.params[part].copy() for name, part in network.arena.slices.items()}
    factors = {"layers.0.W": (1.0, 1.0), "layers.0.*": (0.0, 1.0), "*.W": (0.0, 0.0)}
    optimizer = variant.kind(0.1, **variant.options, factors=factors)
    start(optimizer, network).step(network.params, np.ones_like(network.params))
    for name, part in network.arena.slices.items():
        changed = (network.params[part] != before[name]).all()
        same = (network.params[part] == before[name]).all()
        assert same if name in ("layers.0.b", "layers.2.W") else changed


def test_decay_factor_reaches_biases_only_if_it_is_told_to():
    network = deep()
    network.params.fill(1)
    optimizer = nl.AdamW(0.1, weight_decay=0.5, factors={"layers.0.b": (2.0, 3.0)})
    start(optimizer, network).step(network.params, np.zeros_like(network.params))
    values = {name: set(network.params[part].round(12)) for name, part in network.arena.slices.items()}
    assert values["layers.0.b"] == {0.7}  # 1 - (2 * 0.1) (3 * 0.5)
    assert values["layers.0.W"] == values["layers.2.W"] == {0.95}
    assert values["layers.2.b"] == {1.0}


def test_weight_decay_may_be_a_schedule():
    optimizer, params, expected = nl.AdamW(0.1, weight_decay=nl.FlatCosine(0.5)), np.ones(1), 1.0
    optimizer.start(params, 1, total_steps=8)
    for t in range(8):
        optimizer.step(params, np.zeros(1))
        expected *= 1 - 0.1 * nl.FlatCosine(0.5)(t, 8)
    np.testing.assert_allclose(params, expected, rtol=1e-14)


def test_fit_passes_the_names_on():
    network = deep()
    before = network.params.copy()
    data = np.random.default_rng(0).normal(size=(6, 3)), np.arange(6) % 2
    nl.fit(network, data, optimizer=nl.SGD(0.1, factors={"layers.[01].*": (0.0, 0.0)}), epochs=1)
    last = [network.arena.slices[f"layers.2.{name}"] for name in "Wb"]
    assert all((network.params[part] != before[part]).all() for part in last)
    for part in last:
        before[part] = network.params[part]
    assert network.params.tolist() == before.tolist()


def test_factors_that_name_nothing_leave_the_network_alone():
    network = deep()
    data = np.ones((6, 3)), np.arange(6) % 2
    message = (
        "SGD.start: factors must name parameters of the network, got 'layer.0.*', which fits none of layers.0.W, "
        "layers.0.b, layers.1.gamma, layers.1.beta, layers.2.W, layers.2.b"
    )
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        nl.fit(network, data, optimizer=nl.SGD(factors={"layer.0.*": (1, 1)}))
    assert network.loss is None
    message = "SGD.start: slices must be given for factors, got none; pass network.arena.slices, as fit does"
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        nl.SGD(factors={"*": (1, 1)}).step(np.ones(1), np.ones(1))


def test_factors_and_their_order_survive_json():
    factors = {"layers.0.W": (6.0, 6.0), "*.W": (1.0, 1.0), "*": (0.1, 0.0)}
    optimizer = nl.AdamW(nl.CosLog4(0.04), weight_decay=nl.FlatCosine(0.02), factors=factors, clip_norm=1, clip_value=2)
    text = json.dumps(to_config(optimizer), sort_keys=True)
    again = from_config(json.loads(text), {**OPTIMIZERS, **SCHEDULES})
    assert list(again.factors.items()) == list(factors.items())
    assert (again.clip_norm, again.clip_value, again.weight_decay) == (1, 2, nl.FlatCosine(0.02))
    assert json.dumps(to_config(again), sort_keys=True) == text


def stepped(grads, dtype="float64", **options):
    """Return the gradients plain descent has used."""
    params = np.zeros(len(grads), dtype)
    nl.SGD(1.0, **options).step(params, np.array(grads, dtype))
    return -params


def test_clipping_worked_by_hand():
    assert stepped([3, -4], clip_value=1).tolist() == [1, -1]
    np.testing.assert_allclose(stepped([3, -4], clip_norm=1), np.array([3, -4]) / (5 + 1e-6), rtol=1e-15)
    assert stepped([3, -4], clip_norm=6).tolist() == [3, -4]
    np.testing.assert_allclose(
        stepped([3, -4], clip_norm=1, clip_value=2), np.array([2, -2]) / (np.sqrt(8) + 1e-6), rtol=1e-15
    )
    assert stepped([0, 0], clip_norm=1).tolist() == [0, 0]


@pytest.mark.parametrize(("size", "expected"), [(1e-30, [3e-30, -4e-30]), (1e30, [0.6, -0.8])])
def test_clipping_of_numbers_whose_squares_leave_float32_is_right(size, expected):
    with np.errstate(all="raise"):
        found = stepped([3 * size, -4 * size], "float32", clip_norm=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("option", [{"clip_norm": 0.5}, {"clip_value": 0.1}])
@each_optimizer
def test_clipping_leaves_the_gradients_alone_and_allocates_nothing_long(variant, option):
    optimizer, grads = variant.kind(0.01, **variant.options, **option), np.ones(100_000, np.float32)
    params = np.ones_like(grads)
    grads.setflags(write=False)
    optimizer.step(params, grads)
    tracemalloc.start()
    optimizer.step(params, grads)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64_000


def test_lion_moves_every_parameter_by_its_rate():
    params = np.zeros(4)
    nl.Lion(0.1).step(params, np.array([1e-9, -1e9, 3, 0]))
    assert params.tolist() == [-0.1, 0.1, -0.1, 0]


def test_amsgrad_remembers_its_largest_square():
    optimizer, params = nl.AMSGrad(0.1, beta2=0.5), np.zeros(1)
    for gradient in (10.0, 0.1, 0.1):
        optimizer.step(params, np.array([gradient]))
    assert optimizer.v_max.tolist() == [50.0]
    assert optimizer.v[0] < 15


def test_radam_begins_without_the_second_moment():
    # with beta2 = 0.999 equation (4) holds for the first five steps
    optimizer, params = nl.RAdam(0.1), np.zeros(1)
    lengths = []
    for _ in range(7):
        before = params.copy()
        optimizer.step(params, np.array([3.0]))
        lengths.append(float((before - params)[0]))
    np.testing.assert_allclose(lengths[:5], 0.3, rtol=1e-12)
    assert max(lengths[5:]) < 0.01


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nl.SGD(clip_norm=0), ArgumentError, "SGD: clip_norm must be a number above 0, got 0"),
        (lambda: nl.Lion(clip_value=-1), ArgumentError, "Lion: clip_value must be a number above 0, got -1"),
        (
            lambda: nl.Adam(factors={"*.b": 0.1}),
            DTypeError,
            "Adam: factors must be a dict of pattern: (rate factor, decay factor), got {'*.b': 0.1}; "
            'for example {"*.b": (0.1, 0.0)}',
        ),
        (
            lambda: nl.Adam(factors={1: (1, 1)}),
            DTypeError,
            "Adam: factors must be a dict of pattern: (rate factor, decay factor), got {1: (1, 1)}; "
            'for example {"*.b": (0.1, 0.0)}',
        ),
        (
            lambda: nl.Adam(factors={"*": (1, -1)}),
            ArgumentError,
            "Adam: factors['*'][1] must be a number at least 0, got -1",
        ),
        (lambda: nl.RMSprop(alpha=1), ArgumentError, "RMSprop: alpha must be a number at least 0 and below 1, got 1"),
        (lambda: nl.RMSprop(epsilon=0), ArgumentError, "RMSprop: epsilon must be a number above 0, got 0"),
        (lambda: nl.RMSprop(momentum=1), ArgumentError, "RMSprop: momentum must be a number at least 0 and below 1, got 1"),
        (lambda: nl.Adagrad(epsilon=0), ArgumentError, "Adagrad: epsilon must be a number above 0, got 0"),
        (lambda: nl.Adadelta(rho=1), ArgumentError, "Adadelta: rho must be a number at least 0 and below 1, got 1"),
        (lambda: nl.Adadelta(epsilon=0), ArgumentError, "Adadelta: epsilon must be a number above 0, got 0"),
        (lambda: nl.NAdam(momentum_decay=-1), ArgumentError, "NAdam: momentum_decay must be a number at least 0, got -1"),
        (lambda: nl.NAdam(weight_decay=-1), ArgumentError, "NAdam: weight_decay must be a number at least 0, got -1"),
        (lambda: nl.Lion(beta2=1), ArgumentError, "Lion: beta2 must be a number at least 0 and below 1, got 1"),
    ],
)
def test_optimizer_rejects_more_arguments_out_of_range(build, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        build()
