"""What a training is at each moment: its network, its history, its place, and whether it goes on."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numlp.network import Network
from numlp.optimizers import Optimizer

RECORD_KEYS = ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "seconds")


@dataclass
class History:
    """What training did: one record an epoch, a dict with the keys of `RECORD_KEYS` that apply.

    `loss` and `accuracy` are means over the epoch's batches, taken while the weights change (and with dropout at
    work); `validation_loss` and `validation_accuracy` are taken at the end of the epoch. `history["loss"]` is a column.
    `interrupted` tells that Ctrl-C ended it, `best_epoch` which epoch's weights early stopping has restored.
    """

    records: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False
    best_epoch: int | None = None

    def __getitem__(self, key: str) -> list[float]:
        """Return one column over the epochs."""
        return [record[key] for record in self.records]

    def __len__(self) -> int:
        """Return the number of epochs recorded."""
        return len(self.records)

    def __repr__(self) -> str:
        last = self.records[-1] if self.records else {}
        figures = {name: value for name, value in last.items() if name not in ("epoch", "learning_rate", "seconds")}
        parts = [f"epochs={len(self)}", *(f"{name}={value:.4g}" for name, value in figures.items())]
        parts += [f"best_epoch={self.best_epoch}"] if self.best_epoch is not None else []
        return f"History({', '.join(parts)}{', interrupted=True' if self.interrupted else ''})"


@dataclass
class Run:
    """The state of a training that callbacks see. Set `stop` to end it after the current step.

    `epoch` and `step` count from 1; `loss` and `accuracy` are the epoch's running means. Within an epoch `epoch` is larger
    than `len(history)`. `resumed_from` is the checkpoint this training goes on from.
    """

    network: Network
    optimizer: Optimizer
    history: History
    epochs: int
    steps_per_epoch: int
    monitors: tuple[str, ...]
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    accuracy: float | None = None
    first_loss: float = 0.0  # of the first step
    stop: bool = False
    resumed_from: Path | None = None
    signum: int | None = None  # the signal that asks for an end
    totals: tuple[float, ...] = (0.0,) * 4  # of the epoch: weighted loss, its weight, rows that are right, all rows
    started: float = 0.0  # time.perf_counter() when the epoch began
    good: Any = None  # what the network was at `good_at`, the last time that everything was finite
    good_at: str = ""

    @property
    def is_within_epoch(self) -> bool:
        """Whether an epoch has begun that has no record yet."""
        return self.epoch > len(self.history)

    @property
    def is_ending(self) -> bool:
        """Whether training ends after this step, by a callback or the user."""
        return self.stop or self.history.interrupted

    @property
    def goes_on(self) -> bool:
        """Whether something is left to train."""
        return self.is_within_epoch or (self.epoch < self.epochs and not self.is_ending)

    def interrupt(self, signum: int) -> None:
        """Remember that the user wants training to end after the current step."""
        self.signum = signum

    def begin_epoch(self) -> None:
        """Keep what there is, and count an epoch of which nothing is known yet."""
        self.good, self.good_at = self.network.snapshot(), f"after epoch {self.epoch}"
        self.epoch, self.totals, self.started = self.epoch + 1, (0.0,) * 4, time.perf_counter()

    def add(self, loss: float, mass: float, right: float, rows: float) -> None:
        """Add to `totals`, and take the means anew."""
        before = self.totals
        self.totals = loss, mass, right, rows = before[0] + loss, before[1] + mass, before[2] + right, before[3] + rows
        self.loss, self.accuracy = loss / (mass or 1), right / (rows or 1) if "accuracy" in self.monitors else None

    def end_step(self) -> None:
        """Count a step. A signal that comes later waits for the next one, so that every listener sees the same."""
        self.step += 1
        if self.step == 1:
            self.first_loss = self.loss
        if self.signum is not None:
            self.history.interrupted = True
