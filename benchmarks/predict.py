"""Prediction of one row and of 10,000 rows, against the same peers and onnxruntime: `python -m benchmarks.predict`."""

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.runner import Competitor, Results, alternate, compare_options, installed, measure, say_what_was_removed
from benchmarks.tables import Ratios, compare, print_table, record, shown
from benchmarks.works import PREDICT_SIZES, PREDICT_TARGETS

# outputs nearer than this may change places by rounding
_TIE = 1e-3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status: 1 if labels differ or a competitor failed."""
    options = compare_options(__doc__)
    options.add_argument("--calls", type=int, nargs=2, default=(2000, 30), metavar=("ONE", "ALL"), help="timed calls")
    chosen = options.parse_args(arguments)
    say_what_was_removed()
    with tempfile.TemporaryDirectory() as folder:
        allowed = prepare(Path(folder), max(PREDICT_TARGETS))
        job = {"task": "predict", "folder": folder, "calls_one": chosen.calls[0], "calls_all": chosen.calls[1]}

        def start(competitor: Competitor, python: Path) -> dict[str, Any]:
            result = measure(python, competitor.name, job)
            return result | {"wrong": wrong_labels(result.pop("labels"), allowed)}

        runs = [
            (competitor.name, "", lambda _, c=competitor, p=python: start(c, p))
            for competitor, python in installed(chosen.peers, chosen.envs, "predict")
        ]
        results, wrong = alternate(runs, chosen.rounds, lambda result: result["us"]["1"])
    bad = {name: max(r["wrong"] for r in rounds) for name, rounds in results.items()}
    wrong += [f"{name}: {count} labels differ from those in double precision" for name, count in bad.items() if count]
    for message in wrong:
        print(message, file=sys.stderr)
    ratios = show(results) if "numlp" in results else {}
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    if chosen.record and not wrong:
        record(chosen.record, ratios)
    return 1 if wrong else 0


def prepare(folder: Path, n_rows: int) -> list[set[int]]:
    """Write weights, biases and rows, and return the labels each row may get."""
    import numpy as np

    from benchmarks.data import he_normal

    rng = np.random.default_rng(0)
    weights = he_normal(PREDICT_SIZES, rng)
    # four pixels of five are background, as in MNIST
    x = rng.random((n_rows, PREDICT_SIZES[0]), np.float32)
    x *= rng.random(x.shape) < 0.2
    np.save(folder / "rows.npy", x)
    y = np.asarray(x, np.float64)
    for i, W in enumerate(weights):
        b = np.float32(0.1) * rng.standard_normal(W.shape[1], np.float32)
        np.save(folder / f"W{i}.npy", W)
        np.save(folder / f"b{i}.npy", b)
        y = y @ W + b
        y = np.maximum(y, 0) if i < len(weights) - 1 else y
    return [set(np.flatnonzero(row > row.max() - _TIE).tolist()) for row in y]


def wrong_labels(labels: Sequence[int], allowed: Sequence[set[int]]) -> int:
    """Return how many labels are none of those their row may get."""
    return sum(label not in possible for label, possible in zip(labels, allowed, strict=True))


def show(results: Results) -> dict[str, Ratios]:
    """Print the median latencies and the ratios, and return these."""
    ratios, rows = {}, []
    for count, target in PREDICT_TARGETS.items():
        times = {name: [r["us"][str(count)] for r in rounds] for name, rounds in results.items()}
        row = ratios[f"predict-{count}"] = compare(times)
        cells = [f"{statistics.median(times[name]):.1f}" for name in results]
        rows.append([f"{count:,} rows" if count > 1 else "1 row", *cells, row.fastest_peer or "-", shown(row.ratio, target)])
    print(f"\n{'-'.join(map(str, PREDICT_SIZES))}, microseconds a call, NumPy rows in, NumPy labels out")
    print_table(["", *results, "fastest peer", "ratio (to be reached)"], rows)
    return ratios


if __name__ == "__main__":
    sys.exit(main())
