"""The estimators against scikit-learn's own, same parameters and same steps: `python -m benchmarks.estimators`.

Each training runs in a process of its own, first of the one, then of the other, and the losses they end with are compared
before the times are.
"""

import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.runner import clean_environment, parser, say_what_was_removed

Array = NDArray[Any]
# name -> (kind, data, parameters, trainings a process)
CASES: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "digits, 64-100-10, 20 epochs": ("MLPClassifier", "digits", {"max_iter": 20}, 5),
    "the same in float32": ("MLPClassifier", "digits32", {"max_iter": 20}, 5),
    "the same, sgd": ("MLPClassifier", "digits", {"max_iter": 20, "solver": "sgd"}, 5),
    "the same, lbfgs": ("MLPClassifier", "digits", {"max_iter": 20, "solver": "lbfgs"}, 3),
    "20,000 x 50 numbers, 5 epochs": ("MLPRegressor", "table", {"max_iter": 5}, 3),
    "the same in float32 ": ("MLPRegressor", "table32", {"max_iter": 5}, 3),
    "iris, 200 epochs": ("MLPClassifier", "iris", {"max_iter": 200, "n_iter_no_change": 200}, 5),
    "19 rows of iris, 1 epoch": ("MLPClassifier", "rows", {"max_iter": 1}, 200),
    "19 rows, regression, 1 epoch": ("MLPRegressor", "rows", {"max_iter": 1}, 200),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status: 1 if losses differ."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=3, help="processes for each side of each case")
    chosen = options.parse_args(arguments)
    say_what_was_removed()
    status = 0
    print(f"{'':30s} scikit-learn     numlp    ratio")
    for name in CASES:
        results: dict[str, list[dict[str, float]]] = {"theirs": [], "ours": []}
        for _ in range(chosen.rounds):
            for side, rounds in results.items():
                rounds.append(in_a_process(side, name))
        expected, found = (rounds[0]["loss"] for rounds in results.values())
        if abs(found - expected) > 1e-3 * expected:
            print(f"{name}: the losses differ, {expected} and {found}")
            status = 1
        theirs, ours = (statistics.median(result["ms"] for result in rounds) for rounds in results.values())
        print(f"{name:30s} {theirs:9.2f} ms {ours:6.2f} ms {theirs / ours:7.2f}", flush=True)
    return status


def in_a_process(side: str, name: str) -> dict[str, float]:
    """Return what `measure` finds, in a fresh process."""
    command = [sys.executable, "-c", f"from benchmarks.estimators import measure; measure({side!r}, {name!r})"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environment()[0])
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(side: str, name: str) -> None:
    """Print the shortest time of a training, in ms, and the loss it ended with."""
    import sklearn.neural_network

    import numlp.estimators

    warnings.simplefilter("ignore")
    kind, data, parameters, repeats = CASES[name]
    estimator = getattr(sklearn.neural_network if side == "theirs" else numlp.estimators, kind)
    X, y = load(data)
    estimator(random_state=0, **parameters).fit(X, y)  # compiled, and in the cache
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        model = estimator(random_state=0, **parameters).fit(X, y)
        times.append(time.perf_counter() - started)
    print(json.dumps({"ms": 1e3 * min(times), "loss": float(model.loss_)}))


def load(name: str) -> tuple[Array, Array]:
    """Return rows and targets."""
    from sklearn.datasets import load_digits, load_iris

    if name.startswith("table"):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(20_000, 50))
        y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=len(X))
    elif name.startswith("digits"):
        X, y = load_digits(return_X_y=True)
        X = X / 16
    else:
        X, y = load_iris(return_X_y=True)
        X, y = (X[::8], y[::8]) if name == "rows" else (X, y)
    return X.astype(np.float32 if name.endswith("32") else np.float64), y


if __name__ == "__main__":
    sys.exit(main())
