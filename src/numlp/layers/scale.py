"""One trained factor for each column."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.arena import Parameter, aligned_empty
from numlp.errors import check_count
from numlp.layers.dense import Layer

Array = NDArray[Any]


class Scale(Layer):
    """Multiply each column by a trained factor: at the door of a network, it learns which columns matter.

        y = gamma x                                                      (1)
        dgamma = sum_n dy x;  dx = gamma dy                              (2)

    Gamma starts at 1 and is not decayed.

    Shapes  x, y (N, O); gamma (O,).
    Source  Holzmüller, Grinsztajn, Steinwart 2024, section 3 (RealMLP); Touvron et al. 2021, eq. 3 (LayerScale).

    Parameters
    ----------
    n_in
        O.
    """

    gamma: Array
    dgamma: Array

    def __init__(self, n_in: int) -> None:
        self.n_in = self.n_out = check_count(n_in, "Scale", "n_in")

    def parameters(self) -> Sequence[Parameter]:
        """Gamma, not decayed: decay would pull a scale of 1 towards 0."""
        return (Parameter("gamma", (self.n_out,), "bias"),)

    def initialize(self, rng: np.random.Generator) -> None:
        """Start as the identity."""
        self.gamma.fill(1)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        self._x = x
        return np.multiply(x, self._gamma, out=self._y[: len(x)])

    def backward(self, dy: Array) -> Array | None:
        """Equation (2); dx overwrites dy."""
        np.einsum("no,no->o", dy, self._x, out=self._dgamma)
        if not self._need_dx:
            return None
        dy *= self._gamma
        return dy
