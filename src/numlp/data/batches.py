"""Mini-batches: rows drawn in random order into buffers that are used again."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from numlp import kernels
from numlp.arena import aligned_empty
from numlp.data.augment import Augmentation

Array = NDArray[Any]

_KNOWN = {np.dtype(code) for code in "?bBhHiIlLqQfd"}  # what every kernel takes


class Batches:
    """Each iteration is one epoch: every row once, in an order drawn from `rng`, in batches of `batch_size`.

    The last batch may be smaller. What is yielded are views of buffers, valid until the next batch. Full batch
    (`batch_size` None, or not below the number of rows) is a case: the same single batch every epoch, nothing drawn.

    Parameters
    ----------
    x, y
        Rows and targets of equal length; checked by the caller.
    batch_size
        Rows in a batch, or None for all.
    rng
        Where the order is drawn from.
    dtype
        What x becomes in the batch: bytes stay bytes in memory and turn into floating point numbers here.
    weight
        The weights of the rows, of equal length, or None.
    augment
        Changes the rows of each batch, with numbers from `rng`, after the order of the epoch is drawn; x stays as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from numlp.data.batches import Batches
    >>> batches = Batches(np.arange(10).reshape(5, 2), np.arange(5), 2, np.random.default_rng(0), np.float32)
    >>> [len(x) for x, y, weight in batches]
    [2, 2, 1]
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        batch_size: int | None,
        rng: np.random.Generator,
        dtype: DTypeLike,
        weight: Array | None = None,
        augment: Augmentation | None = None,
    ) -> None:
        if x.dtype not in _KNOWN:  # half precision, extended precision, another byte order
            x = x.astype(dtype)
        # kernels and np.take want rows that lie in one piece
        self._x, self._y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        self._weight = weight
        self.batch_size = len(x) if batch_size is None else min(batch_size, len(x))
        self._rng, self._augment = rng, augment
        full = self.batch_size == len(x)
        if full:
            self._x = self._x.astype(dtype, copy=False)
        rows = 0 if full and augment is None else self.batch_size
        self.done = 0  # batches of the present epoch that were handed out
        self._begin: Mapping[str, Any] | None = None  # the generator's state when the epoch began
        self._resumed = False
        self._batch = aligned_empty((rows, *x.shape[1:]), dtype)
        self._target = np.empty((rows, *y.shape[1:]), y.dtype)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(len(self._x) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Array, Array, Array | None]]:
        """Yield (x, y, weight or None) for each batch of one epoch."""
        order = self._order()
        if self.batch_size == len(self._x):
            if not self.done:
                self.done = 1
                x = self._x if self._augment is None else self._augment(self._x, self._rng, self._batch)
                yield x, self._y, self._weight
            return
        for start in range(self.done * self.batch_size, len(order), self.batch_size):
            self.done += 1
            rows = order[start : start + self.batch_size]
            x, y = self._batch[: len(rows)], self._target[: len(rows)]
            kernels.gather(self._x, rows, x)
            # mode="clip" because the default "raise" copies all of it once more; the indices are a permutation
            self._y.take(rows, axis=0, out=y, mode="clip")
            if self._augment is not None:
                self._augment(x, self._rng, x)
            yield x, y, None if self._weight is None else self._weight[rows]

    def _order(self) -> Array:
        """Draw the order of an epoch; of a resumed one, draw it again and leave the generator as it is."""
        generator = self._rng.bit_generator
        now, begin = generator.state, self._begin if self._resumed else None
        if begin is not None:
            generator.state = begin
        else:
            self.done, self._begin = 0, now
        self._resumed = False
        order = np.arange(0) if self.batch_size == len(self._x) else self._rng.permutation(len(self._x))
        if begin is not None:
            generator.state = now
        return order

    def state(self) -> dict[str, Any]:
        """Return where the present epoch is: the batches done, and the generator's state from which its order was drawn."""
        return {"done": self.done, "begin": self._begin}

    def restore(self, state: dict[str, Any]) -> None:
        """Let the next iteration be the rest of the epoch in which `state` was taken; it draws no number of its own."""
        self.done, self._begin, self._resumed = int(state["done"]), state["begin"], True
