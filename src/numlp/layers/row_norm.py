"""Normalization of each row by itself: the same in training and inference, whatever the batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.arena import Parameter, aligned_empty
from numlp.attributes import number
from numlp.errors import check_count
from numlp.layers.dense import Layer

Array = NDArray[Any]


class LayerNorm(Layer):
    """Standardize each row, then scale and shift each column.

        x_hat = (x - mean) / sqrt(variance + epsilon),  y = gamma x_hat + beta       (1)
        dbeta = sum_n dy;  dgamma = sum_n dy x_hat
        dx = (g - mean_o g - x_hat mean_o (g x_hat)) / sqrt(variance + epsilon),  g = gamma dy       (2)

    Mean and (biased) variance are those of the row.

    Shapes  x, y (N, O); gamma, beta (O,).
    Source  Ba, Kiros, Hinton 2016, eq. 3.

    Parameters
    ----------
    n_in
        O.
    epsilon
        Added to the variance, above 0.
    """

    gamma: Array
    beta: Array
    dgamma: Array
    dbeta: Array
    epsilon: float = number(above=0)

    def __init__(self, n_in: int, epsilon: float = 1e-5) -> None:
        self.n_in = self.n_out = check_count(n_in, "LayerNorm", "n_in")
        self.epsilon = epsilon

    def parameters(self) -> Sequence[Parameter]:
        """Neither gamma nor beta is decayed: decay would pull a scale of 1 towards 0."""
        return (Parameter("gamma", (self.n_out,), "bias"), Parameter("beta", (self.n_out,), "bias"))

    def initialize(self, rng: np.random.Generator) -> None:
        """Start as the plain standardization."""
        self.gamma.fill(1)
        self.beta.fill(0)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y and x_hat."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._x_hat = aligned_empty(self._y.shape, self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        x_hat, y = self._x_hat[: len(x)], self._y[: len(x)]
        self._inverse = kernels.layer_norm(x, self._gamma, self._beta, self._epsilon, x_hat, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2); dx overwrites dy."""
        x_hat = self._x_hat[: len(dy)]
        kernels.layer_norm_backward(dy, x_hat, self._gamma, self._inverse, self._dgamma, self._dbeta, self._need_dx)
        return dy if self._need_dx else None


class RMSNorm(Layer):
    """Divide each row by its root mean square, then scale each column.

        x_hat = x / sqrt(mean_o x^2 + epsilon),  y = gamma x_hat         (1)
        dgamma = sum_n dy x_hat
        dx = (g - x_hat mean_o (g x_hat)) / sqrt(mean_o x^2 + epsilon),  g = gamma dy                (2)

    Shapes  x, y (N, O); gamma (O,).
    Source  Zhang, Sennrich 2019, eq. 4.

    Parameters
    ----------
    n_in
        O.
    epsilon
        Added to the mean square, above 0 (PyTorch's default is the machine epsilon of the dtype).
    """

    gamma: Array
    dgamma: Array
    epsilon: float = number(above=0)

    def __init__(self, n_in: int, epsilon: float = 1e-5) -> None:
        self.n_in = self.n_out = check_count(n_in, "RMSNorm", "n_in")
        self.epsilon = epsilon

    def parameters(self) -> Sequence[Parameter]:
        """Gamma, not decayed."""
        return (Parameter("gamma", (self.n_out,), "bias"),)

    def initialize(self, rng: np.random.Generator) -> None:
        """Start as the plain normalization."""
        self.gamma.fill(1)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y and x_hat."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._x_hat = aligned_empty(self._y.shape, self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        x_hat, y = self._x_hat[: len(x)], self._y[: len(x)]
        mean_square = np.einsum("no,no->n", x, x) / self.n_in
        self._inverse = 1 / np.sqrt(mean_square + self._epsilon)[:, None]
        np.multiply(x, self._inverse, out=x_hat)
        np.multiply(x_hat, self._gamma, out=y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2); dx overwrites dy."""
        x_hat = self._x_hat[: len(dy)]
        np.einsum("no,no->o", dy, x_hat, out=self._dgamma)
        if not self._need_dx:
            return None
        dy *= self._gamma
        x_hat *= np.einsum("no,no->n", dy, x_hat)[:, None] / self.n_in
        dy -= x_hat
        dy *= self._inverse
        return dy
