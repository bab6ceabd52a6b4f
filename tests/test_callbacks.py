import re

import numpy as np
import pytest

import numlp as nl
from numlp.callbacks import ProgressBar
from numlp.errors import ArgumentError
from numlp.run import Run


def trained(*callbacks, c=None):
    inner = nl.Residual([nl.Dense(8, 8, "relu")])
    network = nl.Network([nl.Embedding(4, {0: (3, 5)}), nl.Dense(8, 8), inner, nl.Dense(8, 2)], rng=0)
    network.layers[0].table0 *= 10
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(3, size=40), rng.normal(size=(40, 3))])
    nl.fit(network, (x, rng.integers(2, size=40)), optimizer=nl.SGD(0.01), epochs=2, batch_size=10, callbacks=[*callbacks])
    return network


def columns(network):
    arrays = [network.layers[1].W, network.layers[2].layers[0].W, network.layers[3].W]
    return np.concatenate([np.linalg.norm(W, axis=0) for W in arrays])


def test_max_norm_shortens_long_columns_of_every_dense_layer():
    free, held = columns(trained()), columns(trained(nl.MaxNorm(0.7)))
    assert free.max() > 1
    assert held.max() == pytest.approx(0.7, rel=1e-5)


def test_max_norm_leaves_short_columns_biases_and_tables_alone():
    free, held = trained(), trained(nl.MaxNorm(1e3))
    assert held.params.tobytes() == free.params.tobytes()
    assert np.linalg.norm(trained(nl.MaxNorm(0.1)).layers[0].table0, axis=0).max() > 1


def test_max_norm_takes_a_length_above_zero():
    with pytest.raises(ArgumentError, match=f"^{re.escape('MaxNorm: c must be a number above 0, got 0')}$"):
        nl.MaxNorm(0)


def run_of(network, steps_per_epoch=1):
    return Run(network, nl.SGD(0.1), nl.History(), 2, steps_per_epoch, ("loss", "validation_loss"), epoch=1)


def test_early_stopping_without_a_best_epoch_leaves_the_weights_alone():
    network = nl.Network([nl.Dense(3, 2)], rng=0)
    run, before, stopping = run_of(network), network.params.copy(), nl.EarlyStopping(patience=2)
    stopping.on_fit_begin(run)
    run.history.records.append({"validation_loss": float("nan")})
    stopping.on_epoch(run)
    stopping.on_fit_end(run)
    assert run.history.best_epoch is None
    assert network.params.tobytes() == before.tobytes()


class Bar:
    """Counts its updates and keeps what it is told to show."""

    def __init__(self):
        self.updates, self.shown = 0, []

    def update(self):
        self.updates += 1

    def set_description_str(self, text):
        self.shown.append(text)


@pytest.mark.parametrize(("steps", "shown"), [(3, 3), (10, 10), (100, 10), (250, 10)])
def test_progress_bar_counts_every_step_and_changes_its_text_ten_times_at_the_most(steps, shown):
    bar = Bar()
    run = run_of(nl.Network([nl.Dense(3, 2)], rng=0), steps)
    for run.step in range(1, steps + 1):
        ProgressBar(bar).on_step(run)
    assert (bar.updates, len(bar.shown)) == (steps, shown)


def test_progress_bar_shows_the_figures_there_are():
    bar, run = Bar(), run_of(nl.Network([nl.Dense(3, 2)], rng=0))
    run.loss = 0.25
    ProgressBar(bar).on_step(run)
    run.accuracy = 0.5
    ProgressBar(bar).on_step(run)
    run.history.records.append({"validation_accuracy": 0.75})
    ProgressBar(bar).on_step(run)
    first = "epoch 1/2 loss 0.2500"
    assert bar.shown == [first, f"{first} accuracy 50.00%", f"{first} accuracy 50.00% validation 75.00%"]
