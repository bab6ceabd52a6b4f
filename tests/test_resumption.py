"""A training that was ended at any step goes on to the same bytes; another training is refused, field by field."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.callbacks import Run
from trainings import STEPS, TRAININGS, end_of


class Lost(Exception):
    """What ends a training, as a power cut does."""


class Cut(nl.Callback):
    """Ends the process, as it were, after a step, before a checkpoint of it is written."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step(self, run: Run) -> None:
        if run.step == self.step:
            raise Lost


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here loses power: tests/torture does."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def train(
    name: str, seed: int, folder: Path | None, cut: int | None = None, **options: Any
) -> tuple[nl.Network, dict[str, Any]]:
    """Run a training of the table, with checkpoints if there is a folder, and return the network and its end."""
    network, given = TRAININGS[name](seed)
    listeners = [*given.pop("callbacks", ()), Cut(cut)]
    if folder is not None:
        listeners.append(nl.Checkpointer(folder, **({"steps": 4} | options)))
    history = nl.fit(network, **given, callbacks=listeners, resume=folder)
    return network, end_of(network, given | {"callbacks": listeners[: -1 if folder is None else -2]}, history)


@pytest.mark.parametrize("name", TRAININGS)
def test_training_ended_at_random_steps_goes_on_to_the_same_bytes(name: str, memory_folder: Path) -> None:
    straight, expected = train(name, 0, None)
    cuts = np.random.default_rng([len(name), *name.encode()]).integers(1, STEPS, 3)
    for seed, cut in enumerate([*sorted(int(step) for step in cuts), None]):
        try:  # each time a new network, of another seed
            network, end = train(name, seed, memory_folder / "run", cut)
        except Lost:
            continue
    assert end == expected
    nl.save(straight, memory_folder / "a")
    nl.save(network, memory_folder / "b")
    assert (memory_folder / "a").read_bytes() == (memory_folder / "b").read_bytes()
    _, again = train(name, 9, memory_folder / "run")  # a finished one is found finished
    assert again == expected
