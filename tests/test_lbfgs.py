import json
import re
import signal

import numpy as np
import pytest

import numlp as nl
from numlp.config import from_config, to_config
from numlp.errors import ArgumentError, DivergenceError, DTypeError
from numlp.run import RECORD_KEYS


@pytest.fixture(scope="module")
def digits():
    return nl.load_digits()


def line(dtype="float64", **options):
    return nl.Network([nl.Dense(2, 1)], rng=0, dtype=dtype, **options)


def quadratic(noise=1.0):
    """Return (x, y, the least squares solution [w, w, b])."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2)) * [1, 10]
    y = x @ [[2.0], [-3.0]] + 0.5 + noise * rng.normal(size=(40, 1))
    return x, y, np.linalg.lstsq(np.hstack([x, np.ones((40, 1))]), y, rcond=None)[0].ravel()


def test_lbfgs_solves_a_quadratic_to_machine_precision():
    x, y, _ = quadratic(noise=0)
    network = line()
    history = nl.fit(
        network, (x, y), loss=nl.SquaredError(), optimizer=nl.LBFGS(max_steps=100, tolerance=0), batch_size=None
    )
    np.testing.assert_allclose(network.params, [2, -3, 0.5], rtol=1e-14)
    assert len(history) < 40


def test_lbfgs_finds_the_least_squares_solution():
    x, y, best = quadratic()
    network = line()
    nl.fit(network, (x, y), loss=nl.SquaredError(), optimizer=nl.LBFGS(tolerance=1e-12), batch_size=None)
    np.testing.assert_allclose(network.params, best, rtol=1e-9)


def test_lbfgs_equals_the_ridge_solution_with_l2():
    x, y, _ = quadratic()
    network = line(l2=0.3)
    nl.fit(network, (x, y), loss=nl.SquaredError(), optimizer=nl.LBFGS(tolerance=1e-12), batch_size=None)
    X = np.hstack([x, np.ones((40, 1))])
    best = np.linalg.solve(X.T @ X / 40 + np.diag([0.3, 0.3, 0]), X.T @ y / 40).ravel()
    np.testing.assert_allclose(network.params, best, rtol=1e-10)


def test_lbfgs_weighs_rows():
    x, y, _ = quadratic()
    times = np.arange(40) % 3
    networks = line(), line()
    for network, data in zip(networks, ((x, y, times), (np.repeat(x, times, 0), np.repeat(y, times, 0))), strict=True):
        nl.fit(network, data, loss=nl.SquaredError(), optimizer=nl.LBFGS(tolerance=1e-12), batch_size=None)
    np.testing.assert_allclose(networks[0].params, networks[1].params, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lbfgs_learns_the_digits(digits, dtype):
    network = nl.Network([nl.Dense(64, 32, "tanh"), nl.Dense(32, 10)], rng=0, dtype=dtype, l2=1e-3)
    history = nl.fit(network, digits.train, validation=digits.validation, optimizer=nl.LBFGS(max_steps=60), batch_size=None)
    assert 1 < len(history) <= 60
    assert nl.evaluate(network, digits.test)["accuracy"] > 0.95
    # a line search never goes up, but for float32's rounding
    assert all(b <= a * (1 + 1e-6) for a, b in zip(history["loss"], history["loss"][1:], strict=False))
    assert all(tuple(record) == RECORD_KEYS for record in history.records)
    assert history["epoch"] == [*range(1, len(history) + 1)]
    # the last record is about the network that is left
    assert history["loss"][-1] == pytest.approx(nl.evaluate(network, digits.train)["loss"], rel=1e-5)
    assert history["accuracy"][-1] == pytest.approx(nl.evaluate(network, digits.train)["accuracy"])


def test_lbfgs_calls_every_event(digits):
    seen = []

    class Listener(nl.Callback):
        pass

    for event in ("fit_begin", "epoch_begin", "gradients", "step", "validation", "epoch", "fit_end"):
        setattr(Listener, f"on_{event}", lambda self, run, event=event: seen.append(event))
    network = nl.Network([nl.Dense(64, 10)], rng=0)
    history = nl.fit(network, digits.train, optimizer=nl.LBFGS(max_steps=3), batch_size=None, callbacks=[Listener()])
    assert len(history) == 3
    events = [event for event in seen if event != "gradients"]
    end = ["step", "validation", "epoch"]
    assert events[:8] == ["fit_begin", "epoch_begin", *end, "epoch_begin", *end][:8]
    assert events[-1] == "fit_end"
    assert seen.count("gradients") >= 3


def test_lbfgs_stops_early_and_restores_the_best(digits):
    network = nl.Network([nl.Dense(64, 64, "tanh"), nl.Dense(64, 10)], rng=0)
    few = tuple(part[:100] for part in digits.train)
    history = nl.fit(
        network, few, validation=digits.validation, optimizer=nl.LBFGS(200), batch_size=None,
        callbacks=[nl.EarlyStopping(patience=5)],
    )  # fmt: skip
    assert history.best_epoch == len(history) - 5
    known = history["validation_loss"][history.best_epoch - 1]
    assert nl.evaluate(network, digits.validation)["loss"] == pytest.approx(known, rel=1e-6)


def test_lbfgs_ends_after_the_iteration_in_which_ctrl_c_came(digits):
    class Interrupt(nl.Callback):
        def on_epoch_begin(self, run):
            if run.epoch == 2:
                signal.raise_signal(signal.SIGINT)

    network = nl.Network([nl.Dense(64, 10)], rng=0)
    history = nl.fit(network, digits.train, optimizer=nl.LBFGS(), batch_size=None, callbacks=[Interrupt()])
    assert history.interrupted
    assert len(history) == 2


def test_lbfgs_divergence_leaves_the_last_good_weights(digits):
    class Spoil(nl.Callback):
        def on_gradients(self, run):
            if run.epoch == 3:
                run.network.grads[0] = np.nan

    class Keep(nl.Callback):
        def on_epoch(self, run):
            self.params = run.network.params.copy()

    network, keep = nl.Network([nl.Dense(64, 10)], rng=0), Keep()
    message = r"^fit: gradient must stay finite, got nan at epoch 3, step 3, .* after epoch 2; try inputs near \[-1, 1\]$"
    with pytest.raises(DivergenceError, match=message):
        nl.fit(network, digits.train, optimizer=nl.LBFGS(), batch_size=None, callbacks=[Spoil(), keep])
    assert network.params.tobytes() == keep.params.tobytes()


def test_lbfgs_refuses_mini_batches_and_leaves_the_network_alone(digits):
    network = nl.Network([nl.Dense(64, 10)], rng=0)
    before = network.params.copy()
    rows = len(digits.train.x)
    message = f"fit: batch_size must be None with LBFGS, which takes all {rows} rows in a step, got 128"
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        nl.fit(network, digits.train, optimizer=nl.LBFGS())
    assert network.params.tobytes() == before.tobytes()
    assert network.loss is None


def test_lbfgs_is_no_rule_for_a_step():
    with pytest.raises(ArgumentError, match=r"^LBFGS\.step: the loss must be known at several points, got one gradient; "):
        nl.LBFGS().step(np.ones(1), np.ones(1))


def test_lbfgs_averages_when_told(digits):
    network = nl.Network([nl.Dense(64, 10)], rng=0, dtype="float64")
    seen = []

    class Watch(nl.Callback):
        def on_step(self, run):
            seen.append(run.network.params.copy())

    nl.fit(network, digits.train, optimizer=nl.LBFGS(5), batch_size=None, callbacks=[Watch(), nl.MovingAverage(0.5)])
    weights = 0.5 ** np.arange(4, -1, -1)
    np.testing.assert_allclose(network.params, weights @ np.array(seen) / weights.sum(), rtol=1e-12)


def test_lbfgs_comes_back_from_its_config():
    config = json.loads(json.dumps(to_config(nl.LBFGS(7, 3, 1 / 3))))
    assert config == {"type": "LBFGS", "max_steps": 7, "memory": 3, "tolerance": 1 / 3}
    assert to_config(from_config(config, {"LBFGS": nl.LBFGS})) == config


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nl.LBFGS(0), ArgumentError, "LBFGS: max_steps must be a whole number of at least 1, got 0"),
        (lambda: nl.LBFGS(memory=1.5), DTypeError, "LBFGS: memory must be a whole number of at least 1, got 1.5"),
        (lambda: nl.LBFGS(tolerance=-1), ArgumentError, "LBFGS: tolerance must be a number at least 0, got -1"),
    ],
)
def test_lbfgs_rejects_arguments_out_of_range(build, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        build()
