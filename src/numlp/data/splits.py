"""What a loader returns: three splits of rows and targets, and what the numbers mean."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Split(NamedTuple):
    """Rows `x` (n, n_features) and their targets `y` (n,) or (n, n_classes): a pair, wherever a pair is wanted."""

    x: NDArray[Any]
    y: NDArray[Any]

    def __repr__(self) -> str:
        return f"Split(x={_shape(self.x)}, y={_shape(self.y)})"


class Dataset(NamedTuple):
    """A data set in three parts.

    Train on `train`, choose on `validation`, report on `test` - once. `class_names[k]` is what label k means;
    `image_shape` is (height, width) of a row that is an image.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    image_shape: tuple[int, int]

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)!r}" for name in ("train", "validation", "test"))
        return f"Dataset({self.name!r}, {parts}, {len(self.class_names)} classes)"


def _shape(array: Any) -> str:
    """Return "float32 (1257, 64)"."""
    return f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__


def test_rows(strata: NDArray[Any], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which rows to keep for a test, (n,): a random share of them, alike in each stratum, and never all of one.

    Shapes  strata (n,), integers: the class of each row, or all the same.
    """
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    place = np.floor(np.arange(len(order) + 1) * share)
    first = np.diff(strata[order], prepend=strata.min() - 1) > 0  # of a stratum: stays in training
    chosen = np.zeros(len(order), bool)
    chosen[order] = (place[1:] > place[:-1]) & ~first
    return chosen


def one_hot(labels: NDArray[Any], n_classes: int) -> NDArray[np.float32]:
    """Return (n, n_classes) with a one at each row's label."""
    return np.eye(n_classes, dtype=np.float32)[labels]
