"""Preprocessing of columns as the first layer."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numlp.arena import Parameter, aligned_empty
from numlp.attributes import setting
from numlp.errors import ArgumentError, DTypeError, ShapeError, check_count, check_finite, check_matrix, check_within
from numlp.kernels import blocks
from numlp.layers.dense import Layer

Array = NDArray[Any]

_DIGITS = 1000  # units in the last place of a mean: a smaller std has less than three digits


class Standardize(Layer):
    """Give each column the mean 0 and the standard deviation 1 of the data it was fitted to.

        y = (x - mean) / std,  dx = dy / std;  y = dx = 0 where std = 0              (1)
        mean = sum_n x / N,  std = sqrt(sum_n (x - mean)^2 / N)                      (2)

    As the first layer it is the network's preprocessing: the saved model takes raw columns. Mean and std are saved with the
    model and not trained; before `fit` or `give` they are 0 and 1. A constant column tells nothing, and becomes 0.

    Where a column has an offset so large against its spread that the network's dtype has less than three digits of the
    spread (std < 1000 eps |mean|: seconds since 1970, Julian days, coordinates in meters), (1) is computed in double
    precision, and x enters the network as it is: float64 and integers keep all digits.

    Shapes  x, y (N, O); mean, std (O,).
    Source  LeCun, Bottou, Orr, Müller 1998, section 4.3.

    Parameters
    ----------
    n_in
        O.
    remainder
        What the network's dtype cannot hold of the mean, (O,), where (1) is computed in double precision; `fit` and `give`
        set it.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> x = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> network = nl.Network([nl.Standardize(2).fit(x)], dtype=np.float64)
    >>> network.forward(x)
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    mean: Array
    std: Array
    remainder: list[float] | None = setting(lambda layer, name, values: layer.columns_of(values, name))
    takes_any_scale = True

    def __init__(self, n_in: int, remainder: Sequence[float] | None = None) -> None:
        self.n_in = self.n_out = check_count(n_in, "Standardize", "n_in")
        self.remainder = remainder  # type: ignore[assignment]  # the attribute makes a list of it
        self._given: tuple[Array, Array] | None = None

    def fit(self, x: ArrayLike) -> "Standardize":
        """Equation (2), in double precision; before or after a network has taken the layer in. Returns the layer.

        Errors  ShapeError, DTypeError, ArgumentError (NaN or infinite numbers) about x.
        """
        x = check_matrix(x, "Standardize.fit", "x", self.n_in)
        check_finite(x, "Standardize.fit", "x")
        mean = x.mean(axis=0, dtype=np.float64)
        squares = np.zeros(self.n_in)
        for rows in blocks(x.shape):
            squares += ((x[rows] - mean) ** 2).sum(axis=0)
        constant = x.min(axis=0) == x.max(axis=0)  # rounding may leave such a column a std above 0
        return self.give(mean, np.where(constant, 0, np.sqrt(squares / len(x))))

    def give(self, mean: ArrayLike, std: ArrayLike) -> "Standardize":
        """Take mean and std, one number a column, before or after a network has taken the layer in. Returns the layer.

        Errors  ShapeError if they are not (O,); ArgumentError if one is not finite, or a std is negative.
        """
        where = "Standardize.give"
        given = self._columns(mean, where, "mean"), self._columns(std, where, "std")
        if (given[1] < 0).any():
            raise ArgumentError(f"{where}: std must hold numbers at least 0, got {given[1].min()}")
        self._given = given
        if self._bound:
            self._take(*given)
        return self

    def columns_of(self, values: ArrayLike | None, name: str) -> list[float] | None:
        """Return one finite number a column as a list, or None."""
        return None if values is None else self._columns(values, "Standardize", name).tolist()

    def _columns(self, values: ArrayLike, where: str, name: str) -> Array:
        """Return one finite number a column."""
        try:
            array = np.array(values, np.float64)
        except (TypeError, ValueError) as error:
            raise DTypeError(f"{where}: {name} must hold one number a column, got {values!r:.60}") from error
        if array.shape != (self.n_in,):
            raise ShapeError(f"{where}: {name} must have shape ({self.n_in},), got {array.shape}")
        check_finite(array, where, name)
        return array

    def _take(self, mean: Array, std: Array) -> None:
        """Write mean and std, and what is left of the mean where that matters."""
        self.mean[...], self.std[...] = mean, std
        coarse = (std > 0) & (std < _DIGITS * np.finfo(self.dtype).eps * np.abs(mean))
        self.remainder = (mean - self.mean).tolist() if coarse.any() else None

    def parameters(self) -> Sequence[Parameter]:
        """Mean and std: saved, not trained."""
        return (Parameter("mean", (self.n_out,), "state"), Parameter("std", (self.n_out,), "state"))

    def initialize(self, rng: np.random.Generator) -> None:
        """Write what `fit` or `give` was told before there was a network."""
        if self._given is None:
            self.mean[...], self.std[...] = 0, 1
        else:
            self._take(*self._given)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)

    def accepts(self, dtype: np.dtype[Any]) -> bool:
        """Its own dtype, and float64 where it computes in double precision."""
        return super().accepts(dtype) or (self.remainder is not None and dtype == np.float64)

    def check(self, x: Array, where: str) -> None:
        """Raise ArgumentError if x, which need not be cast, holds numbers beyond the network's dtype."""
        if self.remainder is not None:
            low, high = float(x.min()), float(x.max())
            if math.isfinite(low + high):  # others are found and named later
                check_within(low, high, x, self.dtype, where, "x")

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        y = self._y[: len(x)]
        if self.remainder is not None:
            return self._forward_in_double(x, y)
        np.subtract(x, self._mean, out=y)
        y *= self._inverse()
        return y

    def _forward_in_double(self, x: Array, y: Array) -> Array:
        """Equation (1) with all digits of the mean, computed in double precision."""
        z = np.subtract(x, self._mean, dtype=np.float64)
        z -= self.remainder
        return np.multiply(z, self._inverse(), out=y, casting="same_kind")

    def backward(self, dy: Array) -> Array | None:
        """Return dx, in the place of dy."""
        dy *= self._inverse()
        return dy

    def _inverse(self) -> Array:
        """1 / std, and 0 where std is 0."""
        return np.divide(1, self._std, out=np.zeros_like(self._std), where=self._std > 0)
