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
        self._order: NDArray[Any] | None = None
        self._next = 0  # position in the order

    def next_batch(self, batch_size: int, shuffle: bool = True) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the next `batch_size` images and labels, as copies; goes on over the end of an epoch.

        Each epoch has every row once, in a new order. `epochs_completed` grows with the first batch that takes a
        row of the epoch after, as it always did.

        Errors  DTypeError, ArgumentError if batch_size is not a whole number from 1 to num_examples.
        """
        batch_size = check_count(batch_size, "next_batch", "batch_size", most=self.num_examples)
        if self._order is None:
            self._order = self._new_order(shuffle)
        rows = self._order[self._next : self._next + batch_size]
        self._next += len(rows)
        missing = batch_size - len(rows)
        if missing:
            self.epochs_completed += 1
            self._order, self._next = self._new_order(shuffle), missing
            rows = np.concatenate([rows, self._order[:missing]])
        return self.images[rows], self.labels[rows]

    def _new_order(self, shuffle: bool) -> NDArray[Any]:
        return self._rng.permutation(self.num_examples) if shuffle else np.arange(self.num_examples)


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
        Of the orders in which `next_batch` draws.

    Errors  as `load_mnist`.

    Examples
    --------
    >>> from numlp.data import input_data
    >>> input_data.read_data_sets("MNIST_data/", validation_size=-1)
    Traceback (most recent call last):
    numlp.errors.ArgumentError: load_mnist: validation_size must be 0..59999, got -1
    """
    data = load_mnist(train_dir, one_hot=one_hot, validation_size=validation_size)
    splits, rngs = (data.train, data.validation, data.test), np.random.default_rng(seed).spawn(3)
    return DataSets(*(DataSet(split.x, split.y, rng) for split, rng in zip(splits, rngs, strict=True)))
