"""Activations as layers of their own."""

from typing import Any

from numpy.typing import NDArray

from numlp.activations import ACTIVATIONS
from numlp.arena import aligned_empty
from numlp.errors import check_choice, check_count
from numlp.layers.dense import Layer

Array = NDArray[Any]


class Activation(Layer):
    """Pointwise activation as a layer of its own, for where something stands between Dense and it.

        y = f(x),  dx = dy * f'(x)                                       (1)

    Shapes  x, y (N, O).

    Parameters
    ----------
    n_in
        O.
    activation
        f: any name in `numlp.activations.ACTIVATIONS`, such as relu, gelu, silu, tanh, softmax.
    """

    def __init__(self, n_in: int, activation: str) -> None:
        self.n_in = self.n_out = check_count(n_in, type(self).__name__, "n_in")
        self.activation = check_choice(activation, ACTIVATIONS, type(self).__name__, "activation")
        self._f = ACTIVATIONS[activation]

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y = f(x)."""
        y = self._y[: len(x)]
        self._f.apply(x, y)
        self._kept = x if self._f.keeps_input else y
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dx = dy * f'(x), in the place of dy."""
        self._f.backward(dy, self._kept, dy)
        return dy

    def _label(self) -> str:
        return f"{self.n_in}, {self.activation}"


class Softmax(Activation):
    """The textbook's last layer: turns logits into probabilities. Belongs before the loss `CrossEntropy`.

        y_nc = exp(x_nc - m_n) / sum_k exp(x_nk - m_n),  m_n = max_k x_nk            (1)
        dx_nc = y_nc (dy_nc - sum_k dy_nk y_nk)                                      (2)

    For training, `SoftmaxCrossEntropy` on the logits does the same and is exact where p underflows to zero.

    Shapes  x, y (N, C).
    Source  Bridle 1990.

    Parameters
    ----------
    n_in
        C.
    """

    def __init__(self, n_in: int) -> None:
        super().__init__(n_in, "softmax")

    def _label(self) -> str:
        return str(self.n_in)
