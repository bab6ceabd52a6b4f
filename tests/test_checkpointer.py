"""When checkpoints are written, which stay, which are taken, and what happens if that is not possible."""

import errno
import itertools
import os
import re
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError, CheckpointError, DTypeError
from numlp.run import Run
from numlp.states import read_state, read_tag, write_state
from torture.size import SIZE

_RNG = np.random.default_rng(0)
X, Y = _RNG.random((6, 2)), np.arange(6) % 2
PARTS = {"epochs": 3, "batch_size": 2, "progress": False}  # 9 steps
END = 9


class Lost(Exception):
    """What ends a training, as a power cut does."""


class At(nl.Callback):
    """Does something after a step."""

    def __init__(self, step: int | None, action: Any) -> None:
        self.step, self.action = step, action

    def on_step(self, run: Run) -> None:
        if run.step == self.step:
            self.action()


def lose() -> None:
    raise Lost


def train(*callbacks: nl.Callback, seed: int = 0, **options: Any) -> tuple[nl.Network, nl.History]:
    network = nl.Network([nl.Dense(2, 2)], rng=seed)
    return network, nl.fit(network, (X, Y), **({**PARTS, "optimizer": nl.SGD(0.5), "callbacks": callbacks} | options))


def names(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in a folder."""
    return sorted(int(path.name[11:19]) for path in folder.glob("checkpoint-????????.safetensors"))


def of(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step:08}.safetensors"


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile the kernels that are used here: that writes files, too."""
    train(validation=(X, Y))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing loses power here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 3, 6, 9]),
        ({"epochs": 2}, [0, 3, 6, 9]),  # 3 and 9 are the best ones so far
        ({"steps": 4}, [0, 3, 4, 6, 8, 9]),
        ({"steps": 1, "keep": 2}, [8, 9]),
        ({"steps": 2, "epochs": 3}, [0, 2, 3, 4, 6, 8, 9]),
        ({"minutes": 1e-9}, list(range(10))),
        ({"minutes": 60.0}, [0, 3, 6, 9]),
        ({"keep": 1}, [9]),
    ],
)
@pytest.mark.usefixtures("quick")
def test_checkpoints_are_written_when_they_were_asked_for(
    options: dict[str, Any], expected: list[int], memory_folder: Path
) -> None:
    train(nl.Checkpointer(memory_folder, **({"keep": 99} | options)))
    assert names(memory_folder) == expected


class Figure(nl.Callback):
    """Gives an epoch's record a figure of the test's choice."""

    def __init__(self, key: str, *values: float) -> None:
        self.key, self.values = key, values

    def on_epoch(self, run: Run) -> None:
        run.history.records[-1][self.key] = self.values[run.epoch - 1]


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [("loss", (2.0, 1.0, 3.0), 6), ("accuracy", (0.9, 0.5, 0.5), 3), ("validation_loss", (0.1, float("nan"), 0.2), 3),
     (None, (5.0, 4.0, 4.0), 6), ("validation_accuracy", (0.1, 0.2, 0.3), 9)],
)  # fmt: skip
@pytest.mark.usefixtures("quick")
def test_best_checkpoint_stays_beside_the_last(
    monitor: str | None, values: tuple[float, ...], best: int, memory_folder: Path
) -> None:
    writer = nl.Checkpointer(memory_folder, keep=1, monitor=monitor)
    train(Figure(monitor or "validation_loss", *values), writer, validation=(X, Y))
    assert names(memory_folder) == sorted({best, END})


@pytest.mark.usefixtures("quick")
def test_best_checkpoint_stays_when_a_training_goes_on(memory_folder: Path) -> None:
    def run(**options: Any) -> None:
        figure = Figure("loss", 1.0, 2.0, 3.0)
        train(figure, options.pop("cut", At(None, lose)), nl.Checkpointer(memory_folder, keep=1), resume=memory_folder)

    with pytest.raises(Lost):
        run(cut=At(8, lose))
    assert names(memory_folder) == [3, 6]
    run()
    assert names(memory_folder) == [3, 6, 9]  # the best, the one it was resumed from, the last


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.usefixtures("quick")
def test_going_back_deletes_what_lies_ahead_first_and_never_where_it_came_from(keep: int, memory_folder: Path) -> None:
    train(nl.Checkpointer(memory_folder, steps=1, keep=99))
    expected = read_state(of(memory_folder, END))["params"].tobytes()
    with pytest.raises(Lost):
        train(At(5, lose), nl.Checkpointer(memory_folder, steps=1, keep=keep), resume=of(memory_folder, 2))
    # 3 was the best when step 4 was written; 2 is where it came from
    assert set(names(memory_folder)) == {2, 3, 4}
    network, _ = train(nl.Checkpointer(memory_folder, steps=1, keep=keep), resume=memory_folder)
    assert network.params.tobytes() == expected


@pytest.mark.usefixtures("quick")
def test_training_goes_on_from_a_file_in_another_folder_and_without_a_checkpointer(memory_folder: Path) -> None:
    a, b = memory_folder / "a", memory_folder / "b"
    network, history = train(nl.Checkpointer(a, steps=4, keep=99))
    before = {path.name: path.read_bytes() for path in a.iterdir()}
    other, again = train(nl.Checkpointer(b, steps=4), seed=1, resume=of(a, 4))
    third, _ = train(seed=2, resume=of(a, 4))
    assert network.params.tobytes() == other.params.tobytes() == third.params.tobytes()
    assert [r["loss"] for r in history.records] == [r["loss"] for r in again.records]
    assert {path.name: path.read_bytes() for path in a.iterdir()} == before
    assert read_tag(of(a, END)) == read_tag(of(b, END))


@pytest.mark.usefixtures("quick")
def test_folder_of_a_training_is_resumed_but_not_written_over(memory_folder: Path) -> None:
    writer = nl.Checkpointer(memory_folder)
    first, history = train(writer)
    with pytest.raises(
        ArgumentError,
        match=r"^Checkpointer: folder must hold no checkpoints of another training, got \S+; "
        r"go on with it by fit\(\.\.\., resume=folder\), or choose another folder$",
    ):
        train(writer)
    again, found = train(writer, seed=1, resume=memory_folder)
    assert again.params.tobytes() == first.params.tobytes() and found.records == history.records
    (memory_folder / "second").mkdir()
    second, _ = train(nl.Checkpointer(memory_folder / "second"), seed=3)
    assert second.params.tobytes() != first.params.tobytes()
    assert read_tag(of(memory_folder / "second", END)) != read_tag(of(memory_folder, END))


@pytest.mark.usefixtures("quick")
def test_two_trainings_begun_at_the_same_time_do_not_overwrite_each_other(memory_folder: Path) -> None:
    def other() -> None:
        (memory_folder / "other").mkdir()
        train(nl.Checkpointer(memory_folder / "other"), seed=5)
        shutil.copy(of(memory_folder / "other", 3), of(memory_folder, 3))

    with pytest.raises(FileExistsError, match="A checkpoint of another training"):
        train(At(2, other), nl.Checkpointer(memory_folder))
    assert of(memory_folder, 3).read_bytes() == of(memory_folder / "other", 3).read_bytes()


def test_two_checkpointers_are_refused(memory_folder: Path) -> None:
    with pytest.raises(ArgumentError, match=r"^fit: callbacks must hold at most 1 Checkpointer, got 2$"):
        train(nl.Checkpointer(memory_folder / "a"), nl.Checkpointer(memory_folder / "b"))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"steps": 0}, ArgumentError, r"Checkpointer: steps must be a whole number of at least 1, got 0"),
        ({"minutes": 0}, ArgumentError, r"Checkpointer: minutes must be a number above 0, got 0"),
        ({"epochs": 1.5}, DTypeError, r"Checkpointer: epochs must be a whole number of at least 1, got 1\.5"),
        ({"keep": 0}, ArgumentError, r"Checkpointer: keep must be a whole number of at least 1, got 0"),
        (
            {"settings": {"a": {3}}},
            DTypeError,
            r".*: settings must be a dict of JSON's types, got .*settings\['a'\] must be .*",
        ),
        ({"settings": {"to": Path("a")}}, DTypeError, r"Checkpointer: settings must be a dict of JSON's types, got .*"),
        ({"settings": {"big": 10**41}}, DTypeError, r"Checkpointer: settings must be a dict of JSON's types, got .*"),
        ({"settings": 5}, DTypeError, r"Checkpointer: settings must be a dict of JSON's types, got 5: .*"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], error: type[Exception], text: str, memory_folder: Path) -> None:
    with pytest.raises(error, match=f"^{text}$"):
        nl.Checkpointer(memory_folder / "run", **options)
    assert not (memory_folder / "run").exists()


def test_figure_that_will_not_exist_is_refused_before_anything_is_written(memory_folder: Path) -> None:
    with pytest.raises(ArgumentError, match=r"^Checkpointer: monitor must be one of loss, accuracy, got 'validation_loss'"):
        train(nl.Checkpointer(memory_folder, monitor="validation_loss"))
    assert list(memory_folder.iterdir()) == []


def test_folder_that_cannot_be_made_names_its_path(memory_folder: Path) -> None:
    (memory_folder / "file").write_bytes(b"")
    with pytest.raises(OSError) as caught:
        nl.Checkpointer(memory_folder / "file")
    assert caught.value.filename == str(memory_folder / "file")


def test_folder_and_those_above_are_made_to_outlive_a_power_failure(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    nl.Checkpointer(memory_folder / "a" / "b")
    assert sorted(flushed) == [str(memory_folder), str(memory_folder / "a")]
    flushed.clear()
    nl.Checkpointer(memory_folder / "a" / "b")
    assert flushed == []


def test_folder_that_is_deleted_meanwhile_ends_training_with_its_path(memory_folder: Path) -> None:
    folder = memory_folder / "run"
    with pytest.raises(FileNotFoundError) as caught:
        train(At(2, lambda: shutil.rmtree(folder)), nl.Checkpointer(folder))
    assert caught.value.filename == str(of(folder, 3))
    with pytest.raises(FileNotFoundError):
        train(resume=folder)


@pytest.mark.usefixtures("quick")
def test_failure_to_write_warns_and_training_goes_on_if_it_shall(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = train()
    real = os.write
    full = itertools.count()

    def write(descriptor: int, data: Any) -> int:
        if next(full) in (0, 8, 9, 10):  # at the begin, and later
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.warns(UserWarning) as caught:
        network, _ = train(nl.Checkpointer(memory_folder, steps=1, keep=99, keep_going=True))
    assert network.params.tobytes() == expected.params.tobytes()
    remedy = r"make room, [\d,]+ bytes are needed: '\S+'; training goes on$"
    text = r"^Checkpointer: \[Errno 28\] No space left on device; " + remedy
    for warning in caught:
        assert re.match(text, str(warning.message)), str(warning.message)
    assert len(caught) == 4 and names(memory_folder)[-1] == END
    train(resume=memory_folder)


@pytest.mark.usefixtures("quick")
def test_failure_to_write_every_so_many_minutes_is_not_repeated_each_step(memory_folder: Path) -> None:
    clock = itertools.count(step=30.0)  # seconds from one look to the next
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning) as caught:
        patch.setattr(time, "monotonic", lambda: next(clock))
        patch.setattr("numlp.checkpointer.write_state", fail)
        train(nl.Checkpointer(memory_folder, minutes=2.0, monitor="loss", keep_going=True), epochs=1, batch_size=1)
    assert len(caught) < 6


def fail(*arguments: Any) -> None:
    raise OSError(errno.EIO, "no", "path")


@pytest.mark.usefixtures("quick")
def test_leftovers_of_the_dead_are_removed_and_nothing_else(memory_folder: Path) -> None:
    gone = 2**22 + 1  # no process has such a number
    dead = memory_folder / f".numlp-{gone}-0123abcd.tmp"
    others = [
        f".numlp-{os.getpid()}-0123abcd.tmp", f".numlp-{gone}-mine.tmp", f".numlp-{gone}-0123abcd.tmp.bak",
        ".numlp-x-0123abcd.tmp", f".numlp-{10**30}-0123abcd.tmp", "notes.txt",
    ]  # fmt: skip
    for path in [dead, *(memory_folder / name for name in others)]:
        path.write_bytes(b"something")
    folder = memory_folder / f".numlp-{gone}-89abcdef.tmp"
    folder.mkdir()
    train(nl.Checkpointer(memory_folder))
    assert not dead.exists() and folder.is_dir()
    assert all((memory_folder / name).read_bytes() == b"something" for name in others)


@pytest.mark.usefixtures("quick")
def test_checkpoint_hears_last_and_holds_what_the_others_did(memory_folder: Path) -> None:
    class Late(nl.Callback):
        def on_step(self, run: Run) -> None:
            run.network.params[:] = run.step

    train(nl.Checkpointer(memory_folder, steps=4, keep=99), Late())
    assert (read_state(of(memory_folder, 4))["params"] == 4).all()


@pytest.mark.usefixtures("quick")
def test_network_that_is_not_finite_is_not_written(memory_folder: Path) -> None:
    class Poison(nl.Callback):
        def on_step(self, run: Run) -> None:
            if run.step == 5:
                run.network.params[0] = np.nan

    with pytest.raises(nl.errors.DivergenceError):
        train(Poison(), nl.Checkpointer(memory_folder, steps=1, keep=99))
    assert names(memory_folder) == [0, 1, 2, 3, 4]
    assert all(np.isfinite(read_state(of(memory_folder, step))["params"]).all() for step in names(memory_folder))


class Damage:
    """A folder with checkpoints of steps 0 to 9, of which the newest is damaged again and again."""

    def __init__(self, folder: Path) -> None:
        train(nl.Checkpointer(folder, steps=1, keep=99))
        self.folder, self.newest = folder, of(folder, END)
        self.data = self.newest.read_bytes()

    def check(self, data: bytes) -> None:
        """The one before is taken, with one warning; asked for by name the damaged one is an error."""
        self.newest.unlink()
        self.newest.write_bytes(data)
        with pytest.warns(UserWarning) as caught:
            run = Look()
            train(run, resume=self.folder)
        assert run.found == of(self.folder, END - 1)
        assert [str(w.message).partition(":")[0] for w in caught] == ["fit"]
        text = str(caught[0].message)
        assert text.startswith(f"fit: going on from {run.found}, because of newer ones: resume: {self.newest}: "), text
        with pytest.raises(CheckpointError, match=r"^resume: "):
            train(resume=self.newest)


class Look(nl.Callback):
    """Remembers where a training was resumed from."""

    def on_fit_begin(self, run: Run) -> None:
        self.found = run.resumed_from


@pytest.mark.usefixtures("quick")
def test_damaged_newest_checkpoint_is_passed_over_with_one_warning(memory_folder: Path) -> None:
    damage = Damage(memory_folder)
    rng = np.random.default_rng(0)
    for n in [0, *rng.integers(0, len(damage.data), 255)]:
        damage.check(damage.data[:n])
    for k in rng.integers(0, 8 * len(damage.data), 200):  # ten thousand are in test_states.py
        flipped = bytearray(damage.data)
        flipped[k // 8] ^= 1 << k % 8
        damage.check(bytes(flipped))
    for data in (b"\x80\x04pickle", b"\x89HDF" * 100, bytes(len(damage.data)), damage.data + b"\0", damage.data * 2):
        damage.check(data)


@pytest.mark.usefixtures("quick")
def test_folder_of_damaged_checkpoints_is_an_error_and_several_give_one_warning(memory_folder: Path) -> None:
    Damage(memory_folder)
    for step in range(1, END + 1):
        of(memory_folder, step).write_bytes(b"")
    with pytest.warns(UserWarning) as caught:
        train(resume=memory_folder)
    assert len(caught) == 1 and str(caught[0].message).count("resume: ") == END
    of(memory_folder, 0).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"^fit: \S+ must hold a whole checkpoint, got none: resume: .*; resume: "):
        train(resume=memory_folder)


@pytest.mark.usefixtures("quick")
def test_empty_folder_is_a_training_that_begins(memory_folder: Path) -> None:
    _, history = train(nl.Checkpointer(memory_folder), resume=memory_folder)
    assert len(history) == 3
    with pytest.raises(FileNotFoundError):
        train(resume=memory_folder / "nothing")


@pytest.mark.parametrize("umask", [0o022, 0o077])
@pytest.mark.usefixtures("quick")
def test_checkpoint_has_the_mode_of_the_umask_and_keeps_one_that_was_set(umask: int, memory_folder: Path) -> None:
    before = os.umask(umask)
    try:
        train(At(2, lambda: of(memory_folder, 2).exists()), nl.Checkpointer(memory_folder, steps=1, keep=99))
        assert {stat.S_IMODE(path.stat().st_mode) for path in memory_folder.iterdir()} == {0o666 & ~umask}
        of(memory_folder, 8).chmod(0o640)
        train(nl.Checkpointer(memory_folder, steps=1, keep=99), resume=of(memory_folder, 7))
        assert stat.S_IMODE(of(memory_folder, 8).stat().st_mode) == 0o640
    finally:
        os.umask(before)


@pytest.mark.usefixtures("quick")
def test_folder_and_checkpoint_may_be_symbolic_links(memory_folder: Path) -> None:
    (memory_folder / "real").mkdir()
    (memory_folder / "link").symlink_to("real")
    expected, _ = train(nl.Checkpointer(memory_folder / "link", steps=1, keep=99))
    (memory_folder / "latest").symlink_to(of(Path("real"), 5))
    network, _ = train(nl.Checkpointer(memory_folder / "link", keep=1), seed=1, resume=memory_folder / "latest")
    assert network.params.tobytes() == expected.params.tobytes()
    assert 5 in names(memory_folder / "real")  # resumed from, by another name


class Sequence:
    """Random trainings in one folder among files of others; every deletion is looked at when it happens."""

    def __init__(self, folder: Path, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.resumed: Path | None = None
        self.log: list[str] = []
        for name in ("replace", "unlink", "fsync"):
            patch.setattr(os, name, self.seen(name, getattr(os, name)))
        self.others: dict[Path, bytes] = {}
        for name in ("checkpoint-3.safetensors", "checkpoint-00000003.safetensors.bak", "model.safetensors", "notes.txt"):
            self.put(name, b"not yours")

    def put(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)
        self.others[self.folder / name] = data

    def seen(self, name: str, real: Any) -> Any:
        def call(first: Any, *rest: Any, **options: Any) -> Any:
            if name == "fsync":
                self.log.append("folder" if stat.S_ISDIR(os.fstat(first).st_mode) else "file")
                return None
            if name == "unlink":
                path = Path(first)
                assert path not in self.others and path != self.resumed
                assert self.durable(), self.log[-6:]
            else:
                self.log.append(name)
            return real(first, *rest, **options)

        return call

    def durable(self) -> bool:
        """Whether what was renamed last is on the disk: the file flushed before, the folder after."""
        return self.log[-3:] == ["file", "replace", "folder"]

    def run(self) -> None:
        rng, keep, steps = self.rng, int(self.rng.integers(1, 4)), int(self.rng.integers(1, 5))
        for _ in range(4):
            cut = int(rng.integers(1, 12))
            files = [of(self.folder, step) for step in names(self.folder)]
            resume: Path = self.folder
            if files and rng.random() < 0.4:
                resume = files[rng.integers(len(files))]
            look = Look()
            own = read_tag(files[0]) if files else None
            self.resumed = resume if resume != self.folder else (files[-1] if files else None)
            self.log.clear()
            try:
                train(look, At(cut, lose), nl.Checkpointer(self.folder, steps=steps, keep=keep), resume=resume)
            except Lost:
                pass
            left = [of(self.folder, step) for step in names(self.folder)]
            assert look.found == self.resumed
            assert self.resumed is None or self.resumed.exists()
            assert all(path.read_bytes() == data for path, data in self.others.items())
            assert len(left) <= keep + 2 + (len(files) if resume != self.folder else 0)
            assert {read_tag(path) for path in left} == {own or read_tag(left[0])}
            read_state(max(left))


def test_retention_deletes_only_what_it_wrote_and_only_after_the_new_one_is_on_the_disk(
    memory_folder: Path,
) -> None:
    for seed in range(SIZE.sequences):
        folder = memory_folder / str(seed)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            Sequence(folder, seed, patch).run()
        shutil.rmtree(folder)


@pytest.mark.usefixtures("quick")
def test_file_of_another_training_with_a_name_like_its_own_is_not_deleted(memory_folder: Path) -> None:
    (memory_folder / "other").mkdir()
    train(nl.Checkpointer(memory_folder / "other", steps=1, keep=99), seed=5)
    run = memory_folder / "run"

    def exchange() -> None:  # a checkpoint that this training has written is replaced by another's
        shutil.copy(of(memory_folder / "other", 1), of(run, 1))
        of(run, 2).write_bytes(b"not a checkpoint at all")

    train(At(3, exchange), nl.Checkpointer(run, steps=1, keep=2))
    assert of(run, 1).read_bytes() == of(memory_folder / "other", 1).read_bytes()
    assert of(run, 2).read_bytes() == b"not a checkpoint at all"


@pytest.mark.usefixtures("quick")
def test_file_without_a_checkpointer_in_it_is_refused(memory_folder: Path) -> None:
    train(nl.Checkpointer(memory_folder))
    state = read_state(of(memory_folder, END))
    del state["checkpointer"]
    write_state(of(memory_folder, END), state, read_tag(of(memory_folder, END)) or "")
    with pytest.raises(CheckpointError, match=r"^fit: \S+ must hold the whole state of a training, got KeyError"):
        train(nl.Checkpointer(memory_folder), resume=memory_folder)


class Meanwhile(nl.Callback):
    """Calls something in the middle of a training."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def on_step(self, run: Any) -> None:
        if run.step == 2:
            self.call()


@pytest.mark.usefixtures("quick")
def test_two_trainings_at_once_in_one_folder_are_refused_and_the_first_goes_on(memory_folder: Path) -> None:
    expected, _ = train(nl.Checkpointer(memory_folder / "other"))
    refused = []

    def second() -> None:
        names = sorted(path.name for path in memory_folder.iterdir())
        with pytest.raises(
            CheckpointError, match=r"folder must belong to one training at a time, got .* another one is at work"
        ):
            train(nl.Checkpointer(memory_folder / "run"), seed=1)
        refused.append(names == sorted(path.name for path in memory_folder.iterdir()))

    first, _ = train(Meanwhile(second), nl.Checkpointer(memory_folder / "run"))
    assert refused == [True] and first.params.tobytes() == expected.params.tobytes()


@pytest.mark.usefixtures("quick")
def test_folder_is_free_after_a_training_however_it_ended(memory_folder: Path) -> None:
    def fail() -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError) as caught:  # the traceback is kept, as a console does
        train(Meanwhile(fail), nl.Checkpointer(memory_folder / "a"))
    for _ in range(2):  # goes on, and finds a finished one
        train(nl.Checkpointer(memory_folder / "a"), resume=memory_folder / "a")
    assert caught.traceback
