"""Batch normalization."""

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


class BatchNorm(Layer):
    """Standardize each column over the batch, then scale and shift it.

        x_hat = (x - mean) / sqrt(variance + epsilon),  y = gamma x_hat + beta                   (1)
        dbeta = sum_n dy;  dgamma = sum_n dy x_hat
        dx = gamma / sqrt(variance + epsilon) (dy - dbeta / N - x_hat dgamma / N)                (2)
        running <- (1 - momentum) running + momentum (mean, N / (N - 1) variance)                (3)
        dx = gamma / sqrt(running_variance + epsilon) dy, in inference                           (4)

    In training, mean and variance are the batch's; else the running ones, which are saved with the model and not
    trained. A batch of one row has no variance and gives y = beta: `fit` refuses batch_size=1. A last batch of one row,
    where the others have more, is taken: over an epoch it does no measurable harm.

    Shapes  x, y (N, O); gamma, beta, running_mean, running_variance (O,).
    Source  Ioffe, Szegedy 2015, algorithm 1 and 2.

    Parameters
    ----------
    n_in
        O.
    momentum
        Weight of the newest batch in the running values, in (0, 1).
    epsilon
        Added to the variance, above 0.
    """

    gamma: Array
    beta: Array
    dgamma: Array
    dbeta: Array
    running_mean: Array
    running_variance: Array
    momentum: float = number(above=0, below=1)
    epsilon: float = number(above=0)

    def __init__(self, n_in: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        self.n_in = self.n_out = check_count(n_in, "BatchNorm", "n_in")
        self.momentum = momentum
        self.epsilon = epsilon

    def parameters(self) -> Sequence[Parameter]:
        """Neither gamma nor beta is decayed: decay would pull a scale of 1 towards 0."""
        shape = (self.n_out,)
        return (
            Parameter("gamma", shape, "bias"),
            Parameter("beta", shape, "bias"),
            Parameter("running_mean", shape, "state"),
            Parameter("running_variance", shape, "state"),
        )

    def initialize(self, rng: np.random.Generator) -> None:
        """Start as the plain standardization of a standard normal column."""
        self.gamma.fill(1)
        self.beta.fill(0)
        self.running_mean.fill(0)
        self.running_variance.fill(1)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y and x_hat."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._x_hat = aligned_empty(self._y.shape, self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1) and, in training, (3)."""
        n, self._training = len(x), training
        x_hat, y = self._x_hat[:n], self._y[:n]
        if not training:
            self._inverse = 1 / np.sqrt(self._running_variance + self._epsilon)
            kernels.standardize(x, self._running_mean, self._inverse, self._gamma, self._beta, x_hat, y)
            return y
        mean, variance, self._inverse = kernels.batch_norm(x, self._gamma, self._beta, self._epsilon, x_hat, y)
        self._running_mean += self._momentum * (mean - self._running_mean)
        self._running_variance += self._momentum * (variance * (n / max(n - 1, 1)) - self._running_variance)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2), or (4) after a pass with the running values; dx overwrites dy."""
        back = kernels.batch_norm_backward if self._training else kernels.standardize_backward
        back(dy, self._x_hat[: len(dy)], self._gamma, self._inverse, self._dgamma, self._dbeta, self._need_dx)
        return dy if self._need_dx else None
