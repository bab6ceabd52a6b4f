"""Numbers as functions made of straight lines."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.arena import Parameter, aligned_empty
from numlp.errors import ArgumentError, DTypeError, check_count, check_number
from numlp.layers.dense import Layer

Array = NDArray[Any]


class PiecewiseLinear(Layer):
    """Give each of the first columns some outputs that run straight from knot to knot, and let the column follow them.

        y_d = V_kd + s (V_(k+1)d - V_kd),  s = (x - q_k) / (q_(k+1) - q_k),  q_k <= x < q_(k+1),  y_D = x    (1)
        dV_jd = sum_n dy_d ((1 - s) [k = j] + s [k + 1 = j])                                                 (2)
        dx = sum_d dy_d (V_(k+1)d - V_kd) / (q_(k+1) - q_k) + dy_D                                           (3)

    (1) to (3) are about one column x_i, which has its own knots q and its own rows of V; below the first knot and above the
    last one, y_d stays as it is there. Columns behind those with knots pass and come last. V begins with 0: at first, each
    column counts as it is. Unlike waves (`Periodic`), what is learned about one stretch of a column leaves the others alone.

    Shapes  x (N, O); V (M, D), one row a knot, column after column; y (N, O + I D), with I columns that have knots.
    Source  Gorishniy, Rubachev, Babenko 2022, eq. 1, with the linear layer that follows it in 3.4 (D outputs a column),
        written as the numbers V at the edges of its bins.

    Parameters
    ----------
    n_in
        O.
    knots
        For each of the first I columns at least two increasing numbers, which differ in float32; as a rule
        `numlp.data.knots.quantiles` of the column.
    size
        D.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> layer = nl.PiecewiseLinear(2, [[0, 1, 3]], size=1)
    >>> network = nl.Network([layer])
    >>> layer.V[:] = [[10], [20], [40]]
    >>> network.forward(np.array([[2, 7], [5, 8]], np.float32)).tolist()
    [[30.0, 2.0, 7.0], [40.0, 5.0, 8.0]]
    """

    V: Array
    dV: Array

    def __init__(self, n_in: int, knots: Sequence[Sequence[float]], size: int = 3) -> None:
        self.n_in = check_count(n_in, "PiecewiseLinear", "n_in")
        self.size = check_count(size, "PiecewiseLinear", "size")
        self.knots = _check_knots(knots, self.n_in)
        self._starts = np.cumsum([0, *map(len, self.knots)])
        self.n_out = self.n_in + len(self.knots) * self.size

    def parameters(self) -> Sequence[Parameter]:
        """V is a weight."""
        return (Parameter("V", (int(self._starts[-1]), self.size), "weight"),)

    def initialize(self, rng: np.random.Generator) -> None:
        """Begin with 0, and take the knots in the network's dtype."""
        self.V[...] = 0
        self._all_knots = np.concatenate(self.knots).astype(self.dtype)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y, and dx if needed."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._dx = aligned_empty((batch_size if need_dx else 0, self.n_in), self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        self._x, y = x, self._y[: len(x)]
        kernels.interpolate(x, self._all_knots, self._starts, self._V, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equations (2) and (3)."""
        dx = self._dx[: len(dy)]
        kernels.interpolate_backward(dy, self._x, self._all_knots, self._starts, self._V, self._dV, dx)
        return dx if self._need_dx else None

    def _label(self) -> str:
        return f"{self.n_in} -> {self.n_out}"


def _check_knots(knots: Any, n_in: int) -> tuple[tuple[float, ...], ...]:
    """Return the knots of each column, or raise about the first column that has none or bad ones."""
    expected = f"PiecewiseLinear: knots must hold a list of increasing numbers for each of 1 to {n_in} columns"
    if not isinstance(knots, list | tuple) or not all(isinstance(column, list | tuple) for column in knots):
        raise DTypeError(f"{expected}, got {str(knots)[:60]}")
    if not 1 <= len(knots) <= n_in:
        raise ArgumentError(f"{expected}, got {len(knots)}")
    found = []
    for i, column in enumerate(knots):
        found.append(tuple(check_number(q, "PiecewiseLinear", f"each of the knots of column {i}") for q in column))
        with np.errstate(over="ignore"):  # then it is infinite
            rounded = np.array(found[i], np.float32)
        if len(column) < 2 or not np.isfinite(rounded).all() or any(a >= b for a, b in pairwise(rounded.tolist())):
            raise ArgumentError(f"{expected}, at least two that differ in float32, got {str(column)[:60]} for column {i}")
    return tuple(found)
