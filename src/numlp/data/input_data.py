"""A stand-in for `tensorflow.examples.tutorials.mnist.input_data`, which tutorials import and no longer exists.

Change one line, `from numlp.data import input_data`, and keep the rest of the tutorial.
"""

import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.data.mnist import load_mnist
from numlp.errors import check_count


class DataSet:
    """Images (n, 784) float32 in [0, 1], their labels, and `next_batch`."""

    def __init__(self, images: NDArray[Any], labels: NDArray[Any], rng: np.random.Generator) -> None:
        self.images, self.labels = images, labels
        self.num_examples = len(images)
        self.epochs_completed = 0
        self._rng = rng
        self._order = np.arange(0)

    def next_batch(self, batch_size: int, shuffle: bool = True) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the next `batch_size` images and labels, as copies; goes on over the end of an epoch.

        Each epoch has every row once, in a new order.

        Errors  DTypeError, ArgumentError if batch_size is not a whole number from 1 to num_examples.
        """
        batch_size = check_count(batch_size, "next_batch", "batch_size", most=self.num_examples)
        rows = self._order[:batch_size]
        self._order = self._order[batch_size:]
        if len(rows) < batch_size:
            self.epochs_completed += len(rows) > 0 or self.epochs_completed > 0
            order = self._rng.permutation(self.num_examples) if shuffle else np.arange(self.num_examples)
            missing = batch_size - len(rows)
            rows, self._order = np.concatenate([rows, order[:missing]]), order[missing:]
        return self.images[rows], self.labels[rows]


class DataSets(NamedTuple):
    """What `read_data_sets` returns."""

    train: DataSet
    validation: DataSet
    test: DataSet


def read_data_sets(
    train_dir: str | os.PathLike[str] | None = None,
    one_hot: bool = False,
    validation_size: int = 5000,
    seed: int | None = None,
) -> DataSets:
    """Return MNIST as the old tutorials expect it: `.train`, `.validation`, `.test`, each a `DataSet`.

    Parameters
    ----------
    train_dir
        The folder with the four files; missing ones are downloaded there.
    one_hot
        Labels as (n, 10) instead of (n,).
    validation_size
        Rows taken from the head of the training files.
    seed
        Of the order in which `next_batch` draws.

    Errors  as `load_mnist`.

    Examples
    --------
    >>> from numlp.data import input_data
    >>> input_data.read_data_sets("MNIST_data/", validation_size=-1)
    Traceback (most recent call last):
    numlp.errors.ArgumentError: load_mnist: validation_size must be 0..59999, got -1
    """
    data = load_mnist(train_dir, one_hot=one_hot, validation_size=validation_size)
    rng = np.random.default_rng(seed)
    return DataSets(*(DataSet(split.x, split.y, rng) for split in (data.train, data.validation, data.test)))
