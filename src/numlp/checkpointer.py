"""Checkpoints of a training: when they are written, which are kept, and which one to go on from."""

import contextlib
import errno
import math
import os
import re
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from signal import SIGTERM
from typing import Any

from numlp.callbacks import Callback, check_monitor, sign_of
from numlp.data.batches import Batches
from numlp.errors import ArgumentError, CheckpointError, DTypeError, check_count, check_number
from numlp.files import check_path, check_replaceable, exclusive_folder, make_folder, os_errors, remove_leftovers
from numlp.optimizers import LBFGS
from numlp.resumption import Resumable, whole
from numlp.run import Run
from numlp.states import read_state, read_tag, write_state
from numlp.tensors import to_plain

_NAME = re.compile(r"checkpoint-(\d{8,})\.safetensors")


class Checkpointer(Callback):
    """Write all that a training is, so that `fit(..., resume=folder)` goes on exactly, after whatever ended it.

    A checkpoint is written before the first step, when one of `steps`, `minutes`, `epochs` has passed (an epoch, if none of
    them is given), after an epoch with the best figure, at the end, and at the next step after Ctrl-C or SIGTERM; after
    SIGTERM, SystemExit with status 143 follows. Each is one file, checkpoint-<step>.safetensors, atomic and durable; the
    folder is made. The last `keep` of this training and the best stay, and the one it was resumed from; older ones are
    deleted after the new one is on the disk, files of others never. A network that is not finite is not written. `LBFGS`
    keeps its curvature to itself: of such a training only the begin and the end are written, and it is repeated.

    Parameters
    ----------
    folder
        One training's own.
    steps, minutes, epochs
        How often; None leaves a measure out.
    keep
        How many of the last ones stay, at least 1.
    monitor
        The figure of the best: None takes `validation_loss`, without validation `loss`.
    settings
        What else must be the same when a training goes on, such as the seed of a split, in JSON's types.
    keep_going
        Whether training goes on, with a warning, when a checkpoint cannot be written, because the disk is full, say.

    Errors  ArgumentError, DTypeError about an argument; OSError with path, errno and the bytes needed if a file cannot be
        written; ArgumentError if the folder holds checkpoints and `fit` is not told to resume.

    Examples
    --------
    >>> import numlp as nl, tempfile
    >>> folder, data = tempfile.mkdtemp(), nl.load_digits()
    >>> def train():  # the second call finds a finished training
    ...     network = nl.Network([nl.Dense(64, 32, "relu"), nl.Dense(32, 10)], rng=0)
    ...     return nl.fit(network, data.train, epochs=3, callbacks=[nl.Checkpointer(folder)], resume=folder)
    >>> train()["loss"] == train()["loss"]
    True
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        steps: int | None = None,
        minutes: float | None = None,
        epochs: int | None = None,
        keep: int = 3,
        monitor: str | None = None,
        settings: Mapping[str, Any] | None = None,
        keep_going: bool = False,
    ) -> None:
        where = "Checkpointer"
        self.folder = check_path(folder, where, "folder")
        self.steps = None if steps is None else check_count(steps, where, "steps")
        self.minutes = None if minutes is None else check_number(minutes, where, "minutes", above=0)
        epochs = 1 if steps is None and minutes is None and epochs is None else epochs
        self.epochs = None if epochs is None else check_count(epochs, where, "epochs")
        self.keep = check_count(keep, where, "keep")
        self.monitor = monitor
        try:
            self.settings = to_plain(dict(settings or {}), "Checkpointer: settings")
        except (TypeError, ValueError, RecursionError) as error:
            raise DTypeError(
                f"Checkpointer: settings must be a dict of JSON's types, got {settings!r:.200}: {error}"
            ) from None
        self.keep_going = keep_going
        make_folder(self.folder)  # better now than after an hour

    def begin(self, training: Resumable, state: Mapping[str, Any] | None) -> None:
        """Learn what to write, and the state from which training goes on, if it does. `fit` calls it.

        Errors  ArgumentError if the folder holds checkpoints of another training.
        """
        run = training.run
        self._training = training
        new: dict[str, Any] = {"id": secrets.token_hex(8), "best": math.inf, "best_name": None}
        with whole(run.resumed_from or self.folder):
            saved = new if state is None else state["checkpointer"]
            self._id, self._best, self._best_name = saved["id"], saved["best"], saved["best_name"]
        self._resumed = None if run.resumed_from is None else run.resumed_from.resolve()
        with os_errors(self.folder):
            remove_leftovers(self.folder)
            tags = {path: read_tag(path) for path in _checkpoints(self.folder)}
        foreign = [path for path, tag in tags.items() if tag not in (self._id, None) or state is None]
        if foreign:
            raise ArgumentError(
                f"Checkpointer: folder must hold no checkpoints of another training, got {foreign[0]}; "
                "go on with it by fit(..., resume=folder), or choose another folder"
            )
        # what lies ahead was written before training was taken back to this step: the first to go
        self._own = sorted(
            (path for path, tag in tags.items() if tag), key=lambda path: (_step(path) <= run.step, _step(path))
        )

    def on_fit_begin(self, run: Run) -> None:
        """Check that the monitored figure will exist."""
        self._monitor = self.monitor or ("validation_loss" if "validation_loss" in run.monitors else "loss")
        check_monitor(self._monitor, run, "Checkpointer")
        self._sign = sign_of(self._monitor)
        self._partly = not isinstance(run.optimizer, LBFGS)  # whether something between begin and end can be gone on from
        self._last = time.monotonic()

    def on_epoch_begin(self, run: Run) -> None:
        """Write the begin, so that a folder that cannot be written to shows at once."""
        if run.step == 0 and run.resumed_from is None:
            self._save(run)

    def on_step(self, run: Run) -> None:
        """Write if it is time, or the last chance."""
        due = self.steps is not None and run.step % self.steps == 0
        due = due or (self.minutes is not None and time.monotonic() - self._last >= 60 * self.minutes)
        if self._partly and (due or run.history.interrupted):
            self._save(run)
        if run.history.interrupted:
            _exit(run)

    def on_epoch(self, run: Run) -> None:
        """Write if it is time, or the best so far. What an interruption has cut short is no epoch."""
        if self._partly and not run.history.interrupted:
            value = self._sign * run.history.records[-1][self._monitor]
            if value < self._best:
                self._save(run, best=value)
            elif self.epochs is not None and run.epoch % self.epochs == 0:
                self._save(run)

    def on_fit_end(self, run: Run) -> None:
        """Write the end, with the weights that the other callbacks have chosen."""
        if not run.history.interrupted:
            self._save(run, finished=True)
            _exit(run)

    def _save(self, run: Run, best: float | None = None, finished: bool = False) -> None:
        """Write a checkpoint, and then delete what need not stay."""
        if not run.network.is_finite():  # the next step will find out why
            return
        path = self.folder / f"checkpoint-{run.step:08}.safetensors"
        value, name = (self._best, self._best_name) if best is None else (best, path.name)
        about = {"id": self._id, "best": value, "best_name": name}
        try:
            if read_tag(path) not in (self._id, None):
                raise FileExistsError(errno.EEXIST, "A checkpoint of another training; choose another folder", str(path))
            write_state(path, self._training.state(finished) | {"checkpointer": about}, self._id)
        except OSError as error:
            if not self.keep_going:
                raise
            self._last = time.monotonic()  # `minutes` is how often it is tried, too
            warnings.warn(f"Checkpointer: {error}; training goes on", UserWarning, stacklevel=2)
            return
        self._best, self._best_name, self._last = value, name, time.monotonic()
        self._own = [*(other for other in self._own if other != path), path]
        for other in self._own[: -self.keep]:
            if other.name != self._best_name and other.resolve() != self._resumed:
                self._delete(other)

    def _delete(self, path: Path) -> None:
        """Delete a checkpoint if it is still the one that was written; what cannot be deleted is tried again later."""
        with contextlib.suppress(OSError):
            if read_tag(path) == self._id:
                check_replaceable(path)  # a read-only one stays
                path.unlink()
            self._own.remove(path)


@contextlib.contextmanager
def alone(writer: Checkpointer | None) -> Iterator[None]:
    """Keep other trainings out of the folder of a Checkpointer, if there is one, inside the block.

    Errors  CheckpointError if another one is at work there, in this process or another one.
    """
    if writer is None:
        yield
        return
    with exclusive_folder(writer.folder) as is_alone:
        if not is_alone:
            raise CheckpointError(
                f"Checkpointer: folder must belong to one training at a time, got {writer.folder}, where another one "
                "is at work; wait for its end, or choose another folder"
            )
        yield


def resumption(
    run: Run,
    batches: Batches,
    listeners: list[Callback],
    writer: Checkpointer | None,
    resume: str | os.PathLike[str] | None,
    others: Mapping[str, Any],
    n_threads: int | str,
) -> Callable[[], bool]:
    """Find the checkpoint to go on from and tell the run, and the `writer` if there is one, of it.

    `others` are the parts, data and numbers of the training besides those of the run, by name. Returns what puts the rest
    of the checkpoint, if there is one, in place, and then tells whether the training is finished.

    Errors  CheckpointError if the checkpoint is damaged or of another training; as Checkpointer.begin.
    """
    if writer is None and resume is None:
        return lambda: False
    given = {} if writer is None else writer.settings
    training = Resumable(run, batches, listeners, {"given": given, **others}, n_threads)
    found = None if resume is None else find_checkpoint(resume)
    if found is not None:
        training.take(*found)
    if writer is not None:
        writer.begin(training, None if found is None else found[0])
    return lambda: found is not None and training.restore(found[0])


def find_checkpoint(resume: str | os.PathLike[str]) -> tuple[dict[str, Any], Path] | None:
    """Return state and path of a checkpoint: the file `resume`, or the newest whole one in the folder `resume`, if any.

    Errors  CheckpointError if the file is damaged, or no file in the folder is whole; OSError if it cannot be read.
    """
    place = check_path(resume, "fit", "resume")
    if not place.is_dir():
        return read_state(place), place
    problems = []
    with os_errors(place):
        paths = sorted(_checkpoints(place), key=_step, reverse=True)
    for path in paths:
        try:
            state = read_state(path)
        except (CheckpointError, OSError) as error:
            problems.append(str(error))
            continue
        if problems:
            warnings.warn(
                f"fit: going on from {path}, because of newer ones: {'; '.join(problems)}", UserWarning, stacklevel=3
            )
        return state, path
    if problems:
        raise CheckpointError(f"fit: {place} must hold a whole checkpoint, got none: {'; '.join(problems)}")
    return None


def _exit(run: Run) -> None:
    """End the process in the way of SIGTERM if it was sent, now that everything is on the disk."""
    if run.signum == SIGTERM:
        raise SystemExit(128 + SIGTERM)


def _checkpoints(folder: Path) -> list[Path]:
    """Return the files of a folder that have the name of a checkpoint."""
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]


def _step(path: Path) -> int:
    """Return the step in the name of a checkpoint."""
    return int(path.stem.partition("-")[2])


def in_order(listeners: list[Callback]) -> tuple[list[Callback], Checkpointer | None]:
    """Return the listeners, and the Checkpointer among them, if there is one: at the end, it keeps what all others did."""
    checkpointers = [listener for listener in listeners if isinstance(listener, Checkpointer)]
    if len(checkpointers) > 1:
        raise ArgumentError(f"fit: callbacks must hold at most 1 Checkpointer, got {len(checkpointers)}")
    ordered = [listener for listener in listeners if listener not in checkpointers] + checkpointers
    return ordered, checkpointers[0] if checkpointers else None
