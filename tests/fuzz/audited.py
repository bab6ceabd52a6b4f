"""Reads every kind of hostile file under an audit hook, and prints what a loader did that no loader may do.

A child process of test_fuzz.py: an audit hook cannot be taken away. Python reports every compile, exec, unpickled class,
process, socket and opened file, from C code too.
"""

import contextlib
import json
import os
import pickle
import random
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numlp as nl
from fuzz.bombs import BOMBS
from fuzz.kinds import KINDS
from numlp.data.frames import read_csv_frame, read_parquet_frame
from numlp.data.idx import read_idx
from numlp.data.images import read_picture
from numlp.data.tables import read_csv
from numlp.estimators import TabularClassifier, TabularRegressor

FORBIDDEN = (
    "compile", "exec", "pickle.", "marshal.", "code.", "function.__new__", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_",
    "os.spawn", "os.startfile", "pty.", "socket.", "ctypes.dlopen", "ctypes.dlsym", "import", "shutil.", "os.remove", "os.rename",
    "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "sys.settrace", "builtins.input", "winreg.",
)  # fmt: skip


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 0",)


def hostile(folder: Path) -> None:
    """Have every loader read mutants of every kind of file, bombs, and files of other formats that can run code."""
    path = folder / "file"
    readers = (
        nl.load,
        TabularClassifier.load,
        TabularRegressor.load,
        read_idx,
        read_csv,
        read_csv_frame,
        read_parquet_frame,
        read_picture,
    )
    evil = pickle.dumps(Evil())
    others = [
        evil, pickle.dumps(Evil(), 0), b"import os; os.system('exit 0')", b"!!python/object/apply:os.system ['exit 0']",
        b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }" + b" " * 60 + b"\n" + evil, b"PK\x03\x04" + evil,
        b"\x89HDF\r\n\x1a\n" + evil,
        len(evil).to_bytes(8, "little") + evil,
    ]  # fmt: skip
    rng = random.Random(7)
    mutants = [kind.mutate(rng, seeds) for kind in KINDS.values() for seeds in [kind.seeds()] for _ in range(300)]
    warnings.simplefilter("ignore")  # Python opens the source of what warns
    watched.clear()  # the mutators may do as they like
    for data in [*others, *mutants]:
        path.write_bytes(data)
        for read in readers:
            with contextlib.suppress(ValueError):  # FormatError and CheckpointError are
                read(path)
    for name in (
        "header of digits",
        "header nested",
        "PNG with texts",
        "PNG of lies",
        "CSV of one row",
        "model of 2,000 layers",
    ):
        BOMBS[name].write(path)
        for read in readers:
            with contextlib.suppress(ValueError):
                read(path)


def seen_to_work() -> None:
    """Do what no loader may do."""
    pickle.loads(pickle.dumps(Evil()))
    eval("1 + 1")
    with open(os.devnull):
        pass


watched: set[str] = set()


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="numlp-audit-"))
    with contextlib.suppress(ValueError):
        for kind in KINDS.values():  # what is imported late is imported before the hook
            for data in kind.seeds():
                (folder / "file").write_bytes(data)
                kind.check(folder / "file", data)
    active = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not active:
            return
        if event == "open" and not str(arguments[0]).startswith(str(folder)):
            watched.add(f"open {arguments[0]!r}")
        elif event.startswith(FORBIDDEN):
            watched.add(f"{event} {arguments!r}"[:200])

    sys.addaudithook(hook)
    warnings.simplefilter("ignore")  # to show one, Python opens the file of its line
    hostile(folder)
    found = sorted(watched)
    watched.clear()
    seen_to_work()
    control = sorted(watched)
    active = False
    (folder / "file").unlink()
    folder.rmdir()
    print(json.dumps({"found": found, "control": control}))


if __name__ == "__main__":
    main()
