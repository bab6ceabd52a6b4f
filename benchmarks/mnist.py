"""The whole program: `numlp train mnist` against the same recipe in PyTorch, and what starting costs.

`python -m benchmarks.mnist`. Standard library only, because the peak memory that Linux reports of a child begins at its
parent's.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.runner import PEERS, ROOT, clean_environment, interpreter, measure, parser, say_what_was_removed
from benchmarks.tables import print_table

# what is to be reached: ratio, MB, seconds
TARGETS = {
    "time over PyTorch's": 0.45,
    "peak memory, MB": 300.0,
    "import beyond NumPy's, s": 0.15,
    "numlp --help, s": 0.35,
    "first step, cold cache, s": 4.0,
    "first step, warm cache, s": 0.5,
}

_RECIPE = """
import dataclasses, json
from numlp.recipes import RECIPES
print(json.dumps(dataclasses.asdict(RECIPES["default"]["mnist"])))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and return the exit status: 1 if the accuracies differ."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=3, help="of whole trainings")
    chosen = options.parse_args(arguments)
    data = Path(chosen.data_dir or "dataset").resolve()
    if not (data / "train-images-idx3-ubyte.gz").exists():
        print(f"no MNIST files in {data}: give --data-dir, or run `numlp data mnist --data-dir {data}`", file=sys.stderr)
        return 1
    say_what_was_removed()
    with tempfile.TemporaryDirectory() as folder:
        figures, results = startup(), trainings(data, Path(folder), chosen.envs, chosen.rounds)
    figures |= compared(results)
    rows = [[name, f"{figures[name]:.2f}", f"{target:.2f}"] for name, target in TARGETS.items() if name in figures]
    rows += [[name, f"{value:.2f}", "-"] for name, value in figures.items() if name not in TARGETS]
    print_table(["", "measured", "to be reached"], rows)
    if chosen.json:
        chosen.json.write_text(json.dumps({"figures": figures, "trainings": results}, indent=1), encoding="utf-8")
    accuracies = {name: statistics.median(r["accuracy"] for r in rounds) for name, rounds in results.items()}
    if max(accuracies.values()) - min(accuracies.values()) > 0.3:
        print(f"the accuracies differ by more than 0.3 points: {accuracies}", file=sys.stderr)
        return 1
    return 0


def trainings(data: Path, folder: Path, envs: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return seconds, peak memory and accuracy of each round; one run of numlp before, so that its caches are warm."""
    recipe = json.loads(subprocess.run([sys.executable, "-c", _RECIPE], capture_output=True, text=True, check=True).stdout)
    out = str(folder / "mnist.safetensors")
    own = [sys.executable, "-m", "numlp", "train", "mnist", "--data-dir", str(data), "--offline", "--out", out]
    runs: dict[str, Callable[[int], dict[str, float]]] = {"numlp": lambda i: whole([*own, "--seed", str(i)])}
    torch = interpreter(PEERS[0], envs)
    if torch is None:
        print(f"torch is left out: not installed in {envs}; `make bench` does that")
    else:
        command = [str(torch), "-m", "benchmarks.peers.with_torch"]
        job = {"task": "mnist", "recipe": recipe, "data": str(data), "folder": str(folder)}
        runs["torch"] = lambda i: whole(command, json.dumps(job | {"seed": i}))
    runs["numlp"](0)
    results: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for i in range(rounds):
        for name, run in runs.items():
            results[name].append(run(i))
    return results


def whole(command: Sequence[str], text: str = "") -> dict[str, float]:
    """Run a program; return the seconds until it printed its test accuracy, this in %, and its peak memory in MB."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as job:
        job.write(text)
        job.seek(0)
        child = subprocess.Popen(
            command, stdin=job, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
            env=clean_environment()[0] | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    seconds, accuracy = None, None
    assert child.stdout is not None
    for line in child.stdout:
        found = re.match(r"test loss .*accuracy\s+([\d.]+)%", line)
        if found:
            seconds, accuracy = time.perf_counter() - started, float(found[1])
    child.stdout.close()
    usage = os.wait4(child.pid, 0)[2]
    child.returncode = 0  # wait4 has taken the status
    if seconds is None or accuracy is None:
        raise SystemExit(f"{' '.join(command)}: ended without a test accuracy")
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return {"seconds": seconds, "accuracy": accuracy, "peak_mb": peak}


def compared(results: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Return the figures of the whole training."""
    middle: Callable[[str, str], Any] = lambda name, key: statistics.median(r[key] for r in results[name])  # noqa: E731
    figures = {"peak memory, MB": middle("numlp", "peak_mb")}
    for name in results:
        figures |= {f"{name}: {key}": middle(name, key) for key in ("seconds", "accuracy")}
    if "torch" in results:
        figures["time over PyTorch's"] = middle("numlp", "seconds") / middle("torch", "seconds")
        figures["torch: peak memory, MB"] = middle("torch", "peak_mb")
    return figures


def startup() -> dict[str, float]:
    """Return what importing, `--help` and the first training step cost, in seconds."""
    numpy, numlp, helped = (
        median_seconds([sys.executable, *arguments])
        for arguments in (("-c", "import numpy"), ("-c", "import numlp"), ("-m", "numlp", "--help"))
    )
    figures = {"import beyond NumPy's, s": numlp - numpy, "numlp --help, s": helped}
    with tempfile.TemporaryDirectory() as cache:
        for kind in ("cold", "warm"):
            result = measure(Path(sys.executable), "numlp", {"task": "first_step"}, NUMBA_CACHE_DIR=cache)
            figures[f"first step, {kind} cache, s"] = result["seconds"]
    return figures


def median_seconds(command: Sequence[str], count: int = 9) -> float:
    """Return the median time of a whole process, one run before not counted."""
    times = []
    for _ in range(count + 1):
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, env=clean_environment()[0], check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    sys.exit(main())
