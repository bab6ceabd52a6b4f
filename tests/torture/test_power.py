"""Power failures: what a training has done to its folder is replayed, with all that was not flushed lost in many ways."""

import itertools
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import numlp as nl
from numlp.checkpointer import find_checkpoint
from trainings import TRAININGS


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile the kernels that are used here: that writes files, too."""
    for name in ("all", "SGD 0"):
        network, given = TRAININGS[name](0)
        nl.fit(network, **given)


class Op(NamedTuple):
    """One call: mkdir, open, write, fsync, fsync folder, replace, unlink; names are paths."""

    kind: str
    path: str = ""
    data: Any = None


class Recorder:
    """Writes down what is done to files and folders, and does it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ops: list[Op] = []
        self.names: dict[int, str] = {}
        self.saved: list[int] = []  # how many operations there were when each save returned
        for name in ("mkdir", "open", "write", "fsync", "replace", "unlink"):
            patch.setattr(os, name, self.seen(name, getattr(os, name)))

    def seen(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any, **options: Any) -> Any:
            value = real(first, *rest, **options)
            if name == "open":
                self.names[value] = str(first)
                if rest[0] & os.O_CREAT:
                    self.ops.append(Op("open", str(first)))
            elif name == "write":
                self.ops.append(Op("write", self.names[first], bytes(rest[0][:value])))
            elif name == "fsync":
                folder = stat.S_ISDIR(os.fstat(first).st_mode)
                self.ops.append(Op("fsync folder" if folder else "fsync", self.names[first]))
            else:
                self.ops.append(Op(name, str(first), str(rest[0]) if name == "replace" else None))
            return value

        return call


LOSSES = {
    "all of it": lambda data, flushed: data[:flushed],
    "half of it": lambda data, flushed: data[: (flushed + len(data)) // 2],
    "its numbers": lambda data, flushed: data[:flushed] + bytes(len(data) - flushed),
    "nothing": lambda data, flushed: data,
}


class Disk:
    """What may be found after a power failure: what was flushed, and any part of the rest."""

    def __init__(self, ops: list[Op], lose: Callable[[bytes, int], bytes]) -> None:
        self.files: list[tuple[bytearray, list[int]]] = []  # content, and how much of it was flushed
        self.lose = lose
        self.names: dict[str, int] = {}  # as the program sees it
        self.flushed: list[tuple[str, int | None]] = []  # entries of folders that are on the disk, in order
        self.waiting: list[tuple[str, int | None]] = []  # those that may be
        for op in ops:
            self.do(op)

    def do(self, op: Op) -> None:
        if op.kind == "mkdir":
            self.waiting.append((op.path, -1))
        elif op.kind == "open":
            self.files.append((bytearray(), [0]))
            self.names[op.path] = len(self.files) - 1
            self.waiting.append((op.path, self.names[op.path]))
        elif op.kind == "write":
            self.files[self.names[op.path]][0].extend(op.data)
        elif op.kind == "fsync":
            content, flushed = self.files[self.names[op.path]]
            flushed[0] = len(content)
        elif op.kind == "replace":
            self.names[op.data] = self.names.pop(op.path)
            self.waiting += [(op.data, self.names[op.data]), (op.path, None)]
        elif op.kind == "unlink":
            del self.names[op.path]
            self.waiting.append((op.path, None))
        else:
            here = [entry for entry in self.waiting if os.path.dirname(entry[0]) == op.path]
            self.flushed += here
            self.waiting = [entry for entry in self.waiting if entry not in here]

    def outcomes(self) -> Iterator[dict[str, bytes | None]]:
        """Yield path -> content, None for a folder, for each choice of the entries that came through."""
        for chosen in itertools.product((False, True), repeat=len(self.waiting)):
            tree: dict[str, int] = {}
            for path, number in [*self.flushed, *itertools.compress(self.waiting, chosen)]:
                if number is None:
                    tree.pop(path, None)
                else:
                    tree[path] = number
            # what lies in a folder that is lost is lost
            yield {
                path: None if number < 0 else self.lose(bytes(self.files[number][0]), self.files[number][1][0])
                for path, number in tree.items()
                if all(str(above) in tree for above in Path(path).parents if len(str(above)) > len(self.root))
            }

    root = ""


def test_power_failure_at_any_moment_leaves_the_last_checkpoint_or_a_newer_one(
    memory_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, given = TRAININGS["all"](0)
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch)
        writer = nl.Checkpointer(memory_folder / "above" / "run", steps=4, keep=1)
        real = writer._save

        def save(*arguments: Any, **options: Any) -> None:
            real(*arguments, **options)
            recorder.saved.append(len(recorder.ops))

        patch.setattr(writer, "_save", save)
        given["callbacks"] = [*given["callbacks"], writer]
        nl.fit(network, **(given | {"epochs": 2}))
    ops = recorder.ops
    assert len(recorder.saved) >= 5 and any(op.kind == "unlink" for op in ops)
    monkeypatch.setattr(Disk, "root", str(memory_folder))
    known: dict[tuple[tuple[str, bytes | None], ...], int] = {}  # what was on the disk -> the step found
    tried = 0
    for end, (name, lose) in itertools.product(range(len(ops) + 1), LOSSES.items()):
        saves = [n for n in recorder.saved if n <= end]
        for tree in Disk(ops[:end], lose).outcomes():
            key = tuple(sorted(tree.items()))
            if key not in known:
                known[key] = step_found(tree, tmp_path / str(len(known)), memory_folder)
            tried += 1
            least = step_saved(ops[: saves[-1]]) if saves else -1
            assert known[key] >= least, f"after {end} operations, {ops[end - 1].kind} last, {name} lost of the data"
    assert tried > 500 and len(known) > 20


def step_saved(ops: list[Op]) -> int:
    """Return the step of the last checkpoint that was renamed to its name."""
    last = next(op for op in reversed(ops) if op.kind == "replace")
    return int(Path(last.data).stem.partition("-")[2])


def step_found(tree: dict[str, bytes | None], place: Path, root: Path) -> int:
    """Write what is on the disk, and return the step from which a training would go on; -1 if it would begin anew."""
    for path, content in sorted(tree.items()):
        target = place / Path(path).relative_to(root)
        if content is None:
            target.mkdir(parents=True)
        else:
            target.write_bytes(content)
    folder = place / "above" / "run"
    if not folder.exists():
        return -1
    with warnings.catch_warnings():  # none is expected: what has the name of a checkpoint is whole
        warnings.simplefilter("error")
        found = find_checkpoint(folder)
    return -1 if found is None else int(found[0]["step"])


def test_save_flushes_the_file_renames_it_flushes_the_folder_and_deletes_in_this_order(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, given = TRAININGS["SGD 0"](0)
    recorder = Recorder(monkeypatch)
    nl.fit(network, **given, callbacks=[nl.Checkpointer(memory_folder, steps=100, epochs=1, keep=1)])
    kinds = [op.kind for op in recorder.ops if op.kind != "write"]
    save = ["open", "fsync", "replace", "fsync folder"]
    rest = [kind for kind in kinds if kind != "unlink"]
    assert rest == save * (len(rest) // 4) and len(rest) >= 20
    for i, kind in enumerate(kinds):
        assert kind != "unlink" or kinds[i - 1] in ("fsync folder", "unlink")
    for op, before in zip(recorder.ops[1:], recorder.ops, strict=False):
        assert op.kind != "fsync" or before.kind == "write"  # nothing is written after it is flushed
