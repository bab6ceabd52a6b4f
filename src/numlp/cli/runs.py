"""numlp train --run: a folder with the checkpoints and the log of one training, from which the same command goes on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numlp as nl
from numlp.files import check_replaceable, with_remedy
from numlp.run import Run


class RunLog(nl.Callback):
    """Says where a training goes on, and appends a JSON object for each begin, epoch and end to log.jsonl of its folder.

    What cannot be written to the disk ends the training, unless `keep_going`.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], keep_going: bool) -> None:
        self._path = folder / "log.jsonl"
        self._folder, self._say, self._keep_going = folder, say, keep_going

    def on_fit_begin(self, run: Run) -> None:
        """Say what is done already."""
        if run.resumed_from is None:
            self._append("begin")
        elif not run.goes_on:
            self._say(f"{self._folder} is finished: nothing is left to train after epoch {run.epoch} of {run.resumed_from}")
        else:
            done = run.step - (run.epoch - 1) * run.steps_per_epoch
            within = f"at epoch {run.epoch}, step {done}/{run.steps_per_epoch}"
            place = within if run.is_within_epoch else f"after epoch {run.epoch}"
            self._say(f"resuming {self._folder} {place}, from {run.resumed_from}")
            self._append("resume", epoch=run.epoch, step=run.step, checkpoint=run.resumed_from.name)

    def on_epoch(self, run: Run) -> None:
        """Note the figures; those of an epoch that was cut short are none."""
        if not run.history.interrupted:
            self._append("epoch", step=run.step, **run.history.records[-1])

    def on_fit_end(self, run: Run) -> None:
        """Note the end."""
        self._append("interrupted" if run.history.interrupted else "end", step=run.step)

    def _append(self, event: str, **facts: Any) -> None:
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **facts})
        try:
            check_replaceable(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:  # that of a full disk has no path
            if not self._keep_going:
                raise with_remedy(error, self._path) from error
