"""Settings chosen on the validation set, then trained on train + validation."""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from numlp import kernels
from numlp.data.splits import Dataset, Split
from numlp.errors import ArgumentError, DivergenceError, DTypeError, check_choice
from numlp.network import Network
from numlp.progress import progress_bar
from numlp.signals import interruptible
from numlp.training import evaluate

Trainer = Callable[..., Network]


class SearchResult(NamedTuple):
    """What `search` found.

    `trials` has one dict for each setting: the setting, `loss` and `accuracy` on the validation rows, `parameters`
    and `seconds`, without those in which kernels were compiled, and None for all of these where training diverged;
    `best` is the chosen setting; `network` was trained with it from new weights on train + validation, and is None if
    Ctrl-C came before that; `interrupted` tells that it came. `str(result)` is a table.
    """

    trials: list[dict[str, Any]]
    best: dict[str, Any]
    network: Network | None
    interrupted: bool = False

    def __repr__(self) -> str:
        return f"SearchResult(best={self.best}, {len(self.trials)} trials, network={self.network!r})"

    def __str__(self) -> str:
        columns = list(self.trials[0])
        rows = [[_cell(trial[column], column) for column in columns] for trial in self.trials]
        widths = [max(len(text) for text in column) for column in zip(columns, *rows, strict=True)]
        lines = ["  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True)) for row in [columns, *rows]]
        for i, trial in enumerate(self.trials, 1):
            if all(trial[name] == value for name, value in self.best.items()):
                lines[i] += "  <- best"
        return "\n".join(lines)


def search(
    train_one: Trainer,
    data: Dataset,
    grid: Mapping[str, Iterable[Any]],
    *,
    monitor: str = "accuracy",
    progress: bool = True,
) -> SearchResult:
    """Train every setting of a grid on `data.train`, choose on `data.validation`, train the best on both together.

    The weights of the trials are thrown away on purpose: the network returned starts from new ones and sees
    the validation rows too, so nothing is left to choose on - evaluate it on the test rows, once.

    Parameters
    ----------
    train_one
        train_one(train, validation, **setting) -> Network, trained. `validation` is None in the last training.
    data
        With `.train` and `.validation`; `.test` is not looked at.
    grid
        Values for each name; every combination is a setting.
    monitor
        "accuracy" (largest is best) or "loss" (smallest is best), on the validation rows; the earlier setting wins a tie.
    progress
        Show a bar if stderr is a terminal.

    Errors  ArgumentError for an empty grid or an unknown monitor; DTypeError if train_one returns no network;
        DivergenceError if all trainings diverge; what else train_one raises.

    Examples
    --------
    >>> import numlp as nl
    >>> def train_one(train, validation, hidden):
    ...     network = nl.Network([nl.Dense(64, hidden, "relu"), nl.Dense(hidden, 10)], rng=0)
    ...     nl.fit(network, train, epochs=3, batch_size=16)
    ...     return network
    >>> nl.search(train_one, nl.load_digits(), {"hidden": [5, 50]}).best
    {'hidden': 50}
    """
    check_choice(monitor, ("accuracy", "loss"), "search", "monitor")
    names, values = list(grid), [list(options) for options in grid.values()]
    settings = [dict(zip(names, combination, strict=True)) for combination in itertools.product(*values)]
    if not names or not settings:
        raise ArgumentError("search: grid must hold at least 1 setting, got none")
    kernels.choose()  # so that its time is not that of the first trial
    trials: list[dict[str, Any]] = []
    failure: DivergenceError | None = None
    interrupts: list[int] = []
    with interruptible(interrupts.append), progress_bar(len(settings) + 1, "search", progress) as bar:
        for setting in settings:
            try:
                trial = _try(train_one, data, setting)
            except DivergenceError as error:
                trial, failure = setting, error
            if interrupts and trials:  # a trial cut short is no fair one
                break
            trials.append(trial)
            if bar is not None:
                bar.update()
        finished = [trial for trial in trials if "parameters" in trial]
        if failure is not None and not finished:
            raise failure
        trials = [dict.fromkeys(finished[0]) | trial for trial in trials]
        chosen = {name: _best(finished, monitor)[name] for name in names}
        if interrupts:
            return SearchResult(trials, chosen, None, interrupted=True)
        both = Split(*(np.concatenate(parts) for parts in zip(data.train, data.validation, strict=True)))
        network = _trained(train_one, both, None, chosen)
    return SearchResult(trials, chosen, network, interrupted=bool(interrupts))


def _try(train_one: Trainer, data: Dataset, setting: dict[str, Any]) -> dict[str, Any]:
    """Train one setting and return its row of the table."""
    started, loaded = time.perf_counter(), kernels.loading_seconds()
    network = _trained(train_one, data.train, data.validation, setting)
    figures = evaluate(network, data.validation, progress=False)
    seconds = time.perf_counter() - started - (kernels.loading_seconds() - loaded)
    return {**setting, **figures, "parameters": network.params.size, "seconds": seconds}


def _best(trials: list[dict[str, Any]], monitor: str) -> dict[str, Any]:
    """Return the trial with the largest accuracy or the smallest loss, the earlier one of two equals."""
    if monitor not in trials[0]:
        raise ArgumentError(f"search: monitor must be a figure of the loss trained with, got {monitor!r}; use 'loss'")
    return min(trials, key=lambda trial: -trial[monitor] if monitor == "accuracy" else trial[monitor])


def _trained(train_one: Trainer, train: Split, validation: Split | None, setting: dict[str, Any]) -> Network:
    network = train_one(train, validation, **setting)
    if not isinstance(network, Network):
        raise DTypeError(f"search: train_one must return the trained Network, got {network!r}")
    return network


def _cell(value: Any, column: str = "") -> str:
    if isinstance(value, tuple):
        return ",".join(_cell(part) for part in value)
    if column == "accuracy" and value is not None:
        return f"{value:.2%}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
