"""Starts each measurement in a fresh process with the same clean environment. Standard library only: parents stay small."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.works import Work

ROOT = Path(__file__).resolve().parent.parent

# what may tune a BLAS or a thread pool: each competitor shall have its own defaults
TUNING = ("OPENBLAS_", "MKL_", "OMP_", "GOTO_", "KMP_", "BLIS_", "VECLIB_")

Task = Literal["train", "predict"]
Runs = Sequence[tuple[str, str, Callable[[str], dict[str, Any]]]]  # competitor, variant, what measures it
Results = dict[str, list[dict[str, Any]]]  # competitor -> what each round gave


@dataclass(frozen=True)
class Competitor:
    """A program in `benchmarks.peers`, the environment it runs in (None: this one), and what it can do."""

    name: str
    env: str | None
    tasks: tuple[Task, ...] = ("train", "predict")

    def variants(self, work: Work) -> list[str]:
        """Return the settings to try for a training; none, if it cannot do it."""
        if self.name == "torch":
            return ["eager", "fused"]
        if self.name == "tensorflow":
            return ["step", "step jit", "epoch", "epoch jit"]
        if self.name == "jax":
            kinds = ["float32"] if work.table else ["float32", "bytes"]
            return [f"{kind}{end}" for kind in kinds for end in (("", " rbg") if work.dropout else ("",))]
        if self.name == "sklearn":
            return [] if work.batch_norm or work.dropout or work.optimizer == "adamw" else [""]
        return [""]


NUMLP = Competitor("numlp", None)
PEERS = (
    Competitor("torch", "torch"),
    Competitor("jax", "jax"),
    Competitor("tensorflow", "tf", ("train",)),
    Competitor("sklearn", "sk"),
    Competitor("onnx", "sk", ("predict",)),
)


class ChildError(RuntimeError):
    """A measurement that ended without a result."""


def clean_environment(environment: Mapping[str, str] = os.environ) -> tuple[dict[str, str], list[str]]:
    """Return the environment of every child, and the names that were taken out of it."""
    removed = sorted(name for name in environment if name.startswith(TUNING))
    return {name: value for name, value in environment.items() if name not in removed}, removed


def say_what_was_removed() -> None:
    """Print, in one line, what the children do not see."""
    removed = clean_environment()[1]
    print(f"taken out of the environment of every competitor: {', '.join(removed) or 'nothing'}")


def interpreter(competitor: Competitor, envs: Path) -> Path | None:
    """Return the Python of a competitor, or None if it is not installed."""
    if competitor.env is None:
        return Path(sys.executable)
    path = envs / competitor.env / "bin" / "python"
    return path if path.exists() else None


def measure(python: Path, program: str, job: Mapping[str, Any], **variables: str) -> dict[str, Any]:
    """Run `benchmarks.peers.with_<program>` on a job and return its result.

    Errors  ChildError with the last line of what the program complained about.
    """
    done = subprocess.run(
        [str(python), "-m", f"benchmarks.peers.with_{program}"],
        input=json.dumps(job), capture_output=True, text=True, cwd=ROOT, env=clean_environment()[0] | variables, check=False,
    )  # fmt: skip
    if done.returncode or not done.stdout.strip():
        raise ChildError(f"{program}: {(done.stderr.strip() or f'status {done.returncode}').splitlines()[-1]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def installed(names: Sequence[str], envs: Path, task: Task) -> list[tuple[Competitor, Path]]:
    """Return numlp and the peers of these names that can do a task and are installed; a line about each that is not."""
    chosen = []
    for competitor in (NUMLP, *(peer for peer in PEERS if peer.name in names and task in peer.tasks)):
        python = interpreter(competitor, envs)
        if python is None:
            print(f"{competitor.name} is left out: not installed in {envs}; `make bench` does that")
        else:
            chosen.append((competitor, python))
    return chosen


def alternate(runs: Runs, rounds: int, time_of: Callable[[dict[str, Any]], float]) -> tuple[Results, list[str]]:
    """Measure all competitors in turn, `rounds` times: the first time every variant, then only the fastest of each.

    Returns the results by competitor, and what failed.
    """
    results: Results = {}
    best: dict[str, tuple[float, str]] = {}
    failed: list[str] = []
    for i in range(rounds):
        for name, variant, run in runs:
            if i and best.get(name, (0.0, None))[1] != variant:
                continue
            try:
                result = run(variant) | {"variant": variant}
            except ChildError as error:
                failed.append(str(error))
                continue
            if i == 0:
                if name in best and best[name][0] <= time_of(result):
                    continue
                best[name] = (time_of(result), variant)
                results[name] = []
            results[name].append(result)
    return results, failed


def folder(text: str) -> Path:
    """Return a folder that is the same for children, who run elsewhere; links stay, an environment's Python is one."""
    return Path(text).absolute()


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options that all programs here have."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--envs", type=folder, default=ROOT / ".venv-peers", help="folder with the peers' environments")
    options.add_argument("--data-dir", default=os.environ.get("NUMLP_DATA"), help="folder with the MNIST files")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    return options


def compare_options(description: str | None) -> argparse.ArgumentParser:
    """Return the options of the programs that compare with peers over several rounds."""
    options = parser(description)
    names = [peer.name for peer in PEERS]
    options.add_argument("--peers", nargs="*", choices=names, default=names, help="all of them by default")
    options.add_argument("--rounds", type=int, default=3, help="fresh processes for each competitor")
    options.add_argument("--record", metavar="VERSION", help="keep the ratios in benchmarks/history.json")
    return options
