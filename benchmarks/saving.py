"""What a checkpoint costs beside the writing of its bytes: `python -m benchmarks.saving`.

Both sides write the same bytes to a new file, flush it, rename it over the old one and flush the folder, in alternation.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from numlp.files import replace_file
from numlp.states import write_state

SIZES = {"784-300-10": 238_510, "784-1000-1000-10": 1_796_010, "twenty million": 20_000_000}  # parameters


def main(arguments: Sequence[str] | None = None) -> int:
    """Print medians and their ratio for networks with the state of Adam."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--folder", type=Path, help="on the disk to measure [default: that of temporary files]")
    chosen = options.parse_args(arguments)
    print(f"{'network with Adam':20}{'MB':>8}{'bytes ms':>10}{'save ms':>10}{'ratio':>7}")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for name, n in SIZES.items():
            rng = np.random.default_rng(0)
            state = {key: rng.random(n, np.float32) for key in ("params", "m", "v")}
            plain, saved = Path(folder) / "plain", Path(folder) / "saved"
            write_state(saved, state)
            data = saved.read_bytes()
            bytes_ms, save_ms = [], []
            for _ in range(chosen.rounds):
                bytes_ms.append(_milliseconds(partial(replace_file, plain, data)))
                save_ms.append(_milliseconds(partial(write_state, saved, state)))
            first, second = statistics.median(bytes_ms), statistics.median(save_ms)
            print(f"{name:20}{len(data) / 1e6:8.1f}{first:10.1f}{second:10.1f}{second / first:7.2f}")
    return 0


def _milliseconds(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - started)


if __name__ == "__main__":
    raise SystemExit(main())
