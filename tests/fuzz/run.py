"""Gives so many mutants of one kind of file to its loader, within limits of time and memory: `run.py KIND COUNT [SEED]`.

A child process of test_fuzz.py and `make fuzz`. A mutant that breaks a promise stays in the folder that is named.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

from fuzz.kinds import KINDS, MIB, Kind

SECONDS = 2
MEMORY = 32 * MIB  # beyond what a file declares
SLACK = 10  # a machine under load is no error of ours


def size_of_process() -> int:
    """Return the virtual size in bytes: what RLIMIT_AS limits."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limit_memory(kind: Kind) -> None:
    most = size_of_process() + kind.declared + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def run(kind: Kind, count: int, seed: int, path: Path) -> dict[str, float]:
    rng, seeds = random.Random(seed), kind.seeds()
    for data in seeds:  # what is imported late is imported before memory is counted
        path.write_bytes(data)
        kind.check(path, data)
    limit_memory(kind)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken, slowest = 0, 0.0
    for _ in range(count):
        data = kind.mutate(rng, seeds)
        path.unlink()  # a file system may flush a file that is overwritten, which takes milliseconds
        path.write_bytes(data)
        started = time.perf_counter()
        taken += kind.check(path, data)
        slowest = max(slowest, time.perf_counter() - started)
        if slowest > SECONDS * SLACK:
            raise AssertionError(f"{slowest:.1f} seconds")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown <= kind.declared + MEMORY, f"{grown:,} bytes more"
    return {"taken": taken, "refused": count - taken, "slowest": round(slowest, 4), "grown": grown}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=5)
    given = parser.parse_args()
    warnings.simplefilter("error")
    folder = tempfile.mkdtemp(prefix="numlp-fuzz-")
    path = Path(folder) / "mutant"
    try:
        found = run(KINDS[given.kind], given.count, given.seed, path)
    except BaseException:
        print(f"the mutant is {path}", file=sys.stderr)
        raise
    path.unlink()
    path.parent.rmdir()
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
