import os
import signal
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.data.splits import Dataset, Split
from numlp.errors import DivergenceError


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    return Dataset("signs", Split(x[:40], y[:40]), Split(x[40:], y[40:]), Split(x[:0], y[:0]), ("no", "yes"), (2, 2))


def net(hidden: int) -> nl.Network:
    return nl.Network([nl.Dense(4, hidden, "tanh"), nl.Dense(hidden, 2)], rng=0)


def test_search_trains_on_train_and_the_best_on_both(data: Dataset) -> None:
    calls: list[Any] = []

    def train_one(train: Split, validation: Split | None, hidden: int, rate: float) -> nl.Network:
        calls.append((len(train.x), validation is None, hidden, rate))
        network = net(hidden)
        nl.fit(network, train, optimizer=nl.Adam(rate), epochs=30)
        return network

    result = nl.search(train_one, data, {"hidden": [1, 20], "rate": [1e-6, 0.05]})
    assert calls[:4] == [(40, False, h, r) for h in (1, 20) for r in (1e-6, 0.05)]
    assert calls[4:] == [(60, True, result.best["hidden"], result.best["rate"])]
    assert result.best == {"hidden": 20, "rate": 0.05}
    assert [trial["parameters"] for trial in result.trials] == [9, 9, 142, 142]
    best = max(result.trials, key=lambda trial: trial["accuracy"])
    assert {name: best[name] for name in ("hidden", "rate")} == result.best
    assert not result.interrupted


def test_search_returns_new_weights_not_those_of_a_trial(data: Dataset) -> None:
    networks: list[nl.Network] = []

    def train_one(train: Split, validation: Split | None, hidden: int) -> nl.Network:
        networks.append(net(hidden))
        nl.fit(networks[-1], train, epochs=1)
        return networks[-1]

    result = nl.search(train_one, data, {"hidden": [3, 4]})
    assert result.network is networks[2]


def test_earlier_setting_wins_a_tie_and_loss_prefers_the_smallest(data: Dataset) -> None:
    def train_one(train: Split, validation: Split | None, bias: float) -> nl.Network:
        network = nl.Network([nl.Dense(4, 2)], rng=0, loss=nl.SoftmaxCrossEntropy())
        network.params[...] = 0
        network.layers[0].b[0] = bias  # every row is called class 0, more or less surely
        return network

    assert nl.search(train_one, data, {"bias": [5.0, 0.1]}).best == {"bias": 5.0}
    assert nl.search(train_one, data, {"bias": [5.0, 0.1]}, monitor="loss").best == {"bias": 0.1}


def test_table_names_the_best(data: Dataset) -> None:
    result = nl.search(lambda train, validation, hidden: _fitted(train, hidden), data, {"hidden": [2, 9]})
    lines = str(result).splitlines()
    assert lines[0].split() == ["hidden", "loss", "accuracy", "parameters", "seconds"]
    assert sum("<- best" in line for line in lines) == 1
    assert f"{result.best['hidden']}" in next(line for line in lines if "<- best" in line).split()[0]


def _fitted(train: Split, hidden: int) -> nl.Network:
    network = net(hidden)
    nl.fit(network, train, epochs=2)
    return network


def test_ctrl_c_ends_the_search_with_the_trials_done(data: Dataset) -> None:
    class Interrupt(nl.Callback):
        def on_gradients(self, run: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    def train_one(train: Split, validation: Split | None, hidden: int) -> nl.Network:
        network = net(hidden)
        nl.fit(network, train, epochs=2, callbacks=[Interrupt()] if hidden == 3 else [])
        return network

    result = nl.search(train_one, data, {"hidden": [1, 2, 3, 4]})
    assert [trial["hidden"] for trial in result.trials] == [1, 2]
    assert result.network is None and result.interrupted
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_accuracy_of_a_regression_is_refused(data: Dataset) -> None:
    def train_one(train: Split, validation: Split | None, hidden: int) -> nl.Network:
        network = nl.Network([nl.Dense(4, 1)], rng=0)
        nl.fit(network, train, loss=nl.SquaredError(), epochs=1)
        return network

    with pytest.raises(nl.errors.ArgumentError, match=r"^search: monitor must be a figure of the loss .*; use 'loss'$"):
        nl.search(train_one, data, {"hidden": [1]})
    assert nl.search(train_one, data, {"hidden": [1]}, monitor="loss").best == {"hidden": 1}


def test_search_counts_the_trials_on_a_terminal_if_asked(data: Dataset, bars: list[Any]) -> None:
    def train_one(train: Split, validation: Split | None, hidden: int) -> nl.Network:
        network = net(hidden)
        nl.fit(network, train, epochs=1, progress=False)
        return network

    nl.search(train_one, data, {"hidden": [2, 3]}, progress=False)
    assert bars == []
    nl.search(train_one, data, {"hidden": [2, 3]})
    # the last training is of the chosen setting, after which the bar is gone
    assert [(bar.desc, bar.total, bar.n) for bar in bars] == [("search", 3, 2)]


def test_table_shows_the_widths_of_several_layers_in_one_cell(data: Dataset) -> None:
    def train_one(train: Split, validation: Split | None, hidden: tuple[int, ...]) -> nl.Network:
        return _fitted(train, hidden[0])

    result = nl.search(train_one, data, {"hidden": [(4, 3), (5,)]})
    assert [line.split()[0] for line in str(result).splitlines()] == ["hidden", "4,3", "5"]


def test_setting_that_diverges_does_not_end_the_search() -> None:
    data = nl.load_digits()

    def train_one(train: Any, validation: Any, rate: float) -> nl.Network:
        network = nl.Network([nl.Dense(64, 10)], rng=0)
        nl.fit(network, train, optimizer=nl.Adam(rate), epochs=1, callbacks=[nl.Doctor(lambda text: None)])
        return network

    result = nl.search(train_one, data, {"rate": [1e20, 1e-2]})
    assert result.best == {"rate": 1e-2}
    assert result.trials[0] == {"rate": 1e20} | dict.fromkeys(("loss", "accuracy", "parameters", "seconds"))
    assert "None" in str(result).splitlines()[1]
    with pytest.raises(DivergenceError):
        nl.search(train_one, data, {"rate": [1e20, 1e25]})
