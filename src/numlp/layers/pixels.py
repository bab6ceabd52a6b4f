"""Preprocessing of images as the first layer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.arena import aligned_empty
from numlp.errors import check_count
from numlp.layers.dense import Layer

Array = NDArray[Any]

_BYTE = np.dtype(np.uint8)


class Pixels(Layer):
    """Pixel values to [0, 1]: whole numbers 0..255 are divided by 255, floating point numbers are already there.

        y = x / 255 for uint8,  y = x for the network's own dtype        (1)

    As the first layer it is the network's preprocessing: images stay one byte a pixel in memory, and the saved model
    takes raw images. It has no parameters; dx = dy.

    Shapes  x, y (N, I).

    Parameters
    ----------
    n_in
        I.
    """

    def __init__(self, n_in: int) -> None:
        self.n_in = self.n_out = check_count(n_in, "Pixels", "n_in")

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)

    def accepts(self, dtype: np.dtype[Any]) -> bool:
        """Whole bytes as well as the network's own dtype."""
        return dtype == _BYTE or super().accepts(dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        if x.dtype != _BYTE:
            return x
        y = self._y[: len(x)]
        kernels.pixels(x, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dy."""
        return dy
