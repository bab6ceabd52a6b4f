"""Signals: the first one ends training in good order, the second one as it always would."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.run import Run
from numlp.signals import interruptible
from numlp.states import read_state

X, Y = np.random.default_rng(0).random((12, 2)), np.arange(12) % 2
END = 24  # steps


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See that each test leaves the handlers as they were: the usual ones, also where tests run in the background."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    outer = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    after = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, outer)
    assert after == before


@pytest.fixture
def term() -> Iterator[list[int]]:
    """Return the signals that reach a handler of SIGTERM that somebody else has set."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, frame: heard.append(signum))
    yield heard
    signal.signal(signal.SIGTERM, before)


def test_first_signal_is_told_and_the_second_acts_as_usual() -> None:
    told: list[int] = []
    with pytest.raises(KeyboardInterrupt), interruptible(told.append):
        send(signal.SIGINT)
        assert told == [signal.SIGINT]
        send(signal.SIGINT)
    assert told == [signal.SIGINT]


def test_training_that_fails_leaves_the_handlers_as_they_were() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), interruptible(lambda signum: None):
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_one_signal_of_several_gives_all_of_them_back() -> None:
    told: list[int] = []
    with pytest.raises(KeyboardInterrupt), interruptible(told.append, signal.SIGINT, signal.SIGTERM):
        send(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        send(signal.SIGINT)
    assert told == [signal.SIGTERM]


def test_nested_uses_all_hear_the_first_one() -> None:
    outer: list[int] = []
    inner: list[int] = []
    with interruptible(outer.append), interruptible(inner.append):
        send(signal.SIGINT)
        assert outer == inner == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_use_that_begins_after_the_signal_hears_it_and_the_second_signal_acts_as_usual() -> None:
    outer: list[int] = []
    inner: list[int] = []
    later: list[int] = []
    with interruptible(outer.append):
        send(signal.SIGINT)
        for _ in range(2):
            with interruptible(inner.append, signal.SIGTERM, signal.SIGINT):
                with pytest.raises(KeyboardInterrupt):
                    send(signal.SIGINT)
    assert outer == [signal.SIGINT] and inner == [signal.SIGINT] * 2
    with interruptible(later.append):
        pass
    assert not later


def test_handler_of_somebody_else_hears_it_too(term: list[int]) -> None:
    told: list[int] = []
    with interruptible(told.append, signal.SIGTERM):
        send(signal.SIGTERM)
        send(signal.SIGTERM)
    assert told == [signal.SIGTERM] and term == [signal.SIGTERM] * 2


def test_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    told: list[int] = []
    try:
        with interruptible(told.append, signal.SIGINT):
            send(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert told == []


def test_handler_that_was_set_inside_is_left_alone(term: list[int]) -> None:
    heard: list[int] = []
    with interruptible(lambda signum: None, signal.SIGTERM):
        mine = lambda signum, frame: heard.append(signum)  # noqa: E731
        signal.signal(signal.SIGTERM, mine)
    assert signal.getsignal(signal.SIGTERM) is mine


def test_nothing_is_changed_outside_the_main_thread() -> None:
    seen: list[Any] = []

    def work() -> None:
        with interruptible(lambda signum: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


class At(nl.Callback):
    """Sends signals in an event of a step."""

    def __init__(self, event: str, step: int, *signums: int) -> None:
        def sent(run: Run) -> None:
            if run.step == step:
                for signum in signums:
                    send(signum)

        setattr(self, event, sent)


def train(folder: Path | None, *callbacks: nl.Callback, **options: Any) -> tuple[nl.Network, nl.History]:
    network = nl.Network([nl.Dense(2, 2)], rng=0)
    writers = [] if folder is None else [nl.Checkpointer(folder, epochs=99)]
    given = {"epochs": 4, "batch_size": 2, "callbacks": [*callbacks, *writers], "progress": False} | options
    return network, nl.fit(network, (X, Y), **given, resume=folder)


@pytest.fixture(scope="module")
def straight() -> bytes:
    """Return the parameters of a training without an interruption."""
    return train(None)[0].params.tobytes()


def newest(folder: Path) -> int:
    return max(int(path.stem.partition("-")[2]) for path in folder.iterdir())


@pytest.mark.parametrize("step", range(1, END + 1))
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_in_a_step_leaves_its_checkpoint_and_ends(
    step: int, signum: int, memory_folder: Path, straight: bytes
) -> None:
    signals = At("on_gradients", step - 1, signum)
    if signum == signal.SIGTERM:
        with pytest.raises(SystemExit) as caught:
            train(memory_folder, signals)
        assert caught.value.code == 143
    else:
        _, history = train(memory_folder, signals)
        assert history.interrupted
    assert newest(memory_folder) == step
    network, history = train(memory_folder)
    assert network.params.tobytes() == straight and not history.interrupted


# event, step counted when it comes, step of the checkpoint: the next one, or the end
EVENTS = [("on_step", 3, 4), ("on_step", 6, 7), ("on_validation", 6, 7), ("on_epoch", 6, 7), ("on_epoch_begin", 6, 7)]
EVENTS += [("on_step", END, END), ("on_validation", END, END), ("on_epoch", END, END)]


@pytest.mark.parametrize(("event", "step", "kept"), EVENTS)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_between_steps_waits_for_the_next_one(
    event: str, step: int, kept: int, signum: int, memory_folder: Path, straight: bytes
) -> None:
    signals = At(event, step, signum)
    if signum == signal.SIGTERM:
        with pytest.raises(SystemExit, match="143"):
            train(memory_folder, signals)
    else:
        assert train(memory_folder, signals)[1].interrupted
    assert newest(memory_folder) == kept
    state = read_state(memory_folder / f"checkpoint-{kept:08}.safetensors")
    assert state["finished"] == (step == END)
    assert train(memory_folder)[0].params.tobytes() == straight


@pytest.mark.parametrize("call", ["write", "replace"])
def test_signal_in_the_middle_of_a_save_lets_it_end(
    call: str, memory_folder: Path, straight: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = getattr(os, call), 0

    def sent(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            send(signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(os, call, sent)
    with pytest.raises(SystemExit, match="143"):
        train(memory_folder)
    monkeypatch.undo()
    assert sorted(path.name for path in memory_folder.iterdir()) == [f"checkpoint-{i:08}.safetensors" for i in (0, 1)]
    assert train(memory_folder)[0].params.tobytes() == straight


def test_second_ctrl_c_in_the_middle_of_a_save_leaves_the_old_checkpoint_and_nothing_else(
    memory_folder: Path, straight: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.replace, 0

    def sent(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            send(signal.SIGINT)
        real(*arguments)

    monkeypatch.setattr(os, "replace", sent)
    with pytest.raises(KeyboardInterrupt):
        train(memory_folder, At("on_gradients", 4, signal.SIGINT))
    monkeypatch.undo()
    assert [path.name for path in memory_folder.iterdir()] == ["checkpoint-00000000.safetensors"]
    assert train(memory_folder)[0].params.tobytes() == straight


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_training_by_lbfgs_is_interrupted_too_and_repeated(signum: int, memory_folder: Path) -> None:
    options = {"optimizer": nl.LBFGS(max_steps=5, tolerance=0), "batch_size": None}
    expected, _ = train(None, **options)
    try:
        assert train(memory_folder, At("on_step", 2, signum), **options)[1].interrupted
    except SystemExit as error:
        assert error.code == 143 and signum == signal.SIGTERM
    network, _ = train(memory_folder, **(options | {"optimizer": nl.LBFGS(max_steps=5, tolerance=0)}))
    assert network.params.tobytes() == expected.params.tobytes()


def test_without_a_checkpointer_sigterm_is_left_alone(term: list[int]) -> None:
    _, history = train(None, At("on_gradients", 3, signal.SIGTERM))
    assert term == [signal.SIGTERM] and not history.interrupted and len(history) == 4


def test_handler_of_the_users_program_hears_sigterm_beside_the_checkpointer(term: list[int], memory_folder: Path) -> None:
    with pytest.raises(SystemExit, match="143"):
        train(memory_folder, At("on_gradients", 3, signal.SIGTERM))
    assert term == [signal.SIGTERM]


def test_second_sigterm_ends_the_process_at_once(memory_folder: Path) -> None:
    code = (
        "import os, signal, numpy as np, numlp as nl\n"
        "class Twice(nl.Callback):\n"
        "    def on_step(self, run):\n"
        "        os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM); print('alive')\n"
        f"writer = nl.Checkpointer({str(memory_folder)!r})\n"
        "nl.fit(nl.Network([nl.Dense(2, 2)]), (np.eye(2), np.arange(2)), callbacks=[Twice(), writer])\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (-signal.SIGTERM, ""), process.stderr
    assert newest(memory_folder) == 0
