"""Callbacks that stop training or change its rate keep what they count to themselves."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import numlp as nl
from numlp.run import Run

MONITORS = ("loss", "accuracy", "validation_loss", "validation_accuracy")
EPOCHS = 12


class WritesBestEpoch(nl.Callback):
    """Claims each epoch to be the best, as a callback of one's own may."""

    def on_epoch(self, run: Run) -> None:
        run.history.best_epoch = run.epoch


def rates(
    callbacks: Sequence[nl.Callback], figures: np.ndarray, pause: int = 0
) -> tuple[list[float], nl.History, nl.Network]:
    """Tell callbacks of epochs with these figures; return the rate after each, until one stops. `pause`: resume after it."""
    network = nl.Network([nl.Dense(2, 2)], rng=0)
    run = Run(network, nl.SGD(1.0), nl.History(), EPOCHS, 1, MONITORS)
    run.optimizer.start(network.params, network.n_weights, EPOCHS)
    for callback in callbacks:
        callback.on_fit_begin(run)
    seen = []
    while run.goes_on:
        run.begin_epoch()
        network.params[0] = run.epoch
        run.history.records.append(dict(zip(MONITORS, figures[run.epoch - 1], strict=True)))
        for callback in callbacks:
            callback.on_epoch(run)
        seen.append(run.optimizer.scale)
        if run.epoch == pause:
            states = [callback.state() for callback in callbacks]
            for callback, state in zip(callbacks, states, strict=True):
                callback.on_fit_begin(run)
                callback.restore(state)
    for callback in callbacks:
        callback.on_fit_end(run)
    return seen, run.history, network


stopping = st.builds(
    nl.EarlyStopping, st.integers(1, 6), st.sampled_from(MONITORS), st.sampled_from([0.0, 0.5])
)  # fmt: skip
figures = st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=EPOCHS, max_size=EPOCHS).map(
    lambda rows: np.array(rows, float)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(stopping, min_size=1, max_size=3), figures, st.integers(0, EPOCHS))
def test_several_stops_end_training_where_the_first_alone_would(stops, figures, pause):
    alone = [rates([stop], figures) for stop in stops]
    together, history, network = rates([WritesBestEpoch(), *stops, nl.ReduceOnPlateau(patience=1)], figures, pause)
    assert len(together) == min(len(seen) for seen, _, _ in alone)
    assert network.params[0] == history.best_epoch <= len(together)  # the weights of the epoch that is named


plateau = st.builds(nl.ReduceOnPlateau, st.sampled_from(MONITORS), st.sampled_from([0.5, 0.1]), st.integers(0, 4))


@settings(max_examples=25, deadline=None)
@given(st.lists(plateau, min_size=2, max_size=3), figures)
def test_several_plateaus_lower_the_rate_as_each_alone_would(plateaus, figures):
    alone = np.prod([rates([plateau], figures)[0] for plateau in plateaus], axis=0)
    together = rates([*plateaus, WritesBestEpoch()], figures)[0]
    np.testing.assert_allclose(together, np.maximum(alone, 0), rtol=1e-6)


def test_early_stopping_goes_on_from_a_checkpoint_without_its_own_epoch():
    network = nl.Network([nl.Dense(2, 2)], rng=0)
    run = Run(network, nl.SGD(1.0), nl.History(best_epoch=3), EPOCHS, 1, MONITORS, epoch=5)
    stop = nl.EarlyStopping(patience=3, monitor="loss")
    stop.on_fit_begin(run)
    stop.restore({"_best": 1.0, "_snapshot": network.snapshot()})
    run.history.records.append({"loss": 2.0})
    stop.on_epoch(run)
    assert not run.stop
    run.epoch = 6
    stop.on_epoch(run)
    assert run.stop
    stop.on_fit_end(run)
    assert run.history.best_epoch == 3
