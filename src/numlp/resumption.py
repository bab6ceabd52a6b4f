"""What a training keeps to go on exactly as if it had never been interrupted, and whether it is the same training.

    settings      all that decides the result: architecture, loss, optimizer, callbacks, data (their SHA-256); must be equal
    environment   versions, BLAS, kernels, threads: another one may change the last digits, so it is told
    the rest      parameters, state of the generator, the optimizer, the order of the rows, the callbacks; the history

The order of an epoch is not kept: it is drawn again from the generator's state at the epoch's begin.
"""

import hashlib
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import blas, kernels
from numlp.callbacks import Callback
from numlp.config import to_config
from numlp.copies import own_names
from numlp.data.batches import Batches
from numlp.errors import ArgumentError, CheckpointError, printable
from numlp.run import Run
from numlp.tensors import to_plain
from numlp.version import __version__

_EPOCHS = {"epochs", "given.epochs"}  # settings that may grow, the second of the command line
_SHOWN = 8  # differences in a message
_CHUNK = 1 << 20  # bytes hashed at once of an array that has to be copied for it


class Resumable:
    """The parts of a training, from which its state is taken and to which it is given back.

    `settings` is all that decides the result, `environment` what may change its last digits; `others` are further parts,
    data and numbers by name.

    Errors  ArgumentError if a part does not keep its arguments as attributes.
    """

    def __init__(
        self,
        run: Run,
        batches: Batches,
        listeners: list[Callback],
        others: Mapping[str, Any],
        n_threads: int | str,
    ) -> None:
        self.run = run
        self._batches = batches
        self._partners = [listener for listener in listeners if listener.state_names is not None]
        try:
            settings = {
                **{name: _described(value) for name, value in others.items()},
                "network": run.network.to_config() | {"loss": None},  # the loss of this training is among the others
                "optimizer": to_config(run.optimizer),
                "callbacks": {str(i): to_config(partner) for i, partner in enumerate(self._partners)},
                "epochs": run.epochs,
                "batch_size": batches.batch_size,
                "generator": type(run.network.rng.bit_generator).__name__,
            }
        except (AttributeError, ValueError) as error:
            raise ArgumentError(
                f"fit: parts must keep their arguments as attributes where there are checkpoints, got one without: {error}"
            ) from error
        self.settings = to_plain(settings, "fit: settings")  # as they come back from a file
        self.own_parts = own_names(run.network, others.get("loss"))
        self.environment = _environment(n_threads)

    def state(self, finished: bool = False) -> dict[str, Any]:
        """Return everything that a checkpoint holds; the arrays are those at work, not copies."""
        run = self.run
        history = run.history
        keys = dict.fromkeys(key for record in history.records for key in record)  # a callback may add figures to some
        return {
            "settings": self.settings,
            "environment": self.environment,
            "own_parts": self.own_parts,
            "params": run.network.params,
            "state": run.network.state,
            "inputs": run.network.inputs._asdict() if run.network.inputs else None,
            "generator": run.network.rng.bit_generator.state,
            "optimizer": run.optimizer.state(),
            "batches": self._batches.state(),
            "callbacks": [partner.state() for partner in self._partners],
            "epoch": run.epoch,
            "step": run.step,
            "totals": run.totals,
            "first_loss": run.first_loss,
            "seconds": time.perf_counter() - run.started,
            "stopped": run.stop,  # by a callback, which must not be asked again
            "finished": finished,
            # in columns: a million records would be a million objects
            "history": {key: [record.get(key) for record in history.records] for key in keys},
            "best_epoch": history.best_epoch,
        }

    def take(self, state: Mapping[str, Any], path: Path) -> None:
        """Tell the run where it goes on, before anything of the network is changed.

        Errors  CheckpointError with every setting that differs, but for more epochs; a warning if these or the environment
            are others.
        """
        with whole(path):
            different = _differences(state["settings"], self.settings)
            before = state["settings"]["epochs"]
            self._is_longer = different.keys() <= _EPOCHS and self.run.epochs > before
            if different and not self._is_longer:
                raise CheckpointError(
                    f"fit: settings must be those of {path}, got {_shown(different)}; refusing: give the same ones (but "
                    f"epochs, which may be more than {before}), or begin anew in another folder, from its weights if you "
                    "like: network = nl.load(path)"
                )
            different = _differences(state["environment"], self.environment)
            run, columns = self.run, state["history"]
            run.resumed_from, run.epoch, run.step, run.stop = path, state["epoch"], state["step"], state["stopped"]
            rows = [zip(columns, row, strict=True) for row in zip(*columns.values(), strict=True)]
            run.history.records = [{key: value for key, value in row if value is not None} for row in rows]
            run.history.best_epoch = state["best_epoch"]
        if self._is_longer:
            what = f"training goes on to {run.epochs}, from the weights and with the learning rates of these from here on"
            if not run.goes_on:
                what = "a callback has ended it, so that nothing is left to train"
            warnings.warn(f"fit: {path} was made for {before} epochs; {what}", UserWarning, stacklevel=4)
        if different:
            message = f"fit: {path} was made with {_shown(different)}; the result may differ in its last digits"
            warnings.warn(message, UserWarning, stacklevel=4)

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Put everything else into its place, once the optimizer has been started and the callbacks have begun.

        Returns whether the training is finished.

        Errors  CheckpointError if the state is not whole.
        """
        run = self.run
        assert run.resumed_from is not None
        with whole(run.resumed_from):
            if not (np.isfinite(state["params"]).all() and np.isfinite(state["state"]).all()):
                raise ValueError("numbers that are not finite")
            run.network.rng.bit_generator.state = state["generator"]
            run.optimizer.restore(state["optimizer"])
            for partner, saved in zip(self._partners, state["callbacks"], strict=True):
                partner.restore(saved)
            run.totals = tuple(state["totals"])
            run.first_loss = float(state.get("first_loss", 0.0))  # later than the others
            run.add(0.0, 0.0, 0.0, 0.0)
            run.started = time.perf_counter() - state["seconds"]
            if run.is_within_epoch and run.step:  # else the epoch's batches, and all of LBFGS, are still to come
                # a callback that has ended the epoch must not be asked again
                self._batches.restore(state["batches"] | ({"done": len(self._batches)} if run.stop else {}))
            finished = bool(state["finished"]) and not (self._is_longer and run.goes_on)
            run.network.restore((state["params"], state["state"]))
            run.good, run.good_at = run.network.snapshot(), f"in {run.resumed_from}"
            return finished


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Report what is missing in a file that somebody else has made."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, OverflowError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"fit: {path} must hold the whole state of a training, got {error!r}") from error


def _environment(n_threads: int | str) -> dict[str, Any]:
    """Return what may change the last digits of a result."""
    library = next(iter(blas.libraries()), None)  # NumPy's comes first
    return {
        "numlp": __version__,
        "numpy": np.__version__,
        "blas": None if library is None else f"{library.name} {library.version} {library.architecture}",
        "kernels": kernels.status()[0],
        "threads": n_threads,
    }


def _differences(saved: Any, now: Any) -> dict[str, tuple[str, str]]:
    """Return (saved value, value now) of each field that differs, by dotted names."""
    before, after = dict(_flat(saved, "")), dict(_flat(now, ""))
    pairs = {name: (before.get(name, "none"), after.get(name, "none")) for name in before | after}
    same = ("none", "None")  # an argument that an earlier version did not have, and that is not used
    return {name: (old, new) for name, (old, new) in pairs.items() if old != new and (old, new) != same}


def _shown(different: Mapping[str, tuple[str, str]]) -> str:
    """Return "field=saved, now value" for the first differences."""
    shown = [printable(f"{name}={old}, now {new}", 200) for name, (old, new) in list(different.items())[:_SHOWN]]
    return "; ".join([*shown, *([f"and {len(different) - _SHOWN} more"] if len(different) > _SHOWN else [])])


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield (dotted name, text) for each number and text in nested dicts and lists."""
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, repr(value)  # a text, because NaN is not equal to itself


def _described(value: Any) -> Any:
    """Return a part, arrays or plain values in JSON's types; of arrays, what tells them from others."""
    if isinstance(value, tuple):
        return [_described(item) for item in value]
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "dtype": str(value.dtype), "sha256": _digest(value)}
    return value if value is None or isinstance(value, int | float | str | dict) else to_config(value)


def _digest(array: NDArray[Any]) -> str:
    """Return the SHA-256 of the numbers of an array, whatever its memory looks like."""
    digest = hashlib.sha256()
    rows = max(1, _CHUNK * len(array) // max(array.nbytes, 1))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).view(np.uint8).data)
    return digest.hexdigest()
