"""A training whose folder is full, read-only, another user's or limited: `limits.py WHAT FOLDER` prints what came of it."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import numlp as nl
from numlp.run import Run

WIDTH = 100  # a checkpoint takes about 120,000 bytes


def skip(reason: str) -> NoReturn:
    print(json.dumps({"skip": reason}))
    raise SystemExit


class Limit(nl.Callback):
    """Sets the limit when there is a checkpoint, and keeps what is in the folder."""

    def __init__(self, what: str, folder: Path) -> None:
        self.what, self.folder = what, folder
        self.before: dict[str, bytes] = {}

    def on_step(self, run: Run) -> None:
        if run.step == 8 and not self.before:
            getattr(self, self.what.replace(" ", "_"))()
            self.before = {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def full_disk(self) -> None:
        with contextlib.suppress(OSError), open(self.folder / "full", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def largest_file(self) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    def other_user(self) -> None:
        self.folder.chmod(0o755)
        os.setuid(65534)

    def read_only(self) -> None:
        mount("-o", "remount,ro", str(self.folder))


def mount(*arguments: str) -> None:
    process = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if process.returncode:
        skip(f"mounting is not allowed here: {process.stderr.strip()}")


def train(*callbacks: nl.Callback) -> None:
    network = nl.Network([nl.Dense(WIDTH, WIDTH), nl.Dense(WIDTH, 2)], rng=0)
    x, y = np.random.default_rng(0).random((8, WIDTH)), np.arange(8) % 2
    nl.fit(network, (x, y), epochs=3, batch_size=2, callbacks=callbacks)


def main(what: str, place: Path) -> dict[str, Any]:
    mounts = what in ("full disk", "read only")
    if (mounts or what == "other user") and (not hasattr(os, "geteuid") or os.geteuid() != 0):
        skip("only the system's administrator can do this")
    folder = place / "run"
    place.chmod(0o755)
    folder.mkdir()
    if mounts:
        mount("-t", "tmpfs", "-o", "size=1m", "numlp", str(folder))
    try:
        limit = Limit(what, folder)
        found: dict[str, Any] = {}
        try:
            train(limit, nl.Checkpointer(folder, steps=8, epochs=99, keep=1, monitor="loss"))
        except OSError as error:
            found |= {"errno": error.errno, "text": str(error)}
        now = {path.name: path.read_bytes() for path in folder.iterdir()}
        found["kept"] = bool(limit.before) and now == limit.before
        found["left"] = [name for name in now if name.endswith(".tmp")]
        found["warning"] = warned(limit, folder)
        return found
    finally:
        if mounts:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def warned(limit: Limit, folder: Path) -> str:
    """Return what is said where training shall go on: the folder is as it is, its checkpoint is taken."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = nl.Network([nl.Dense(WIDTH, WIDTH), nl.Dense(WIDTH, 2)], rng=0)
        x, y = np.random.default_rng(0).random((8, WIDTH)), np.arange(8) % 2
        writer = nl.Checkpointer(folder, steps=8, epochs=99, keep=1, monitor="loss", keep_going=True)
        history = nl.fit(network, (x, y), epochs=3, batch_size=2, callbacks=[limit, writer], resume=folder)
    assert len(history) == 3
    return str(caught[0].message) if caught else ""


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
