"""One table, one split, one model: the time of fit and predict, and the error on the rows left out."""

import csv
import gzip
import importlib
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import Array, Job, answer

GAPS = {"", "NA", "NaN", "nan", "null", "NULL", "None", "N/A", "n/a"}
Split = tuple[Array, Array, Array]  # x and y to train on, x to predict


def read(folder: Path, name: str) -> tuple[Array, Array, bool]:
    """Return x (numbers and text, None and NaN for gaps), y (numbers, or labels 0, 1, ...) and whether y is numbers."""
    with gzip.open(folder / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    columns = [_column([row[i] for row in rows if row]) for i in range(len(rows[0]))]
    target = columns.pop()
    x = np.empty((len(target), len(columns)), object)
    for i, column in enumerate(columns):
        x[:, i] = column
    if json.loads((folder / "manifest.json").read_text(encoding="utf-8"))[name]["task"] == "regression":
        return x, np.array(target, np.float64), True
    return x, np.unique(np.array(target).astype(str), return_inverse=True)[1], False


def _column(cells: list[str]) -> list[Any]:
    """Return a column's numbers, or its text."""
    try:
        return [np.nan if cell in GAPS else float(cell) for cell in cells]
    except ValueError:
        return [None if cell in GAPS else cell for cell in cells]


def is_text(x: Array) -> list[bool]:
    """Whether each column is text."""
    return [any(isinstance(cell, str) for cell in x[:, i]) for i in range(x.shape[1])]


def numlp(effort: str) -> Callable[[Split, bool, int], Array]:
    """Return numlp's estimator for tables."""

    def predict(split: Split, regression: bool, seed: int) -> Array:
        from numlp.estimators import TabularClassifier, TabularRegressor

        x, y, x_new = split
        model = TabularRegressor if regression else TabularClassifier
        return np.asarray(model(effort, random_state=seed).fit(x, y).predict(x_new))

    return predict


def sklearn(split: Split, regression: bool, seed: int) -> Array:
    """scikit-learn's network with standardized numbers, one-hot categories and, for regression, a standardized target."""
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x, y, x_new = split
    text = np.array(is_text(np.concatenate([x, x_new])))
    hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    model = make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), np.flatnonzero(~text)),
            (
                make_pipeline(SimpleImputer(missing_values=None, strategy="constant", fill_value="gap"), hot),
                text.nonzero()[0],
            ),
        ),
        MLPRegressor(random_state=seed) if regression else MLPClassifier(random_state=seed),
    )
    if regression:
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    return np.asarray(model.fit(x, y).predict(x_new))


def lightgbm(split: Split, regression: bool, seed: int) -> Array:
    """LightGBM's defaults; text as categories."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    x, y, x_new = split
    text = is_text(np.concatenate([x, x_new]))
    numbers = [np.empty(part.shape) for part in (x, x_new)]
    for i, category in enumerate(text):
        levels = (
            {level: k for k, level in enumerate(sorted({cell for cell in x[:, i] if cell is not None}))} if category else {}
        )
        for part, out in zip((x, x_new), numbers, strict=True):
            out[:, i] = [levels.get(cell, np.nan) for cell in part[:, i]] if category else part[:, i].astype(float)
    model = (LGBMRegressor if regression else LGBMClassifier)(random_state=seed, verbose=-1)
    model.fit(numbers[0], y, categorical_feature=[i for i, category in enumerate(text) if category])
    return np.asarray(model.predict(numbers[1]))


def pytabkit(split: Split, regression: bool, seed: int) -> Array:
    """RealMLP-TD by its authors; gaps of numbers become the median, as it takes none."""
    import pandas as pd
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    x, y, x_new = split
    text = is_text(np.concatenate([x, x_new]))
    frames = [pd.DataFrame(part) for part in (x, x_new)]
    for i, category in enumerate(text):
        median = 0.0 if category else float(np.nanmedian(x[:, i].astype(float)))
        for frame in frames:
            frame[i] = frame[i].astype("category") if category else frame[i].astype("float32").fillna(median)
    model = RealMLP_TD_Regressor if regression else RealMLP_TD_Classifier
    chosen = model(random_state=seed, device="cpu", verbosity=0, n_threads=len(os.sched_getaffinity(0)))
    return np.asarray(chosen.fit(frames[0], y).predict(frames[1]))


MODELS: dict[str, Callable[[Split, bool, int], Array]] = {
    "numlp": numlp("default"),
    "numlp-fast": numlp("fast"),
    "numlp-best": numlp("best"),
    "sklearn": sklearn,
    "lightgbm": lightgbm,
    "pytabkit": pytabkit,
}


# what a model imports, which is not timed
IMPORTS = {
    "numlp": "numlp.estimators", "numlp-fast": "numlp.estimators", "numlp-best": "numlp.estimators",
    "sklearn": "sklearn.neural_network", "lightgbm": "lightgbm", "pytabkit": "pytabkit",
}  # fmt: skip


def error(y: Array, predicted: Array, regression: bool) -> float:
    """Return the root mean squared error in units of the target's deviation, or the share of wrong labels.

    No error at all counts as half a wrong row, so that there is a logarithm.
    """
    predicted = predicted.reshape(-1)
    if regression:
        return float(np.sqrt(np.mean((predicted - y) ** 2)) / y.std())
    return max(float(np.mean(predicted != y)), 0.5 / len(y))


def train(job: Job) -> dict[str, Any]:
    """Split 80 to 20, train, predict."""
    warnings.filterwarnings("ignore")
    x, y, regression = read(Path(job["folder"]), job["table"])
    order, n = np.random.default_rng(job["seed"]).permutation(len(y)), len(y) * 4 // 5
    importlib.import_module(IMPORTS[job["model"]])
    split = x[order[:n]], y[order[:n]], x[order[n:]]
    wall, cpu = time.perf_counter(), time.process_time()
    predicted = MODELS[job["model"]](split, regression, job["seed"])
    seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"error": error(y[order[n:]], predicted, regression), "seconds": seconds, "cpu": cpu}


if __name__ == "__main__":
    answer({"train": train})
