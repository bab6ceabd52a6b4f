"""The part of a measurement that runs in the fresh process: NumPy only, the same for every competitor."""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Job = dict[str, Any]


def answer(tasks: Mapping[str, Callable[[Job], dict[str, Any]]]) -> None:
    """Do the job on stdin, and print its result as the last line, with the peak memory of this process."""
    job = json.load(sys.stdin)
    result = tasks[job["task"]](job)
    print(json.dumps({**result, "peak_mb": peak_mb()}), flush=True)


def peak_mb() -> float:
    """Return the largest resident set of this process so far, in MB.

    Linux hands `ru_maxrss` down from the parent that started the process; VmHWM is this program's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1000
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def step_us(ends: list[float], warm: int, steps: int) -> float:
    """Return the median time of a step, given when training began and each epoch ended; `warm` epochs do not count."""
    epochs = [after - before for before, after in pairwise(ends)]
    return statistics.median(epochs[warm:]) / steps * 1e6


def time_epochs(job: Job, rows: int, run_epoch: Callable[[Array], None]) -> float:
    """Run all epochs and return the median time of a step in microseconds.

    `run_epoch` takes the order of the rows (steps, batch_size) and returns when the work is done. The order is that of
    `numlp.fit` with the same generator; drawing it counts.
    """
    rng, batch_size = np.random.default_rng(job["seed"]), job["work"]["batch_size"]
    ends = [time.perf_counter()]
    for _ in range(job["warm"] + job["epochs"]):
        run_epoch(rng.permutation(rows).reshape(-1, batch_size))
        ends.append(time.perf_counter())
    return step_us(ends, job["warm"], rows // batch_size)


def latency(job: Job, rows: Array, predict: Callable[[Array], Array]) -> dict[str, Any]:
    """Return the labels of the rows, and the median microseconds of a call for one row and for all rows."""
    labels = np.asarray(predict(rows)).tolist()
    singles = [np.ascontiguousarray(rows[i : i + 1]) for i in range(64)]
    one = _median_us(lambda i: predict(singles[i % 64]), job["calls_one"])
    return {"labels": labels, "us": {"1": one, str(len(rows)): _median_us(lambda i: predict(rows), job["calls_all"])}}


def _median_us(call: Callable[[int], object], count: int) -> float:
    """Return the median time of `count` calls, after a tenth as many and at least 2 to warm up."""
    times = []
    warm = max(2, count // 10)
    for i in range(warm + count):
        started = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - started)
    return statistics.median(times[warm:]) * 1e6
