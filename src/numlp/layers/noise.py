"""Noise in training that is not plain dropout."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.arena import aligned_empty
from numlp.attributes import number
from numlp.errors import check_count
from numlp.kernels.smooth import SELU_ALPHA, SELU_SCALE
from numlp.layers.dense import Layer
from numlp.layers.dropout import Dropout

Array = NDArray[Any]

_Q = -SELU_SCALE * SELU_ALPHA  # q of `AlphaDropout`


class AlphaDropout(Dropout):
    """Dropout for selu networks: mean 0 and variance 1 stay what they are. Does nothing outside training.

        m ~ Bernoulli(1 - rate);  y = a (x m + q (1 - m)) + b,  dx = a m dy          (1)
        q = -1.7581, what selu tends to far left of zero
        a = 1 / sqrt((1 - rate) (1 + rate q^2)),  b = -a rate q                      (2)

    Shapes  x, y (N, O).
    Source  Klambauer, Unterthiner, Mayr, Hochreiter 2017, section "New dropout technique".

    Parameters
    ----------
    n_in
        O.
    rate
        Probability that a number is replaced by q, in [0, 1).
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1), as y = a ((x - q) m + q (1 - rate))."""
        self._active = training and self._rate > 0
        if not self._active:
            return x
        n = len(x)
        mask, y = self._mask[:n], self._y[:n]
        kernels.random_mask(self._rng.integers(1 << 63), self._rate, 1.0, mask)
        np.subtract(x, _Q, out=y)
        y *= mask
        y += _Q * (1 - self._rate)
        y *= self._scale()
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dx = a m dy, in the place of dy."""
        if self._active:
            dy *= self._scale()
        return super().backward(dy)

    def _scale(self) -> float:
        """Return a of equation (2)."""
        return 1 / math.sqrt((1 - self._rate) * (1 + self._rate * _Q**2))


class GaussianNoise(Layer):
    """In training, add a normal random number to each number; else do nothing.

        e ~ N(0, 1),  y = x + std e,  dx = dy                            (1)

    As the first layer it is a penalty on the network's slopes. The noise is drawn in single precision for either dtype.

    Shapes  x, y (N, O).
    Source  Bishop 1995, "Training with noise is equivalent to Tikhonov regularization".

    Parameters
    ----------
    n_in
        O.
    std
        At least 0, in the units of x.
    """

    std: float = number(low=0)

    def __init__(self, n_in: int, std: float) -> None:
        self.n_in = self.n_out = check_count(n_in, "GaussianNoise", "n_in")
        self.std = std

    def initialize(self, rng: np.random.Generator) -> None:
        """Keep the generator: noise is drawn from it."""
        self._rng = rng

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y and the noise."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._noise = aligned_empty((batch_size, self.n_out), np.float32)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        if not training or self._std == 0:
            return x
        noise, y = self._noise[: len(x)], self._y[: len(x)]
        self._rng.standard_normal(dtype=np.float32, out=noise)
        np.multiply(noise, self._std, out=y, dtype=self.dtype)
        y += x
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dy."""
        return dy

    def _label(self) -> str:
        return f"{self.n_in}, {self.std:g}"
