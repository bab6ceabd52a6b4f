"""Trainings in forked children that are killed or told to end, at any moment; each must then go on to the same bytes.

`children.py kills COUNT FOLDER`, `children.py crashes FOLDER`, `children.py signals COUNT FOLDER` print what was done, as
JSON. A child of the tests, without threads, so that forking is safe, and with NUMLP_KERNELS=reference, as forked children
have. `children.py train NAME SEED FOLDER RESULT` is one slow training, for a process of its own.
"""

import json
import os
import pickle
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import numlp as nl
from numlp.checkpointer import find_checkpoint
from numlp.run import Run
from numlp.states import read_state
from trainings import TRAININGS, end_of

CALLS = ("open", "write", "fsync", "chmod", "close", "replace", "unlink", "mkdir")
NAMES = ("everything", "all", "MovingAverage", "EarlyStopping that stops", "NAdam 1", "float64", "distorted", "LBFGS")


class Slow(nl.Callback):
    """Makes each step last, and tells of the first one."""

    def __init__(self, seconds: float, tell: int | None = None) -> None:
        self.seconds, self.tell = seconds, tell

    def on_step(self, run: Run) -> None:
        if self.tell is not None:
            os.write(self.tell, b".")
            self.tell = None
        time.sleep(self.seconds)


def train(name: str, seed: int, folder: Path, result: Path, *more: nl.Callback) -> nl.History:
    """Train, or go on with a network of another seed; write the end and the model file's bytes to `result`."""
    network, given = TRAININGS[name](seed if any(folder.glob("checkpoint-*")) else 0)
    own = given.pop("callbacks", [])
    writer = nl.Checkpointer(folder, steps=3, keep=2)
    history = nl.fit(network, **given, callbacks=[*own, *more, writer], resume=folder)
    if not history.interrupted:
        model = result.with_suffix(".model")
        nl.save(network, model)
        end = end_of(network, given | {"callbacks": own}, history)
        result.write_bytes(pickle.dumps((end, model.read_bytes())))
    return history


def straight(name: str, folder: Path) -> Any:
    """Return what a training without an interruption and without checkpoints gives."""
    network, given = TRAININGS[name](0)
    history = nl.fit(network, **given)
    nl.save(network, folder / "straight.model")
    return end_of(network, given, history), (folder / "straight.model").read_bytes()


def fork(work: Callable[[], Any]) -> int:
    """Do it in a child; return the child's number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except SystemExit as error:
        os._exit(error.code if isinstance(error.code, int) else 99)
    except KeyboardInterrupt:
        os._exit(97)
    except BaseException:
        traceback.print_exc()
        os._exit(98)


def wait(child: int) -> int:
    """Return the exit status of a child, negative if a signal has ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def on_call(number: int, last: Callable[[], Any], how: str) -> list[str]:
    """Let `last` happen "before", "after" or in the "middle" of input/output call `number`; return the calls so far."""
    seen: list[str] = []

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            seen.append(name)
            if len(seen) != number:
                return real(*arguments, **options)
            if how == "before":
                last()
            if how == "middle" and name == "write":
                arguments = arguments[0], arguments[1][: len(arguments[1]) // 2]
            try:
                return real(*arguments, **options)
            finally:  # a folder that is there already is an error, too
                last()

        return call

    for name in CALLS:
        setattr(os, name, watched(name))
    return seen


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Kills:
    """Runs of which each is killed once or several times."""

    def __init__(self, folder: Path, seed: int = 7) -> None:
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.expected = {name: straight(name, folder) for name in NAMES}
        self.sizes = {name: self.measure(name) for name in NAMES}
        self.done = {"runs": 0, "kills": 0, "inside": 0, "several": 0}

    def measure(self, name: str) -> tuple[int, float]:
        """Return the calls and the seconds of a whole training."""
        place, started = self.folder / f"whole {name}", time.perf_counter()

        def work() -> None:
            seen = on_call(0, die, "after")
            train(name, 0, place / "run", place / "end")
            (place / "calls").write_text(str(len(seen)))

        assert wait(fork(work)) == 0
        seconds = time.perf_counter() - started
        assert pickle.loads((place / "end").read_bytes()) == self.expected[name]
        return int((place / "calls").read_text()), seconds

    def run(self, several: bool) -> None:
        number = self.done["runs"]
        name, place = NAMES[number % len(NAMES)], self.folder / str(number)
        place.mkdir()
        kills, planned = 0, int(self.rng.integers(2, 6)) if several else 1
        for attempt in range(planned):
            inside = several or number % 2 == 0
            code = self.attempt(name, attempt, place, planned, inside)
            assert code in (0, -signal.SIGKILL), f"{place}: {name} ended with {code}"
            if code == 0:
                break
            kills += 1
            self.done["inside"] += inside
        code = wait(fork(lambda: train(name, 99, place / "run", place / "end")))
        assert code == 0, f"{place}: {name} ended with {code}"
        assert pickle.loads((place / "end").read_bytes()) == self.expected[name], f"{place}: {name} is another"
        self.done["runs"] += 1
        self.done["kills"] += kills
        self.done["several"] += kills > 1

    def attempt(self, name: str, seed: int, place: Path, planned: int, inside: bool) -> int:
        """Train in a child that is killed at a call, or after a time; return its exit status."""
        calls, seconds = self.sizes[name]
        at, how = int(self.rng.integers(1, calls // planned)), ("before", "after", "middle")[self.rng.integers(3)]
        delay = float(self.rng.uniform(0, seconds))

        def work() -> None:
            if inside:
                on_call(at, die, how)
            train(name, seed, place / "run", place / "end")

        child = fork(work)
        if not inside:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        return wait(child)


def kills(count: int, folder: Path) -> dict[str, int]:
    trial = Kills(folder)
    while trial.done["kills"] < count:
        trial.run(several=trial.done["runs"] % 4 == 0)
    return trial.done


class Ends(nl.Callback):
    """Ends the process as soon as all is done that belongs to a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_gradients(self, run: Run) -> None:
        if run.step >= self.step:
            raise SystemExit(0)


def up_to(step: int, folder: Path) -> None:
    """Train, or go on, until the checkpoint of a step is written."""
    network, given = TRAININGS[NAMES[0]](1 if any(folder.glob("checkpoint-*")) else 0)
    listeners = [Ends(step), *given.pop("callbacks"), nl.Checkpointer(folder, steps=3, keep=2)]
    nl.fit(network, **given, callbacks=listeners, resume=folder)


def digest(folder: Path) -> Any:
    """Return what the newest whole checkpoint holds, as something to compare: nothing, or step, finished and numbers."""
    found = find_checkpoint(folder) if folder.exists() else None
    return () if found is None else (found[0]["step"], found[0]["finished"], found[0]["params"].tobytes())


def crashes(folder: Path) -> dict[str, int]:
    """End the process after each call of a save, and in the middle of each write: the old or a newer one is found."""
    done, expected = {"crashes": 0, "old": 0, "new": 0}, straight(NAMES[0], folder)
    for begin, end in ((0, 0), (9, 12), (21, 99)):  # the first save of all, one that deletes, the last, over its own name
        before, place = folder / str(begin), folder / "now"
        before.mkdir()
        assert not begin or wait(fork(lambda begin=begin, before=before: up_to(begin, before / "run"))) == 0
        old = digest(before / "run")

        def crash(at: int, how: str, end: int = end) -> int:
            shutil.copytree(before, place)  # noqa: B023  (called at once)
            return wait(fork(lambda: calls_of(at, how, end, place)))  # noqa: B023

        assert crash(0, "") == 0
        calls = json.loads((place / "calls").read_text())
        assert digest(place / "run") > old
        shutil.rmtree(place)
        latest = old
        for at, how in [(k, how) for k, call in enumerate(calls, 1) for how in HOW.get(call, ("after",))]:
            assert crash(at, how) == 7
            new = digest(place / "run")
            assert new == old or new[:2] > old[:2], f"{place}: {old} became {new} after {calls[:at]}"
            assert new[:2] >= latest[:2], f"{place}: {latest} became {new} after {calls[:at]}"  # each goes one call further
            latest = new
            if at % 16 == 0:
                assert wait(fork(lambda place=place: train(NAMES[0], 3, place / "run", place / "end"))) == 0
                assert pickle.loads((place / "end").read_bytes()) == expected, f"{place}: it is another"
            done["crashes"] += 1
            done["old" if new == old else "new"] += 1
            shutil.rmtree(place)
    return done


HOW = {"write": ("middle", "after")}


def calls_of(at: int, how: str, end: int, place: Path) -> None:
    """Train to a step and end at a call; if there are less, write down which ones there were."""
    seen = on_call(at, lambda: os._exit(7), how)
    try:
        up_to(end, place / "run")
    finally:
        (place / "calls").write_text(json.dumps(seen))


def signals(count: int, folder: Path) -> dict[str, int]:
    """Send signals to trainings: a checkpoint of the step is there, and the status tells; a second one ends at once."""
    name, done = "everything", {"signals": 0, "at once": 0}
    expected, rng = straight(name, folder), np.random.default_rng(3)
    for number in range(count):
        place, signum, twice = folder / str(number), (signal.SIGTERM, signal.SIGINT)[number % 2], number % 3 == 2
        place.mkdir()
        reading, writing = os.pipe()

        def work(place: Path = place, writing: int = writing, twice: bool = twice) -> None:
            slow = Slow(60.0 if twice else 0.02, writing)
            history = train(name, 0, place / "run", place / "end", slow)
            sys.exit(130 if history.interrupted else 0)

        child = fork(work)
        assert os.read(reading, 1) == b"."
        started = time.monotonic()
        time.sleep(float(rng.uniform(0, 0.1)))
        os.kill(child, signum)
        if twice:
            time.sleep(0.05)
            os.kill(child, signum)
        code = wait(child)
        assert time.monotonic() - started < 10, "it did not end"
        if twice:  # what SIGTERM does of itself, or KeyboardInterrupt
            assert code == (-signal.SIGTERM if signum == signal.SIGTERM else 97), code
        else:
            assert code == 128 + signum, code
            state = read_state(max((place / "run").iterdir()))
            assert state["step"] >= 1 and not state["finished"]
        assert wait(fork(lambda place=place: train(name, 1, place / "run", place / "end"))) == 0
        assert pickle.loads((place / "end").read_bytes()) == expected
        done["signals"] += 1
        done["at once"] += twice
        os.close(reading), os.close(writing)
    return done


def main(what: str, *arguments: str) -> None:
    if what == "train":
        name, seed, folder, result = arguments
        train(name, int(seed), Path(folder), Path(result), Slow(0.04))
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what was started in the background ignores it
    folder = Path(arguments[-1])
    work = {"kills": kills, "crashes": crashes, "signals": signals}[what]
    print(json.dumps(work(*map(int, arguments[:-1]), folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
