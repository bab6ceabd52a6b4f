"""The promises every part makes, tested for every entry in `cases`."""

import functools
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

import cases
import numlp as nl
from cases import ACTIVATION_CASES, LAYER_VARIANTS, LOSS_VARIANTS, OPTIMIZER_VARIANTS, SCHEDULE_VARIANTS, Variant
from numlp import metrics, verification
from numlp.activations import ACTIVATIONS
from numlp.config import _plain, from_config, to_config
from numlp.errors import DTypeError, NumlpError, ShapeError
from numlp.layers import LAYERS
from numlp.losses import LOSSES
from numlp.optimizers import OPTIMIZERS
from numlp.schedules import SCHEDULES
from sizes import examples, first_uses, pairs

HERE = Path(__file__).parent
TYPES = {**LAYERS, **LOSSES, **OPTIMIZERS, **SCHEDULES}
SHAPES = [(5, 4, 3), (1, 4, 3), (5, 1, 1), (2, 7, 5)]  # rows, inputs, outputs
STORED_SHAPES = SHAPES[:3]
STEPS = (1, 10, 100)
LIMIT = 64 * 1024  # bytes
DTYPES = ["float32", "float64"]
EXACT = {"float32": {"rtol": 1e-4, "atol": 1e-3}, "float64": {"rtol": 1e-9, "atol": 1e-9}}

each_layer = pytest.mark.parametrize("variant", LAYER_VARIANTS, ids=str)
each_loss = pytest.mark.parametrize(
    ("variant", "kind"), [(v, kind) for v in LOSS_VARIANTS for kind in v.case.targets], ids=str
)
each_optimizer = pytest.mark.parametrize("variant", OPTIMIZER_VARIANTS, ids=str)
each_schedule = pytest.mark.parametrize("variant", SCHEDULE_VARIANTS, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_layer_and_shape = pytest.mark.parametrize(("variant", "shape"), pairs(LAYER_VARIANTS, SHAPES))
many = settings(max_examples=examples(200), deadline=None, derandomize=True, database=None)
NUMBERS = st.floats(-2, 2, width=16) | st.sampled_from([0.0, 1e4, -1e4])


@functools.cache
def stored(name):
    """What tests/oracle/make.py wrote."""
    return load_file(verification.ORACLE / f"{name}.safetensors")


def stored_case(name, key):
    """Return the arrays under one key, without it."""
    found = {full.removeprefix(f"{key}/"): array for full, array in stored(name).items() if full.startswith(f"{key}/")}
    assert found, f"nothing is stored for {key}; run tests/oracle/make.py"
    return found


def network_of(layer, values=None, dtype="float64", rows=8):
    """Return a network of one layer, with these values, whose layer gives dx."""
    network = nl.Network([layer], rng=3, dtype=dtype)
    for name, view in network.arena.values[0].items():
        if values is not None:
            view[...] = values[name]
    layer.reserve(rows, need_dx=True)
    return network


def drawn(network, variant, shape):
    """Return what the next training pass will draw from the network's generator, leaving it as it is."""
    before = network.rng.bit_generator.state
    result = variant.case.draw(network.rng, shape, **variant.options)
    network.rng.bit_generator.state = before
    return result


def bits(*arrays):
    """Return the bytes of arrays, for comparisons to the last bit."""
    return [np.asarray(array).tobytes() for array in arrays]


# The tables are complete


@pytest.mark.parametrize("table", cases.TABLES)
def test_every_name_in_a_table_of_parts_has_an_entry(table):
    entries, names = cases.TABLES[table]
    assert sorted(names) == sorted(entries), f"give each {table} one entry in tests/cases.py"


def test_every_public_class_of_the_parts_has_an_entry():
    entries = {name for table, _ in cases.TABLES.values() for name in table}
    for module in (nl.layers, nl.losses, nl.optimizers, nl.schedules):
        for name, kind in vars(module).items():
            is_part = inspect.isclass(kind) and issubclass(kind, cases.BASES) and kind not in cases.BASES
            if is_part and not name.startswith("_"):
                assert name in entries, f"{module.__name__}.{name} has no entry in tests/cases.py"


def test_every_part_numlp_exports_has_an_entry():
    entries = {name for table, _ in cases.TABLES.values() for name in table}
    homes = {
        f"numlp.{name}" for name in ("activations", "initializers", "layers", "losses", "metrics", "optimizers", "schedules")
    }
    for name in nl.__all__:
        thing = getattr(nl, name)
        if getattr(thing, "__module__", None) in homes and thing not in cases.BASES:
            assert name in entries, f"numlp.{name} has no entry in tests/cases.py"


def test_every_part_with_a_class_is_exported_by_numlp():
    for name in (*LAYERS, *LOSSES, *OPTIMIZERS, *SCHEDULES):
        assert name in nl.__all__
        assert getattr(nl, name) is TYPES[name]


def test_the_tables_of_parts_live_in_modules_that_exist():
    modules = {module.name for module in pkgutil.iter_modules(nl.__path__)}
    assert {"layers", "losses", "optimizers", "schedules", "activations", "initializers", "metrics"} <= modules


def test_the_stored_numbers_stay_small():
    assert sum(path.stat().st_size for path in verification.ORACLE.glob("*.safetensors")) < 2_000_000


# 1. The right numbers


@each_layer_and_shape
def test_layer_equals_its_loops(variant, shape):
    layer, x, values = cases.draw_layer(variant, *shape)
    network = network_of(layer, values)
    v, options = values | drawn(network, variant, (shape[0], layer.n_out)), variant.options
    np.testing.assert_allclose(layer.forward(x), variant.case.forward(x, v, False, **options), rtol=1e-10, atol=1e-12)
    y = layer.forward(x, training=True)
    np.testing.assert_allclose(y, variant.case.forward(x, v, True, **options), rtol=1e-10, atol=1e-12)
    for name, expected in variant.case.state(x, values, **options).items():
        np.testing.assert_allclose(network.arena.values[0][name], expected, rtol=1e-12, err_msg=name)
    dy = np.random.default_rng(5).normal(size=y.shape)
    expected = variant.case.backward(dy.copy(), x, v, **options)
    found = {"x": layer.backward(dy), **network.arena.gradients[0]}
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-11, err_msg=f"d{name}")


def sensitivity(twin, x, dtype):
    """Return how far the twin's result moves when x moves by its rounding: large numbers next to small ones cancel."""
    x = x.astype(np.float64)
    moved = x + np.finfo(dtype).eps * np.abs(x).max() * np.random.default_rng(0).choice([-1, 1], x.shape)
    return float(np.max(np.abs(np.asarray(twin(moved)) - np.asarray(twin(x)))))


@pytest.mark.parametrize("variant", LAYER_VARIANTS, ids=str)
@many
@given(data=st.data())
def test_layer_equals_its_loops_for_any_rows(variant, data):
    n, n_in, n_out = (data.draw(st.integers(1, most)) for most in (6, 5, 4))
    dtype = data.draw(st.sampled_from([*DTYPES, *variant.case.takes]))
    elements = st.integers(0, 255) if dtype == "uint8" else NUMBERS
    x = data.draw(hnp.arrays(dtype, (n, n_in), elements=elements))
    training = data.draw(st.booleans())
    own = dtype if dtype in DTYPES else "float64"
    layer = variant.layer(n_in, n_out)
    x = layer.example(x)
    values = cases.draw_values(layer, np.random.default_rng(n))
    network = network_of(layer, values, own)
    v = values | drawn(network, variant, (n, layer.n_out))
    twin = functools.partial(variant.case.forward, v=v, training=training, **variant.options)
    expected = twin(x if dtype == "uint8" else x.astype(np.float64))
    found = layer.forward(x, training)
    assert found.dtype == own
    room = 0.0 if dtype == "uint8" or variant.case.first else sensitivity(twin, x, own)
    np.testing.assert_allclose(found, expected, EXACT[own]["rtol"], EXACT[own]["atol"] + 50 * room)


@pytest.mark.parametrize("shape", STORED_SHAPES, ids=str)
@pytest.mark.parametrize("variant", [v for v in LAYER_VARIANTS if v.case.oracle], ids=str)
def test_layer_equals_pytorch(variant, shape):
    n, n_in, n_out = shape
    layer = variant.layer(n_in, n_out)
    known = stored_case("layers", f"{variant}/{n}x{n_in}x{n_out}")
    network = network_of(layer, known)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-11)
    close(layer.forward(known["x"]), known["y"])
    if n < variant.case.least_rows:
        assert "y_training" not in known
        return
    close(layer.forward(known["x"], training=True), known["y_training"])
    found = {"x": layer.backward(known["cotangent"].copy()), **network.arena.gradients[0]}
    for name, gradient in found.items():
        close(gradient, known[f"d{name}"], err_msg=f"d{name}")
    for parameter in layer.parameters():
        if parameter.role == "state":
            close(network.arena.values[0][parameter.name], known[f"new_{parameter.name}"], err_msg=parameter.name)


@pytest.mark.parametrize("shape", [(5, 3), (1, 3), (5, 1), (3, 7)], ids=str)
@each_loss
def test_loss_equals_its_loops(variant, kind, shape):
    y, target = cases.draw_loss(variant, kind, *shape)
    value, dy = variant.build()(y, target)
    expected, gradient = variant.case.forward(y, target, **variant.options)
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(dy, gradient, rtol=1e-11, atol=1e-14)


@each_loss
@many
@given(data=st.data())
def test_loss_equals_its_loops_for_any_outputs(variant, kind, data):
    n, n_out = data.draw(st.integers(1, 6)), cases.loss_columns(variant, data.draw(st.integers(1, 5)))
    dtype = data.draw(st.sampled_from(DTYPES))
    y = data.draw(hnp.arrays(dtype, (n, n_out), elements=st.floats(-50, 50, width=16) | NUMBERS))
    if variant.case.outputs == "probabilities":
        y = cases.naive.softmax(np.clip(y, -50, 50) / 10).astype(dtype)
    target = cases.draw_target(variant, kind, np.random.default_rng(n), n, n_out)
    loss = variant.build()
    value, dy = loss(y, loss.prepare(target, n_out, np.dtype(dtype), "test"))
    expected, gradient = variant.case.forward(y.astype(np.float64), target, **variant.options)
    assert dy.dtype == dtype
    room = EXACT[dtype]["atol"] / 100 + np.finfo(dtype).eps * np.abs(y).max()  # a target in float32 is rounded, too
    np.testing.assert_allclose(value, expected, rtol=1e-5 if dtype == "float32" else 1e-10, atol=room)
    np.testing.assert_allclose(dy, gradient, **EXACT[dtype])


@pytest.mark.parametrize("shape", STORED_SHAPES, ids=str)
@pytest.mark.parametrize(
    ("variant", "kind"), [(v, kind) for v in LOSS_VARIANTS for kind in v.case.targets if v.case.oracle], ids=str
)
def test_loss_equals_pytorch(variant, kind, shape):
    known = stored_case("losses", f"{variant} {kind}/{shape[0]}x{shape[2]}")
    value, dy = variant.build()(known["y"], known["target"])
    np.testing.assert_allclose(value, known["value"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(dy, known["dy"], rtol=1e-9, atol=1e-11)


def _stored_networks():
    firsts = {v.kind: v for v in reversed(LOSS_VARIANTS) if v.case.oracle}
    for variant in LAYER_VARIANTS:
        inside = variant.case.oracle and not variant.case.first
        if inside and (variant.kind is nl.Dense or "activation" not in variant.options):
            yield from ((variant, loss) for loss in firsts.values())


@pytest.mark.parametrize(("variant", "loss"), first_uses(_stored_networks()))
def test_network_and_loss_equal_pytorch(variant, loss):
    known = stored_case("networks", str(variant))
    layer = variant.layer(3, 3)
    layers = [nl.Dense(3, 3), layer, *cases.output_layers(loss, layer.n_out, 3)]
    network = nl.Network(layers, rng=0, dtype="float64")
    for i, gradients in enumerate(network.arena.gradients):
        for name in gradients:
            view = network.arena.values[i][name]
            view[...] = known[f"{i}.{name}"][..., : view.shape[-1]]  # a loss may take fewer outputs than are stored
    network.state.fill(1)
    value, dy = loss.build()(network.forward(known["x"], training=True), known[f"{loss}/target"])
    network.backward(dy)
    names = [(int(i), name) for i, _, name in (key.partition(".") for key in known) if name and i.isdigit()]
    assert sorted(names) == sorted((i, name) for i, g in enumerate(network.arena.gradients) for name in g)
    found = [view.ravel() for gradients in network.arena.gradients for view in gradients.values()]
    np.testing.assert_allclose(value, known[f"{loss}/value"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(np.concatenate(found), known[f"{loss}/grads"], rtol=1e-9, atol=1e-11)


def _trained(optimizer, params, grads, n_weights):
    """Return the parameters after 1, 10 and 100 steps."""
    params, rows = params.copy(), []
    parts = (slice(0, n_weights), slice(n_weights, len(params)))
    optimizer.start(params, n_weights, len(grads), dict(zip(cases.SLICED_NAMES, parts, strict=True)))
    for step, gradient in enumerate(grads, start=1):
        optimizer.step(params, gradient.copy())
        if step in STEPS:
            rows.append(params.copy())
    return np.array(rows)


@pytest.mark.parametrize(("variant", "schedule"), first_uses(cases.OPTIMIZER_RUNS))
def test_optimizer_equals_its_loops(variant, schedule):
    rng = np.random.default_rng(variant.seed)
    params, grads = rng.normal(size=5), rng.normal(size=(10, 5))
    rates = [schedule.case.rate(t, 10, **schedule.options) for t in range(10)]
    found = _trained(variant.build(schedule.build()), params, grads, 3)
    for steps, row in zip(STEPS, found, strict=False):
        expected = cases.optimizer_twin(variant, params, grads[:steps], rates[:steps], 3)
        np.testing.assert_allclose(row, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("variant", "schedule"), first_uses([run for run in cases.OPTIMIZER_RUNS if all(part.case.oracle for part in run)])
)
def test_optimizer_equals_pytorch(variant, schedule):
    known = stored("optimizers")
    found = _trained(variant.build(schedule.build()), known["params"], known["grads"], 6)
    np.testing.assert_allclose(found, known[f"{variant}/{schedule}"], rtol=1e-8, atol=1e-11)


@each_optimizer
def test_optimizer_takes_a_number_as_a_constant_schedule(variant):
    rng = np.random.default_rng(variant.seed)
    params, grads = rng.normal(size=5), rng.normal(size=(10, 5))
    with_number, with_schedule = variant.build(0.03), variant.build(nl.Constant(0.03))
    assert bits(_trained(with_number, params, grads, 3)) == bits(_trained(with_schedule, params, grads, 3))


@pytest.mark.parametrize("total", [1, 2, 3, 5, 10, 100])
@each_schedule
def test_schedule_equals_its_formula(variant, total):
    found = [variant.build()(t, total) for t in range(total)]
    expected = [variant.case.rate(t, total, **variant.options) for t in range(total)]
    assert all(type(rate) is float for rate in found)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("total", [10, 100])
@pytest.mark.parametrize("variant", [v for v in SCHEDULE_VARIANTS if v.case.oracle], ids=str)
def test_schedule_equals_pytorch(variant, total):
    schedule = variant.build()
    found = [schedule(t, total) for t in range(total)]
    np.testing.assert_allclose(found, stored("schedules")[f"{variant}/{total}"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", cases.METRIC_CASES)
def test_metric_equals_its_loops(name):
    case, function = cases.METRIC_CASES[name], getattr(metrics, name)
    for seed in range(5):
        arguments = case.arguments(np.random.default_rng(seed))
        np.testing.assert_allclose(function(*arguments), case.twin(*arguments), rtol=1e-12)


# 2. The right gradients


def directional(function, array, direction, epsilon=1e-6):
    """Return the central difference of `function` along `direction` in `array`, which is restored."""
    saved = array.copy()
    array[...] = saved + epsilon * direction
    above = function()
    array[...] = saved - epsilon * direction
    below = function()
    array[...] = saved
    return (above - below) / (2 * epsilon)


def layer_slopes(variant, layer, x, values):
    """Return {name: (stated, numeric)}: slopes of sum(r * y) along a random direction in x and in each parameter."""
    network = network_of(layer, values)
    rng = np.random.default_rng(variant.seed + 1)
    cotangent = rng.normal(size=(len(x), layer.n_out))
    state, dice = network.state.copy(), network.rng.bit_generator.state

    def value():
        network.state[...], network.rng.bit_generator.state = state, dice
        return float(np.sum(cotangent * layer.forward(x, training=True)))

    value()
    dx = layer.backward(cotangent.copy())
    stated = {"x": dx.copy()} | {name: view.copy() for name, view in network.arena.gradients[0].items()}
    slopes = {}
    for name, gradient in stated.items():
        direction = rng.normal(size=gradient.shape)
        array = x if name == "x" else network.arena.values[0][name]
        slopes[name] = float(np.sum(gradient * direction)), directional(value, array, direction)
    return slopes


def loss_slopes(variant, kind, *weight):
    """Return (stated, numeric) of the loss along a random direction in y."""
    y, target = cases.draw_loss(variant, kind, 5, 3)
    direction, loss = np.random.default_rng(variant.seed + 1).normal(size=y.shape), variant.build()
    stated = float(np.sum(loss(y, target, *weight)[1] * direction))
    return stated, directional(lambda: loss(y, target, *weight)[0], y, direction)


def agree(stated, numeric):
    return abs(stated - numeric) <= 1e-6 * max(1, abs(numeric))


@each_layer_and_shape
def test_layer_gradients_are_the_slopes_of_its_forward(variant, shape):
    for name, (stated, numeric) in layer_slopes(variant, *cases.draw_layer(variant, *shape)).items():
        assert agree(stated, numeric), name


@each_loss
def test_loss_gradient_is_the_slope_of_its_value(variant, kind):
    assert agree(*loss_slopes(variant, kind))


WEIGHT = np.array([0.3, 0.0, 2.0, 1.0, 0.7])


@each_loss
def test_weighted_loss_gradient_is_the_slope_of_its_value(variant, kind):
    assert agree(*loss_slopes(variant, kind, WEIGHT))


@each_dtype
@each_loss
def test_loss_with_whole_weights_equals_repeated_rows(variant, kind, dtype):
    y, target = cases.draw_loss(variant, kind, 5, 3)
    y, times, loss = y.astype(dtype), np.array([2, 0, 1, 3, 1]), variant.build()
    rows = np.repeat(np.arange(5), times)
    expected, gradient = variant.build()(y[rows], target[rows])
    close = {"rtol": 1e-4, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    value, dy = loss(y, target, times)
    assert type(value) is float
    assert dy.dtype == dtype
    np.testing.assert_allclose(value, expected, **close)
    summed = np.zeros_like(dy)
    np.add.at(summed, rows, gradient)
    np.testing.assert_allclose(dy, summed, **close)
    ones, d_ones = variant.build()(y, target, np.ones(5))
    plain, d_plain = variant.build()(y, target)
    np.testing.assert_allclose(ones, plain, **close)
    np.testing.assert_allclose(d_ones, d_plain, **close)


@each_loss
def test_loss_of_weights_that_are_all_zero_is_zero(variant, kind):
    value, dy = variant.build()(*cases.draw_loss(variant, kind, 5, 3), np.zeros(5))
    assert value == 0
    assert not dy.any()


@each_loss
def test_total_weight_joins_the_means_of_batches(variant, kind):
    (y, target), loss = cases.draw_loss(variant, kind, 5, 3), variant.build()
    for weight in (None, WEIGHT):
        whole, mass, total = loss(y, target, weight)[0], 0.0, 0.0
        for rows in (slice(0, 3), slice(3, 5)):
            total += loss(y[rows], target[rows], None if weight is None else weight[rows])[0] * loss.total_weight
            mass += loss.total_weight
        assert total / mass == pytest.approx(whole, rel=1e-12)


# what a wrong backward pass looks like: the factor on a gradient, for a batch of n rows
MUTATIONS = {"zero": lambda n: 0, "sign": lambda n: -1, "batch size": lambda n: n}
each_mutation_of_a_layer = pytest.mark.parametrize(("variant", "mutation"), pairs(LAYER_VARIANTS, [*MUTATIONS]))


def mutate_layer(monkeypatch, layer, name, mutation):
    """Multiply one gradient of one layer by the mutation's factor."""
    original = type(layer).backward

    def backward(self, dy):
        n, dx = len(dy), original(self, dy)
        if self is layer:
            gradient = dx if name == "x" else getattr(self, "d" + name)
            gradient *= MUTATIONS[mutation](n)
        return dx

    monkeypatch.setattr(type(layer), "backward", backward)


def mutate_loss(monkeypatch, kind, mutation):
    original = kind.__call__

    def call(self, y, target, weight=None):
        value, dy = original(self, y, target, weight)
        dy *= MUTATIONS[mutation](len(y))
        return value, dy

    monkeypatch.setattr(kind, "__call__", call)


def gradient_names(layer):
    return ["x", *(p.name for p in layer.parameters() if p.role != "state")]


@each_mutation_of_a_layer
def test_gradient_test_of_layers_sees_a_wrong_backward(variant, mutation, monkeypatch):
    for name in gradient_names(variant.layer(4, 3)):
        layer, x, values = cases.draw_layer(variant, 5, 4, 3)
        with monkeypatch.context() as patch:
            mutate_layer(patch, layer, name, mutation)
            slopes = layer_slopes(variant, layer, x, values)
        assert not agree(*slopes.pop(name)), name
        assert all(agree(*pair) for pair in slopes.values())


@pytest.mark.parametrize("mutation", MUTATIONS)
@each_loss
def test_gradient_test_of_losses_sees_a_wrong_gradient(variant, kind, mutation, monkeypatch):
    mutate_loss(monkeypatch, variant.kind, mutation)
    assert not agree(*loss_slopes(variant, kind))
    assert not agree(*loss_slopes(variant, kind, WEIGHT))


@pytest.mark.parametrize("variant", [*LAYER_VARIANTS, *LOSS_VARIANTS], ids=str)
def test_check_gradients_passes(variant):
    is_layer = variant in LAYER_VARIANTS
    assert nl.check_gradients(variant.layer(4, 3) if is_layer else variant.build()) < 1e-6


@each_mutation_of_a_layer
def test_check_gradients_names_the_array_a_wrong_layer_gets_wrong(variant, mutation, monkeypatch):
    for name in gradient_names(variant.layer(4, 3)):
        layer = variant.layer(4, 3)
        with monkeypatch.context() as patch:
            mutate_layer(patch, layer, name, mutation)
            index = r"\d+, \d+" if name == "x" else r"\d+(, \d+)*"
            where = rf"^check_gradients: {re.escape(repr(layer))}: d{name}\[{index}\]"
            message = where + r" must be \S+ \(central difference\), got \S+$"
            with pytest.raises(NumlpError, match=message):
                nl.check_gradients(layer)


@pytest.mark.parametrize(("variant", "mutation"), pairs(LOSS_VARIANTS, [*MUTATIONS]))
def test_check_gradients_names_the_index_a_wrong_loss_gets_wrong(variant, mutation, monkeypatch):
    mutate_loss(monkeypatch, variant.kind, mutation)
    message = rf"^check_gradients: {variant.kind.__name__}: dy\[\d+, \d+\] must be \S+ \(central difference\), got \S+$"
    with pytest.raises(NumlpError, match=message):
        nl.check_gradients(variant.build())


# 3. One dtype, no warnings, extreme values, one row


@pytest.mark.parametrize(("variant", "dtype", "scale", "rows"), pairs(LAYER_VARIANTS, DTYPES, [1.0, 1e4], [6, 1]))
def test_layer_keeps_dtype_and_stays_finite_without_warnings(variant, dtype, scale, rows):
    rng = np.random.default_rng(variant.seed)
    layer = variant.layer(4, 3)
    network = network_of(layer, cases.draw_values(layer, rng), dtype)
    x = layer.example(rng.choice([-scale, 0, scale / 3, scale], size=(rows, 4)).astype(dtype))
    with np.errstate(all="raise"):
        for training in (False, True):
            y = layer.forward(x, training)
            assert y.shape == (rows, layer.n_out)
            assert y.dtype == dtype
            assert np.isfinite(y).all()
        dx = layer.backward(rng.normal(size=y.shape).astype(dtype))
    assert dx.shape == x.shape
    assert dx.dtype == dtype
    assert np.isfinite(dx).all()
    assert np.isfinite(network.grads).all()
    assert network.params.dtype == network.grads.dtype == network.state.dtype == dtype
    assert np.isfinite(network.state).all()


EXTREMES = {
    "logits": [-1e4, 0.0, 1e4],
    "numbers": [-1e4, 0.0, 1e4],
    "probabilities": [0.0, 1.0],
    "log_probabilities": [-1e4, 0.0],
}


@pytest.mark.parametrize("rows", [1, 6])
@each_dtype
@each_loss
def test_loss_keeps_dtype_and_stays_finite_without_warnings(variant, kind, dtype, rows):
    rng = np.random.default_rng(variant.seed)
    loss = variant.build()
    for n_out in (cases.loss_columns(variant, n) for n in (3, 1)):
        extreme = rng.choice(EXTREMES[variant.case.outputs], size=(rows, n_out))
        usual = cases.OUTPUTS[variant.case.outputs](rng, rows, n_out)
        for y in (extreme.astype(dtype), usual.astype(dtype)):
            target = loss.prepare(cases.draw_target(variant, kind, rng, rows, n_out), n_out, y.dtype, "test")
            with np.errstate(all="raise"):
                value, dy = loss(y, target)
            assert type(value) is float
            assert np.isfinite(value)
            assert dy.dtype == dtype
            assert dy.shape == y.shape
            assert np.isfinite(dy).all()


@each_dtype
@each_optimizer
def test_optimizer_keeps_dtype_and_stays_finite_without_warnings(variant, dtype):
    params = np.linspace(-1, 1, 7).astype(dtype)
    optimizer = variant.build(0.01)
    with np.errstate(all="raise"):
        for size in (0, 1, 1e4):
            optimizer.step(params, np.full(7, size, dtype))
    assert params.dtype == dtype
    assert np.isfinite(params).all()
    assert all(getattr(optimizer, name).dtype == dtype for name in optimizer.state_names)


@each_dtype
@pytest.mark.parametrize("name", ACTIVATION_CASES)
def test_activation_stays_finite_for_huge_numbers_without_warnings(name, dtype):
    z = np.array([[-1e4, 0, 1e4], [1e4, 1e4, 1e4]], dtype)
    y, dz = np.empty_like(z), np.ones_like(z)
    with np.errstate(all="raise"):
        ACTIVATIONS[name].apply(z, y)
        ACTIVATIONS[name].backward(dz, z if ACTIVATIONS[name].keeps_input else y, dz)
    assert np.isfinite(y).all()
    assert np.isfinite(dz).all()


# 4. The buffer contract


@each_layer
def test_layer_never_writes_to_x(variant):
    layer, x, values = cases.draw_layer(variant, 5, 4, 3)
    network_of(layer, values)
    before = x.tobytes()
    x.setflags(write=False)
    for training in (False, True):
        y = layer.forward(x, training)
    layer.backward(np.ones_like(y))
    assert x.tobytes() == before


@each_layer
def test_layer_output_is_valid_until_the_next_forward(variant):
    layer, x, values = cases.draw_layer(variant, 5, 4, 3)
    network_of(layer, values)
    y = layer.forward(x, training=True)
    before = y.tobytes()
    layer.backward(np.random.default_rng(0).normal(size=y.shape))
    assert y.tobytes() == before


@each_layer
def test_layer_reuses_its_buffers_for_fewer_rows(variant):
    layer, x, values = cases.draw_layer(variant, 8, 4, 3)
    twin = variant.layer(4, 3)
    for part in (layer, twin):
        network_of(part, values, rows=8)
    inference = layer.forward(x)
    fewer = layer.forward(x[:3])
    assert fewer is x[:3] or np.shares_memory(fewer, inference) or np.shares_memory(fewer, x)
    full, few = twin.forward(x).copy(), twin.forward(x[:3]).copy()
    np.testing.assert_allclose(few, full[:3], rtol=1e-12, atol=1e-12)
    assert bits(few) == bits(layer.forward(x[:3]))


@each_layer
def test_layer_gives_the_same_for_few_rows_after_many(variant):
    x = variant.layer(4, 3).example(np.random.default_rng(variant.seed).normal(size=(8, 4)))
    results = []
    for first in (x, x[:3]):
        layer = variant.layer(4, 3)
        network = network_of(layer, cases.draw_values(layer, np.random.default_rng(1)))
        state, dice = network.state.copy(), network.rng.bit_generator.state
        layer.backward(np.ones_like(layer.forward(first, training=True)))
        network.state[...], network.rng.bit_generator.state = state, dice
        y = layer.forward(x[:3], training=True).copy()
        dx = layer.backward(np.cos(y))
        results.append(bits(y, dx, network.grads, network.state))
    assert results[0] == results[1]


@each_layer
def test_layer_backward_assigns_gradients(variant):
    layer, x, values = cases.draw_layer(variant, 5, 4, 3)
    network = network_of(layer, values)
    dice, results = network.rng.bit_generator.state, []
    for garbage in (0.0, np.nan):
        network.rng.bit_generator.state = dice
        network.grads.fill(garbage)
        dx = layer.backward(np.cos(layer.forward(x, training=True)))
        results.append(bits(dx, network.grads))
    assert results[0] == results[1]
    assert np.isfinite(network.grads).all()


@each_layer
def test_layer_with_nobody_to_read_dx_computes_none(variant, monkeypatch):
    layer = variant.layer(4, 3)
    network = nl.Network([layer, nl.Dense(layer.n_out, 2)], rng=0)
    returned, original = [], type(layer).backward

    def backward(self, dy):
        dx = original(self, dy)
        if self is layer:
            returned.append(dx)
        return dx

    monkeypatch.setattr(type(layer), "backward", backward)
    x = np.ones((5, 4), np.float32)
    network.backward(np.ones_like(network.forward(x, training=True)))
    # without parameters there is nothing to compute at all, and the network does not ask
    assert returned == ([None] if network.arena.gradients[0] else [])


@each_layer
def test_layer_gradients_are_the_same_without_dx(variant):
    layer, x, values = cases.draw_layer(variant, 5, 4, 3)
    network = network_of(layer, values)
    dice, results = network.rng.bit_generator.state, []
    for need_dx in (True, False):
        network.rng.bit_generator.state = dice
        layer.reserve(8, need_dx=need_dx)
        layer.backward(np.cos(layer.forward(x, training=True)))
        results.append(bits(network.grads))
    assert results[0] == results[1]


def training_step(network, loss, optimizer, x, target, *weight):
    y = network.forward(x, training=True)
    network.backward(loss(y, target, *weight)[1])
    optimizer.step(network.params, network.grads)


@each_layer
def test_layer_parameters_stay_views_of_the_arena(variant):
    layer = variant.layer(4, 3)
    network = nl.Network([*cases.before(layer, 4), layer], rng=0)
    names = [p.name for p in layer.parameters()]
    before = {name: getattr(layer, name) for name in names}
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(5, 4)).astype(np.float32), rng.normal(size=(5, layer.n_out)).astype(np.float32)
    x = network.layers[0].example(x)
    for _ in range(2):
        training_step(network, nl.SquaredError(), nl.SGD(0.1), x, target)
    network.restore(network.snapshot())
    for parameter in layer.parameters():
        view = getattr(layer, parameter.name)
        assert view is before[parameter.name] is network.arena.values[-1][parameter.name]
        assert np.shares_memory(view, network.state if parameter.role == "state" else network.params)
        if parameter.role != "state":
            assert np.shares_memory(getattr(layer, f"d{parameter.name}"), network.grads)
    assert np.isfinite(network.params).all()


def peak_of(step):
    """Return the bytes a step holds at most beyond what was there before, once it is steady."""
    for _ in range(2):
        step()
    tracemalloc.start()
    try:
        step()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def step_peak(layers, loss, kind, optimizer, *weight):
    """Return the peak of a training step with 512 rows; 512 x 200 float32 are 400 kB, as booleans 100 kB."""
    network = nl.Network(layers, rng=0)
    rng = np.random.default_rng(0)
    x = network.layers[0].example(rng.normal(size=(512, network.n_in)).astype(np.float32))
    columns = cases.LOSS_CASES[type(loss).__name__].target_columns
    target = cases.TARGETS[kind](rng, 512, columns(network.n_out))
    target = loss.prepare(target, network.n_out, network.dtype, "test")
    optimizer.start(network.params, network.n_weights, 100)
    return peak_of(lambda: training_step(network, loss, optimizer, x, target, *weight))


@each_layer
def test_layer_allocates_no_batch_in_a_steady_step(variant):
    layer = variant.layer(200, 200)
    layers = [*cases.before(layer, 20), layer, nl.Dense(layer.n_out, 10)]
    assert step_peak(layers, nl.SoftmaxCrossEntropy(), "labels", nl.SGD(0.01)) < LIMIT


@each_loss
def test_loss_allocates_no_batch_in_a_steady_step(variant, kind):
    assert step_peak(cases.output_layers(variant, 20, 200), variant.build(), kind, nl.SGD(0.01)) < LIMIT
    weight = np.ones(512)
    assert step_peak(cases.output_layers(variant, 20, 200), variant.build(), kind, nl.SGD(0.01), weight) < LIMIT


@each_optimizer
def test_optimizer_allocates_no_array_as_long_as_the_parameters(variant):
    optimizer = variant.build(0.01)
    params, grads = np.ones(100_000, np.float32), np.ones(100_000, np.float32)
    optimizer.start(params, 60_000)
    assert peak_of(lambda: optimizer.step(params, grads)) < LIMIT


@each_layer
def test_layer_allocates_no_batch_in_inference(variant):
    layer = variant.layer(200, 200)
    network = nl.Network([layer], rng=0)
    x = layer.example(np.random.default_rng(0).normal(size=(512, 200)).astype(np.float32))
    assert peak_of(lambda: network.forward(x)) < LIMIT


@each_optimizer
def test_optimizer_leaves_the_gradients_alone(variant):
    params, grads = np.ones(5), np.arange(5.0)
    grads.setflags(write=False)
    variant.build(0.1).step(params, grads)
    assert (params[1:] != 1).all()


@each_optimizer
def test_optimizer_starts_anew(variant):
    rng = np.random.default_rng(0)
    params, grads = rng.normal(size=5), rng.normal(size=(10, 5))
    optimizer = variant.build(0.1)
    assert bits(_trained(optimizer, params, grads, 3)) == bits(_trained(optimizer, params, grads, 3))


@each_loss
def test_loss_never_writes_to_its_arguments(variant, kind):
    y, target = cases.draw_loss(variant, kind, 5, 3)
    y.setflags(write=False)
    target.setflags(write=False)
    variant.build()(y, target)


@each_loss
def test_loss_reuses_its_buffer_for_fewer_rows(variant, kind):
    y, target = cases.draw_loss(variant, kind, 5, 3)
    loss, fresh = variant.build(), variant.build()
    _, many = loss(y, target)
    value, few = loss(y[:2], target[:2])
    assert np.shares_memory(many, few)
    assert bits(value, few) == bits(*fresh(y[:2], target[:2]))


# 5. Training and inference


@each_layer
def test_layer_inference_repeats_and_changes_nothing(variant):
    layer, x, values = cases.draw_layer(variant, 5, 4, 3)
    network = network_of(layer, values)
    before = bits(network.params, network.state), network.rng.bit_generator.state
    first = layer.forward(x).copy()
    assert bits(layer.forward(x)) == bits(first)
    assert (bits(network.params, network.state), network.rng.bit_generator.state) == before


@each_layer
def test_layer_trains_differently_only_if_its_entry_says_so(variant):
    layer, x, values = cases.draw_layer(variant, 5, 4, 3)
    network = network_of(layer, values)
    before = bits(network.params, network.state), network.rng.bit_generator.state
    inference = layer.forward(x).copy()
    same = bits(layer.forward(x, training=True)) == bits(inference)
    same = same and (bits(network.params, network.state), network.rng.bit_generator.state) == before
    assert same or variant.case.trains_differently


@each_layer
def test_layer_inference_takes_each_row_by_itself(variant):
    layer, x, values = cases.draw_layer(variant, 5, 4, 3)
    network_of(layer, values)
    whole = layer.forward(x).copy()
    rows = [layer.forward(x[n : n + 1]).copy() for n in range(5)]
    np.testing.assert_allclose(np.concatenate(rows), whole, rtol=1e-12, atol=1e-13)


# 7. Config


def _parts():
    yield from ((str(v), v.layer(4, 3)) for v in LAYER_VARIANTS)
    yield from ((str(v), v.build()) for v in (*LOSS_VARIANTS, *SCHEDULE_VARIANTS))
    yield from ((str(v), v.build(0.1 + 0.2)) for v in (*OPTIMIZER_VARIANTS, *cases.COMMON_VARIANTS))
    nested = nl.WarmUp(3, nl.WarmUp(2, nl.OneCycle(1 / 3)))
    yield from ((f"{v} with {nested}", v.build(nested)) for v in OPTIMIZER_VARIANTS)


@pytest.mark.parametrize("part", [pytest.param(part, id=name) for name, part in _parts()])
def test_config_round_trip_is_exact(part):
    config = to_config(part)
    again = from_config(json.loads(json.dumps(config)), TYPES)
    assert type(again) is type(part)
    assert to_config(again) == config
    for name in inspect.signature(type(part)).parameters:
        mine, other = getattr(part, name), getattr(again, name)
        assert type(mine) is type(other)
        assert _plain(mine) == _plain(other)


def test_network_of_every_layer_comes_back_from_its_config_and_its_file(tmp_path):
    (first,) = [variant.layer(4, 4) for variant in LAYER_VARIANTS if variant.case.first]
    others = [variant.layer(4, 4) for variant in LAYER_VARIANTS if not variant.case.first]
    layers = [first, nl.Dense(first.n_out, 4)]
    for layer in others:
        layers += [layer, *([nl.Dense(layer.n_out, 4)] if layer.n_out != 4 else [])]
    network = nl.Network(layers, rng=0, loss=nl.SoftmaxCrossEntropy(0.1), class_names="abcd", l2=1 / 3)
    network.state += 0.25
    again = nl.Network.from_config(json.loads(json.dumps(network.to_config())), rng=0)
    assert again.to_config() == network.to_config()
    assert repr(again.layers) == repr(network.layers)
    nl.save(network, tmp_path / "all.safetensors")
    loaded = nl.load(tmp_path / "all.safetensors")
    x = first.example(np.random.default_rng(0).normal(size=(5, 4)))
    assert bits(loaded.params, loaded.state) == bits(network.params, network.state)
    assert bits(loaded.outputs(x)) == bits(network.outputs(x))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "Dens"}, "from_config: type must be one of Constant, Cosine, OneCycle, WarmUp, got 'Dens'"),
        (None, "from_config: type must be one of Constant, Cosine, OneCycle, WarmUp, got None"),
        ({"type": "Constant", "rate": 1}, "from_config: arguments must fit Constant, got {'rate': 1}: "),
        (
            {"type": "Constant", "learning_rate": -1},
            "from_config: arguments must fit Constant, got {'learning_rate': -1}: "
            "Constant: learning_rate must be a number above 0, got -1",
        ),
    ],
)
def test_config_of_something_else_says_what_is_wrong(config, message):
    four = {name: SCHEDULES[name] for name in ("Constant", "Cosine", "OneCycle", "WarmUp")}
    with pytest.raises(nl.errors.CheckpointError, match="^" + re.escape(message)):
        from_config(config, four)


# 8. Messages at the door


def _bad_inputs(variant: Variant):
    good = np.ones((5, 4), np.float32)
    yield good[0], ShapeError, "x must have shape (n, 4), got (4,); for one sample use x[None, :]"
    yield (
        good[:, :, None],
        ShapeError,
        "x must have shape (n, 4), got (5, 4, 1); flatten each sample: x.reshape(len(x), -1)",
    )
    yield good[:, :3], ShapeError, "x must have shape (n, 4), got (5, 3)"
    yield good[:0], ShapeError, "x must have at least 1 row, got (0, 4)"
    for dtype in ("float64", "float16", "int64", "uint8", "bool", "complex64"):
        if dtype not in variant.case.takes:
            wrong = good.astype(dtype)
            yield wrong, DTypeError, f"x must have dtype float32, got {dtype}; use x.astype(float32)"


@each_layer
def test_layer_rejects_wrong_rows_with_the_exact_message(variant):
    layer = variant.layer(4, 3)
    network = nl.Network([layer], rng=0)
    for x, error, message in _bad_inputs(variant):
        with pytest.raises(error) as caught:
            network.forward(x)
        assert str(caught.value) == f"{layer}.forward: {message}"


@each_layer
def test_layer_used_without_a_network_says_what_is_missing(variant):
    layer = variant.layer(4, 3)
    for parameter in layer.parameters():
        with pytest.raises(AttributeError) as caught:
            getattr(layer, parameter.name)
        name = type(layer).__name__
        assert str(caught.value) == f"{name}: {parameter.name} must come from a network, got none; build Network([layer])"


# 9. The same bytes


def test_seed_decides_every_byte_whatever_the_hash_seed():
    command = [sys.executable, "-W", "error", "-c", "import json, cases; print(json.dumps(cases.digests()))"]
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    running = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        )
        for seed in ("1", "2")
    ]
    outputs = [process.communicate(timeout=600)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    first, second = (json.loads(output) for output in outputs)
    assert len(first) > 40
    assert first == second
