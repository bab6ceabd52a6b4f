"""Dropout."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.arena import aligned_empty
from numlp.attributes import number
from numlp.errors import check_count
from numlp.layers.dense import Layer

Array = NDArray[Any]


class Dropout(Layer):
    """In training, set each number to zero with probability `rate` and scale the rest up; else do nothing.

        mask ~ Bernoulli(1 - rate) / (1 - rate),  y = x * mask,  dx = dy * mask      (1)

    Shapes  x, y (N, O).
    Source  Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014 (inverted form).

    Parameters
    ----------
    n_in
        O.
    rate
        In [0, 1).
    """

    rate: float = number(low=0, below=1)

    def __init__(self, n_in: int, rate: float) -> None:
        self.n_in = self.n_out = check_count(n_in, type(self).__name__, "n_in")
        self.rate = rate

    def initialize(self, rng: np.random.Generator) -> None:
        """Keep the generator: masks are drawn from it."""
        self._rng = rng

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y and the mask."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._mask = aligned_empty(self._y.shape, self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        self._active = training and self._rate > 0
        if not self._active:
            return x
        n = len(x)
        kernels.dropout(x, self._rng.integers(1 << 63), self._rate, self._mask[:n], self._y[:n])
        return self._y[:n]

    def backward(self, dy: Array) -> Array | None:
        """Return dx = dy * mask, in the place of dy."""
        if self._active:
            kernels.dropout_backward(dy, self._mask[: len(dy)])
        return dy

    def _label(self) -> str:
        return f"{self.n_in}, {self.rate:g}"
