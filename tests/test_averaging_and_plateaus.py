"""The callbacks that belong to optimizers: MovingAverage and ReduceOnPlateau."""

import re

import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError, DTypeError
from numlp.run import Run

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 4)), np.arange(24) % 3


def small(batch_norm=False):
    middle = [nl.BatchNorm(5)] if batch_norm else []
    return nl.Network([nl.Dense(4, 5, "tanh"), *middle, nl.Dense(5, 3)], rng=0, dtype="float64")


class Watch(nl.Callback):
    """Keeps parameters and state after every step, and what an epoch's listeners find in the network."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def on_step(self, run):
        self.steps.append(run.network.snapshot())

    def on_epoch(self, run):
        self.epochs.append(run.network.snapshot())


def average(values, decay):
    weights = decay ** np.arange(len(values) - 1, -1, -1)
    return weights @ np.array(values) / weights.sum()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("first", [True, False])
def test_moving_average_is_the_weighted_mean_of_all_steps_also_of_the_state(decay, first):
    network, watch = small(batch_norm=True), Watch()
    callbacks = [nl.MovingAverage(decay), watch] if first else [watch, nl.MovingAverage(decay)]
    nl.fit(network, (X, Y), optimizer=nl.Adam(0.05), epochs=3, batch_size=8, callbacks=callbacks)
    assert len(watch.steps) == 9
    for found, part in ((network.params, 0), (network.state, 1)):
        np.testing.assert_allclose(found, average([s[part] for s in watch.steps], decay), rtol=1e-12, atol=1e-14)
        for epoch in range(3):  # whatever the order of the callbacks
            known = average([s[part] for s in watch.steps[: 3 * (epoch + 1)]], decay)
            np.testing.assert_allclose(watch.epochs[epoch][part], known, rtol=1e-12, atol=1e-14)


def test_moving_average_leaves_training_as_it_is_without_it():
    watches = Watch(), Watch()
    for watch, more in zip(watches, ([nl.MovingAverage(0.9)], []), strict=True):
        nl.fit(small(True), (X, Y), optimizer=nl.SGD(0.1, momentum=0.9), epochs=3, batch_size=8, callbacks=[watch, *more])
    for mine, other in zip(watches[0].steps, watches[1].steps, strict=True):
        assert mine[0].tobytes() == other[0].tobytes()
        assert mine[1].tobytes() == other[1].tobytes()


def test_moving_average_is_what_validation_and_early_stopping_see():
    network = small()
    history = nl.fit(
        network, (X, Y), validation=(X, Y), optimizer=nl.SGD(2.0), epochs=10, batch_size=4,
        callbacks=[nl.MovingAverage(0.95), nl.EarlyStopping(patience=20)],
    )  # fmt: skip
    best = min(history["validation_loss"])
    assert history["validation_loss"][history.best_epoch - 1] == best
    assert nl.evaluate(network, (X, Y))["loss"] == pytest.approx(best, rel=1e-12)


def test_moving_average_ends_in_the_average_when_training_is_stopped_in_an_epoch():
    class Stop(nl.Callback):
        def on_step(self, run):
            run.stop = run.step == 5

    network, watch = small(), Watch()
    nl.fit(network, (X, Y), epochs=9, batch_size=8, callbacks=[watch, nl.MovingAverage(0.5), Stop()])
    assert len(watch.steps) == 5
    np.testing.assert_allclose(network.params, average([s[0] for s in watch.steps], 0.5), rtol=1e-12, atol=1e-14)


def test_moving_average_can_be_used_again():
    callback, watch = nl.MovingAverage(0.5), Watch()
    nl.fit(small(), (X, Y), epochs=1, callbacks=[callback])
    network = small()
    nl.fit(network, (X, Y), epochs=2, batch_size=8, callbacks=[callback, watch])
    np.testing.assert_allclose(network.params, average([s[0] for s in watch.steps], 0.5), rtol=1e-12, atol=1e-14)


# rates of torch.optim.lr_scheduler.ReduceLROnPlateau (PyTorch 2.13) from 0.5 on, for these losses
LOSSES = [
    1.0, 0.9, 0.95, 0.90005, 0.89995, 0.8, 0.85, 0.81, 0.82, 0.83, 0.7, 0.75, 0.72, 0.71, 0.705, 0.70001, 0.7, 0.69999,
    0.71, 0.5, 0.6, 0.6, 0.6, 0.6,
]  # fmt: skip
PLATEAUS = {
    "plain": (
        {"factor": 0.1, "patience": 2},
        [0.5] * 4 + [0.05] * 4 + [5e-3] * 5 + [5e-4] * 3 + [5e-5] * 6 + [5e-6] * 2,
    ),
    "absolute": (
        {"factor": 0.5, "patience": 0, "cooldown": 2, "threshold": 0.01, "relative": False},
        [0.5] * 2 + [0.25] * 4 + [0.125] * 3 + [0.0625] * 3 + [2**-5] * 3 + [2**-6] * 3 + [2**-7] * 3 + [2**-8] * 3,
    ),
    "bounded": (
        {"factor": 0.5, "patience": 1, "min_rate": 0.1},
        [0.5] * 3 + [0.25] * 4 + [0.125] * 2 + [0.1] * 15,
    ),
    "accuracy": (
        {"monitor": "accuracy", "factor": 0.5, "patience": 1, "threshold": 0.05},
        [0.5] * 3 + [0.25] * 4 + [0.125] * 2 + [0.0625] * 3 + [2**-5] * 2 + [2**-6] * 2 + [2**-7] * 2 + [2**-8] * 3
        + [2**-9] * 2 + [2**-10],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLATEAUS)
def test_reduce_on_plateau_equals_pytorch(name):
    options, expected = PLATEAUS[name]
    network, optimizer = small(), nl.SGD(0.5)
    run = Run(network, optimizer, nl.History(), 24, 1, ("loss", "accuracy"))
    callback = nl.ReduceOnPlateau(**{"monitor": "loss", **options})
    callback.on_fit_begin(run)
    optimizer.start(network.params)
    rates = []
    for loss in LOSSES:
        optimizer.step(network.params, network.grads)
        run.history.records.append({"loss": loss, "accuracy": 1 - loss / 2})
        callback.on_epoch(run)
        optimizer.step(network.params, network.grads)
        rates.append(optimizer.rate)
    np.testing.assert_allclose(rates, expected, rtol=1e-12, atol=1e-14)


def test_reduce_on_plateau_multiplies_the_rates_of_a_schedule():
    schedule = nl.Polynomial(0.8)
    history = nl.fit(
        small(), (X, Y), optimizer=nl.SGD(schedule), epochs=8, batch_size=None,
        callbacks=[nl.ReduceOnPlateau("loss", factor=0.5, patience=1, threshold=9, relative=False)],
    )  # fmt: skip
    # nothing ever improves by 9: the first epoch is the best, after every second of the others the rate is halved
    falls = [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]
    expected = [f * schedule(t, 8) for t, f in enumerate(falls)]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-12)


def test_scale_is_one_again_after_a_new_start():
    optimizer, network = nl.SGD(0.5), small()
    for _ in range(2):
        history = nl.fit(
            network, (X, Y), optimizer=optimizer, epochs=5, batch_size=None,
            callbacks=[nl.ReduceOnPlateau("loss", patience=0, threshold=9, relative=False)],
        )  # fmt: skip
        np.testing.assert_allclose(history["learning_rate"], [0.5, 0.5, 0.05, 0.005, 0.0005], rtol=1e-12, atol=1e-14)


def fit_with(callback, **options):
    return nl.fit(small(), (X, Y), epochs=1, batch_size=None, callbacks=[callback], **options)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nl.MovingAverage(1), ArgumentError, "MovingAverage: decay must be a number at least 0 and below 1, got 1"),
        (
            lambda: fit_with(nl.ReduceOnPlateau()),
            ArgumentError,
            "ReduceOnPlateau: monitor must be one of loss, accuracy, got 'validation_loss'; "
            "validation figures need fit(..., validation=...)",
        ),
        (
            lambda: fit_with(nl.ReduceOnPlateau("loss"), optimizer=nl.LBFGS()),
            ArgumentError,
            "ReduceOnPlateau: optimizer must have a learning rate, got LBFGS",
        ),
        (
            lambda: nl.ReduceOnPlateau(factor=1),
            ArgumentError,
            "ReduceOnPlateau: factor must be a number above 0 and below 1, got 1",
        ),
        (
            lambda: nl.ReduceOnPlateau(patience=-1),
            ArgumentError,
            "ReduceOnPlateau: patience must be a whole number of at least 0, got -1",
        ),
        (
            lambda: nl.ReduceOnPlateau(cooldown=0.5),
            DTypeError,
            "ReduceOnPlateau: cooldown must be a whole number of at least 0, got 0.5",
        ),
        (
            lambda: nl.ReduceOnPlateau(threshold=-1),
            ArgumentError,
            "ReduceOnPlateau: threshold must be a number at least 0, got -1",
        ),
        (
            lambda: nl.ReduceOnPlateau(min_rate=-1),
            ArgumentError,
            "ReduceOnPlateau: min_rate must be a number at least 0, got -1",
        ),
    ],
)
def test_callback_rejects_what_does_not_fit(build, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        build()
