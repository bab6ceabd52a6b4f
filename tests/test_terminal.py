"""What a terminal shows while a network is trained, and what is left on it: seen through a pseudo-terminal."""

import contextlib
import itertools
import os
import pty
import re
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.cli import app
from numlp.cli.app import speaker
from numlp.data.splits import Dataset, Split
from numlp.progress import announce_compilation, terminal_width, without_progress, write_line


class Screen:
    """The lines that a terminal of some width shows for the text written to it."""

    def __init__(self, width: int) -> None:
        self.width, self.row, self.column = width, 0, 0
        self.cells: dict[tuple[int, int], str] = {}

    def write(self, text: str) -> None:
        for control, arrow, character in re.findall(r"(\x1b\[\d*([A-Za-z]))|(.)", text, re.DOTALL):
            if control:
                assert arrow == "A", f"an escape that the screen does not know: {control!r}"
                self.row -= 1
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self.row, self.column = self.row + 1, 0
            else:
                if self.column == self.width:
                    self.row, self.column = self.row + 1, 0
                self.cells[self.row, self.column] = character
                self.column += 1

    @property
    def lines(self) -> list[str]:
        last = max((row for row, _ in self.cells), default=-1)
        rows = [[self.cells.get((row, column), " ") for column in range(self.width)] for row in range(last + 1)]
        return ["".join(row).rstrip() for row in rows]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], str]]:
    """Return a function that runs another one on a terminal and returns the lines left there and all that was written."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("numlp.progress._announced", threading.Event())
    monkeypatch.setattr("numlp.kernels.fused.compiled.announce_compilation", lambda: None)

    def run(work: Callable[[], Any], width: int) -> tuple[list[str], str]:
        leader, follower = pty.openpty()
        termios.tcsetwinsize(follower, (24, width))
        text: list[bytes] = []
        reader = threading.Thread(target=lambda: text.extend(_read(leader)))
        reader.start()
        with monkeypatch.context() as patch, open(follower, "w", closefd=True) as out:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", out)
            work()
        reader.join()
        os.close(leader)
        written, screen = b"".join(text).decode(), Screen(width)
        screen.write(written.replace("\r\n", "\n"))
        return [line for line in screen.lines if line], written

    return run


def _read(leader: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(leader, 4096):
            yield part


@pytest.fixture(params=["short", "long"])
def long(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the clock of the bar goes so fast that training takes minutes, or it stands still."""
    clock = itertools.count(0, 0.4 if request.param == "long" else 0.0)
    monkeypatch.setattr("tqdm.std.time", lambda: float(next(clock)))
    return request.param == "long"


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = (x[:, :2] > 0).sum(axis=1)
    parts = [Split(x[rows], y[rows]) for rows in (slice(200), slice(200, 250), slice(250, 300))]
    return Dataset("noise", *parts, ("a", "b", "c"), (2, 2))


def train(data: Dataset, hidden: int = 3, **options: Any) -> nl.Network:
    network = nl.Network([nl.Dense(4, hidden, "relu"), nl.Dense(hidden, 3)], rng=0)
    nl.fit(
        network,
        data.train,
        batch_size=10,
        optimizer=nl.Adam(0.03),
        **({"validation": data.validation, "epochs": 3} | options),
    )
    return network


@pytest.mark.parametrize("width", [40, 57, 80, 100, 180])
@pytest.mark.parametrize("verbose", [0, 1])
def test_training_leaves_its_lines_on_the_terminal_and_nothing_else(
    width: int, verbose: int, long: bool, data: Dataset, shown: Callable[..., tuple[list[str], str]]
) -> None:
    lines, written = shown(lambda: train(data, verbose=verbose), width)
    assert ("%|" in written) == long
    figures = r" +loss \d\.\d{4} +acc\w* +\S+% +val\w* loss \d\.\d{4} +val\w* acc\w* +\S+% +time \d+\.\d\d s"
    expected = [rf"epoch +{number}/3{figures}" for number in (1, 2, 3)] if verbose else []
    assert re.fullmatch(" +".join(expected), " ".join(lines)), lines
    assert all(len(line) < width for line in lines)
    assert len(lines) == (0 if not verbose else 9 if width == 40 else 6 if width < 80 else 3)


@pytest.mark.parametrize("width", [40, 80, 180])
def test_search_leaves_its_table_on_the_terminal(
    width: int, long: bool, data: Dataset, shown: Callable[..., tuple[list[str], str]]
) -> None:
    def search() -> None:
        def train_one(train_rows: Split, validation: Split | None, hidden: int) -> nl.Network:
            return train(data._replace(train=train_rows), hidden, validation=None)

        print(nl.search(train_one, data, {"hidden": [2, 3]}))
        print("end")

    lines, written = shown(search, width)
    assert ("%|" in written) == long
    assert lines[0].split()[:3] == ["hidden", "loss", "accuracy"] and lines[-1] == "end"
    assert "best" in "".join(lines) and "%|" not in "".join(lines)


def test_command_leaves_a_clean_terminal(
    shown: Callable[..., tuple[list[str], str]], tmp_path: Path, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def command() -> None:
        with contextlib.suppress(SystemExit):
            app(["train", "digits", "--epochs", "2", "--hidden", "9"])

    lines, written = shown(command, 80)
    assert ("%|" in written) == long
    assert max(map(len, lines)) < 80 and not any("%|" in line for line in lines)
    assert re.match(r"test loss \d\.\d{4}  accuracy \d", lines[-2]) and lines[-1].startswith("saved ")


def test_evaluation_and_prediction_leave_nothing(
    data: Dataset, shown: Callable[..., tuple[list[str], str]], long: bool
) -> None:
    network, x = train(data, progress=False), np.tile(data.train.x, (40, 1))
    lines, written = shown(lambda: (network.predict(x), nl.evaluate(network, (x, np.zeros(len(x), int)))), 60)
    assert not lines and ("%|" in written) == long


def test_lines_are_broken_between_words_and_tables_are_not(shown: Callable[..., tuple[list[str], str]]) -> None:
    say = speaker(as_json=False, quiet=False)
    lines, _ = shown(lambda: (say("word " * 20), say("short"), say("a  b\nc  d")), 40)
    assert lines[-3:] == ["short", "a  b", "c  d"] and len(lines) == 6
    assert max(map(len, lines)) < 40 and all(line.endswith("word") for line in lines[:3])


def test_compilation_is_announced_once_and_to_nobody_who_asked_for_silence(
    shown: Callable[..., tuple[list[str], str]],
) -> None:
    def compile_in(silent: bool) -> None:
        with without_progress() if silent else contextlib.nullcontext():
            for _ in range(2):
                announce_compilation()

    assert shown(lambda: compile_in(silent=True), 80)[0] == []
    said = ["compiling kernels, once on this machine (about 10 s) ..."]
    assert shown(lambda: compile_in(silent=False), 80)[0] == said
    assert shown(lambda: compile_in(silent=False), 80)[0] == []


def test_compilation_is_announced_when_numba_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba")
    from numlp.kernels.fused import compiled

    said: list[str] = []
    monkeypatch.setattr(compiled, "announce_compilation", lambda: said.append("compiling"))

    @numba.njit
    def add(a, b):  # type: ignore[no-untyped-def]
        return a + b

    assert not said
    assert add(1, 2) == 3 and said == ["compiling"]
    assert add(3, 4) == 7 and said == ["compiling"]


class Shell:
    """What IPython's shell is in a notebook."""

    kernel = object()


@pytest.mark.parametrize("place", ["notebook", "console", "IDE", "pipe"])
def test_training_shows_itself_where_somebody_reads_who_sees_no_bar(
    place: str, data: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("IPython", "idlelib.run"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delenv("PYCHARM_HOSTED", raising=False)
    if place == "notebook":
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=Shell))
    elif place == "console":
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    elif place == "IDE":
        monkeypatch.setenv("PYCHARM_HOSTED", "1")
    train(data)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:11] for line in lines] == ([] if place == "pipe" else [f"epoch   {k}/3" for k in (1, 2, 3)])
    for options in ({"progress": False}, {"verbose": 0}):
        train(data, **options)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("epochs", "verbose", "n_lines"), [(3, 1, 3), (20, True, 20), (50, 1, 18), (50, 2, 50), (3, 0, 0)])
def test_verbose_prints_about_twenty_lines_or_all(
    epochs: int, verbose: int, n_lines: int, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data, epochs=epochs, verbose=verbose)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert len(lines) == n_lines and (not lines or lines[-1].startswith(f"epoch {epochs:>3}/{epochs}  loss "))


def test_last_line_comes_also_when_training_is_stopped(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    class Stop(nl.Callback):
        def on_epoch(self, run: Any) -> None:
            run.stop = run.epoch == 7

    train(data, epochs=100, verbose=1, callbacks=[Stop()])
    lines = [line[:13] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["one line per ", "epoch   1/100", "epoch   5/100", "epoch   7/100"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_closed_stream_is_no_error(stream: str, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, stream, None)
    train(data, verbose=1)
    assert terminal_width(getattr(sys, stream)) is None
    write_line("text", None)
