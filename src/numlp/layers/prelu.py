"""A ReLU whose slope left of zero is learnt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.arena import Parameter, aligned_empty
from numlp.errors import DTypeError, check_count
from numlp.kernels import blocks
from numlp.layers.dense import Layer

Array = NDArray[Any]

_BLOCK = 2_048  # numbers: four temporaries of this size stay in the first-level cache


class PReLU(Layer):
    """ReLU with a trained slope left of zero.

        y = max(x, 0) + alpha min(x, 0)                                  (1)
        dalpha = sum_n dy min(x, 0);  dx = dy if x > 0, else alpha dy    (2)

    Alpha starts at 0.25 and is not decayed: decay would pull it towards a plain ReLU.

    Shapes  x, y (N, O); alpha (O,), or (1,) if one alpha serves all columns (then dalpha sums over them, too).
    Source  He, Zhang, Ren, Sun 2015, eq. 1, 5-7.

    Parameters
    ----------
    n_in
        O.
    shared
        Whether all columns have one alpha.
    """

    alpha: Array
    dalpha: Array

    def __init__(self, n_in: int, shared: bool = False) -> None:
        self.n_in = self.n_out = check_count(n_in, "PReLU", "n_in")
        if not isinstance(shared, bool):
            raise DTypeError(f"PReLU: shared must be True or False, got {shared!r}")
        self.shared = shared

    def parameters(self) -> Sequence[Parameter]:
        """Alpha, not decayed."""
        return (Parameter("alpha", (1 if self.shared else self.n_out,), "bias"),)

    def initialize(self, rng: np.random.Generator) -> None:
        """Start at the paper's 0.25."""
        self.alpha.fill(0.25)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        self._x, y = x, self._y[: len(x)]
        for rows in blocks(x.shape, _BLOCK):
            np.minimum(x[rows], 0, out=y[rows])
            y[rows] *= self._alpha
            y[rows] += np.maximum(x[rows], 0)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2); dx overwrites dy."""
        self._dalpha.fill(0)
        for rows in blocks(dy.shape, _BLOCK):
            x = self._x[rows]
            below = np.minimum(x, 0)
            below *= dy[rows]
            self._dalpha += below.sum() if self._shared else below.sum(axis=0)
            dy[rows] *= np.where(x > 0, self.dtype.type(1), self._alpha)
        return dy if self._need_dx else None

    def _label(self) -> str:
        return f"{self.n_in}, shared" if self.shared else str(self.n_in)
