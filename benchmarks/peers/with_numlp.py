"""Numlp as a user runs it: public names only, `fit` as it comes, bytes in memory where the data are bytes."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numlp as nl  # first: it may choose the BLAS kernels before NumPy is loaded

import numpy as np  # isort: skip

from benchmarks.child import Job, answer, latency, step_us
from benchmarks.data import Data, read
from benchmarks.works import Work, work_from


class Clock(nl.Callback):
    """Notes when training begins and when each epoch ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_fit_begin(self, run: Any) -> None:
        """Begin."""
        self.ends.append(time.perf_counter())

    def on_epoch(self, run: Any) -> None:
        """Note that an epoch is over: its record is written."""
        self.ends.append(time.perf_counter())


class FirstStep(nl.Callback):
    """Ends training after the first step."""

    def on_step(self, run: Any) -> None:
        """Stop."""
        run.stop = True


def build(work: Work, data: Data, seed: int) -> nl.Network:
    """Return the network of a work, with its initial weights and the generator all competitors draw the order from."""
    layers: list[nl.Layer] = [] if work.table else [nl.Pixels(work.sizes[0])]
    last = len(work.sizes) - 2
    for i, (n_in, n_out) in enumerate(pairwise(work.sizes)):
        if i == last:
            layers.append(nl.Dense(n_in, n_out))
            break
        if work.batch_norm:
            layers += [nl.Dense(n_in, n_out), nl.BatchNorm(n_out), nl.Activation(n_out, "relu")]
        else:
            layers.append(nl.Dense(n_in, n_out, "relu"))
        if work.dropout:
            layers.append(nl.Dropout(n_out, work.dropout))
    loss = nl.SquaredError() if work.table else nl.SoftmaxCrossEntropy()
    network = nl.Network(layers, rng=seed, loss=loss)
    dense = [layer for layer in network.layers if isinstance(layer, nl.Dense)]
    for layer, W in zip(dense, data.weights, strict=True):
        layer.W[...] = W
    network.rng = np.random.default_rng(seed)
    return network


def optimizer_of(work: Work) -> nl.Optimizer:
    """Return the optimizer of a work."""
    if work.optimizer == "sgd":
        return nl.SGD(work.learning_rate, momentum=work.momentum)
    if work.optimizer == "adam":
        return nl.Adam(work.learning_rate)
    return nl.AdamW(work.learning_rate, weight_decay=work.weight_decay)


def train(job: Job) -> dict[str, Any]:
    """Train, and return the median time of a step and the loss on the evaluation rows."""
    work, data, clock = work_from(job["work"]), read(job["folder"]), Clock()
    network = build(work, data, job["seed"])
    nl.fit(
        network, (data.x, data.y), optimizer=optimizer_of(work), epochs=job["warm"] + job["epochs"],
        batch_size=work.batch_size, callbacks=[clock], progress=False,
    )  # fmt: skip
    us = step_us(clock.ends, job["warm"], len(data.x) // work.batch_size)
    return {"step_us": us, "loss": nl.evaluate(network, (data.x_eval, data.y_eval), progress=False)["loss"]}


def predict(job: Job) -> dict[str, Any]:
    """Return labels and latencies of `Network.predict`."""
    root = Path(job["folder"])
    first, second = (np.load(root / f"W{i}.npy") for i in range(2))
    layers = [nl.Dense(len(first), len(second), "relu"), nl.Dense(len(second), second.shape[1])]
    network = nl.Network(layers, rng=0, loss=nl.SoftmaxCrossEntropy())
    for i, (layer, W) in enumerate(zip(layers, (first, second), strict=True)):
        layer.W[...], layer.b[...] = W, np.load(root / f"b{i}.npy")
    return latency(job, np.load(root / "rows.npy"), network.predict)


def first_step(job: Job) -> dict[str, Any]:
    """Return the seconds from the layers of the default recipe to the end of their first step; import not counted."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (2000, 784), np.uint8), rng.integers(0, 10, 2000)
    started = time.perf_counter()
    layers: list[nl.Layer] = [nl.Pixels(784)]
    for n_in in (784, 512):
        layers += [nl.Dense(n_in, 512), nl.BatchNorm(512), nl.Activation(512, "relu"), nl.Dropout(512, 0.2)]
    network = nl.Network([*layers, nl.Dense(512, 10)], rng=0)
    optimizer = nl.AdamW(nl.OneCycle(0.01), weight_decay=0.1)
    loss = nl.SoftmaxCrossEntropy(0.05)
    nl.fit(network, (x, y), loss=loss, optimizer=optimizer, batch_size=256, callbacks=[FirstStep()], progress=False)
    return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    answer({"train": train, "predict": predict, "first_step": first_step})
