"""A stand-in for `tensorflow.examples.tutorials.mnist.input_data`, which tutorials import and no longer exists.

Change one line, `from numlp.data import input_data`, and keep the rest of the tutorial: names and order of the arguments are
TensorFlow's.
"""

import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from numlp.data.mnist import load_mnist
from numlp.data.splits import one_hot as as_one_hot
from numlp.errors import ArgumentError, DTypeError, check_count

_N_FAKE = 10_000  # rows of a fake data set, as TensorFlow had them


class DataSet:
    """Images (n, 784), or (n, 28, 28, 1) without `reshape`, their labels, and `next_batch`."""

    def __init__(self, images: NDArray[Any], labels: NDArray[Any], rng: np.random.Generator) -> None:
        self.images, self.labels = images, labels
        self.num_examples = self._num_examples = len(images)  # tutorials read both
        self.epochs_completed = 0
        self._rng = rng
        self._order: NDArray[Any] | None = None
        self._next = 0  # position in the order

    def next_batch(
        self, batch_size: int, fake_data: bool = False, shuffle: bool = True
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the next `batch_size` images and labels, as copies; goes on over the end of an epoch.

        Each epoch has every row once, in a new order, or in that of the file without `shuffle`. `epochs_completed` grows
        with the first batch that takes a row of the epoch after, as it always did. `fake_data` gives images of ones with
        label 0 instead, and draws nothing.

        Errors  DTypeError, ArgumentError if batch_size is not a whole number from 1 to num_examples.
        """
        batch_size = check_count(batch_size, "next_batch", "batch_size", most=self.num_examples)
        _check_flags("next_batch", fake_data=fake_data, shuffle=shuffle)
        if fake_data:
            labels = np.zeros_like(self.labels[:batch_size])
            labels[..., :1] = labels.ndim - 1  # one-hot, the first of the classes
            return np.ones_like(self.images[:batch_size]), labels
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
    fake_data: bool = False,
    one_hot: bool = False,
    dtype: DTypeLike = np.float32,
    reshape: bool = True,
    validation_size: int = 5000,
    seed: int | None = None,
) -> DataSets:
    """Return MNIST as the old tutorials expect it: `.train`, `.validation`, `.test`, each a `DataSet`.

    Parameters
    ----------
    train_dir
        The folder with the four files; missing ones are downloaded there.
    fake_data
        Three data sets of 10,000 images of ones with label 0, without any file, to try a program out.
    one_hot
        Labels as (n, 10) instead of (n,).
    dtype
        float32 for pixels in [0, 1], uint8 for 0..255; TensorFlow's own dtypes of these names are taken as well.
    reshape
        Images as (n, 784); False leaves them (n, 28, 28, 1).
    validation_size
        Rows taken from the head of the training files.
    seed
        Of the orders in which `next_batch` draws.

    Errors  DTypeError, ArgumentError about an argument; as `load_mnist`.

    Examples
    --------
    >>> from numlp.data import input_data
    >>> input_data.read_data_sets("MNIST_data/", validation_size=-1)
    Traceback (most recent call last):
    numlp.errors.ArgumentError: load_mnist: validation_size must be 0..59999, got -1
    """
    _check_flags("read_data_sets", fake_data=fake_data, one_hot=one_hot, reshape=reshape)
    try:
        kind = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.float32, np.uint8):
        raise ArgumentError(f"read_data_sets: dtype must be float32 or uint8, got {dtype!r}")
    if fake_data:
        labels = np.zeros(_N_FAKE, np.int64)
        pairs = [(np.ones((_N_FAKE, 784), kind), as_one_hot(labels, 10) if one_hot else labels)] * 3
    else:
        normalize = kind == np.float32
        data = load_mnist(train_dir, one_hot=one_hot, normalize=normalize, validation_size=validation_size)
        pairs = [(split.x, split.y) for split in (data.train, data.validation, data.test)]
    rngs = np.random.default_rng(seed).spawn(3)
    shape = (-1, 784) if reshape else (-1, 28, 28, 1)
    return DataSets(*(DataSet(x.reshape(shape), y, rng) for (x, y), rng in zip(pairs, rngs, strict=True)))


def _check_flags(where: str, **flags: Any) -> None:
    """Raise DTypeError for a flag that is not True or False: what stands in another's place is most often a number."""
    for name, value in flags.items():
        if not isinstance(value, bool | np.bool_):
            raise DTypeError(f"{where}: {name} must be True or False, got {value!r}")
