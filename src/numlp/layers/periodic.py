"""Numbers as waves of several lengths."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.arena import Parameter, aligned_empty
from numlp.errors import check_count, check_number
from numlp.layers.dense import Layer

Array = NDArray[Any]


class Periodic(Layer):
    """Give each of the first columns some outputs made of K cosines of it, and let the column itself follow them.

        t_k = w_k x + b_k / 2 pi,  y_d = sum_k V_dk cos(2 pi t_k) + c_d,  y_D = x                            (1)
        g_k = -sin(2 pi t_k) sum_d dy_d V_dk;  dw = 2 pi sum_n g x;  db = sum_n g;  dV = sum_n dy cos(2 pi t)  (2)
        dc = sum_n dy;  dx = 2 pi sum_k g_k w_k + dy_D                                                       (3)

    (1) to (3) are about one column x_i, which has its own w, b, V and c. Columns behind the first `columns` pass and come
    last. A network of such columns can follow a jagged function of one of them, which a plain one smooths out. Drawn are
    w ~ N(0, sigma^2), b from [-pi, pi], V and c from [-1, 1] / sqrt(K).

    Shapes  x (N, O); w, b (I, K); V (I, D, K); c (I, D); y (N, O + I D), with I = `columns`.
    Source  Gorishniy, Rubachev, Babenko 2022, eq. 2; Holzmüller, Grinsztajn, Steinwart 2024, section 3 (PBLD).

    Parameters
    ----------
    n_in
        O.
    columns
        I, the number of columns with waves, at most O; None takes all.
    waves
        K.
    size
        D.
    sigma
        Above 0: how fast the waves are at the beginning, in turns for each unit of x.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> network = nl.Network([nl.Periodic(3, columns=2)], rng=0)
    >>> y = network.forward(np.array([[0.5, -1, 7]], np.float32))
    >>> y.shape, y[0, [3, 7, 8]].tolist()
    ((1, 9), [0.5, -1.0, 7.0])
    """

    w: Array
    b: Array
    V: Array
    c: Array
    dw: Array
    db: Array
    dV: Array
    dc: Array

    def __init__(self, n_in: int, columns: int | None = None, waves: int = 16, size: int = 3, sigma: float = 0.1) -> None:
        self.n_in = check_count(n_in, "Periodic", "n_in")
        self.columns = self.n_in if columns is None else check_count(columns, "Periodic", "columns", most=self.n_in)
        self.waves = check_count(waves, "Periodic", "waves")
        self.size = check_count(size, "Periodic", "size")
        self.sigma = check_number(sigma, "Periodic", "sigma", above=0)
        self.n_out = self.n_in + self.columns * self.size

    def parameters(self) -> Sequence[Parameter]:
        """All four are weights."""
        narrow, wide = (self.columns, self.waves), (self.columns, self.size, self.waves)
        shapes = {"w": narrow, "b": narrow, "V": wide, "c": (self.columns, self.size)}
        return tuple(Parameter(name, shape, "weight") for name, shape in shapes.items())

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw slow waves with any phase."""
        self.w[...] = rng.normal(0, self.sigma, self.w.shape)
        self.b[...] = rng.uniform(-math.pi, math.pi, self.b.shape)
        for array in (self.V, self.c):
            array[...] = rng.uniform(-1, 1, array.shape) / math.sqrt(self.waves)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y, and dx if needed."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._dx = aligned_empty((batch_size if need_dx else 0, self.n_in), self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        self._x, y = x, self._y[: len(x)]
        kernels.waves(x, self._w, self._b, self._V, self._c, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equations (2) and (3)."""
        dx = self._dx[: len(dy)]
        kernels.waves_backward(dy, self._x, self._w, self._b, self._V, self._dw, self._db, self._dV, self._dc, dx)
        return dx if self._need_dx else None

    def _label(self) -> str:
        return f"{self.n_in} -> {self.n_out}"
