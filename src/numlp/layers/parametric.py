"""An activation that learns how much of it is wanted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.activations import ACTIVATIONS
from numlp.arena import Parameter, aligned_empty
from numlp.errors import check_choice, check_count
from numlp.layers.dense import Layer

Array = NDArray[Any]


class ParametricActivation(Layer):
    """Between the identity (alpha = 0) and a pointwise activation (alpha = 1), column by column.

        y = x + alpha (f(x) - x)                                         (1)
        dalpha = sum_n dy (f(x) - x);  dx = (1 - alpha) dy + alpha dy f'(x)          (2)

    Alpha starts at 1 and is not decayed: decay would pull it towards a linear network.

    Shapes  x, y (N, O); alpha (O,).
    Source  Holzmüller, Grinsztajn, Steinwart 2024, section 3 (RealMLP).

    Parameters
    ----------
    n_in
        O.
    activation
        f: any name in `numlp.activations.ACTIVATIONS` but softmax and log_softmax, which are not pointwise.
    """

    alpha: Array
    dalpha: Array

    def __init__(self, n_in: int, activation: str) -> None:
        self.n_in = self.n_out = check_count(n_in, "ParametricActivation", "n_in")
        pointwise = [name for name, f in ACTIVATIONS.items() if f.pointwise]
        self.activation = check_choice(activation, pointwise, "ParametricActivation", "activation")
        self._f = ACTIVATIONS[activation]

    def parameters(self) -> Sequence[Parameter]:
        """Alpha, not decayed."""
        return (Parameter("alpha", (self.n_out,), "bias"),)

    def initialize(self, rng: np.random.Generator) -> None:
        """Start as the activation itself."""
        self.alpha.fill(1)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y, f(x), and the part of dx that goes through f."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._fx = aligned_empty(self._y.shape, self.dtype)
        self._through = aligned_empty(self._y.shape, self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        self._x, fx, y = x, self._fx[: len(x)], self._y[: len(x)]
        self._f.apply(x, fx)
        kernels.blend(x, fx, self._alpha, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2); dx overwrites dy."""
        fx, through = self._fx[: len(dy)], self._through[: len(dy)]
        kernels.blend_backward(dy, self._x, fx, self._alpha, through, self._dalpha)
        if not self._need_dx:
            return None
        self._f.backward(through, self._x if self._f.keeps_input else fx, through)
        dy += through
        return dy

    def _label(self) -> str:
        return f"{self.n_in}, {self.activation}"
