"""One line for each epoch: the figures, labelled, in the width there is."""

import sys
from collections.abc import Callable

from numlp.callbacks import Callback
from numlp.errors import check_count
from numlp.progress import is_watched, terminal_width, write_line
from numlp.run import Run

_LINES = 20  # of a training run, about
_SHORT = {"accuracy": "acc", "validation loss": "val loss", "validation accuracy": "val acc"}


class PrintEpochs(Callback):
    """Print a line of figures after the first epoch, after each `every`-th one and after the last.

    Parameters
    ----------
    every : int, optional
        None prints about 20 lines.
    say : callable, optional
        Takes each line; None prints it on stdout.
    width : int, optional
        Most characters of a line; None takes the width of the terminal, and any width where there is none.

    Examples
    --------
    >>> import numlp as nl
    >>> data = nl.load_digits()
    >>> network = nl.Network([nl.Dense(64, 10)], rng=0)
    >>> history = nl.fit(network, data.train, epochs=2, callbacks=[nl.PrintEpochs(say=lambda line: print(line[:17]))])
    epoch   1/2  loss
    epoch   2/2  loss
    """

    def __init__(self, every: int | None = None, say: Callable[[str], None] | None = None, width: int | None = None) -> None:
        self.every = None if every is None else check_count(every, "PrintEpochs", "every")
        self.say = say
        self.width = None if width is None else check_count(width, "PrintEpochs", "width")

    def on_fit_begin(self, run: Run) -> None:
        """Say how many lines will come."""
        self._every = self.every or max(1, -(-run.epochs // _LINES))
        self._say = self.say or (lambda line: write_line(line, sys.stdout))
        if self._every > 1 and run.goes_on:
            self._say(f"one line per {self._every} epochs")

    def on_epoch(self, run: Run) -> None:
        """Print the epoch's figures."""
        if run.epoch in (1, run.epochs) or run.epoch % self._every == 0 or run.is_ending:
            width = self.width or terminal_width(sys.stdout)
            for line in epoch_lines(run, width):
                self._say(line)


def epoch_lines(run: Run, width: int | None = None) -> list[str]:
    """Return the last record as lines of at most `width` characters; where one cannot hold all figures, as several."""
    parts = _figures(run, {}, epoch_width=3, share="7.2%")
    if width is None or len("  ".join(parts)) <= width:
        return ["  ".join(parts)]
    parts = _figures(run, _SHORT, epoch_width=1, share=".2%")
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(f"  {part}")
    return lines


def _figures(run: Run, labels: dict[str, str], epoch_width: int, share: str) -> list[str]:
    """Return each figure of the last record with its label, which `labels` may shorten."""
    record = run.history.records[-1]
    parts = [f"epoch {run.epoch:>{epoch_width}}/{run.epochs}"]
    for key, value in record.items():
        if key not in ("epoch", "learning_rate", "seconds"):
            name = key.replace("_", " ")
            parts.append(f"{labels.get(name, name)} {value:{share if 'accuracy' in key else '.4f'}}")
    return [*parts, f"time {record['seconds']:.2f} s"]


def printer(verbose: bool | int | None, progress: bool) -> list[PrintEpochs]:
    """Return what prints the epochs of `fit`: if asked for, or where somebody reads who cannot see a bar."""
    wanted = progress and is_watched() if verbose is None else verbose
    return [PrintEpochs(every=1 if wanted == 2 else None)] if wanted else []
