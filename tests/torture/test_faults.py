"""Errors of the system at every call of a save: nothing that was there is lost, nothing is left over, all is said."""

import errno
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from threading import get_ident
from typing import Any

import pytest

import numlp as nl
from numlp.checkpointer import find_checkpoint
from numlp.run import Run
from torture.test_kills import HERE, environment
from trainings import TRAININGS

CODES = {name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "EFBIG")}
CALLS = ("stat", "open", "chmod", "write", "fsync", "close", "replace", "unlink")


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile the kernels that are used here: that writes files, too."""
    for name in ("SGD 0",):
        network, given = TRAININGS[name](0)
        nl.fit(network, **given)


class Fault(nl.Callback):
    """Lets one call of the save after a step fail; which ones there are, and what was in the folder, is written down."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, code: int) -> None:
        self.at, self.code, self.folder = at, code, Path()
        self.before: dict[str, bytes] = {}
        self.seen: list[str] = []
        self.counts, self.thread = False, get_ident()
        for name in CALLS:
            patch.setattr(os, name, self.watched(name, getattr(os, name)))

    def watched(self, name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if not self.counts or get_ident() != self.thread or (name == "stat" and "checkpoint-" not in str(arguments[0])):
                return real(*arguments, **options)
            self.seen.append(name)
            if len(self.seen) != self.at:
                return real(*arguments, **options)
            if name == "close":  # one that fails closes all the same
                real(*arguments, **options)
            raise OSError(self.code, os.strerror(self.code))

        return call

    def on_step(self, run: Run) -> None:
        self.counts = run.step == 10
        if self.counts:
            self.before = {path.name: path.read_bytes() for path in self.folder.iterdir()}


def train(folder: Path, fault: Fault, **options: Any) -> None:
    """Train 12 steps, with a checkpoint every 2 and a fault in that of step 10, after which that of step 8 is deleted."""
    network, given = TRAININGS["SGD 0"](0)
    fault.folder = folder
    given["callbacks"] = [fault, nl.Checkpointer(folder, steps=2, keep=1, **options)]
    gc.disable()  # what other tests have left would be deleted in the midst of the calls that are counted
    try:
        nl.fit(network, **(given | {"epochs": 2}), resume=folder)
    finally:
        fault.counts = False
        gc.enable()


def calls(folder: Path) -> list[str]:
    """Return the calls of the save at step 10."""
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(patch, 0, 0)
        train(folder, fault)
    return fault.seen


def test_error_at_every_call_keeps_what_was_there_and_says_all(memory_folder: Path) -> None:
    seen = calls(memory_folder / "whole")
    assert set(seen) >= {"open", "write", "fsync", "close", "replace", "unlink"} and len(seen) > 12
    for at, name in enumerate(seen, 1):
        saved = "close" not in seen[at - 1 :]  # the rest is about deleting: what cannot be deleted stays
        for word, code in CODES.items():
            folder = memory_folder / f"{at} {word}"
            place = f"call {at}, {name}, {word}"
            renamed = "replace" in seen[: at - 1]
            with pytest.MonkeyPatch.context() as patch:
                fault = Fault(patch, at, code)
                if saved:
                    train(folder, fault)
                else:
                    with pytest.raises(OSError) as caught:
                        train(folder, fault)
                    check_error(caught.value, code, folder, place)
            before = fault.before
            now = {path.name: path.read_bytes() for path in folder.iterdir()}
            assert not [left for left in now if left.endswith(".tmp")], place
            if not saved:
                assert now.items() >= before.items() and len(before) >= 1, place
                assert (now.keys() - before.keys() == {"checkpoint-00000010.safetensors"}) == renamed, place


def check_error(error: OSError, code: int, folder: Path, place: str) -> None:
    assert error.errno == code, place
    assert error.filename == str(folder / "checkpoint-00000010.safetensors"), place
    needed = code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    assert (" bytes are needed" in str(error)) == needed and os.strerror(code) in str(error), place


def test_error_at_every_call_is_a_warning_where_training_shall_go_on(memory_folder: Path) -> None:
    network, given = TRAININGS["SGD 0"](0)
    nl.fit(network, **(given | {"epochs": 2}))
    seen = calls(memory_folder / "whole")
    for at in range(1, len(seen) + 1):
        if "close" not in seen[at - 1 :]:
            continue
        folder = memory_folder / str(at)
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, at, errno.ENOSPC)
            with pytest.warns(UserWarning, match=r"bytes are needed: '\S+'; training goes on$") as caught:
                train(folder, fault, keep_going=True)
        assert len(caught) == 1
        found = find_checkpoint(folder)
        assert found is not None and found[0]["finished"]
        assert found[0]["params"].tobytes() == network.params.tobytes()


def limited(what: str, folder: Path) -> Any:
    """Run `limits.py` and return what it says; skip the test if the machine does not allow it."""
    process = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "limits.py"), what, str(folder)],
        capture_output=True, text=True, env=environment(NUMLP_KERNELS="reference"), timeout=600,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    found = json.loads(process.stdout)
    if "skip" in found:
        pytest.skip(found["skip"])
    return found


@pytest.mark.parametrize(
    ("what", "code", "needed"),
    [("full disk", errno.ENOSPC, True), ("largest file", errno.EFBIG, True), ("other user", errno.EACCES, False),
     ("read only", errno.EROFS, False)],
)  # fmt: skip
def test_real_limits_of_the_system_keep_what_was_there(what: str, code: int, needed: bool, memory_folder: Path) -> None:
    found = limited(what, memory_folder)
    assert found["errno"] == code
    assert ("bytes are needed" in found["text"]) == needed and "checkpoint-00000008.safetensors" in found["text"]
    assert found["kept"] and found["left"] == []
    assert "training goes on" in found["warning"]
