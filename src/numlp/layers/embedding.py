"""Categories to trained vectors."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.arena import Parameter, aligned_empty
from numlp.errors import ArgumentError, DTypeError, check_count
from numlp.kernels import blocks
from numlp.layers.dense import Layer

Array = NDArray[Any]
Columns = Mapping[int, tuple[int, int]] | Sequence[Sequence[int]]

_TOLERANCE = 1e-3  # how far from a whole number a code may lie


class Embedding(Layer):
    """Replace each column of category codes by a trained vector; the other columns pass through, and come first.

        y = [x_n without the coded columns, T_i[x_ni], T_j[x_nj], ...]               (1)
        dT_i[k] = sum_n [x_ni = k] dy_n(part of i);  dx = dy there, 0 for codes      (2)

    A code is a whole number 0 .. cardinality - 1, written in the network's own dtype (float32 holds each one to 2^24).
    Nothing useful goes back to a code, so the layer belongs first, or behind layers that leave its codes alone.

    Shapes  x (N, I); for each coded column i a table T_i, named `table<i>`, (cardinality, dimension);
        y (N, I - number of coded columns + sum of the dimensions).
    Errors  ArgumentError if a code is not a whole number in its range: column, value and row are named.
    Source  Guo, Berkhahn 2016, section 3.

    Parameters
    ----------
    n_in
        I.
    columns
        {index: (cardinality, dimension)}, or the same as rows (index, cardinality, dimension), which is how it is kept.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> layer = nl.Embedding(3, {1: (7, 2)})  # column 1 is the day of the week
    >>> network = nl.Network([layer], rng=0)
    >>> y = network.forward(np.array([[0.5, 6, -1]], np.float32))
    >>> y.shape, np.array_equal(y[0, 2:], layer.table1[6])
    ((1, 4), True)
    """

    takes_any_scale = True

    def __init__(self, n_in: int, columns: Columns) -> None:
        self.n_in = check_count(n_in, "Embedding", "n_in")
        self.columns = _check_columns(columns, self.n_in)
        coded = [index for index, _, _ in self.columns]
        self._others = [i for i in range(self.n_in) if i not in coded]
        ends = np.cumsum([len(self._others), *(dimension for _, _, dimension in self.columns)]).tolist()
        self._spans = [slice(start, end) for start, end in pairwise(ends)]
        self.n_out = ends[-1]

    def parameters(self) -> Sequence[Parameter]:
        """One table for each coded column, a weight."""
        return tuple(Parameter(f"table{i}", (cardinality, size), "weight") for i, cardinality, size in self.columns)

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw from N(0, 1): a category spreads like a standardized column."""
        for parameter in self.parameters():
            getattr(self, parameter.name)[...] = rng.normal(size=parameter.shape)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y, the codes as whole numbers, and dx if needed."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._codes = np.empty((len(self.columns), batch_size), np.intp)
        self._dx = np.zeros((batch_size if need_dx else 0, self.n_in), self.dtype)  # stays 0 for codes

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        n, y = len(x), self._y[: len(x)]
        self.check(x, f"{self}.forward")
        for codes, (index, _, _) in zip(self._codes, self.columns, strict=True):
            codes[:n] = np.rint(x[:, index])
        for rows in blocks(y.shape):
            y[rows, : len(self._others)] = x[rows][:, self._others]
            for codes, span, (index, _, _) in zip(self._codes[:, :n], self._spans, self.columns, strict=True):
                y[rows, span] = getattr(self, f"table{index}")[codes[rows]]
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2): what comes back to the rows of one category is summed."""
        n = len(dy)
        for codes, span, (index, cardinality, _) in zip(self._codes[:, :n], self._spans, self.columns, strict=True):
            gradient = getattr(self, f"dtable{index}")
            for k, column in enumerate(dy.T[span]):
                gradient[:, k] = np.bincount(codes, weights=column, minlength=cardinality)
        if not self._need_dx:
            return None
        dx = self._dx[:n]
        for rows in blocks(dy.shape):
            dx[rows][:, self._others] = dy[rows, : len(self._others)]
        return dx

    def example(self, x: Array) -> Array:
        """Turn the coded columns into codes."""
        x = np.array(x)
        for index, cardinality, _ in self.columns:
            x[:, index] = np.floor(np.abs(x[:, index]) * 10) % cardinality
        return x

    def check(self, x: Array, where: str) -> None:
        """Raise ArgumentError about the first code that is none."""
        for index, cardinality, _ in self.columns:
            column = x[:, index]
            codes = np.rint(column)
            with np.errstate(invalid="ignore"):  # an infinity is no code: its distance from itself is no number
                fits = (np.abs(column - codes) <= _TOLERANCE) & (codes >= 0) & (codes < cardinality)
            if not fits.all():
                row = int(np.argmin(fits))
                raise ArgumentError(
                    f"{where}: column {index} of x must hold whole numbers 0..{cardinality - 1}, "
                    f"got {column[row]:g} at row {row}"
                )

    def _label(self) -> str:
        return f"{self.n_in} -> {self.n_out}"


def _check_columns(columns: Any, n_in: int) -> tuple[tuple[int, int, int], ...]:
    """Return rows (index, cardinality, dimension) from either form."""
    pairs = isinstance(columns, Mapping) and all(isinstance(sizes, list | tuple) for sizes in columns.values())
    rows = [(index, *sizes) for index, sizes in columns.items()] if pairs else columns
    expected = "Embedding: columns must be {index: (cardinality, dimension)}"
    described = isinstance(rows, list | tuple) and all(isinstance(row, list | tuple) and len(row) == 3 for row in rows)
    if not described or not rows:
        raise DTypeError(f"{expected} with at least one entry, got {columns!r}")
    found: list[tuple[int, int, int]] = []
    for index, cardinality, dimension in rows:
        if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < n_in:
            raise ArgumentError(f"{expected} with an index from 0 to {n_in - 1}, got {index!r}")
        if index in [earlier for earlier, _, _ in found]:
            raise ArgumentError(f"{expected} with each index once, got {index} twice")
        sizes = (check_count(cardinality, "Embedding", "cardinality"), check_count(dimension, "Embedding", "dimension"))
        found.append((int(index), *sizes))
    return tuple(found)
