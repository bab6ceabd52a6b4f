"""The same bytes for every competitor: rows, targets and initial weights, written once and read by each of them."""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.works import Work

Array = NDArray[Any]

_TABLE_ROWS, _EVALUATION_ROWS = 100_000, 2_000


class Data(NamedTuple):
    """What a training begins with: x as bytes (images) or float32 (table), the rows of the loss, each layer's W."""

    x: Array
    y: Array
    x_eval: Array
    y_eval: Array
    weights: list[Array]


def prepare(work: Work, folder: Path, mnist: str | None, seed: int = 0) -> int:
    """Write the data of a work into `folder`, and return the number of training rows."""
    if work.table:
        return write(work, folder, make_table(work.sizes[0], _TABLE_ROWS, seed), seed)
    import numlp as nl

    data = nl.load_mnist(mnist, normalize=False, validation_size=0)
    x_eval, y_eval = (part[:_EVALUATION_ROWS] for part in data.test)
    return write(work, folder, (data.train.x, data.train.y, x_eval, y_eval), seed)


def make_table(n_in: int, n_samples: int, seed: int) -> tuple[Array, Array, Array, Array]:
    """Return x, y, x_eval, y_eval: standard normal columns and a curved target of unit variance with a tenth of noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_samples + _EVALUATION_ROWS, n_in)).astype(np.float32)
    directions = rng.normal(size=(n_in, 3)) / np.sqrt(n_in)
    a, b, c = (x @ directions).T
    y = np.sin(2 * a) + b * c + np.abs(c)
    y = (y - y.mean()) / y.std() + 0.1 * rng.normal(size=len(y))
    y = y.astype(np.float32)[:, None]
    return x[:n_samples], y[:n_samples], x[n_samples:], y[n_samples:]


def write(work: Work, folder: Path, arrays: tuple[Array, Array, Array, Array], seed: int) -> int:
    """Write x, y, x_eval, y_eval, the first two cut to whole batches, and weights; return the number of training rows."""
    x, y, x_eval, y_eval = arrays
    rows = len(x) // work.batch_size * work.batch_size
    rng = np.random.default_rng(seed)
    for name, array in {"x": x[:rows], "y": y[:rows], "x_eval": x_eval, "y_eval": y_eval}.items():
        np.save(folder / f"{name}.npy", array)
    for i, W in enumerate(he_normal(work.sizes, rng)):
        np.save(folder / f"W{i}.npy", W)
    return rows


def he_normal(sizes: tuple[int, ...], rng: np.random.Generator) -> list[Array]:
    """Return W (I, O) of each dense layer: normal with the variance 2 / I."""
    return [(rng.normal(size=(i, o)) * np.sqrt(2 / i)).astype(np.float32) for i, o in pairwise(sizes)]


def read(folder: str) -> Data:
    """Return what `write` wrote."""
    root = Path(folder)
    x, y, x_eval, y_eval = (np.load(root / f"{name}.npy") for name in ("x", "y", "x_eval", "y_eval"))
    count = len(list(root.glob("W*.npy")))
    return Data(x, y, x_eval, y_eval, [np.load(root / f"W{i}.npy") for i in range(count)])


def floats(x: Array) -> Array:
    """Return bytes as float32 in [0, 1], and numbers as they are."""
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x
